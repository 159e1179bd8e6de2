"""What the log of a load generator says."""

import pytest

from benchmarks import h2load
from benchmarks.children import ContenderFailed


def test_an_answer_slower_than_the_pace_hides_how_long_others_waited():
    assert list(h2load.hidden(350, 100.0)) == [250.0, 150.0, 50.0]
    assert list(h2load.hidden(100, 100.0)) == []


def test_the_log_gives_rate_latencies_and_failures():
    found = h2load.found(["1000000 200 100", "1000050 200 200 1", "1000900 503 100"], 1_000.0)
    assert (found["requests"], found["failed"], found["microseconds"]) == (3, 1, pytest.approx(1_000))
    assert (found["p50"], found["worst"]) == (pytest.approx(100), pytest.approx(200))


def test_those_that_waited_count_among_the_latencies_but_not_as_requests():
    found = h2load.found(["0 200 400", "100 200 10", "200 200 10"], 300.0)
    assert found["requests"] == 3
    assert found["p90"] == pytest.approx(110)
    assert found["worst"] == pytest.approx(400)


def test_a_log_of_nothing_is_a_failure():
    with pytest.raises(ContenderFailed, match="no answer"):
        h2load.found([], 100.0)
