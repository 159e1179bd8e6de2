"""What is stored changes its type, its TTL, its size, or is not what anybody expected."""

import json

import pytest

import edgeprofile
from edgeprofile import ReplyTooLarge, WrongType
from tests.support.callers import KINDS, Caller
from tests.support.clients import hears
from tests.support.faults import TO_CLIENT, TO_SERVER
from tests.support.history import ABSENT
from tests.support.rig import QUIET, Rig, key_of, version_of
from tests.support.wait import until

KEY = key_of(QUIET)


def settled(rig: Rig, name: str = QUIET) -> None:
    """Wait until what is cached is what the server has: every event has come."""
    until(lambda: rig.cached(name) and rig.kept(name), 5, f"{name[:40]!r} is kept")


# 19: TTLs


def test_fault_19_a_key_that_expires_is_never_served_late(live: Rig):
    """No event tells of it in time: the server removes such keys when it comes across them."""
    live.server.command("PEXPIRE", KEY, "400")
    with live.history.becoming(ABSENT, [KEY]):
        settled(live)
        until(lambda: live.version() == ABSENT, 0.6, "it has expired")
    assert live.server.command("EXISTS", KEY) == 0


def test_fault_19_expire_and_persist_after_the_fill_replace_the_entry(live: Rig):
    live.server.command("PEXPIRE", KEY, "400")
    settled(live)
    live.server.command("PERSIST", KEY)
    until(lambda: entry_life(live) > 5, 2, "PERSIST is seen")
    live.server.command("PEXPIRE", KEY, "300")
    with live.history.becoming(ABSENT, [KEY]):
        until(lambda: 0 < entry_life(live) <= 0.3 or live.version() == ABSENT, 0.3, "PEXPIRE is seen")
        until(lambda: live.version() == ABSENT, 0.6, "it has expired")


def entry_life(rig: Rig) -> float:
    """Seconds for which the cached profile lives at most, from when it was read."""
    rig.read()
    entry = rig._entry(QUIET)
    return 0.0 if entry is None else entry.life


def test_fault_19_an_expiry_in_the_past_is_a_deletion(live: Rig):
    with live.history.becoming(ABSENT, [KEY]):
        live.server.command("PEXPIREAT", KEY, "1000")
        until(lambda: live.version() == ABSENT, live.bound, "it is gone")


@pytest.fixture
def fields(live: Rig) -> Rig:
    """A rig on a server that knows TTLs of hash fields."""
    try:
        live.server.command("HPEXPIRE", "nothing", "100", "FIELDS", "1", "f")
    except Exception:  # noqa: BLE001 (whatever the client library makes of an unknown command)
        pytest.skip("this server has no field TTLs")
    return live


def field_ttl(rig: Rig, milliseconds: int, field: str = "extra") -> None:
    rig.server.command("HSET", KEY, field, '{"a":1}')
    rig.server.command("HPEXPIRE", KEY, str(milliseconds), "FIELDS", "1", field)


def models(rig: Rig, **how) -> set[str]:
    return set(rig.client.get("user", "email", QUIET, **how) or ())


def test_fault_19_a_hash_field_that_expires_is_never_served_late(fields: Rig):
    fields.server.command("HSET", KEY, "extra", '{"a":1}')
    until(lambda: "extra" in models(fields), 5, "the field is there")
    field_ttl(fields, 400)
    until(lambda: "extra" not in models(fields), 0.4 + 0.001, "the field is gone")  # Redis counts in milliseconds
    fields.server.command("HPERSIST", KEY, "FIELDS", "1", "model_a")


def test_fault_19_a_field_that_goes_while_its_ttl_is_asked_for_is_not_kept(fields: Rig, kind):
    """A field never seen before is asked for in a second question, and the first answer is already old then."""
    fields.client._engine.nodes[0].keeper.cache.clear()
    caller = fields.caller(kind)
    caller.call("get", "user", "email", "warm")
    connection = fields.carrier("warm")
    field_ttl(fields, 400, "unseen")
    connection.hold(TO_CLIENT)
    lookup = caller.ask("get", "user", "email", QUIET, timeout=10)
    until(lambda: connection.pipes[TO_CLIENT].waiting, 5, "the first answer is there")
    connection.hold(TO_SERVER)
    connection.release(TO_CLIENT)
    until(lambda: not fields.server.command("HEXISTS", KEY, "unseen"), 5, "the field is gone")
    connection.release(TO_SERVER)
    assert "unseen" in lookup.result(5), "it was there when it was asked for"
    assert "unseen" not in models(fields)


