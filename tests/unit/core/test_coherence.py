"""The machine of one node: its table, its lease, and what each step does to the lease."""

import math
from itertools import product

import pytest

from edgeprofile.core.coherence import FOREVER, TRANSITIONS, Authority, Lease, OutOfTurn, Phase, Proof, Signal


def subscribed(proof=Proof.CANARY):
    authority = Authority(4.0, proof)
    authority.connected()
    authority.subscribed()
    return authority


def live(at=10.0):
    authority = subscribed()
    authority.beat(at)
    assert authority.beat_answered(1)
    assert authority.beat_seen()
    return authority


@pytest.mark.parametrize(("phase", "signal"), list(product(Phase, Signal)))
def test_every_signal_in_every_phase_has_its_place_in_the_table_or_is_out_of_turn(phase, signal):
    authority = Authority(4.0)
    authority.phase = phase
    if (phase, signal) in TRANSITIONS:
        authority._turn(signal)
        assert authority.phase is TRANSITIONS[phase, signal]
    else:
        with pytest.raises(OutOfTurn, match=f"{signal.value} while {phase.value}"):
            authority._turn(signal)
        assert authority.phase is phase


def test_every_phase_can_be_reached_and_lost():
    reached = {Phase.DOWN}
    for _ in Phase:
        reached |= {TRANSITIONS[phase, signal] for phase, signal in TRANSITIONS if phase in reached}
    assert reached == set(Phase)
    assert all(TRANSITIONS[phase, Signal.LOST] is Phase.DOWN for phase in Phase)


def test_nothing_but_a_proof_leads_to_live():
    assert {signal for (_, signal), phase in TRANSITIONS.items() if phase is Phase.LIVE} == {Signal.PROVED}


def test_a_method_out_of_turn_is_refused():
    authority = Authority(4.0)
    with pytest.raises(OutOfTurn):
        authority.subscribed()
    authority.connected()
    with pytest.raises(OutOfTurn):
        authority.connected()


def test_a_lease_that_is_revoked_remembers_when_it_would_have_ended():
    lease = Lease(7.0)
    assert lease.ended == 7.0
    lease.revoke()
    lease.revoke()
    assert (lease.until, lease.ended) == (0.0, 7.0)
    assert repr(lease) == "Lease(until=0.0)"


def test_an_entry_that_proves_itself_needs_no_lease():
    assert FOREVER.until == FOREVER.ended == math.inf


@pytest.mark.parametrize("proof", Proof)
def test_no_beat_before_the_subscription(proof):
    authority = Authority(4.0, proof)
    assert authority.beat(1.0) is None
    authority.connected()
    assert authority.beat(1.0) is None
    authority.subscribed()
    assert authority.beat(1.0) == 1


@pytest.mark.parametrize("event_first", [False, True])
def test_a_canary_is_proved_by_reply_and_event_in_either_order(event_first):
    authority = subscribed()
    assert authority.beat(10.0) == 1
    steps = [lambda: authority.beat_answered(1), authority.beat_seen]
    first, second = reversed(steps) if event_first else steps
    assert first()
    assert (authority.phase, authority.watermark) == (Phase.PROVING, -math.inf)
    assert authority.outstanding == 10.0
    assert authority.answered is not event_first
    assert second()
    assert (authority.phase, authority.watermark) == (Phase.LIVE, 10.0)
    assert authority.outstanding is None
    assert not authority.answered


def test_a_pong_is_proof_by_itself():
    authority = subscribed(Proof.PONG)
    authority.beat(10.0)
    assert authority.beat_answered(1)
    assert authority.phase is Phase.LIVE


def test_the_lease_ends_a_bound_after_the_proof_was_sent():
    authority = live(at=10.0)
    assert authority.lease.until == 14.0
    assert authority.live(13.9)
    assert not authority.live(14.0)


def test_a_proof_extends_the_same_lease():
    authority = live(at=10.0)
    lease = authority.lease
    assert authority.beat(12.0) == 2
    assert authority.beat_answered(2)
    assert authority.beat_seen()
    assert authority.lease is lease
    assert lease.until == 16.0


def test_a_beat_that_is_out_is_awaited_not_repeated():
    authority = subscribed()
    authority.beat(1.0)
    assert authority.beat(100.0) is None
    assert authority.outstanding == 1.0


@pytest.mark.parametrize("value", [0, 2, -1])
def test_a_reply_with_another_value_ends_the_epoch_and_moves_nothing(value):
    authority = subscribed()
    authority.beat(10.0)
    assert authority.beat_seen()
    assert not authority.beat_answered(value)
    assert authority.watermark == -math.inf


def test_a_reply_that_nobody_waits_for_ends_the_epoch():
    assert not live().beat_answered(1)


def test_an_event_too_many_ends_the_epoch():
    authority = live()
    assert not authority.beat_seen()
    assert authority.watermark == 10.0


def test_a_loss_revokes_the_lease_for_good():
    authority = live()
    lease = authority.lease
    authority.beat(12.0)
    authority.lost()
    authority.lost()
    assert authority.phase is Phase.DOWN
    assert lease.until == 0.0
    assert authority.outstanding is None
    assert not authority.beat_answered(2)
    assert authority.beat_seen()
    assert lease.until == 0.0


def test_every_epoch_has_a_lease_and_a_count_of_its_own():
    authority = live()
    lease = authority.lease
    authority.lost()
    authority.connected()
    assert authority.epoch == 2
    assert authority.lease is not lease
    assert authority.watermark == -math.inf
    authority.subscribed()
    assert authority.beat(20.0) == 1
    assert authority.beat_answered(1)
    assert authority.beat_seen()
    assert (authority.lease.until, lease.until) == (24.0, 0.0)


def test_a_beat_that_proves_nothing_makes_way_for_another():
    authority = subscribed(Proof.PONG)
    assert authority.beat(10.0) == 1
    authority.beat_void()
    assert authority.outstanding is None
    assert authority.phase is Phase.PROVING
    assert authority.beat(11.0) == 2
    assert authority.beat_answered(2)
    assert (authority.watermark, authority.replies) == (11.0, 2)


def test_a_beat_that_was_refused_never_was():
    """The server did not execute it, so the next one has its number and proves itself."""
    authority = subscribed()
    assert authority.beat(1.0) == 1
    authority.beat_refused()
    assert authority.outstanding is None
    assert authority.beat(2.0) == 1
    assert authority.beat_answered(1)
    assert authority.beat_seen()
    assert authority.watermark == 2.0


def test_a_beat_that_was_answered_cannot_be_refused_any_more():
    authority = subscribed()
    authority.beat_refused()
    authority.beat(1.0)
    authority.beat_answered(1)
    authority.beat_refused()
    assert authority.outstanding == 1.0


def test_a_beat_that_the_server_refused_was_never_sent():
    authority = live(at=10.0)
    assert authority.beat(12.0) == 2
    authority.beat_refused()
    assert authority.outstanding is None
    assert authority.beat(13.0) == 2
    assert authority.beat_answered(2)
    assert authority.beat_seen()
    assert authority.watermark == 13.0


def test_a_refusal_that_nobody_waits_for_changes_nothing():
    authority = live(at=10.0)
    authority.beat_refused()
    assert authority.beat(12.0) == 2
    assert authority.beat_answered(2)
    authority.beat_refused()
    assert authority.outstanding == 12.0
    assert authority.beat_seen()
    assert authority.watermark == 12.0
