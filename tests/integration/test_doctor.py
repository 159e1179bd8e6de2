"""The doctor at real servers: each is given an illness, and the report has to name it and the cure."""

import re
import shlex
import socket
from pathlib import Path

import pytest

from edgeprofile.config import from_mapping
from edgeprofile.doctor.examination import Plan, examine
from edgeprofile.doctor.findings import Verdict, exit_code
from edgeprofile.doctor.report import as_json, section_text
from tests.support.clients import configuration

FINE, WARNING, FAILURE, SKIPPED = Verdict.FINE, Verdict.WARNING, Verdict.FAILURE, Verdict.SKIPPED
SECRET_ID, SECRET_TRAIT = "ada@example.com", "secret-trait"


class Report:
    """What the doctor found, by the name of the check."""

    def __init__(self, config, *, timeout=20.0, audit=0):
        config = {"cache": {"maxStaleness": "10s"}, **config}  # a busy machine is not what is examined here
        self.sections = list(examine(from_mapping(config, "the test"), Plan(timeout, audit)))
        self.code = exit_code(self.sections)
        self.text = "".join(map(section_text, self.sections))
        for told in (self.text, as_json(self.sections).decode()):
            assert SECRET_ID not in told
            assert SECRET_TRAIT not in told

    @property
    def findings(self):
        return [finding for section in self.sections for finding in section.findings]

    def __getitem__(self, name):
        return next(finding for finding in self.findings if finding.name == name)

    def troubles(self):
        """The names of all that is neither well nor skipped."""
        return {finding.name for finding in self.findings if finding.verdict in {WARNING, FAILURE}}

    def assert_told(self, name, verdict, *parts):
        finding = self[name]
        assert finding.verdict is verdict, self.text
        for part in parts:
            assert part in f"{finding.what} | {finding.do}", self.text


def fill(server, count=5, *, key="1Wsp:2Dest:user:email:{}"):
    server.command("HSET", key.format(SECRET_ID), "features", f'{{"name":"{SECRET_TRAIT}"}}')
    for number in range(1, count):
        server.command("HSET", key.format(number), "features", '{"a":1}', "scores", '{"b":2}')


def settings(server, **changes):
    return configuration(server.address, **changes)


# All is well


def test_a_healthy_server(redis_db):
    fill(redis_db)
    report = Report(settings(redis_db))
    assert (report.code, report.troubles()) == (0, set()), report.text
    report.assert_told("sample", FINE, "5 profiles decoded", "features (5)", "scores (4)")
    report.assert_told("notifications", FINE, "AK")
    report.assert_told("version", FINE, redis_db.flavour.capitalize())
    report.assert_told("fence", FINE, "median", "every 2500 ms")


def test_a_healthy_server_with_client_tracking(redis_db):
    fill(redis_db)
    redis_db.notify("")
    report = Report(settings(redis_db, feed={"mode": "tracking"}))
    assert (report.code, report.troubles()) == (1, {"output buffers"}), report.text
    report.assert_told("feed", FINE, "invalidation")
    redis_db.config_set("maxmemory-clients", "5%")
    assert Report(settings(redis_db, feed={"mode": "tracking"})).code == 0


def test_a_healthy_cluster(cluster_db):
    for number in range(30):
        cluster_db.owner(f"1Wsp:2Dest:user:email:{number}").command(
            "HSET", f"1Wsp:2Dest:user:email:{number}", "m", "{}"
        )
    report = Report(configuration(cluster_db.address, config={"clusterMode": True}), audit=30)
    assert (report.code, report.troubles()) == (0, set()), report.text
    titles = [section.title for section in report.sections]
    assert titles[1:4] == [f"node {node.address}" for node in cluster_db.primaries]
    report.assert_told("slots", FINE, "16384", "3 primaries")
    report.assert_told("sample", FINE, "30 profiles decoded")
    report.assert_told("audit", FINE, "30 profiles read, 30 hits")
    assert sum(finding.name == "fence" for finding in report.findings) == 3


def test_a_unix_socket(redis_db):
    fill(redis_db)
    report = Report(configuration(f"unix:{redis_db.unix_socket}", config={"secure": False}))
    assert (report.code, report.troubles()) == (0, set()), report.text


