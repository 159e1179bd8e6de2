"""The server stops, dies, comes back as another, loses its data, or has other things to do."""

import threading
import time
from contextlib import contextmanager, suppress

import pytest
import redis

import edgeprofile
from edgeprofile import LookupTimeout, ServerRefused
from tests.support.callers import Caller
from tests.support.fair_clock import FairClock
from tests.support.history import ABSENT
from tests.support.ports import HOST
from tests.support.rig import NAMES, QUIET, Rig, key_of, version_of
from tests.support.wait import until

ALL = (*NAMES, QUIET)
KEYS = [key_of(name) for name in ALL]


@contextmanager
def running(server, script: str, *args: str):
    """A command of the server's that keeps it busy, sent by somebody else."""

    def run() -> None:
        with server.client(socket_timeout=30) as direct, suppress(redis.ResponseError):  # killed, as it should be
            direct.execute_command(script, *args)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


@contextmanager
def a_long_script(server):
    """A script that has begun, is known as a long one, and ends when it is killed."""
    server.config_set("lua-time-limit", "20")
    with running(server, "EVAL", "while true do end", "0"):
        try:
            until(lambda: is_busy(server), 10, "the script runs")
            yield
        finally:
            until(lambda: server.command("SCRIPT", "KILL") == b"OK", 10, "it is killed", ignoring=(redis.RedisError,))


def is_busy(server) -> bool:
    try:
        server.command("PING")
    except redis.ResponseError as error:
        return "BUSY" in str(error)
    return False


def test_fault_10_lookups_end_by_their_deadline_and_nothing_is_cleared_when_the_server_stands_still(
    live: Rig, caller: Caller
):
    caller.call("get", "user", "email", QUIET)
    with live.traffic() as traffic, live.server.paused():
        assert live.stops_hitting() <= live.bound
        with FairClock() as clock, pytest.raises(LookupTimeout):
            caller.call("get", "user", "email", QUIET, timeout=0.2)
        assert clock.seconds < 0.7
    until(live.hit, 5, "the entry is served again, and was not read again")
    assert live.losses == 0, live.stats.feed_losses
    assert traffic.errors.keys() <= {"CircuitOpen", "LookupTimeout", "RedisUnavailable"}


def test_fault_10_nothing_is_cleared_by_a_script_longer_than_the_bound(live: Rig):
    """Longer also than the time after which the server answers BUSY to everybody."""
    with live.traffic() as traffic:
        with a_long_script(live.server):
            assert live.stops_hitting() <= live.bound
            until(lambda: traffic.errors["ServerRefused"] > 5, 5, "lookups are told that the server is busy")
        until(live.hit, 5, lambda: f"the entry is served again: {live.status} {live.stats.feed_losses}")
        traffic.goes_on()
    assert live.losses == 0, live.stats.feed_losses


def test_fault_11_nothing_old_is_served_after_a_restart_without_data(live: Rig):
    with live.traffic() as traffic:
        traffic.goes_on()
        with live.history.becoming(ABSENT, KEYS):
            live.server.restart()
        until(lambda: live.losses, 5, "the epoch ends")
        live.recovers()
        assert live.version() == ABSENT
        traffic.goes_on()


def test_fault_11_what_a_restored_snapshot_says_is_served_and_nothing_newer(live: Rig):
    live.server.snapshot()
    for name in ALL:
        live.write(name)
    until(lambda: all(live.version(name) == 2 for name in ALL), 5, "the second version is seen")
    with live.history.becoming(1, KEYS):
        live.server.restart()
    until(lambda: live.losses, 5, "the epoch ends")
    live.recovers()
    assert [live.version(name) for name in ALL] == [1] * len(ALL)


def test_fault_11_a_server_that_is_down_for_long_is_found_again(live: Rig):
    with live.history.becoming(ABSENT, KEYS):
        live.server.kill()
        with pytest.raises(edgeprofile.RedisUnavailable):
            until(lambda: live.read("unknown"), 5, "an error")
        until(lambda: live.losses >= 6, 20, "it is tried in vain several times")
        live.server.restart()
    with live.traffic():
        live.recovers()


def reload_an_old_snapshot(rig: Rig) -> None:
    """The data set of before the writes, without a restart and without one connection lost."""
    rig.server.command("DEBUG", "RELOAD", "NOSAVE")


SILENT = {
    "FLUSHALL": (lambda rig: rig.server.command("FLUSHALL"), ABSENT),
    "FLUSHDB": (lambda rig: rig.server.command("FLUSHDB"), ABSENT),
    "FLUSHALL ASYNC": (lambda rig: rig.server.command("FLUSHALL", "ASYNC"), ABSENT),
    "SWAPDB": (lambda rig: rig.server.command("SWAPDB", "0", "1"), ABSENT),
    "DEBUG RELOAD": (reload_an_old_snapshot, 1),
}


