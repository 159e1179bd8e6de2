"""What the doctor makes of a server's answers."""

from datetime import UTC, datetime, timedelta

import pytest

from edgeprofile.config import from_mapping
from edgeprofile.doctor import feed, product, reach, rights, server
from edgeprofile.doctor.cluster import _owners
from edgeprofile.doctor.findings import Verdict
from edgeprofile.doctor.sample import Sample
from edgeprofile.engine import Engine
from edgeprofile.metrics import Stats
from edgeprofile.store.endpoint import Endpoint
from edgeprofile.store.resp import ErrorReply
from tests.support.clients import configuration

FINE, WARNING, FAILURE, SKIPPED = Verdict.FINE, Verdict.WARNING, Verdict.FAILURE, Verdict.SKIPPED
HELLO = [b"server", b"valkey", b"version", b"9.1.2", b"proto", 2, b"mode", b"standalone", b"role", b"master"]
INFO = b"# Server\r\nredis_version:7.0.15\r\nredis_mode:cluster\r\nrole:slave\r\n"
UNKNOWN = ErrorReply("ERR unknown command 'HELLO', with args beginning with: '2'")


def config(**changes):
    return from_mapping(configuration("127.0.0.1:1", **changes), "the test")


def keyspace(**changes):
    return config(feed=changes).feed


TRACKING = keyspace(mode="tracking")


# Who it is


def test_facts_from_hello_or_from_info():
    assert server.facts_of(HELLO, INFO) == ("Valkey", (9, 1, 2), "standalone", "master")
    assert server.facts_of(UNKNOWN, INFO) == ("Redis", (7, 0, 15), "cluster", "slave")
    assert server.facts_of(UNKNOWN, INFO + b"valkey_version:8.0.1\r\n")[:2] == ("Valkey", (8, 0, 1))
    assert server.facts_of(UNKNOWN, ErrorReply("NOPERM no")) == server.Facts()


@pytest.mark.parametrize(
    ("product", "version", "options", "verdict", "words"),
    [
        ("Valkey", (9, 1, 2), keyspace(), FINE, "Valkey 9.1.2"),
        ("Valkey", (8, 0, 1), keyspace(), FINE, "no TTLs of single hash fields"),
        ("Redis", (7, 2, 0), keyspace(), FINE, "no TTLs of single hash fields"),
        ("Redis", (8, 2, 0), TRACKING, FINE, "Redis 8.2.0"),
        ("Redis", (5, 0, 14), keyspace(), WARNING, "older"),
        ("Redis", (5, 0, 14), TRACKING, FAILURE, "no client tracking"),
        ("Dragonfly", (1, 2), TRACKING, FINE, "Dragonfly 1.2"),
        ("", (), keyspace(), SKIPPED, "does not tell"),
    ],
)
def test_version(product, version, options, verdict, words):
    finding = server.version(server.Facts(product, version), options)
    assert finding.verdict is verdict
    assert words in finding.what


@pytest.mark.parametrize(
    ("mode", "cluster", "verdict", "do"),
    [
        ("standalone", False, FINE, ""),
        ("cluster", True, FINE, ""),
        ("standalone", True, FAILURE, "clusterMode = false"),
        ("sentinel", True, FAILURE, "name the primary"),
        ("sentinel", False, FAILURE, "name the primary"),
        ("cluster", False, FAILURE, "clusterMode = true"),
        ("", True, SKIPPED, ""),
    ],
)
def test_mode(mode, cluster, verdict, do):
    finding = server.mode(server.Facts(mode=mode), cluster=cluster)
    assert finding.verdict is verdict
    assert do in finding.do


@pytest.mark.parametrize(
    ("role", "verdict"), [("master", FINE), ("slave", WARNING), ("replica", WARNING), ("", SKIPPED)]
)
def test_role(role, verdict):
    assert server.role(server.Facts(role=role)).verdict is verdict


# Its settings


@pytest.mark.parametrize(
    ("flags", "options", "verdict", "do"),
    [
        ("AKE", keyspace(), FINE, ""),
        ("Kg$lshzxetd", keyspace(), FINE, ""),
        ("KEg", keyspace(), FAILURE, "CONFIG SET notify-keyspace-events KEgA"),
        ("", keyspace(), FAILURE, "CONFIG SET notify-keyspace-events KA"),
        ("", keyspace(configureServer=True), WARNING, "configureServer"),
        ("", TRACKING, FINE, ""),
        (None, keyspace(), SKIPPED, "+config|get"),
    ],
)
def test_notifications(flags, options, verdict, do):
    finding = server.notifications(flags, options)
    assert finding.verdict is verdict
    assert do in finding.do


@pytest.mark.parametrize(
    ("limit", "policy", "verdict"),
    [
        ("0", "volatile-ttl", FINE),
        ("1", "noeviction", FINE),
        ("1", "allkeys-lfu", FINE),
        ("1", "volatile-lru", WARNING),
        ("1", "allkeys-random", WARNING),
        (None, None, SKIPPED),
    ],
)
def test_eviction(limit, policy, verdict):
    assert server.eviction({"maxmemory": limit, "maxmemory-policy": policy}).verdict is verdict