def test_nothing_of_the_doctor_stays(redis_db):
    fill(redis_db)
    Report(settings(redis_db), audit=5)
    left = redis_db.command("KEYS", "edgeprofile:*")
    assert all(0 < redis_db.command("PTTL", key) <= 100_000 for key in left)
    assert len(redis_db.command("KEYS", "1Wsp:*")) == 5


# The way in


def test_nothing_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listening: connections are refused
        report = Report(configuration(f"127.0.0.1:{taken.getsockname()[1]}"))
    assert (report.code, report.troubles()) == (2, {"address"})
    report.assert_told("address", FAILURE, "nothing listens there", "destinations.config.address")
    report.assert_told("sample", SKIPPED)


def test_a_server_that_never_answers():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        report = Report(configuration(f"127.0.0.1:{silent.getsockname()[1]}"), timeout=1.0)
    assert (report.code, report.troubles()) == (2, {"login"})
    report.assert_told("login", FAILURE, "answer")


def test_a_wrong_password(redis_db):
    redis_db.command("ACL", "SETUSER", "app", "on", ">right", "+@all", "~*", "&*")
    report = Report(settings(redis_db, config={"username": "app", "password": "wrong-secret"}))
    assert (report.code, report.troubles()) == (2, {"login"})
    report.assert_told("login", FAILURE, "check username, password and passwordFile")
    assert "wrong-secret" not in report.text


def test_a_password_is_needed(make_server):
    report = Report(settings(make_server(requirepass="right")))
    assert (report.code, report.troubles()) == (2, {"login"})
    report.assert_told("login", FAILURE, "asks for a password")


def test_no_password_is_needed(redis_db):
    report = Report(settings(redis_db, config={"password": "superfluous"}))
    assert report.code == 2
    report.assert_told("login", FAILURE, "no password")


# TLS


@pytest.fixture
def tls_server(make_server, certificates, flavour):
    if flavour == "valkey":
        pytest.skip("the embedded Valkey has no TLS")
    return make_server(tls=certificates)


def trusting(server, certificates, **changes):
    config = {"secure": True, "caCertificate": certificates.authority.read_text(), **changes}
    return configuration(server.address, config=config)


def test_a_certificate_that_is_about_to_expire(tls_server, certificates):
    fill(tls_server)
    report = Report(trusting(tls_server, certificates))
    assert (report.code, report.troubles()) == (1, {"TLS"}), report.text
    report.assert_told("TLS", WARNING, "TLSv1.", "ends on 20", "renew")


def test_any_certificate_is_accepted(tls_server, certificates):
    report = Report(trusting(tls_server, certificates, skipVerify=True))
    report.assert_told("TLS", WARNING, "any certificate", "skipVerify = false")


def test_an_unknown_authority(tls_server):
    report = Report(configuration(tls_server.address, config={"secure": True}))
    assert (report.code, report.troubles()) == (2, {"TLS"})
    report.assert_told("address", FINE)
    report.assert_told("TLS", FAILURE, "authority", "caCertificate")


@pytest.mark.parametrize(("identity", "words"), [("expired", "expired"), ("wrong_host", "another host")])
def test_a_bad_certificate(redis_db, make_proxy, certificates, identity, words):
    proxy = make_proxy(redis_db, tls=certificates.serving(getattr(certificates, identity)))
    report = Report(trusting(proxy, certificates))
    assert (report.code, report.troubles()) == (2, {"TLS"})
    report.assert_told("TLS", FAILURE, words)


def test_no_tls_where_it_is_expected(redis_db, certificates):
    report = Report(trusting(redis_db, certificates), timeout=0.5)
    assert (report.code, report.troubles()) == (2, {"TLS"})
    report.assert_told("TLS", FAILURE, "`secure`")


def test_tls_where_none_is_expected(tls_server):
    report = Report(settings(tls_server), timeout=0.5)
    assert (report.code, report.troubles()) == (2, {"login"})
    report.assert_told("login", FAILURE, "secure = true")


# Rights


