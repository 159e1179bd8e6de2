"""What the log of a load generator says."""

import pytest

from benchmarks import h2load


def test_an_answer_slower_than_the_pace_hides_the_requests_that_were_due_meanwhile():
    assert list(h2load.corrected(350, 100.0)) == [350, 250.0, 150.0, 50.0]
    assert list(h2load.corrected(100, 100.0)) == [100]


def test_the_log_gives_rate_latencies_and_failures():
    lines = ["1000000 200 100", "1000050 200 200 1", "1000900 503 100"]
    found = h2load.found(lines, 1_000.0)
    assert (found["requests"], found["failed"], found["microseconds"]) == (3, 1, pytest.approx(1_000))
    assert (found["p50"], found["worst"]) == (pytest.approx(100), pytest.approx(200))


def test_hidden_requests_count_among_the_latencies_but_not_as_requests():
    found = h2load.found(["0 200 400", "100 200 10"], 100.0)
    assert found["requests"] == 2
    assert found["p50"] == pytest.approx(200)
