"""Notifications, rights and passwords are changed while the client runs: said in words that help, and survived."""

import re
from collections.abc import Callable

import pytest

from edgeprofile import AccessDenied
from tests.support.faults import TO_CLIENT
from tests.support.history import ABSENT
from tests.support.rig import NAMES, QUIET, Rig, key_of, only_keyspace, only_tracking
from tests.support.wait import until

KEYS = [key_of(name) for name in (*NAMES, QUIET)]
USER, PASSWORD = "app", "first-password"
PROFILES = ("+hgetall", "+pttl", "+hpttl", "+del", "+json.get")
CANARY = ("+hincrby", "+pexpire", "+set")
BEAT = {"keyspace": "+hincrby", "tracking": "+set"}
SILENT = {"keyspace": ("FLUSHALL",), "tracking": ("SWAPDB", "0", "1")}
"""What takes everything away, and no event tells of it."""
FEED = ("+subscribe", "+psubscribe", "+hello", "+client|tracking", "+client|id", "+ping", "+auth", "+select")
INSPECTION = ("+config|get", "+info")
CHANNELS = ("&__keyspace@0__:1Wsp:2Dest:*", "&__keyspace@0__:edgeprofile:canary:*")
LEAST = ("~1Wsp:2Dest:*", "~edgeprofile:canary:*", *CHANNELS, *PROFILES, *CANARY, *FEED, *INSPECTION)


def grant(rig: Rig, *rules: str, password: str = PASSWORD) -> None:
    """What the user may do from now on; commands that this server does not know are left out."""
    known = [rule for rule in rules if rule[0] != "+" or knows(rig, rule[1:])]
    rig.server.command("ACL", "SETUSER", USER, "reset", "on", f">{password}", *known)


def knows(rig: Rig, command: str) -> bool:
    return bool(rig.server.command("COMMAND", "INFO", command.partition("|")[0])[0])


def without(*rules: str) -> tuple[str, ...]:
    return tuple(rule for rule in LEAST if rule not in rules)


@pytest.fixture
def user(rig: Rig) -> Rig:
    """A rig whose clients log in as a user with the least rights; no client yet."""
    grant(rig, *LEAST)
    rig.login = {"username": USER, "password": PASSWORD}
    return rig


def changes_are_seen(rig: Rig) -> None:
    """Writes drop entries: the feed works."""
    version = rig.write(QUIET)
    until(lambda: rig.version() == version, rig.bound * 2, "the write is seen")


# 12: flags

FLAGS = {
    "all off": "",
    "no keyspace": "EA",
    "no hashes": "Kg$lszxet",
    "no generic commands": "Kh$lszxet",
    "no strings": "Kghlszxet",
    "no evictions": "Kgh$lszxt",
    "hashes alone": "Kh",
}


@only_keyspace
@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_fault_12_hits_stop_within_the_bound_when_flags_are_taken_away_and_it_is_said(live: Rig, flags):
    with live.traffic() as traffic:
        live.server.notify(flags)
        assert live.stops_hitting() <= live.bound
        until(lambda: live.status.state == "notifications off", 5, lambda: f"it is said: {live.status}")
        assert "CONFIG" in live.status.reason
        traffic.goes_on()
        live.server.notify("KA")
        live.recovers()


def test_fault_12_deletes_are_not_missed_while_flags_are_reduced(live: Rig):
    """Heartbeats are hash events; deletes are not."""
    live.server.notify("Kh")
    with live.history.becoming(ABSENT, [key_of(QUIET)]):
        live.server.command("DEL", key_of(QUIET))
    until(lambda: live.version() == ABSENT, live.bound, "the delete is seen")


@only_keyspace
def test_fault_12_flags_that_cannot_be_read_are_proved_by_the_heartbeat(user: Rig):
    """A managed server that forbids CONFIG: without events nothing is kept, and the reason is said."""
    grant(user, *without(*INSPECTION))
    user.begin()
    for flags in ("", "Kg", "Kh"):
        user.server.notify(flags)
        assert user.stops_hitting() <= user.bound
        until(lambda: user.status.state == "notifications off", 5, lambda: f"it is said: {user.status}")
        user.server.notify("KA")
        user.recovers()


@only_tracking
def test_fault_12_tracking_needs_no_flags(live: Rig):
    live.server.notify("")
    with live.traffic():
        for _ in range(3):
            beats = live.stats.beats
            until(lambda: live.stats.beats >= beats + 2, 5, "heartbeats go on")  # noqa: B023
            changes_are_seen(live)
    until(lambda: live.status.state == "live", 5, lambda: f"it is live: {live.status}")
    assert live.losses == 0