def obey(server, report):
    """Give the user what the report says is missing, right by right."""
    missing = [finding.do for finding in report.findings if finding.name.startswith("may ")]
    for line in {line for line in missing if line.startswith("ACL SETUSER app ")}:
        server.command(*shlex.split(line))


MODES = {
    "canary": {},
    "ping": {"heartbeat": "ping"},
    "tracking": {"mode": "tracking"},
    "tracking with pings": {"mode": "tracking", "heartbeat": "ping"},
}


@pytest.mark.parametrize("feed", MODES.values(), ids=MODES)
def test_a_user_without_any_right_is_told_all_that_it_needs(redis_db, feed):
    fill(redis_db)
    redis_db.config_set("maxmemory-clients", "5%")
    redis_db.command("ACL", "SETUSER", "app", "reset", "on", ">s")
    config = settings(redis_db, feed=feed, config={"username": "app", "password": "s"})
    first = Report(config)
    assert first.code == 2
    first.assert_told("login", FINE, "app")
    first.assert_told("may HGETALL", FAILURE, "not permitted", "ACL SETUSER app +hgetall ~1Wsp:2Dest:*")
    obey(redis_db, first)
    second = Report(config)
    assert (second.code, second.troubles()) == (0, set()), second.text


@pytest.mark.parametrize("feed", MODES.values(), ids=MODES)
def test_the_least_rights_that_are_told_are_enough(redis_db, feed):
    redis_db.config_set("maxmemory-clients", "5%")
    redis_db.command("ACL", "SETUSER", "app", "reset", "on", ">s")
    config = settings(redis_db, feed=feed, config={"username": "app", "password": "s"})
    line = Report(config)["least rights"].do.replace(">PASSWORD", ">s")
    redis_db.command(*shlex.split(line))
    report = Report(config)
    assert (report.code, report.troubles()) == (0, set()), report.text
    report.assert_told("feed", FINE)
    lacking = {f.name for f in report.findings if f.name.startswith("may ") and f.verdict is SKIPPED}
    assert lacking == {"may DEL", "may SCAN"}


def test_the_user_of_a_sync(redis_db, tmp_path):
    redis_db.command("ACL", "SETUSER", "app", "reset", "on", ">s", "+@read", "~*", "&*")
    sync = {"project": str(tmp_path), "warehouse": "duckdb://x.duckdb"}
    config = settings(redis_db, sync=sync, config={"username": "app", "password": "s"})
    for command in ("HSET", "HDEL", "EXPIRE"):
        grant = f"ACL SETUSER app +{command.lower()} ~1Wsp:2Dest:*"
        Report(config).assert_told(f"may {command}", WARNING, "edgeprofile sync", grant)
    redis_db.command("ACL", "SETUSER", "app", "+@write")
    assert all(Report(config)[f"may {command}"].verdict is FINE for command in ("HSET", "HDEL", "EXPIRE"))
    assert not redis_db.command("KEYS", "1Wsp:*")


def test_a_managed_service_without_config_and_info_is_well(redis_db):
    fill(redis_db)
    redis_db.command("ACL", "SETUSER", "app", "reset", "on", ">s", "+@all", "-config", "-info", "-acl", "~*", "&*")
    report = Report(settings(redis_db, config={"username": "app", "password": "s"}))
    assert (report.code, report.troubles()) == (0, set()), report.text
    for name in ("notifications", "eviction", "output buffers"):
        report.assert_told(name, SKIPPED, "cannot be read", "+config|get")
    report.assert_told("version", FINE)
    report.assert_told("feed", FINE)


def test_keys_or_channels_of_another_destination(redis_db):
    rules = ("+@all", "~1Wsp:9Other:*", "&__keyspace@0__:*")
    redis_db.command("ACL", "SETUSER", "app", "reset", "on", ">s", *rules)
    report = Report(settings(redis_db, config={"username": "app", "password": "s"}))
    assert report["may HGETALL"].do == "ACL SETUSER app ~1Wsp:2Dest:*"
    assert report["may PSUBSCRIBE"].do == "ACL SETUSER app &__keyspace@0__:1Wsp:2Dest:*"
    report.assert_told("may HINCRBY", WARNING, "~edgeprofile:canary:*")
    report.assert_told("may SUBSCRIBE", FINE)


