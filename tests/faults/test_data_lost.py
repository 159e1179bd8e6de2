"""The connections that carry lookups go: black-holed, cut, spoilt, led elsewhere. Lookups end, and nobody is misled."""

import select
import time
from concurrent.futures import Future
from itertools import count

import pytest

from edgeprofile import EdgeProfileError
from tests.support.callers import Caller
from tests.support.fair_clock import FairClock
from tests.support.faults import TO_CLIENT, TO_SERVER
from tests.support.proxy import Connection
from tests.support.rig import NAMES, QUIET, Rig, key_of, sized, version_of
from tests.support.wait import until


def outcomes(lookups: list[Future]) -> set[str]:
    """What became of some lookups: names of errors, "served" for answers. Errors that are not ours are raised."""
    found = set()
    for lookup in lookups:
        try:
            lookup.result(10)
            found.add("served")
        except EdgeProfileError as error:
            found.add(type(error).__name__)
    return found


def left_over(rig: Rig) -> int:
    """Fetches, waiters and commands that are kept for somebody."""
    (node,) = rig.client._engine.nodes
    return len(list(node.keeper.fills)) + rig.stats.in_flight + rig.stats.waiters


def test_fault_05_lookups_end_and_the_lease_lapses_when_the_data_side_is_black_holed(live: Rig, caller: Caller):
    caller.call("get", "user", "email", QUIET)
    live.proxy.data.hold()
    assert live.stops_hitting() <= live.bound
    with FairClock() as clock:
        lookups = [caller.ask("get", "user", "email", name, timeout=0.3) for name in NAMES * 5]
        assert outcomes(lookups) == {"LookupTimeout"}
        assert clock.seconds < 0.3 + 0.5
    until(lambda: live.stats.waiters == 0, 5, "nobody waits")
    with live.traffic() as traffic:
        live.proxy.heal()
        live.recovers()
        traffic.goes_on()
    until(lambda: left_over(live) == 0, 5, "no placeholder stays")


@pytest.mark.parametrize("timeout", [0.1, 3.0], ids=["short deadlines", "long deadlines"])
def test_fault_05_a_connection_that_went_silent_is_replaced_by_those_who_need_it(rig: Rig, kind: str, timeout):
    """A firewall forgot the connection: new ones work, and nothing on the old one is ever answered."""
    rig.begin(limits={"timeout": "400ms"})
    caller = rig.caller(kind)
    caller.call("get", "user", "email", QUIET)
    rig.carrier(QUIET).hold()
    with FairClock() as clock:
        until(
            lambda: outcomes([caller.ask("get", "user", "email", "cold", timeout=timeout)]) == {"served"}, 5, "served"
        )
        assert clock.seconds < 1.5


def test_fault_05_a_patient_caller_does_not_hold_up_the_others(rig: Rig, kind: str):
    """Whoever reads for all gives a silent connection up when it is time, not when its own time is over."""
    rig.begin(limits={"timeout": "400ms"})
    caller = rig.caller(kind)
    caller.call("get", "user", "email", QUIET)
    rig.carrier(QUIET).hold()
    patient = caller.ask("get", "user", "email", "cold", timeout=60)
    until(lambda: rig.stats.in_flight or patient.done(), 5, "the patient one has begun")
    until(lambda: outcomes([caller.ask("get", "user", "email", "another")]) == {"served"}, 5, "another is served")
    assert patient.result(5) is None


def test_fault_06_a_long_silence_leaves_memory_bounded_and_ends_by_itself(rig: Rig, kind: str):
    rig.begin(limits={"timeout": "100ms", "connectTimeout": "100ms", "maxInFlight": 50, "maxWaiters": 50})
    caller = rig.caller(kind)
    with rig.traffic() as traffic:
        traffic.goes_on()
        rig.proxy.all.hold()
        assert rig.stops_hitting() <= rig.bound
        seen, begun = set(), time.monotonic()
        for round_ in count(1):
            names = [f"{name}{round_}" for name in NAMES * 20]
            seen |= outcomes([caller.ask("get", "user", "email", name) for name in names])
            assert rig.stats.in_flight <= 50
            assert rig.stats.waiters <= 50 + 4
            assert backlog(rig) <= 200
            if round_ >= 15 and time.monotonic() - begun > sized(0, 30):
                break
        assert seen <= {"CircuitOpen", "LookupTimeout", "Overloaded", "RedisUnavailable", "ConnectionLost"}
        assert len(rig.proxy.all.connections) < 60
        rig.proxy.heal()
        rig.recovers()
        traffic.goes_on()
    until(lambda: left_over(rig) == 0, 5, "nothing is left")


