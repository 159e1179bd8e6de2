import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.core.breaker import TRANSITIONS, Breaker, State

DEAD = ConnectionError("dead")


def tripped(now=0.0):
    breaker = Breaker()
    for _ in range(3):
        breaker.failed(now, DEAD)
    assert breaker.state is State.OPEN
    return breaker


def test_a_failure_or_two_are_no_reason():
    breaker = Breaker()
    breaker.failed(0.0, DEAD)
    breaker.failed(0.1, DEAD)
    assert breaker.admits(0.2)
    assert breaker.since == 0.0


def test_a_success_between_failures_starts_the_count_anew():
    breaker = Breaker()
    for now in range(6):
        breaker.failed(now, DEAD)
        if now % 2:
            breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert breaker.since is None


def test_a_probe_that_says_nothing_makes_way_for_another():
    breaker = tripped()
    assert breaker.admits(0.11)
    assert not breaker.admits(0.12)
    breaker.unsettled(0.13)
    assert breaker.state is State.PROBING
    assert breaker.admits(0.13)
    assert not breaker.admits(0.14)


def test_what_says_nothing_matters_to_probes_alone():
    breaker = Breaker()
    breaker.unsettled(0.0)
    assert breaker.admits(0.0)
    breaker = tripped()
    breaker.unsettled(0.05)
    assert not breaker.admits(0.06)


def test_an_open_circuit_admits_nobody_until_its_pause_is_over_and_then_one():
    breaker = tripped()
    assert not breaker.admits(0.05)
    assert breaker.admits(0.11)
    assert breaker.state is State.PROBING
    assert not breaker.admits(0.12)


def test_a_good_probe_closes_it():
    breaker = tripped()
    breaker.admits(0.11)
    breaker.succeeded()
    assert breaker.admits(0.12)
    assert (breaker.since, breaker.cause) == (None, None)


def test_bad_probes_double_the_pause_up_to_the_cap():
    breaker = tripped()
    now, pauses = 0.0, []
    for _ in range(8):
        begun = now
        while not breaker.admits(now):
            now += 0.01
        pauses.append(round(now - begun, 1))
        breaker.failed(now, DEAD)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]


def test_it_remembers_since_when_and_why():
    breaker = tripped(5.0)
    breaker.failed(6.0, OSError("other"))
    assert breaker.since == 5.0
    assert str(breaker.cause) == "other"


def test_a_probe_that_never_tells_is_replaced():
    breaker = tripped()
    assert breaker.admits(0.11)
    assert not breaker.admits(2.0)
    assert breaker.admits(2.2)


def test_a_late_answer_closes_an_open_circuit():
    breaker = tripped()
    breaker.succeeded()
    assert breaker.admits(0.01)


def test_every_transition_leads_somewhere_that_is_left_again():
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert set(TRANSITIONS.values()) == set(State)


@given(st.lists(st.sampled_from(["fail", "succeed", "ask", "wait"]), max_size=60))
def test_whatever_happens_it_admits_again_within_its_longest_pause(steps):
    breaker, now = Breaker(), 0.0
    for step in steps:
        if step == "fail":
            breaker.failed(now, DEAD)
        elif step == "succeed":
            breaker.succeeded()
            assert breaker.admits(now)
        elif step == "ask":
            breaker.admits(now)
        else:
            now += 0.05
    assert any(breaker.admits(now + wait) for wait in (0.0, 1.0, 2.0, 2.5))


@pytest.mark.parametrize("failures", [3, 4, 50])
def test_failures_while_open_change_nothing(failures):
    breaker = Breaker()
    for _ in range(failures):
        breaker.failed(0.0, DEAD)
    assert breaker.opened == 1
    assert breaker.admits(0.11)
