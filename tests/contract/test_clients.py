"""What a lookup promises, of both clients, on every server."""

import json
import math
import threading
import time

import msgspec
import pytest

import edgeprofile
from tests.support.clients import configuration, hears
from tests.support.faults import TO_CLIENT
from tests.support.wait import until

KEY = "1Wsp:2Dest:user:email:ada@example.com"
ADA = ("user", "email", "ada@example.com")


class Features(msgspec.Struct):
    churn: float
    country: str = "?"


def write(server, key=KEY, model="m", **traits):
    server.command("HSET", key, model, json.dumps(traits))


def cached(client):
    """Read until the entry is there, and stays: every write so far has been heard of."""
    hears(client)

    def read():
        client.get(*ADA)
        return client.peek(*ADA) is not None

    until(read, 2, "the profile is cached")


def test_a_profile_is_read_and_then_hit(client, redis_db):
    write(redis_db, churn=0.5, tags=["a"])
    assert client.get(*ADA) == {"m": {"churn": 0.5, "tags": ["a"]}}
    cached(client)
    before = client.stats()
    assert client.get(*ADA)["m"]["churn"] == 0.5
    after = client.stats()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)


def test_who_has_no_deadline_waits_like_others(make_client, redis_db):
    client = make_client(configuration(redis_db.address))
    client.start(timeout=math.inf)
    assert client.get(*ADA, timeout=math.inf) is None
    assert client.get_many("user", "email", ["a", "b"], timeout=math.inf) == {"a": None, "b": None}
    assert client.delete("user", [ADA[1:]], timeout=math.inf) == 0


def test_hits_share_one_profile(client, redis_db):
    write(redis_db, a=1)
    cached(client)
    assert client.get(*ADA) is client.get(*ADA)


def test_an_absent_profile_is_none_and_remembered(client):
    assert client.get(*ADA) is None
    before = client.stats().misses
    assert client.get(*ADA) is None
    assert client.stats().misses == before


def test_a_write_is_seen(client, redis_db):
    for version in range(20):
        write(redis_db, version=version)
        until(lambda: client.get(*ADA)["m"]["version"] == version, 2, "the write is seen")  # noqa: B023


def test_a_profile_that_appears_is_seen(client, redis_db):
    assert client.get(*ADA) is None
    write(redis_db, a=1)
    until(lambda: client.get(*ADA) is not None, 2, "the new profile is seen")


@pytest.mark.parametrize(
    "command",
    [
        ("DEL", KEY),
        ("UNLINK", KEY),
        ("PEXPIRE", KEY, "1"),
        ("RENAME", KEY, "elsewhere"),
        ("HDEL", KEY, "m"),
        ("MOVE", KEY, "3"),
    ],
)
def test_a_profile_that_goes_is_gone(client, redis_db, command):
    write(redis_db, a=1)
    assert client.get(*ADA) is not None
    redis_db.command(*command)
    until(lambda: client.get(*ADA) is None, 2, f"{command[0]} is seen")


def test_a_profile_that_is_overwritten_by_copy_or_restore_is_seen(client, redis_db):
    write(redis_db, a=1)
    assert client.get(*ADA)["m"]["a"] == 1
    write(redis_db, key="other", a=2)
    redis_db.command("COPY", "other", KEY, "REPLACE")
    until(lambda: client.get(*ADA)["m"]["a"] == 2, 2, "COPY is seen")
    write(redis_db, key="other", a=3)
    redis_db.command("RESTORE", KEY, "0", redis_db.command("DUMP", "other"), "REPLACE")
    until(lambda: client.get(*ADA)["m"]["a"] == 3, 2, "RESTORE is seen")


