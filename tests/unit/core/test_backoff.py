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
