"""One audit, step by step, and the choice of hits."""

import math

import pytest

from edgeprofile.core.audit import Case, Outcome, gap, same
from edgeprofile.core.coherence import Lease
from edgeprofile.core.entries import ENDED, Entry
from edgeprofile.core.keeper import Identity
from edgeprofile.profile import decode

ADA = Identity("d", "user", "email", "ada", (b"k",))
OLD, NEW = b'{"m":{"v":1}}', b'{"m":{"v":2}}'
BOUND = 2.0


def entry(raw=OLD, *, expires=100.0, lease=None):
    return Entry("ada", ("d", "user", "email"), raw, lease or Lease(math.inf), expires, 90.0, 0.0, None)


def case(audited):
    return Case(ADA, audited, BOUND)


def contradicted(audited, now=10.0):
    made = case(audited)
    assert made.first(NEW, now) is Outcome.CONTRADICTED
    return made


@pytest.mark.parametrize("raw", [OLD, None])
def test_an_entry_that_redis_confirms_agrees(raw):
    assert case(entry(raw)).first(raw, 10.0) is Outcome.AGREES


def test_a_decoded_entry_is_compared_as_well():
    audited = entry()
    audited.data = decode(OLD)
    assert case(audited).first(OLD, 10.0) is Outcome.AGREES
    assert case(audited).first(NEW, 10.0) is Outcome.CONTRADICTED


@pytest.mark.parametrize(("raw", "found"), [(OLD, NEW), (OLD, None), (None, OLD), (OLD, b"")])
def test_a_difference_is_no_violation_yet(raw, found):
    audited = case(entry(raw))
    assert audited.first(found, 10.0) is Outcome.CONTRADICTED
    assert audited.due == 10.0 + BOUND


def test_an_entry_that_has_gone_is_not_judged():
    dropped = entry()
    dropped.lease, dropped.data = ENDED, None
    assert case(dropped).first(NEW, 10.0) is Outcome.GONE
    assert case(entry(expires=10.0)).first(NEW, 10.0) is Outcome.GONE
    assert case(entry(lease=Lease(10.0))).first(NEW, 10.0) is Outcome.GONE


def test_an_entry_may_be_served_until_the_bound_has_passed():
    audited = contradicted(entry())
    assert not audited.outlived(10.0 + BOUND)
    assert audited.outlived(math.nextafter(10.0 + BOUND, math.inf))


def test_an_entry_that_went_in_time_is_no_violation():
    audited = entry()
    waiting = contradicted(audited)
    audited.lease, audited.data = ENDED, None
    assert not waiting.outlived(13.0)
    assert not contradicted(entry(lease=Lease(11.0))).outlived(13.0)


def test_an_agreement_is_never_looked_at_again():
    audited = case(entry())
    assert audited.first(OLD, 10.0) is Outcome.AGREES
    assert not audited.outlived(99.0)


def test_an_entry_that_outlived_the_bound_is_a_violation_if_redis_still_disagrees():
    audited = contradicted(entry())
    assert audited.outlived(13.0)
    assert audited.second(NEW) is Outcome.VIOLATED
    assert audited.second(None) is Outcome.VIOLATED
    assert audited.second(OLD) is Outcome.AGREES


def test_what_was_served_is_judged_though_the_entry_goes_during_the_second_reading():
    audited = entry()
    waiting = contradicted(audited)
    assert waiting.outlived(13.0)
    audited.lease, audited.data = ENDED, None
    assert waiting.second(NEW) is Outcome.VIOLATED


@pytest.mark.parametrize(
    ("served", "found", "equal"),
    [
        (None, None, True),
        (b"{}", None, False),
        (None, b"{}", False),
        (b'{"a":1,"b":2}', b'{"b":2,"a":1}', True),
        (b'{"a":1,"b":2}', b'{"a":2,"b":1}', False),
        (b'{"a":1}', b'{"a":1,"b":2}', False),
        (b'{"a":"\\ud800","b":2}', b'{"b":2,"a":"\\ud800"}', True),
        (b"{}", b"", False),
    ],
)
def test_the_order_of_models_is_no_difference(served, found, equal):
    assert same(served, found) is equal


@pytest.mark.parametrize("fraction", [1.0, 0.5, 0.01, 1e-300, 5e-324])
@pytest.mark.parametrize("chance", [0.0, 0.5, math.nextafter(1.0, 0.0)])
def test_a_gap_is_at_least_one_lookup_and_finite(fraction, chance):
    assert 1 <= gap(fraction, chance) <= (1 << 62) + 1


@pytest.mark.parametrize("fraction", [1.0, 0.5, 0.1, 0.01])
def test_gaps_choose_the_fraction_that_was_asked_for(fraction):
    rounds = 100_000
    mean = sum(gap(fraction, (n + 0.5) / rounds) for n in range(rounds)) / rounds
    assert mean == pytest.approx(1 / fraction, rel=0.01)