def test_another_type_is_an_error_of_that_key_and_not_cached(client, redis_db):
    write(redis_db, a=1)
    assert client.get(*ADA) is not None
    redis_db.command("SET", KEY, "text")
    with pytest.raises(edgeprofile.WrongType, match="another type"):
        until(lambda: client.get(*ADA) is None, 2, "the flip is seen")
    redis_db.command("DEL", KEY)
    write(redis_db, a=2)
    until(lambda: client.get(*ADA) == {"m": {"a": 2}}, 2, "the hash is back", ignoring=(edgeprofile.WrongType,))


def test_a_model_alone(client, redis_db):
    write(redis_db, a=1)
    assert client.get(*ADA, model="m") == {"a": 1}
    assert client.get(*ADA, model="other") is None


def test_a_model_as_a_struct(client, redis_db):
    write(redis_db, churn=0.5)
    assert client.get(*ADA, model="m", type=Features) == Features(0.5)
    assert client.get(*ADA, model="other", type=Features) is None
    write(redis_db, churn="high")
    with pytest.raises(edgeprofile.TraitsMismatch, match="churn"):
        until(lambda: client.get(*ADA, model="m", type=Features) is None, 2, "the write is seen")


def test_many_profiles_in_one_round_trip(client, redis_db):
    names = [f"u{n}" for n in range(50)]
    for n, name in enumerate(names[:40]):
        write(redis_db, key=f"1Wsp:2Dest:user:email:{name}", n=n)
    found = client.get_many("user", "email", names)
    assert list(found) == names
    assert [profile and profile["m"]["n"] for profile in found.values()] == [*range(40), *[None] * 10]
    assert client.get_many("user", "email", [names[0], names[0]]) == {names[0]: {"m": {"n": 0}}}
    assert client.get_many("user", "email", []) == {}


def test_many_profiles_keep_the_order_given_however_few_are_cached(client, redis_db):
    write(redis_db, a=1)
    write(redis_db, key="1Wsp:2Dest:user:email:b@x.org", b=2)
    cached(client)
    asked = ["nobody", "ada@example.com", "b@x.org", "ada@example.com", "nobody"]
    found = {"nobody": None, "ada@example.com": {"m": {"a": 1}}, "b@x.org": {"m": {"b": 2}}}
    assert list(client.get_many("user", "email", iter(asked)).items()) == list(found.items())
    assert list(client.get_many("user", "email", asked).items()) == list(found.items())
    hits = client.stats().hits
    assert client.get_many("user", "email", asked[1:4]) == dict(list(found.items())[1:])
    assert client.stats().hits == hits + 2


@pytest.mark.parametrize("value", [7, None, b"x", ["ada@example.com"], ""])
def test_no_value_among_many_may_be_no_id(client, redis_db, value):
    write(redis_db, a=1)
    cached(client)
    with pytest.raises(edgeprofile.InvalidIdentity):
        client.get_many("user", "email", ["ada@example.com", value])


def test_one_id_is_not_many(client):
    with pytest.raises(edgeprofile.InvalidIdentity, match=r"pass \[value\]"):
        client.get_many("user", "email", "ada@example.com")


def test_peek_never_reads(client, redis_db):
    write(redis_db, a=1)
    assert client.peek(*ADA) is None
    cached(client)
    assert client.peek(*ADA) == {"m": {"a": 1}}


def test_delete_removes_the_key_and_the_entry_at_once(client, redis_db):
    write(redis_db, a=1)
    client.get(*ADA)
    assert client.delete("user", [("email", "ada@example.com"), ("email", "nobody")]) == 1
    assert client.peek(*ADA) is None
    assert client.get(*ADA) is None
    assert redis_db.command("EXISTS", KEY) == 0


@pytest.mark.parametrize(
    ("identity", "member"),
    [(("", "email", "x"), "entity"), (("user", "", "x"), "id_type"), (("user", "email", ""), "value")],
)
def test_an_identity_that_names_nothing(client, identity, member):
    with pytest.raises(edgeprofile.InvalidIdentity, match=member):
        client.get(*identity)


def test_an_id_that_is_no_text(client):
    with pytest.raises(edgeprofile.InvalidIdentity, match="int"):
        client.get("user", "user_id", 42)


