from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.core.backoff import Backoff, after


def test_it_doubles_up_to_the_cap():
    backoff = Backoff(first=1.0, cap=5.0)
    assert [backoff.next(0.0) for _ in range(5)] == [0.5, 1.0, 2.0, 2.5, 2.5]


def test_chance_spreads_over_the_upper_half():
    assert Backoff(first=1.0).next(0.0) == 0.5
    assert Backoff(first=1.0).next(0.5) == 0.75


def test_it_begins_anew_after_a_success():
    backoff = Backoff(first=1.0)
    backoff.next(0.0)
    backoff.reset()
    assert backoff.next(0.0) == 0.5


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_who_counts_failures_gets_the_same_delays(failures, chance):
    backoff = Backoff()
    delays = [backoff.next(chance) for _ in range(min(failures, 12))]
    assert after(failures, chance) == delays[-1]


def test_a_hint_shortens_the_delay_to_some_tenths_of_a_second_spread_by_chance():
    backoff = Backoff(cap=5.0)
    for _ in range(10):
        backoff.next(0.0)
    assert Backoff().hinted(0.0) == 0.25
    assert 0.25 < backoff.hinted(0.5) < 0.5


def test_hints_in_vain_are_worth_less_and_less():
    backoff = Backoff(cap=5.0)
    assert [backoff.hinted(0.0) for _ in range(6)] == [0.25, 0.5, 1.0, 2.0, 2.5, 2.5]
    backoff.reset()
    assert backoff.hinted(0.0) == 0.25


@given(st.integers(0, 20), st.integers(0, 20), st.floats(0, 1, exclude_max=True))
def test_a_hint_does_not_make_the_next_delay_any_shorter(failures, hints, chance):
    backoff, unhinted = Backoff(), Backoff()
    for _ in range(failures):
        assert backoff.next(chance) == unhinted.next(chance)
    for _ in range(hints):
        backoff.hinted(chance)
    assert backoff.next(chance) == unhinted.next(chance)