DEFAULT = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"


@pytest.mark.parametrize(
    ("limits", "clients", "options", "verdict"),
    [
        (DEFAULT, "0", keyspace(), FINE),
        ("pubsub 0 0 0", "0", keyspace(), WARNING),
        ("pubsub 1048576 0 0", "0", keyspace(), WARNING),
        ("pubsub 33554432 1048576 10", "0", keyspace(), WARNING),
        ("pubsub 33554432 1048576 600", "0", keyspace(), FINE),
        ("pubsub 0 8388608 60", "0", keyspace(), FINE),
        ("normal 0 0 0", "0", keyspace(), SKIPPED),
        (DEFAULT, "0", TRACKING, WARNING),
        (DEFAULT, None, TRACKING, WARNING),
        (DEFAULT, "5%", TRACKING, FINE),
        ("normal 33554432 0 0", "0", TRACKING, FINE),
        (None, None, TRACKING, SKIPPED),
    ],
)
def test_output_buffers(limits, clients, options, verdict):
    settings = {"client-output-buffer-limit": limits, "maxmemory-clients": clients}
    assert server.output_buffers(settings, options).verdict is verdict


# Rights

RIGHT = rights.Right("+hgetall", ("HGETALL", "k"), FAILURE, "no profile can be read", "~1Wsp:2Dest:*")
NEW = RIGHT._replace(grant="+hpttl", need=WARNING, new=True)


@pytest.mark.parametrize(
    ("right", "reply", "verdict", "do"),
    [
        (RIGHT, [], FINE, ""),
        (RIGHT, ErrorReply("MOVED 1 127.0.0.1:7000"), FINE, ""),
        (RIGHT, ErrorReply("ERR value is not an integer or out of range"), FINE, ""),
        (
            RIGHT,
            ErrorReply("NOPERM User app has no permissions to run the 'hgetall' command"),
            FAILURE,
            "ACL SETUSER app +hgetall ~1Wsp:2Dest:*",
        ),
        (
            RIGHT,
            ErrorReply("NOPERM this user has no permissions to run the 'hgetall' command"),
            FAILURE,
            "ACL SETUSER app +hgetall ~1Wsp:2Dest:*",
        ),
        (RIGHT, ErrorReply("NOPERM No permissions to access a key"), FAILURE, "ACL SETUSER app ~1Wsp:2Dest:*"),
        (
            RIGHT,
            ErrorReply("NOPERM this user has no permissions to access one of the keys used as arguments"),
            FAILURE,
            "ACL SETUSER app ~1Wsp:2Dest:*",
        ),
        (
            RIGHT._replace(rule=""),
            ErrorReply("NOPERM User app has no permissions to run the 'hgetall' command"),
            FAILURE,
            "ACL SETUSER app +hgetall",
        ),
        (RIGHT, ErrorReply("ERR unknown command 'HGETALL'"), FAILURE, "ask whoever runs the server"),
        (NEW, ErrorReply("ERR unknown command 'HPTTL'"), FINE, ""),
        (NEW, ErrorReply("NOPERM User app has no permissions to run the 'hpttl' command"), WARNING, "+hpttl"),
        (RIGHT._replace(grant="+json.get"), ErrorReply("ERR unknown command 'JSON.GET'"), FAILURE, "load RedisJSON"),
    ],
)
def test_what_a_trial_says(right, reply, verdict, do):
    finding = rights.judge(right, reply, "app", "127.0.0.1:6379")
    assert finding.verdict is verdict
    assert do in finding.do
    assert bool(finding.do) is bool(do)


def grants(**changes):
    chosen = config(**changes)
    return {right.grant.removeprefix("+") for right in rights.wanted(chosen, list(Engine(chosen).targets.values()))}


DATA = {"hgetall", "hpttl", "pttl", "del", "scan"}
HEARD = {"psubscribe", "subscribe", "hincrby", "pexpire", "hget", "ping"}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, DATA | HEARD),
        ({"feed": {"heartbeat": "ping"}}, DATA | {"psubscribe", "ping", "info", "config|get"}),
        ({"feed": {"mode": "tracking"}}, DATA | {"client|tracking", "client|kill", "set", "get", "ping"}),
        (
            {"feed": {"mode": "tracking", "heartbeat": "ping"}},
            DATA | {"client|tracking", "client|kill", "ping", "info"},
        ),
        ({"feed": {"configureServer": True}}, DATA | HEARD | {"config|set"}),
        (
            {"config": {"clusterMode": True}},
            DATA | HEARD | {"cluster|slots", "cluster|nodes", "cluster|info", "asking"},
        ),
        ({"config": {"useJSONModule": True}}, HEARD | {"json.get", "pttl", "del", "scan"}),
        ({"sync": {"project": "p", "warehouse": "w"}}, DATA | HEARD | {"hset", "hdel", "expire", "persist"}),
        (
            {"sync": {"project": "p", "warehouse": "w"}, "config": {"useJSONModule": True}},
            HEARD | {"json.get", "pttl", "del", "scan", "json.set", "watch", "multi", "exec", "unwatch"},
        ),
    ],
)
def test_each_configuration_needs_rights_of_its_own(changes, wanted):
    assert grants(**changes) == wanted