def test_a_cluster_s_user_without_any_right(make_cluster):
    cluster = make_cluster(primaries=2, users=("app on >s -@all +cluster|slots",))
    config = configuration(cluster.address, config={"clusterMode": True, "username": "app", "password": "s"})
    first = Report(config)
    assert first.code == 2
    for node in cluster.nodes:
        obey(node, first)
    second = Report(config)
    assert (second.code, second.troubles()) == (1, {"sample"}), second.text


# What kind of server it is


def test_a_single_server_taken_for_a_cluster(redis_db):
    report = Report(settings(redis_db, config={"clusterMode": True}))
    assert (report.code, report.troubles()) == (2, {"mode"})
    report.assert_told("mode", FAILURE, "single server", "clusterMode = false")


def test_a_node_of_a_cluster_taken_for_a_single_server(cluster_db):
    report = Report(configuration(cluster_db.primaries[0].address))
    assert report.code == 2
    report.assert_told("mode", FAILURE, "node of a cluster", "clusterMode = true")
    report.assert_told("sample", SKIPPED)


def test_a_dead_seed(cluster_db):
    report = Report(configuration(f"127.0.0.1:1,{cluster_db.address}", config={"clusterMode": True}))
    assert (report.code, report.troubles()) == (1, {"seeds", "sample"}), report.text
    report.assert_told("seeds", WARNING, "nothing listens there", "take dead seeds out")


def test_no_seed_answers():
    report = Report(configuration("127.0.0.1:1,127.0.0.1:2", config={"clusterMode": True}))
    assert (report.code, report.troubles()) == (2, {"address"})


def test_slots_without_an_owner(make_cluster):
    cluster = make_cluster(primaries=2)
    for node in cluster.nodes:
        node.command("CLUSTER", "DELSLOTS", "5")
    report = Report(configuration(cluster.address, config={"clusterMode": True}))
    report.assert_told("slots", FAILURE, "1 of 16384", "--cluster fix")


def test_one_node_of_a_cluster_lacks_flags(cluster_db):
    ill = cluster_db.primaries[1]
    ill.notify("Kg")
    report = Report(configuration(cluster_db.address, config={"clusterMode": True}))
    assert report.code == 2
    (section,) = [s for s in report.sections if any(f.verdict is FAILURE for f in s.findings)]
    assert section.title == f"node {ill.address}"


def test_a_replica(make_server):
    primary = make_server()
    replica = make_server(replicaof=primary)
    report = Report(settings(replica))
    assert (report.code, report.troubles()) == (1, {"role", "feed", "sample"}), report.text
    report.assert_told("role", WARNING, "replica", "name the primary")
    report.assert_told("feed", WARNING, "unproven", "replica")


# Its settings


def test_missing_flags(redis_db):
    redis_db.notify("Kgh")
    report = Report(settings(redis_db))
    assert (report.code, report.troubles()) == (2, {"notifications", "sample"})
    report.assert_told("notifications", FAILURE, "lack A", "CONFIG SET notify-keyspace-events")
    command = report["notifications"].do.partition(" (")[0]
    redis_db.command(*command.split())
    assert Report(settings(redis_db))["feed"].verdict is FINE


def test_missing_flags_that_may_be_added(redis_db):
    redis_db.notify("")
    report = Report(settings(redis_db, feed={"configureServer": True}))
    assert report.code == 1
    report.assert_told("notifications", WARNING, "feed.configureServer adds them")
    assert redis_db.config_get("notify-keyspace-events") == ""


def test_missing_flags_that_cannot_be_read_are_found_by_the_live_feed(redis_db):
    redis_db.notify("")
    redis_db.command("ACL", "SETUSER", "app", "reset", "on", ">s", "+@all", "-config", "~*", "&*")
    report = Report(settings(redis_db, config={"username": "app", "password": "s"}))
    assert report.code == 2
    report.assert_told("notifications", SKIPPED)
    report.assert_told("feed", FAILURE, "CONFIG SET notify-keyspace-events KA")


