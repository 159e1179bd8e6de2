"""Replies and events that overtake each other, callers that give up, deletes of our own without an answer."""

import gc

import pytest

from edgeprofile import LookupTimeout
from tests.support.callers import Caller
from tests.support.faults import TO_CLIENT, TO_SERVER, Direction
from tests.support.history import ABSENT
from tests.support.rig import QUIET, Rig, key_of, version_of
from tests.support.wait import until

COLD = "cold"
FIRST = 1
"""The version of COLD that is there from the beginning, so that no event of it is to come."""
OTHER = {"threads": "tasks", "tasks": "threads"}


@pytest.fixture
def live(make_rig, redis_db) -> Rig:
    """What it waits for a busy machine keeps: who comes later joins no fetch, and finds a held connection given up."""
    rig = make_rig(redis_db, bound=5.0)
    rig.write(COLD)
    rig.begin(limits={"timeout": "5s"})
    return rig


def held(rig: Rig, caller: Caller, direction: Direction = TO_CLIENT):
    """The connection that carries this caller's lookups, with nothing passing in a direction."""
    caller.call("get", "user", "email", caller.kind)
    connection = rig.carrier(caller.kind)
    connection.hold(direction)
    return connection


def begin(rig: Rig, caller: Caller, name: str = COLD, **how):
    """A lookup whose answer has left the server and is held."""
    waiting = rig.carrier(caller.kind).pipes[TO_CLIENT].waiting
    lookup = caller.ask("get", "user", "email", name, **how)
    until(lambda: rig.carrier(caller.kind).pipes[TO_CLIENT].waiting > waiting, 5, "the server has answered")
    return lookup


def overwrite(rig: Rig, name: str = COLD) -> int:
    """The profile's next version; its event has been processed."""
    poisoned = rig.stats.poisoned
    version = rig.write(name)
    until(lambda: rig.stats.poisoned > poisoned, 5, "the event has come")
    return version


def test_fault_01_a_reply_older_than_an_event_is_delivered_and_not_stored(live: Rig, caller: Caller):
    connection = held(live, caller)
    waiting = connection.pipes[TO_CLIENT].waiting
    joins = live.stats.joins
    lookups = [caller.ask("get", "user", "email", COLD) for _ in range(4)]
    until(lambda: live.stats.joins == joins + 3, 5, "the others wait for the same fetch")
    until(lambda: connection.pipes[TO_CLIENT].waiting > waiting, 5, "the server has answered")
    overwrite(live)
    connection.release()
    assert [version_of(lookup.result(5)) for lookup in lookups] == [FIRST] * 4
    assert not live.hit(COLD), "the old value may not be stored"
    assert live.stats.refused >= 1
    assert live.version(COLD) == FIRST + 1


def test_fault_02_a_lookup_after_the_event_fetches_for_itself(live: Rig, caller: Caller):
    connection = held(live, caller)
    old = begin(live, caller)
    overwrite(live)
    misses = live.stats.misses
    new = caller.ask("get", "user", "email", COLD)
    until(lambda: live.stats.misses > misses, 5, "the new lookup has begun")
    connection.release()
    assert version_of(old.result(5)) == FIRST
    assert version_of(new.result(5)) == FIRST + 1
    assert live.hit(COLD)
    assert live.version(COLD) == FIRST + 1


def test_fault_02_an_old_reply_that_comes_after_the_new_one_changes_nothing(live: Rig, caller: Caller):
    connection = held(live, caller)
    old = begin(live, caller)
    overwrite(live)
    new = live.caller(OTHER[caller.kind]).call("get", "user", "email", COLD)
    assert version_of(new) == FIRST + 1
    connection.release()
    assert version_of(old.result(5)) == FIRST
    assert live.hit(COLD)
    assert live.version(COLD) == FIRST + 1


@pytest.mark.parametrize("direction", [TO_SERVER, TO_CLIENT])
def test_fault_23_a_delete_without_an_answer_counts_as_done(live: Rig, caller: Caller, direction):
    """Whether the server never saw it, sees it later, or answered into the void."""
    connection = held(live, caller, direction)
    with live.history.becoming(ABSENT, [key_of(QUIET)]):
        with pytest.raises(LookupTimeout):
            caller.call("delete", "user", [("email", QUIET)], timeout=0.5)
        assert not live.hit(QUIET)
        other = live.caller(OTHER[caller.kind])
        while_unknown = other.call("get", "user", "email", QUIET)
        assert version_of(while_unknown) == (1 if direction is TO_SERVER else ABSENT)
        connection.release()
        until(lambda: not live.server.command("EXISTS", key_of(QUIET)), 5, "the delete has happened")
    until(lambda: other.call("get", "user", "email", QUIET) is None, 5, "nobody is given the old value any more")