@pytest.mark.parametrize("what", SILENT)
def test_fault_13_what_no_event_tells_of_is_seen_within_the_bound(live: Rig, what):
    change, after = SILENT[what]
    live.server.snapshot()
    for name in ALL:
        live.write(name)
    until(lambda: all(live.version(name) == 2 for name in ALL), 5, "the second version is seen")
    live.recovers()
    beats = live.stats.beats
    until(lambda: live.stats.beats >= beats + 2, 5, "the snapshot's heartbeat is an old one")
    with live.history.becoming(after, KEYS):
        change(live)
        for name in ALL:
            until(lambda: live.version(name) == after, live.bound, f"{what} is seen")  # noqa: B023
    live.recovers()
    assert sum(live.stats.feed_losses.values()) == 1, live.stats.feed_losses


def test_fault_13_a_flush_under_traffic_is_seen_within_the_bound(live: Rig):
    with live.traffic(rate=500) as traffic, live.server.client() as direct:
        for _ in range(3):
            live.history.flush(direct)
            traffic.goes_on()
            live.recovers()


def test_fault_34_an_evicted_profile_is_dropped_and_an_evicted_canary_is_a_counted_clear(live: Rig):
    live.server.config_set("maxmemory-policy", "allkeys-random")
    with live.history.becoming(ABSENT, KEYS):
        live.server.config_set("maxmemory", "1")
        until(lambda: live.server.command("DBSIZE") <= 1, 5, "everything is evicted")
        live.server.config_set("maxmemory", "0")
        until(lambda: live.version() == ABSENT, live.bound + 0.5, "the eviction is seen")
    until(lambda: live.losses, 2, "the clear is counted")
    live.recovers()


def test_fault_34_clears_that_come_again_and_again_become_rarer(live: Rig):
    """Eviction that always hits the heartbeat's key, for one, which has a TTL where profiles have none."""
    before = live.losses

    def evict() -> float:
        for key in live.server.command("KEYS", "edgeprofile:canary:*"):
            live.server.command("DEL", key)
        return time.monotonic() - begun > 2

    begun = time.monotonic()
    with live.traffic() as traffic:
        until(evict, 10, "two seconds of evictions")
        assert live.losses - before <= 8, live.stats.feed_losses
        traffic.goes_on()
        live.recovers()


def test_fault_37_busy_is_named_and_not_kept(live: Rig, caller: Caller):
    with a_long_script(live.server):
        until(lambda: refused(caller) == "BUSY", 5, "lookups are told that the server is busy")
    assert version_of(caller.call("get", "user", "email", "cold")) == ABSENT


def refused(caller: Caller, name: str = "cold") -> str:
    """Why a lookup is refused; empty if it is not."""
    try:
        caller.call("get", "user", "email", name, timeout=0.3)
    except ServerRefused as error:
        assert error.node in str(error)  # noqa: PT017 (it is also the answer)
        return error.code
    except LookupTimeout:
        return "too late"
    return ""


def test_fault_37_masterdown_is_named_and_not_kept(live: Rig, caller: Caller):
    live.server.config_set("replica-serve-stale-data", "no")
    live.server.command("REPLICAOF", HOST, 1)
    until(lambda: refused(caller) == "MASTERDOWN", 5, "lookups are told that the primary is down")
    assert live.stops_hitting() <= live.bound
    live.server.command("REPLICAOF", "NO", "ONE")
    assert version_of(caller.call("get", "user", "email", QUIET)) == 1
    live.recovers()


def test_fault_37_loading_is_named_and_not_kept(make_rig, make_server, kind):
    server = make_server(config={"key-load-delay": "5000", "loading-process-events-interval-bytes": "1024"})
    rig = make_rig(server)
    rig.begin()
    with server.client() as direct, direct.pipeline() as pipe:
        for number in range(300):
            pipe.hset(f"other:{number}", mapping={"m": "x" * 100})
        pipe.execute()
    server.snapshot()
    caller = rig.caller(kind)
    server.restart(wait=False)
    until(lambda: refused_or_down(caller) == "LOADING", 10, "lookups are told that the server is loading")
    until(lambda: refused_or_down(caller) == "", 30, "it is loaded")
    assert version_of(caller.call("get", "user", "email", QUIET)) == 1
    rig.recovers()


def refused_or_down(caller: Caller) -> str:
    try:
        return refused(caller)
    except edgeprofile.RedisUnavailable:
        return "down"


WRITES_REFUSED = {
    "OOM": [("maxmemory-policy", "noeviction"), ("maxmemory", "1")],
    "NOREPLICAS": [("min-replicas-to-write", "1")],
}


@pytest.mark.parametrize("code", WRITES_REFUSED)
def test_fault_37_a_server_that_takes_no_writes_is_read_from_and_the_reason_is_said(live: Rig, caller: Caller, code):
    """The heartbeat cannot be written, profiles can be read."""
    for option, value in WRITES_REFUSED[code]:
        live.server.config_set(option, value)
    until(lambda: code_of(live) == code or "refused" in live.status.reason, 5, lambda: f"it is said: {live.status}")
    assert version_of(caller.call("get", "user", "email", QUIET)) == 1
    for option, _ in WRITES_REFUSED[code]:
        live.server.config_set(option, live.server._changed[option])
    with live.traffic():
        live.recovers()


def code_of(rig: Rig) -> str:
    return next((word for word in WRITES_REFUSED if word in rig.status.reason), "")