@pytest.mark.parametrize(
    ("policy", "verdict"), [("volatile-ttl", WARNING), ("allkeys-random", WARNING), ("allkeys-lru", FINE)]
)
def test_eviction(redis_db, policy, verdict):
    redis_db.config_set("maxmemory", "100mb")
    redis_db.config_set("maxmemory-policy", policy)
    Report(settings(redis_db)).assert_told("eviction", verdict, policy)


@pytest.mark.parametrize(
    ("limit", "verdict"), [("0 0 0", WARNING), ("1mb 0 0", WARNING), ("64mb 16mb 60", FINE), ("32mb 0 0", FINE)]
)
def test_output_buffers(redis_db, limit, verdict):
    redis_db.config_set("client-output-buffer-limit", "pubsub 32mb 8mb 60")
    redis_db.command("CONFIG", "SET", "client-output-buffer-limit", f"pubsub {limit}")
    Report(settings(redis_db)).assert_told("output buffers", verdict, "pubsub")


@pytest.mark.parametrize(("bound", "verdict"), [("400ms", WARNING), ("50ms", FAILURE)])
def test_a_distant_server(redis_db, make_proxy, bound, verdict):
    proxy = make_proxy(redis_db)
    proxy.all.delay(0.06)
    report = Report(configuration(proxy.address, cache={"maxStaleness": bound}))
    report.assert_told("fence", verdict, "cache.maxStaleness")


def test_the_default_user_is_not_told_to_give_its_rights_away(redis_db):
    redis_db.command("ACL", "SETUSER", "default", "-pttl")
    try:
        report = Report(settings(redis_db))
    finally:
        redis_db.command("ACL", "SETUSER", "default", "+@all")
    report.assert_told("may PTTL", FAILURE, "not permitted", "ACL SETUSER default +pttl")
    report.assert_told("least rights", SKIPPED, "ACL SETUSER edgeprofile on")


def test_a_user_of_its_own_that_lacks_nothing_is_told_nothing(redis_db):
    redis_db.command("ACL", "SETUSER", "app", "reset", "on", ">s", "+@all", "~*", "&*")
    report = Report(settings(redis_db, config={"username": "app", "password": "s"}))
    assert "least rights" not in {finding.name for finding in report.findings}


# Its data


def test_no_profile(redis_db):
    report = Report(settings(redis_db))
    assert (report.code, report.troubles()) == (1, {"sample"})
    report.assert_told("sample", WARNING, "no key of this destination among all keys", "workspaceId")


@pytest.mark.parametrize(
    ("key", "layout", "advice"),
    [
        ("user:{}", "profiles", 'layout = "event-stream"'),
        ("1Wsp:2Dest:user:email:{}", "event-stream", 'layout = "profiles"'),
        ("shop:user:{}", "event-stream", "check prefix"),
        ("1Wsp:9Other:user:email:{}", "profiles", "the destination's id"),
        ("9Other:2Dest:user:email:{}", "profiles", "check workspaceId"),
    ],
)
def test_profiles_that_are_elsewhere(redis_db, key, layout, advice):
    fill(redis_db, key=key)
    report = Report(settings(redis_db, destination={"layout": layout}))
    report.assert_told("sample", WARNING, "no key of this destination", advice)


def test_event_streams(redis_db):
    fill(redis_db, key="shop:user:{}")
    report = Report(settings(redis_db, destination={"layout": "event-stream"}, config={"prefix": "shop"}), audit=5)
    assert (report.code, report.troubles()) == (0, set()), report.text


def test_keys_of_another_type(redis_db):
    fill(redis_db)
    for number in range(3):
        redis_db.command("SET", f"1Wsp:2Dest:user:email:text{number}", "text")
    report = Report(settings(redis_db))
    assert report.code == 2
    report.assert_told("sample", FAILURE, "3 of type string")


def test_models_that_are_no_json(redis_db):
    fill(redis_db)
    for number in range(3):
        redis_db.command("HSET", f"1Wsp:2Dest:user:email:{number}", "notes", f"{SECRET_TRAIT} is no JSON")
    report = Report(settings(redis_db))
    assert (report.code, report.troubles()) == (1, {"models"})
    report.assert_told("models", WARNING, "3 fields", "notes (3)", "JSON string")