def backlog(rig: Rig) -> int:
    """Commands that wait on the connections."""
    (node,) = rig.client._engine.nodes
    wires = [node.blocking, *node._streams.values()]
    queued = sum(len(wire._queue) for wire in wires)
    links = [wire._link for wire in wires if getattr(wire, "_link", None)]
    return queued + len(node.blocking._in_flight) + sum(len(link._in_flight) for link in links)


@pytest.mark.parametrize("how", ["rst", "fin", "half a command", "half a reply"])
def test_fault_05_a_data_connection_that_is_cut_costs_no_lookup(live: Rig, how):
    """Lookups may be asked again: they change nothing."""
    cut = {
        "rst": Connection.reset,
        "fin": Connection.finish,
        "half a command": lambda connection: connection.cut(20, TO_SERVER),
        "half a reply": lambda connection: connection.cut(20, TO_CLIENT),
    }[how]
    with live.traffic(rate=500) as traffic:
        for _ in range(5):
            for connection in (old := live.proxy.data.connections):
                cut(connection)
            until(lambda: not any(connection.is_open for connection in old), 5, "all are cut")
            traffic.goes_on(20)
            live.recovers()
        assert not traffic.errors, traffic.errors


NONSENSE = {
    "a reply too many": b"+OK\r\n",
    "a list too many": b"*2\r\n$7\r\nmodel_a\r\n$2\r\n{}\r\n",
    "a number too many": b":-1\r\n",
    "a map too many": b"%1\r\n$7\r\nmodel_a\r\n$2\r\n{}\r\n",
    "a push": b">2\r\n+nobody\r\n+asked\r\n",
    "a null": b"_\r\n",
    "no protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "an error too many": b"-ERR no\r\n",
}


def has_arrived(descriptor: int) -> bool:
    """Whether a socket that nobody reads from has something to read."""
    return descriptor < 0 or bool(select.select([descriptor], [], [], 0)[0])


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
def test_fault_33_nonsense_between_lookups_costs_that_connection_and_no_lookup(live: Rig, caller: Caller, nonsense):
    """Replies are told apart by their order alone: one too many, and each of the others answers the wrong question."""
    caller.call("get", "user", "email", "first")
    connection = live.carrier("first")
    (node,) = live.client._engine.nodes
    until(lambda: time.monotonic() - node.blocking._heard > 0.01, 5, "the connection rests")
    connection.inject(nonsense, TO_CLIENT)
    until(lambda: has_arrived(node.blocking.fileno()) or not connection.is_open, 5, "it is there before the question")
    found = [version_of(caller.call("get", "user", "email", name)) for name in (*NAMES, "cold", "colder")]
    assert found == [1] * 4 + [0] * 2
    until(lambda: not connection.is_open, 5, "the connection is given up")


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
def test_fault_33_nonsense_before_a_reply_is_no_answer(live: Rig, caller: Caller, nonsense):
    caller.call("get", "user", "email", "first")
    connection = live.carrier("first")
    connection.hold(TO_CLIENT)
    names = ("one", "two", "three")
    for name in names:
        live.write(name)
    lookups = [caller.ask("get", "user", "email", name, timeout=5) for name in names]
    until(lambda: connection.pipes[TO_CLIENT].waiting, 5, "the server has answered")
    connection.inject(nonsense, TO_CLIENT)
    connection.release()
    for name, lookup in zip(names, lookups, strict=True):
        try:
            assert lookup.result(5)["model_a"] == {"key": key_of(name), "version": 1, "again": 1}
        except EdgeProfileError as error:
            named = type(error).__name__  # an answer is as good
            assert named in {"ProtocolViolation", "ServerRefused", "ConnectionLost"}
    until(lambda: not connection.is_open, 5, "the connection is given up")
    assert [live.version(name) for name in names] == [1] * 3