def test_an_unknown_destination(client):
    with pytest.raises(edgeprofile.UnknownDestination, match="2Dest"):
        client.get(*ADA, destination="3Other")
    with pytest.raises(edgeprofile.UnknownDestination):
        client.peek(*ADA, destination="3Other")


def test_the_destination_may_be_named(client, redis_db):
    write(redis_db, a=1)
    assert client.get(*ADA, destination="2Dest") == {"m": {"a": 1}}


def test_of_several_destinations_one_must_be_named(make_client, redis_db):
    config = configuration(redis_db.address)
    config["destinations"].append({**config["destinations"][0], "id": "3Dest"})
    client = make_client(config)
    redis_db.command("HSET", "1Wsp:3Dest:user:email:ada@example.com", "m", '{"d":3}')
    with pytest.raises(edgeprofile.AmbiguousDestination, match="2Dest, 3Dest"):
        client.get(*ADA)
    assert client.get(*ADA, destination="3Dest") == {"m": {"d": 3}}
    assert client.get(*ADA, destination="2Dest") is None


def test_legacy_keys_are_read_where_the_destination_says_so(make_client, redis_db):
    client = make_client(configuration(redis_db.address, destination={"legacyKeys": True}))
    client.start()
    redis_db.command("HSET", "1Wsp:user:email:ada@example.com", "old", '{"a":1}')
    assert client.get(*ADA) == {"old": {"a": 1}}
    redis_db.command("HSET", "1Wsp:user:email:ada@example.com", "old", '{"a":2}')
    until(lambda: client.get(*ADA) == {"old": {"a": 2}}, 2, "a change of the old key is seen")
    write(redis_db, a=3)
    until(lambda: client.get(*ADA) == {"m": {"a": 3}}, 2, "the new key takes precedence")


def test_the_servers_ttl_is_honoured(client, redis_db):
    write(redis_db, a=1)
    redis_db.command("PEXPIRE", KEY, "1000")
    begun = time.monotonic()
    shown = []

    def expired():
        asked = time.monotonic()
        if client.get(*ADA) is None:
            return True
        shown.append(asked)
        return False

    until(expired, 2, "the profile expires")
    assert shown[-1] - begun < 1.0 + 0.001  # Redis counts in milliseconds


def test_the_ttl_of_a_field_is_honoured(client, redis_db):
    write(redis_db, a=1)
    write(redis_db, model="n", b=1)
    try:
        redis_db.command("HPEXPIRE", KEY, "1000", "FIELDS", "1", "n")
    except Exception:  # noqa: BLE001 (whatever the client library makes of an unknown command)
        pytest.skip("this server has no field TTLs")
    assert set(client.get(*ADA)) == {"m", "n"}
    until(lambda: set(client.get(*ADA)) == {"m"}, 1.001, "the field expires")


def test_a_flush_is_seen_within_the_bound(client, redis_db):
    write(redis_db, a=1)
    client.get(*ADA)
    redis_db.flushall()
    until(lambda: client.get(*ADA) is None, 1, "the flush is seen")


def test_a_closed_client_says_so(make_client, redis_db):
    client = make_client(configuration(redis_db.address))
    write(redis_db, a=1)
    client.get(*ADA)
    client.close()
    with pytest.raises(edgeprofile.ClosedError):
        client.get(*ADA)


def test_nothing_listens(make_client):
    client = make_client(configuration("127.0.0.1:1"))
    with pytest.raises(edgeprofile.RedisUnavailable, match="nothing listens there") as caught:
        client.get(*ADA)
    assert isinstance(caught.value, ConnectionError)