def test_documents_where_hashes_are_expected_and_the_reverse(json_server):
    with json_server.client() as writer:
        writer.json().set("1Wsp:2Dest:user:email:a", "$", {"m": {"a": 1}})
        report = Report(configuration(json_server.address))
        report.assert_told("sample", FAILURE, "1 of type unknown", "useJSONModule = true")
        report = Report(configuration(json_server.address, config={"useJSONModule": True}))
        report.assert_told("sample", FINE, "1 profile decoded", "m (1)")
        writer.delete("1Wsp:2Dest:user:email:a")
        writer.hset("1Wsp:2Dest:user:email:b", "m", "{}")
        report = Report(configuration(json_server.address, config={"useJSONModule": True}))
        report.assert_told("sample", FAILURE, "1 of type hash", "useJSONModule = false")


def test_documents_at_a_server_that_knows_none(redis_db):
    fill(redis_db)
    report = Report(settings(redis_db, config={"useJSONModule": True}))
    assert report.code == 2
    report.assert_told(
        "may JSON.GET", FAILURE, "does not know JSON.GET", "load RedisJSON, or set useJSONModule = false"
    )
    report.assert_told("sample", FAILURE, "of type hash", "useJSONModule = false")
    report.assert_told("least rights", SKIPPED, "ACL SETUSER edgeprofile on")


def test_several_destinations(redis_db, make_server):
    other = make_server()
    fill(redis_db)
    fill(redis_db, key="1Wsp:3Third:user:email:{}")
    config = settings(redis_db)
    (first,) = config["destinations"]
    config["destinations"] += [
        {**first, "id": "3Third"},
        {**first, "id": "4Fourth", "config": {**first["config"], "address": other.address}},
    ]
    report = Report(config)
    assert [section.title for section in report.sections] == [
        f"server {redis_db.address}",
        "destination 2Dest",
        "destination 3Third",
        f"server {other.address}",
        "destination 4Fourth",
    ]
    assert (report.code, report.troubles()) == (1, {"sample"})


# Audits


def test_an_audit(redis_db):
    fill(redis_db, 300)
    report = Report(settings(redis_db), audit=200)
    assert (report.code, report.troubles()) == (0, set()), report.text
    report.assert_told("audit", FINE, "200 profiles read, 200 hits")


def test_an_audit_of_nothing(redis_db):
    Report(settings(redis_db), audit=200).assert_told("audit", FINE, "no profile")


def test_an_audit_where_nothing_stays_cached(redis_db):
    fill(redis_db)
    report = Report(settings(redis_db, cache={"maxProfileBytes": "1B"}), audit=5)
    report.assert_told("audit", WARNING, "nothing stayed cached", "maxProfileBytes")


def test_an_audit_without_the_right_to_scan(redis_db):
    fill(redis_db)
    redis_db.command("ACL", "SETUSER", "app", "reset", "on", ">s", "+@all", "-scan", "~*", "&*")
    report = Report(settings(redis_db, config={"username": "app", "password": "s"}), audit=5)
    report.assert_told("sample", SKIPPED, "grant +scan")
    report.assert_told("audit", SKIPPED, "grant +scan")
    assert report.code == 0


# The page about it


def test_every_check_is_documented(redis_db, cluster_db):
    page = (Path(__file__).parents[2] / "docs/doctor.md").read_text("utf-8")
    table = page.partition("| check | looks at |")[2].partition("\n\n")[0]
    checks = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    documented = {name for check in checks for name in re.findall(r"`([^`]+)`", check)}
    redis_db.command("HSET", "1Wsp:2Dest:user:email:a", "m", "no JSON")
    redis_db.command("ACL", "SETUSER", "app", "reset", "on", ">s", "+@read", "~*", "allchannels")
    reports = [
        Report(settings(redis_db, sidecar={"tokensFile": "/nonexistent"}), audit=1),
        Report(settings(redis_db, config={"username": "app", "password": "s"})),
        Report(configuration(cluster_db.address, config={"clusterMode": True})),
    ]
    seen = {"may …" if f.name.startswith("may ") else f.name for report in reports for f in report.findings}
    assert seen == documented