# 20: types


TYPES = {
    "a string": ("SET", KEY, "text"),
    "a string with a TTL": ("SETEX", KEY, "100", "text"),
    "a set": ("SUNIONSTORE", KEY, "a-set"),
    "a list": ("SORT", "a-set", "ALPHA", "STORE", KEY),
    "bits": ("BITOP", "NOT", KEY, "a-string"),
    "a list by copy": ("COPY", "a-list", KEY, "REPLACE"),
    "a list by rename": ("RENAME", "a-list", KEY),
    "a stream": ("RENAME", "a-stream", KEY),
    "a sorted set": ("ZUNIONSTORE", KEY, "1", "a-zset"),
}


@pytest.mark.parametrize("command", TYPES.values(), ids=TYPES)
def test_fault_20_another_type_is_the_keys_own_error_and_is_not_kept(live: Rig, caller: Caller, command):
    others = ("SADD a-set x", "RPUSH a-list x", "SET a-string x", "XADD a-stream * f v", "ZADD a-zset 1 x")
    for other in others:
        live.server.command(*other.split())
    settled(live)
    live.server.command(*command)
    with pytest.raises(WrongType, match="holds another type"):
        until(lambda: caller.call("get", "user", "email", QUIET) is None, live.bound, "the flip is seen")
    assert not live.hit()
    with pytest.raises(WrongType):
        caller.call("get_many", "user", "email", [QUIET, "ada"])
    assert version_of(caller.call("get", "user", "email", "ada")) == 1
    live.server.command("DEL", KEY)
    live.write(QUIET)
    until(lambda: live.version() == 2, 2, "the hash is back", ignoring=(WrongType,))


MOVES = {
    "RENAME away": [("RENAME", KEY, "elsewhere")],
    "MOVE": [("MOVE", KEY, "5")],
    "UNLINK": [("UNLINK", KEY)],
    "HDEL of all": [("HDEL", KEY, "model_a", "model_b")],
    "RENAME of nothing over it": [("HSET", "other", "x", "1"), ("HDEL", "other", "x"), ("DEL", KEY)],
}


@pytest.mark.parametrize("commands", MOVES.values(), ids=MOVES)
def test_fault_20_what_takes_the_key_away_is_seen(live: Rig, commands):
    settled(live)
    with live.history.becoming(ABSENT, [KEY]):
        for command in commands:
            live.server.command(*command)
    until(lambda: live.version() == ABSENT, live.bound, "it is gone")


ARRIVALS = {
    "RENAME": lambda rig: rig.server.command("RENAME", "other", KEY),
    "COPY": lambda rig: rig.server.command("COPY", "other", KEY, "REPLACE"),
    "RESTORE": lambda rig: rig.server.command("RESTORE", KEY, "0", rig.server.command("DUMP", "other"), "REPLACE"),
    "MULTI": lambda rig: rig.server.command(
        "EVAL", "redis.call('DEL', KEYS[1]) return redis.call('COPY', KEYS[2], KEYS[1])", "2", KEY, "other"
    ),
}


@pytest.mark.parametrize("arrive", ARRIVALS.values(), ids=ARRIVALS)
def test_fault_20_what_comes_over_the_key_is_seen(live: Rig, arrive):
    settled(live)
    live.server.command("HSET", "other", *live.pairs(QUIET, 7))
    with live.history.becoming(7, [KEY]):
        arrive(live)
    until(lambda: live.version() == 7, live.bound, "the other value is seen")


# 21: values


def test_fault_21_bytes_that_are_no_text_are_served_and_harm_nobody(live: Rig, caller: Caller):
    live.server.command("HSET", key_of("odd"), b"m\xff\x00", b"\xfe\x00\xff", "whole", '{"a":1}')
    found = caller.call("get", "user", "email", "odd")
    assert found["whole"] == {"a": 1}
    assert len(found) == 2
    assert json.loads(found.json) == found


def test_fault_21_a_profile_beyond_the_cache_is_served_and_never_kept(rig: Rig, kind):
    rig.begin(cache={"maxProfileBytes": "64KiB"})
    caller = rig.caller(kind)
    rig.server.command("HSET", key_of("large"), "m", json.dumps("x" * 100_000))
    hears(rig.client)
    with rig.traffic() as traffic:
        assert caller.call("get", "user", "email", "large") == {"m": "x" * 100_000}
        assert rig._entry("large") is None
        traffic.goes_on()
    assert rig.stats.evictions["oversize"] >= 1


