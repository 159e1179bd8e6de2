"""The simulated caches: never better than the optimum, and each with what it is known for."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import data
from benchmarks.policies import POLICIES, belady, lru, s3_fifo, shipped, sieve
from benchmarks.traces import Trace

OTHERS = [policy for policy in POLICIES.values() if policy is not belady]


def slow_sieve(trace, capacity):
    """As the paper has it: a list, newest first, and a hand that goes from its end to its head."""
    queue, visited, hand, hits = [], {}, None, 0
    for value in trace:
        if value in visited:
            visited[value] = True
            hits += 1
            continue
        if len(queue) == capacity:
            at = len(queue) - 1 if hand is None else queue.index(hand)
            while visited[queue[at]]:
                visited[queue[at]] = False
                at = at - 1 if at else len(queue) - 1
            hand = queue[at - 1] if at else None
            del visited[queue.pop(at)]
        queue.insert(0, value)
        visited[value] = False
    return hits


traces = st.lists(st.sampled_from("abcdefgh"), min_size=20, max_size=200)


@given(traces, st.integers(2, 6))
def test_nothing_is_better_than_the_optimum(trace, capacity):
    best = belady(trace, capacity)
    assert all(policy(trace, capacity) <= best for policy in (lru, sieve, s3_fifo))


@given(traces, st.integers(1, 6))
def test_sieve_is_as_the_paper_has_it(trace, capacity):
    assert sieve(trace, capacity) == slow_sieve(trace, capacity)


@given(traces, st.integers(2, 6))
def test_the_shipped_sieve_is_sieve(trace, capacity):
    assert shipped(trace, capacity, "sieve") == sieve(trace, capacity)


def test_the_shipped_sieve_is_sieve_over_many_chunks():
    trace = Trace("zipf", data.identities(6_000), length=40_000).take(40_000)
    assert abs(shipped(trace, 2_000, "sieve") - sieve(trace, 2_000)) < 20  # it passes over a bounded number at once


def test_a_loop_defeats_lru_and_not_the_optimum():
    trace = [f"{n:03}" for n in range(100)] * 10
    assert lru(trace, 50) == 0
    assert belady(trace, 50) > 400


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_everything_fits(policy):
    trace = random.Random(1).choices([f"{n:03}" for n in range(200)], k=2_000)
    assert policy(trace, 200) == 2_000 - len(set(trace))
