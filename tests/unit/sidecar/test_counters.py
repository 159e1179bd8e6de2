"""What is counted, and the buckets it falls into."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile_sidecar.counters import BOUNDS, Counters, Histogram
from edgeprofile_sidecar.dates import HttpDate


def test_bounds_rise_from_fifty_microseconds():
    assert BOUNDS[0] == 50e-6
    assert list(BOUNDS) == sorted(set(BOUNDS))


@given(st.lists(st.floats(min_value=0, max_value=1e4)))
def test_each_duration_falls_into_the_first_bucket_that_holds_it(durations):
    histogram = Histogram()
    for seconds in durations:
        histogram.observe(seconds)
    for index, bound in enumerate(BOUNDS):
        assert sum(histogram.counts[: index + 1]) == sum(seconds <= bound for seconds in durations)
    assert sum(histogram.counts) == len(durations)
    assert histogram.total == pytest.approx(sum(durations))


def test_requests_are_counted_by_route_method_and_status():
    counters = Counters()
    for status in (200, 200, 404):
        counters.answered("/v1/activation", "POST", status, 1e-4)
    assert counters.requests == {("/v1/activation", "POST", 200): 2, ("/v1/activation", "POST", 404): 1}
    assert sum(counters.durations["/v1/activation", "POST", 200].counts) == 2


def test_every_reason_to_let_nobody_in_is_there_from_the_start():
    assert Counters().denials == {
        "missing": 0,
        "malformed": 0,
        "unknown": 0,
        "expired": 0,
        "permission": 0,
        "scope": 0,
    }


def test_the_date_is_that_of_http(monkeypatch):
    date = HttpDate()
    seconds = iter((784111777.0, 784111777.9, 784111778.0))
    monkeypatch.setattr("time.time", lambda: next(seconds))
    assert [date() for _ in range(3)] == [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:38 GMT",
    ]