def test_fault_23_a_delete_cut_off_half_way_is_not_repeated(live: Rig, caller: Caller):
    """Somebody may have written the profile again in between."""
    connection = held(live, caller, TO_CLIENT)
    with live.history.becoming(ABSENT, [key_of(QUIET)]):
        delete = caller.ask("delete", "user", [("email", QUIET)])
        until(lambda: not live.server.command("EXISTS", key_of(QUIET)), 5, "the delete has happened")
    live.write(QUIET)
    connection.reset()
    with pytest.raises(ConnectionError):
        delete.result(5)
    assert live.version() == 2


def test_fault_24_a_leader_that_gives_up_leaves_the_others_served(live: Rig, caller: Caller):
    connection = held(live, caller)
    leader = begin(live, caller, timeout=0.5)
    others = [caller.ask("get", "user", "email", COLD, timeout=10) for _ in range(5)]
    with pytest.raises(LookupTimeout):
        leader.result(5)
    connection.release()
    assert [version_of(other.result(5)) for other in others] == [FIRST] * 5
    no_orphans(live)


def test_fault_24_many_leaders_that_give_up_do_not_end_a_patient_lookup(live: Rig, caller: Caller):
    """One after the other leads the fetch that the patient one waits for."""
    connection = held(live, caller)
    begin(live, caller, timeout=0.5)
    patient = caller.ask("get", "user", "email", COLD, timeout=20)
    for _ in range(20):
        with pytest.raises(LookupTimeout):
            caller.call("get", "user", "email", COLD, timeout=0.02)
    assert not patient.done()
    connection.release()
    assert version_of(patient.result(5)) == FIRST
    no_orphans(live)


def test_fault_24_a_waiter_that_gives_up_leaves_the_fetch_to_the_others(live: Rig, caller: Caller):
    connection = held(live, caller)
    leader = begin(live, caller, timeout=10)
    with pytest.raises(LookupTimeout):
        caller.call("get", "user", "email", COLD, timeout=0.05)
    connection.release()
    assert version_of(leader.result(5)) == FIRST
    no_orphans(live)


def test_fault_24_a_cancelled_leader_leaves_the_others_served(live: Rig):
    caller = live.caller("tasks")
    connection = held(live, caller)
    leader = begin(live, caller)
    others = [caller.ask("get", "user", "email", COLD, timeout=10) for _ in range(5)]
    others.append(live.caller("threads").ask("get", "user", "email", COLD, timeout=10))
    until(lambda: live.stats.waiters == 6, 5, "all wait")
    leader.cancel()
    others[0].cancel()
    until(lambda: live.stats.waiters == 5, 5, "the leader and a waiter have gone")
    connection.release()
    assert [version_of(other.result(5)) for other in others[1:]] == [FIRST] * 5
    assert live.hit(COLD), "the fetch was nobody's own"
    no_orphans(live)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an untidy loop leaves its transports
@pytest.mark.parametrize("tidy", [True, False], ids=["as asyncio.run does", "just closed"])
def test_fault_24_a_loop_that_closes_in_a_fetch_leaves_other_threads_served(live: Rig, tidy):
    """A loop that is closed without `shutdown_asyncgens` takes its connection with it and tells nobody."""
    tasks, threads = live.caller("tasks"), live.caller("threads")
    connection = held(live, tasks)
    begin(live, tasks)
    waiter = threads.ask("get", "user", "email", COLD, timeout=4)
    until(lambda: live.stats.waiters == 1, 5, "the thread waits for the task's fetch")
    tasks.close(tidy=tidy)
    assert version_of(waiter.result(8)) == FIRST
    assert live.version(COLD) == FIRST
    connection.release()
    no_orphans(live)
    gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_fault_24_a_fetch_whose_loop_closed_is_not_in_flight_for_ever(live: Rig):
    tasks = live.caller("tasks")
    connection = held(live, tasks)
    begin(live, tasks)
    tasks.close(tidy=False)
    connection.release()
    no_orphans(live)
    (node,) = live.client._engine.nodes
    assert len(node._streams) == 1, "the engine's own connection is left"
    gc.collect()


def no_orphans(rig: Rig) -> None:
    """Nothing is left of what was under way, and the next lookup of a new profile works."""
    until(lambda: rig.stats.waiters == 0, 5, "nobody waits")
    until(lambda: rig.stats.in_flight == 0, 5, "nothing is in flight")
    rig.write("after")
    assert rig.version("after") >= 1
    until(lambda: not list(rig.client._engine.nodes[0].keeper.fills), 5, "no fetch is left, nor a refresh")