def test_rules_are_spelled_as_the_server_wants_them():
    chosen = config(config={"database": "3", "prefix": "a*b"}, destination={"layout": "event-stream"})
    rules = {right.grant: right.rule for right in rights.wanted(chosen, list(Engine(chosen).targets.values()))}
    assert rules["+hgetall"] == r"~a\*b:user:*"
    assert rules["+psubscribe"] == r"&__keyspace@3__:a\*b:user:*"
    assert rules["+subscribe"] == "&__keyspace@3__:edgeprofile:canary:*"


# The way in, the cluster


@pytest.mark.parametrize(("days", "verdict"), [(1, WARNING), (13, WARNING), (15, FINE), (400, FINE)])
def test_a_certificate_s_end(days, verdict):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    peer = {"notAfter": f"{now + timedelta(days=days):%b %d %H:%M:%S %Y} GMT"}
    assert reach.certificate("TLSv1.3", peer, now).verdict is verdict


@pytest.mark.parametrize("peer", [{}, {"notAfter": "some day"}])
def test_a_certificate_whose_end_is_not_told(peer):
    assert reach.certificate("TLSv1.3", peer, datetime.now(UTC)).verdict is FINE


SEED = Endpoint(("10.0.0.1", 7000))


@pytest.mark.parametrize(
    ("reply", "name", "verdict", "nodes"),
    [
        ([[0, 16383, [b"10.0.0.2", 7001]]], "slots", FINE, ["10.0.0.2:7001"]),
        ([[0, 8000, [b"", 7000]], [8001, 16383, [b"b", 1]]], "slots", FINE, ["10.0.0.1:7000", "b:1"]),
        ([[0, 16000, [b"10.0.0.2", 7001]]], "slots", FAILURE, ["10.0.0.2:7001"]),
        ([], "slots", FAILURE, []),
        (ErrorReply("ERR This instance has cluster support disabled"), "mode", FAILURE, []),
        (ErrorReply("NOPERM User app has no permissions to run the 'cluster|slots' command"), "slots", FAILURE, []),
    ],
)
def test_the_slots_of_a_cluster(reply, name, verdict, nodes):
    finding, endpoints = _owners(reply, SEED)
    assert (finding.name, finding.verdict) == (name, verdict)
    assert [endpoint.name for endpoint in endpoints] == nodes


# The feed, the data, the audit


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("live", FINE),
        ("unproven", WARNING),
        ("late", WARNING),
        ("notifications off", FAILURE),
        ("disconnected", FAILURE),
        ("starting", FAILURE),
    ],
)
def test_the_state_of_a_feed(name, verdict):
    assert feed.state(name, "why", config()).verdict is verdict


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [([0.001] * 9, FINE), ([0.001] * 9 + [0.3], WARNING), ([0.3] * 9, WARNING), ([1.5] * 9, FAILURE), ([], SKIPPED)],
)
def test_the_fence(seconds, verdict):
    assert feed.fence(seconds, 1.0, 3.0).verdict is verdict


def sample(**changes):
    made = Sample(config(destination={"layout": "profiles"}).destinations[0])
    for name, value in changes.items():
        setattr(made, name, value) if not hasattr(getattr(made, name), "update") else getattr(made, name).update(value)
    return {finding.name: finding for finding in made.judge()}


def test_a_sample_of_nothing():
    assert sample()["sample"].verdict is WARNING
    assert "all keys" in sample()["sample"].what
    assert "the first 200,000 keys" in sample(seen_all=False)["sample"].what
    assert sample(elsewhere="look there")["sample"].do == "look there"
    assert sample(denied="SCAN is not permitted")["sample"].verdict is SKIPPED


def test_a_sample_of_many_models_names_a_few():
    finding = sample(keys=9, models={f"m{number}": number for number in range(1, 9)})["sample"]
    assert finding.what == "9 profiles decoded: m8 (8), m7 (7), m6 (6), m5 (5), m4 (4), …"


def test_a_sample_of_documents_where_hashes_were_expected():
    finding = sample(keys=9, types={"ReJSON-RL": 9})["sample"]
    assert (finding.verdict, finding.do) == (FAILURE, "set useJSONModule = true")


def test_a_sample_with_texts_that_are_no_json():
    found = sample(keys=9, models={"m": 9}, broken={"m": 2})
    assert (found["sample"].verdict, found["models"].verdict) == (FINE, WARNING)
    assert "2 fields: m (2)" in found["models"].what


def stats(**changes):
    values = dict.fromkeys(Stats.__struct_fields__, 0) | changes
    return Stats(**values)


@pytest.mark.parametrize(
    ("counted", "verdict"),
    [
        ({"audits": 9}, FINE),
        ({"audits": 9, "audit_violations": 1}, FAILURE),
        ({"audits": 9, "audits_skipped": 1}, WARNING),
        ({}, WARNING),
    ],
)
def test_the_verdict_of_an_audit(counted, verdict):
    assert product.verdict(9, stats(**counted)).verdict is verdict
