"""Crowds of callers, storms of changes, a fleet that reconnects, and handlers that take their time."""

import logging
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from itertools import pairwise

import pytest

from tests.support.fair_clock import FairClock
from tests.support.faults import TO_CLIENT, TO_SERVER
from tests.support.rig import NAMES, QUIET, Rig, key_of, version_of
from tests.support.wait import until

COLD = "cold"
HEARTBEATS = {b"HINCRBY", b"SET"}


@contextmanager
def jittery_threads():
    """Threads are switched a thousand times as often as usual."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def asked(rig: Rig, name: str) -> int:
    """How often the server was asked for a profile."""
    return len(rig.proxy.data.seen("HGETALL", key_of(name)))


# 25


def test_fault_25_a_thousand_callers_of_one_cold_profile_are_one_fetch(make_rig, redis_db, kind):
    rig = make_rig(redis_db, bound=10.0)
    rig.write(COLD)  # before there is a feed to tell of it
    rig.begin(limits={"timeout": "20s"})
    caller = rig.caller(kind, threads=1000)
    caller.call("get", "user", "email", "warm")
    connection = rig.carrier("warm")
    connection.hold(TO_CLIENT)
    lookups = [caller.ask("get", "user", "email", COLD) for _ in range(1000)]
    until(lambda: rig.stats.joins == 999, 10, "all the others wait for the first")
    connection.release()
    assert {version_of(lookup.result(20)) for lookup in lookups} == {1}
    assert asked(rig, COLD) == 1
    assert len(rig.proxy.data.connections) <= 3


def test_fault_25_ten_thousand_cold_profiles_share_a_few_connections(rig: Rig, kind):
    rig.begin(limits={"timeout": "30s"})
    caller = rig.caller(kind)
    with rig.server.client() as direct, direct.pipeline(transaction=False) as pipe:
        for number in range(0, 10_000, 2):
            pipe.hset(key_of(f"u{number}"), mapping={"m": f'{{"n":{number}}}'})
        pipe.execute()
    lookups = [caller.ask("get", "user", "email", f"u{number}") for number in range(10_000)]
    found = [lookup.result(30) for lookup in lookups]
    assert all(profile == {"m": {"n": number}} for number, profile in enumerate(found) if number % 2 == 0)
    assert not any(found[1::2])
    assert len(rig.proxy.data.connections) <= 3
    assert rig.stats.fetches <= 10_000 + len(NAMES) * 2 + 50


@pytest.mark.parametrize("threads", [2, 8, 64])
def test_fault_25_threads_that_stampede_get_their_answers_without_a_stall(make_rig, redis_db, threads):
    """Many rounds of all threads at once on one profile that nobody has read yet."""
    rig = make_rig(redis_db, bound=10.0)
    rig.begin()
    rounds = 1000 // threads
    barrier = threading.Barrier(threads)
    slowest, failures = Counter(), []

    def stampede() -> None:
        for turn in range(rounds):
            barrier.wait(20)
            begun = clock.seconds
            try:
                assert rig.client.get("user", "email", f"cold{turn}", timeout=20) is None
            except Exception as error:  # noqa: BLE001 (shown by the test)
                failures.append(error)
            slowest["seconds"] = max(slowest["seconds"], clock.seconds - begun)

    crowd = [threading.Thread(target=stampede) for _ in range(threads)]
    with FairClock() as clock, jittery_threads():
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
    assert not failures
    assert slowest["seconds"] < 2
    assert all(asked(rig, f"cold{turn}") == 1 for turn in range(rounds))


def test_fault_25_a_limit_that_is_reached_is_named_and_passes(make_rig, redis_db, kind):
    rig = make_rig(redis_db, bound=10.0)  # so that no fetch is too old to be joined
    rig.begin(limits={"maxInFlight": 10, "maxWaiters": 5, "timeout": "5s"})
    caller = rig.caller(kind)
    caller.call("get", "user", "email", "warm")
    rig.carrier("warm").hold(TO_CLIENT)
    lookups = [caller.ask("get", "user", "email", f"u{number % 12}") for number in range(40)]
    until(lambda: sum(lookup.done() for lookup in lookups) >= 25, 5, "those beyond the limits are refused")
    rig.carrier("warm").release()
    errors = [lookup.exception(10) for lookup in lookups]
    named = {error.option for error in errors if error}
    assert named == {"limits.maxInFlight", "limits.maxWaiters"}
    assert sum(error is None for error in errors) == 15
    assert caller.call("get", "user", "email", "u11") is None


# 26


@contextmanager
def storm(rig: Rig, keys: list[str], batch: int = 500, pause: float = 0.0):
    """Writes at the full speed of one connection, or in gusts; yields the count so far."""
    stop = threading.Event()
    count = Counter()

    def write() -> None:
        with rig.server.client() as direct:
            while not stop.is_set():
                pipe = direct.pipeline(transaction=False)
                for number in range(batch):
                    pipe.execute_command("HSET", keys[(count["writes"] + number) % len(keys)], "m", "1")
                pipe.execute()
                count["writes"] += batch
                stop.wait(pause)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield count
    finally:
        stop.set()
        thread.join()


def test_fault_26_a_storm_on_one_profile_is_a_bounded_number_of_fetches(rig: Rig):
    """Of the client's own accord at most one is in flight, so with slow answers they are that far apart."""
    rig.begin()
    slow = 0.1
    refreshes: list[float] = []

    def note(command: bytes) -> bytes:
        if b"HGETALL" in command and key_of("hot").encode() in command:
            refreshes.append(time.monotonic())
        return command

    engine = next(c for c in rig.proxy.data.connections if HEARTBEATS & {command[0] for command in c.commands.copy()})
    engine.rewrite(note, TO_SERVER)
    engine.delay(slow, TO_CLIENT)
    with rig.traffic(rate=50) as traffic, storm(rig, [key_of("hot")], batch=50, pause=0.005) as written:
        until(lambda: rig.client.get("user", "email", "hot") and written["writes"] >= 10_000, 20, "the storm blows")
        traffic.goes_on()
    assert len(refreshes) >= 5
    assert min(later - sooner for sooner, later in pairwise(refreshes)) >= slow
    engine.heal()
    rig.recovers()
    until(lambda: rig.stats.in_flight == 0, 5, "nothing is left in flight")