def test_fault_21_a_reply_beyond_the_limit_is_refused_by_name_and_costs_its_connection_alone(rig: Rig, kind):
    rig.server.command("HSET", key_of("huge"), "m", b"x" * (100 << 20))
    rig.begin(limits={"maxReplyBytes": "1MiB", "timeout": "5s"})
    caller = rig.caller(kind)
    with rig.traffic() as traffic:
        with pytest.raises(ReplyTooLarge, match=r"limits\.maxReplyBytes"):
            caller.call("get", "user", "email", "huge")
        found = caller.ask("get_many", "user", "email", [QUIET, "ada", "huge"])
        with pytest.raises(ReplyTooLarge):
            found.result(10)
        traffic.goes_on()
        assert not traffic.errors, "nobody else is to suffer"
        until(lambda: rig.live, 5, "the feed is not concerned")
    assert rig.losses == 0, rig.stats.feed_losses


MANY_FIELDS = """
for first = 1, ARGV[1], 1000 do
    local pairs = {}
    for field = first, first + 999 do
        table.insert(pairs, field)
        table.insert(pairs, 1)
    end
    redis.call('HSET', KEYS[1], unpack(pairs))
end
"""


def test_fault_21_a_hash_of_a_million_fields_is_refused_or_served_and_blocks_nobody(rig: Rig):
    """Made once for threads and tasks: the server needs its time for that."""
    for name, fields in (("wide", 1_000_000), ("broad", 100_000)):
        rig.server.command("EVAL", MANY_FIELDS, "1", key_of(name), str(fields))
    rig.begin(limits={"timeout": "20s"})
    with rig.traffic() as traffic:
        for caller in map(rig.caller, KINDS):
            assert len(caller.call("get", "user", "email", "broad")) == 100_000
            with pytest.raises(ReplyTooLarge):
                caller.call("get", "user", "email", "wide")
            traffic.goes_on()
            rig.client._engine.cache.clear()
        rig.recovers()
    assert rig._entry("wide") is None
    assert rig.losses == 0, rig.stats.feed_losses


# 22: keys

ODD = {
    "newlines": "a\r\nb\nc",
    "a NUL": "a\0b",
    "globs": "[a-z]*?\\^",
    "colons": "a:b::c:",
    "spaces": " a b ",
    "quotes": "\"'`",
    "no ASCII": "äöü\u2603\U0001f600",
    "composed": "e\u0301",
    "a channel": "__keyspace@0__:1Wsp:2Dest:user:email:ada",
    "frames": "*4\r\n$8\r\npmessage\r\n$35\r\n__keyspace@0__:1Wsp:2Dest:*\r\n$5\r\nx\r\n$4\r\nhset\r\n",
    "an ending": "x\r\n$4\r\nhset\r\n",
    "braces": "{a}{b}",
    "a megabyte": "x" * (1 << 20),
    "64 KiB and a bit": "y" * 65_537,
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_fault_22_changes_of_odd_keys_are_seen_and_no_other_is_lost(rig: Rig, value):
    rig.begin(cache={"maxProfileBytes": "8MiB"})
    for name in (value, "neighbour"):
        rig.write(name)
        settled(rig, name)
    for _ in range(3):
        for name in (value, "neighbour"):
            version = rig.write(name)
            until(lambda: rig.version(name) == version, rig.bound, "the change is seen")  # noqa: B023
    rig.delete(value)
    until(lambda: rig.version(value) == ABSENT, rig.bound, "its end is seen")
    assert rig.losses == 0


def test_fault_22_keys_that_no_caller_can_name_disturb_nobody(live: Rig):
    """Bytes that are no UTF-8, an empty value, keys cut short, keys of other destinations."""
    base = b"1Wsp:2Dest:"
    keys = [
        base + tail
        for tail in (b"", b"user", b"user:", b"user:email", b"user:email:", b"::", b"user::x", b"\xff\xfe:\x80:\0")
    ]
    keys += [b"1Wsp:2Dest", b"1Wsp:2DestX:user:email:ada", b"", b"\xff"]
    before = live.losses
    with live.traffic() as traffic:
        for key in keys:
            live.server.command("HSET", key, "m", "1")
            live.server.command("DEL", key)
        traffic.goes_on()
        version = live.write(QUIET)
        until(lambda: live.version() == version, live.bound, "changes are seen as before")
    assert live.losses == before
    with pytest.raises(edgeprofile.InvalidIdentity):
        live.client.get("user", "email", "")