@only_tracking
def test_fault_12_hits_stop_within_the_bound_when_invalidations_are_kept_back_and_it_is_said(live: Rig):
    """Something on the way answers every PING, and has no notion of pushes."""
    with live.traffic() as traffic:
        live.proxy.feed.rewrite(without_pushes, TO_CLIENT)
        assert live.stops_hitting() <= live.bound
        until(lambda: live.status.state == "notifications off", 5, lambda: f"it is said: {live.status}")
        assert "pushes" in live.status.reason
        assert "CONFIG" not in live.status.reason
        traffic.goes_on()
        live.proxy.heal()
        live.recovers()


def without_pushes(data: bytes) -> bytes:
    """Keys have colons, the texts of PINGs have none."""
    return re.sub(rb">2\r\n\$10\r\ninvalidate\r\n\*\d+\r\n(\$\d+\r\n[^\r]*:[^\r]*\r\n)*", b"", data)


# 30: rights and passwords

NARROWED = {
    "reading": ("-hgetall", "+hgetall"),
    "the heartbeat's key": ("resetkeys ~1Wsp:2Dest:*", "~edgeprofile:canary:*"),
    "the profiles' keys": ("resetkeys ~edgeprofile:canary:*", "%R~1Wsp:2Dest:*"),
}
NARROWED_CHANNELS = {
    "the profiles": ("resetchannels &__keyspace@0__:edgeprofile:canary:*", "&__keyspace@0__:1Wsp:2Dest:*"),
    "the heartbeat": ("resetchannels &__keyspace@0__:1Wsp:2Dest:*", "&__keyspace@0__:edgeprofile:canary:"),
}
LISTENING = {"keyspace": "psubscribe", "tracking": "client|tracking"}


def words_of(rig: Rig) -> str:
    """Everything that a user is told: the status, and what a lookup says."""
    try:
        rig.read("unknown")
    except AccessDenied as error:
        return f"{rig.status.reason} {error}"
    return rig.status.reason


@pytest.mark.parametrize("what", NARROWED)
def test_fault_30_a_right_that_is_taken_away_is_named_and_its_return_noticed(user: Rig, what):
    is_named_and_its_return_noticed(user, *NARROWED[what])


def test_fault_30_the_right_to_the_heartbeat_that_is_taken_away_is_named_and_its_return_noticed(user: Rig):
    right = BEAT[user.mode]
    is_named_and_its_return_noticed(user, right.replace("+", "-"), right)


@only_keyspace
@pytest.mark.parametrize("whose", NARROWED_CHANNELS)
def test_fault_30_channels_that_are_taken_away_are_named_and_their_return_noticed(user: Rig, whose):
    is_named_and_its_return_noticed(user, *NARROWED_CHANNELS[whose])


def test_fault_30_the_right_to_listen_that_is_taken_away_is_named_and_its_return_noticed(user: Rig):
    """Who listens already may go on."""
    right = LISTENING[user.mode]
    is_named_and_its_return_noticed(user, f"-{right}", f"+{right}", user.proxy.feed.reset)


def is_named_and_its_return_noticed(rig: Rig, rules: str, named: str, then: Callable[[], object] = int) -> None:
    rig.begin(feed={"verifyInterval": "200ms"})
    with rig.traffic() as traffic:
        traffic.goes_on()
        rig.server.command("ACL", "SETUSER", USER, *rules.split())
        then()
        until(lambda: named in words_of(rig), 5, lambda: f"{named} is named: {words_of(rig)}")
        grant(rig, *LEAST)
        rig.recovers()
        until(lambda: rig.status.state == "live", 10, lambda: f"the full promise is back: {rig.status}")
        changes_are_seen(rig)


@pytest.mark.parametrize("source", ["password", "passwordFile"])
def test_fault_30_a_rotated_password_is_found_in_its_file_and_named_where_there_is_none(user: Rig, source, tmp_path):
    file = tmp_path / "secret"
    file.write_text(PASSWORD + "\n")
    secret = PASSWORD if source == "password" else str(file)
    user.login = {"username": USER, source: secret}
    user.begin()
    with user.traffic() as traffic:
        grant(user, *LEAST, password="second-password")
        user.proxy.all.reset()
        until(lambda: "check username, password and passwordFile" in user.status.reason, 5, "it is said")
        assert PASSWORD not in user.status.reason
        known = len(user.proxy.all.ever)
        with pytest.raises(AccessDenied):
            until(user.read, 5, "refused", ignoring=(ConnectionError,))
        assert len(user.proxy.all.ever) - known < 20
        if source == "passwordFile":
            file.write_text("second-password\n")
        else:
            grant(user, *LEAST)
        user.recovers()
        assert user.status.state == "live", "what was refused was not the heartbeat"
        traffic.goes_on()


# 31: less than the least rights from the start