def test_fault_26_lookups_are_answered_while_everything_changes(rig: Rig):
    """A full sync. The feed keeps up, or its epoch ends cleanly."""
    rig.begin(limits={"refreshInFlight": 16, "timeout": "20s"})
    keys = [key_of(f"u{number}") for number in range(20_000)]
    with rig.traffic() as traffic, storm(rig, keys, 1000) as written:
        for number in range(1000):
            rig.client.get("user", "email", f"u{number}")
        until(lambda: written["writes"] >= 30_000, 30, "the sync goes on")
        assert rig.stats.in_flight <= 16 + 10
        traffic.goes_on()
    assert not traffic.errors, traffic.errors
    rig.recovers()


# 35


def test_fault_35_a_fleet_that_loses_its_feeds_comes_back_one_by_one_and_reads_only_what_is_asked_for(rig: Rig):
    rig.begin()
    fleet = [rig.open() for _ in range(12)]
    for client in fleet:
        client.start()
        for name in NAMES:
            client.get("user", "email", name)
    reads = len(rig.proxy.data.seen("HGETALL"))
    known = len(rig.proxy.feed.ever)
    arrivals = Arrivals(rig, known)
    rig.server.kill_listeners()
    until(lambda: arrivals.take() >= 13, 10, "all listen again")
    until(lambda: all(client.status()["2Dest"].ready for client in fleet), 10, "all are live")
    assert len(rig.proxy.data.seen("HGETALL")) == reads, "nothing was read that nobody asked for"
    assert arrivals.spread > 0.005, "they did not march in step"
    assert all(version_of(client.get("user", "email", QUIET)) == 1 for client in fleet)


class Arrivals:
    """When new feed connections came."""

    def __init__(self, rig: Rig, known: int) -> None:
        self._rig = rig
        self._known = known
        self._times: list[float] = []

    def take(self) -> int:
        """How many have come."""
        count = len(self._rig.proxy.feed.ever) - self._known
        self._times += [time.monotonic()] * (count - len(self._times))
        return count

    @property
    def spread(self) -> float:
        """Seconds between the first and the last."""
        return self._times[-1] - self._times[0]


# 36


def test_fault_36_a_slow_log_handler_holds_nothing_up(rig: Rig):
    """The log is the only callback of the application's that there is, and it has a thread of its own."""
    rig.begin()
    gate = threading.Event()
    said: list[str] = []

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())
            gate.wait(60)

    logger = logging.getLogger("edgeprofile")
    logger.addHandler(handler := Slow())
    try:
        with rig.traffic() as traffic:
            rig.proxy.feed.reset()
            assert rig.stops_hitting() <= rig.bound
            until(lambda: said, 5, "the handler is busy")
            rig.recovers()
            traffic.goes_on()
            assert len(said) == 1, "it still is"
    finally:
        gate.set()
        logger.removeHandler(handler)