def test_missing_flags_are_named_with_the_line_that_adds_them(make_client, redis_db):
    redis_db.notify("Kg")
    write(redis_db, a=1)
    client = make_client(configuration(redis_db.address, feed={"mode": "keyspace"}))
    with pytest.raises(edgeprofile.NotificationsOff, match="CONFIG SET notify-keyspace-events") as caught:
        client.start()
    assert set(caught.value.command.split()[-1]) >= set("KA")
    assert client.get(*ADA) == {"m": {"a": 1}}
    assert client.status()["2Dest"].state == "notifications off"
    assert not client.status()["2Dest"].ready


def test_missing_flags_are_added_where_that_is_allowed(make_client, redis_db):
    redis_db.notify("Ex")
    client = make_client(configuration(redis_db.address, feed={"mode": "keyspace", "configureServer": True}))
    client.start()
    assert set(redis_db.config_get("notify-keyspace-events")) >= set("KAE")
    assert client.status()["2Dest"].state == "live"


def test_without_a_feed_a_value_lives_as_long_as_its_own_proof(make_client, redis_db):
    redis_db.notify("")
    write(redis_db, version=1)
    client = make_client(configuration(redis_db.address, cache={"maxStaleness": "300ms"}, feed={"mode": "keyspace"}))
    assert client.get(*ADA)["m"]["version"] == 1
    write(redis_db, version=2)
    until(lambda: client.get(*ADA)["m"]["version"] == 2, 0.3, "the write is seen")


def test_concurrent_misses_of_one_profile_are_one_fetch(redis_db, make_proxy):
    write(redis_db, a=1)
    proxy = make_proxy(redis_db)
    late = {"maxStaleness": "20s"}  # may be whoever joins
    with edgeprofile.Client(configuration(proxy.address, limits={"timeout": "5s"}, cache=late)) as client:
        client.start()
        client.get("user", "email", "warm")
        proxy.data.hold(TO_CLIENT)
        found = []
        threads = [threading.Thread(target=lambda: found.append(client.get(*ADA))) for _ in range(20)]
        for thread in threads:
            thread.start()
        until(lambda: client.stats().waiters == 19, 5, "all callers wait")
        proxy.data.release(TO_CLIENT)
        for thread in threads:
            thread.join()
        assert found == [{"m": {"a": 1}}] * 20
        assert client.stats().joins == 19


def test_what_a_sync_left_out_is_counted_by_destination_and_model(client, redis_db):
    write(redis_db, model="m", churn=1)
    write(redis_db, model="n", churn=1)
    write(redis_db, key="1Wsp:2Dest:user:email:b@x.org", model="m", churn=1)
    client.get_many("user", "email", ["ada@example.com", "b@x.org", "nobody"])
    stats = client.stats()
    assert (stats.found, stats.absent) == ({"2Dest": 2}, {"2Dest": 1})
    assert stats.models == {"2Dest": {"m": 2, "n": 1}}


def test_the_lag_of_the_feed_is_measured_once_for_each_heartbeat(client):
    client.start()
    until(lambda: sum(count for _, count in client.stats().fence_seconds) >= 3, message="three heartbeats")
    stats = client.stats()
    assert sum(count for _, count in stats.fence_seconds) <= stats.beats
    assert 0 < stats.fence_seconds_sum < stats.beats


def test_a_bound_lookup_is_the_same_lookup(redis_db):
    write(redis_db, a=1)
    with edgeprofile.Client(configuration(redis_db.address)) as client:
        client.start()
        lookup = client.lookup("user", "email")
        assert lookup("ada@example.com") == {"m": {"a": 1}}
        cached(client)
        before = client.stats()
        assert lookup("ada@example.com") is client.get(*ADA)
        assert client.stats().hits == before.hits + 2
        assert lookup("nobody") is None
        write(redis_db, a=2)
        until(lambda: lookup("ada@example.com") == {"m": {"a": 2}}, 2, "the write is seen")
        assert client.lookup("user", "email") is lookup
        with pytest.raises(edgeprofile.InvalidIdentity, match="int"):
            lookup(42)
        with pytest.raises(edgeprofile.InvalidIdentity, match="entity"):
            client.lookup("", "email")