def test_fault_31_a_heartbeat_that_may_not_be_written_is_replaced_and_that_is_declared(user: Rig):
    is_replaced_and_that_is_declared(user, BEAT[user.mode])


def test_fault_31_a_heartbeat_whose_key_is_not_ours_is_replaced_and_that_is_declared(user: Rig):
    is_replaced_and_that_is_declared(user, "~edgeprofile:canary:*")


@only_keyspace
@pytest.mark.parametrize("lacking", ["+pexpire", CHANNELS[1]])
def test_fault_31_a_heartbeat_that_cannot_last_or_be_heard_is_replaced_and_that_is_declared(user: Rig, lacking):
    is_replaced_and_that_is_declared(user, lacking)


def is_replaced_and_that_is_declared(user: Rig, lacking: str) -> None:
    grant(user, *without(lacking))
    user.begin(feed={"verifyInterval": "200ms"})
    assert user.status.state == "unproven"
    assert "PING" in user.status.reason
    with user.traffic():
        changes_are_seen(user)
        with user.history.becoming(ABSENT, KEYS), user.history.excusing():
            losses = user.losses
            user.server.command(*SILENT[user.mode])
            until(lambda: user.losses > losses, 2, "INFO betrays what happened")
        user.recovers()


@only_keyspace
def test_fault_31_without_heartbeat_and_inspection_only_ttl_bounds_a_flush_and_that_is_declared(user: Rig):
    """PINGs prove nothing until a first change was heard of: only then is it known that the server tells of any."""
    grant(user, *without("+hincrby", *INSPECTION))
    user.begin(live=False, cache={"ttl": "1s", "negativeTtl": "1s"})
    user.client.start()
    assert user.status.state == "unproven"
    assert "+config|get" in user.status.reason
    until(user.cached, 5, "what is read stays for a moment")
    assert user.stops_hitting() <= user.bound
    user.write(QUIET)
    user.recovers()
    assert user.status.state == "unproven"
    assert "ttl" in user.status.reason
    assert "+info" in user.status.reason
    changes_are_seen(user)
    with user.history.excusing():
        with user.history.becoming(ABSENT, KEYS):
            user.server.command("FLUSHALL")
        until(lambda: user.version() == ABSENT, 1.5, "ttl is the bound")


@only_tracking
def test_fault_31_without_heartbeat_and_inspection_only_ttl_bounds_a_swap_and_that_is_declared(user: Rig):
    """A flush is told of even then."""
    grant(user, *without("+set", *INSPECTION))
    user.begin(cache={"ttl": "1s", "negativeTtl": "1s"})
    assert user.status.state == "unproven"
    assert "ttl" in user.status.reason
    assert "+info" in user.status.reason
    changes_are_seen(user)
    with user.history.becoming(ABSENT, KEYS):
        user.server.command("FLUSHALL")
    until(lambda: user.version() == ABSENT, user.bound, "the flush is seen")
    for name in (*NAMES, QUIET):
        user.write(name)
    user.recovers()
    with user.history.excusing():
        with user.history.becoming(ABSENT, KEYS):
            user.server.command("SWAPDB", "0", "1")
        until(lambda: user.version() == ABSENT, 1.5, "ttl is the bound")


def test_fault_31_a_chosen_heartbeat_of_pings_needs_no_right_to_write(user: Rig):
    grant(user, *without(*CANARY, "~edgeprofile:canary:*", CHANNELS[1]))
    user.begin(feed={"heartbeat": "ping", "verifyInterval": "200ms"})
    until(lambda: user.status.state == "live", 5, lambda: f"it is live: {user.status}")
    with user.traffic():
        changes_are_seen(user)
        with user.history.excusing():
            with user.history.becoming(ABSENT, KEYS):
                user.server.command("SWAPDB", "0", "1")
            until(lambda: user.losses, 2, "INFO betrays the swap")
        user.recovers()


def test_fault_31_without_any_feed_a_fetch_is_its_own_proof(user: Rig):
    grant(user, *without("+psubscribe", "+subscribe", "+client|tracking"))
    user.begin(live=False)
    user.client.start()
    assert user.status.state == "unproven"
    assert any(right in user.status.reason for right in ("+subscribe", "+psubscribe", "+client|tracking"))
    with user.traffic() as traffic:
        traffic.goes_on(200)
    until(user.cached, 5, "what is read stays for a moment")
    assert user.stops_hitting() <= user.bound


# 32


def test_fault_32_answers_to_ping_prove_nothing(live: Rig):
    """A middlebox that keeps connections alive by itself, and delivers no events."""
    live.proxy.all.answer({"PING": b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"})
    with live.traffic() as traffic:
        live.proxy.feed.connections[0].hold()
        assert live.stops_hitting() <= live.bound
        traffic.goes_on()
        live.recovers()
