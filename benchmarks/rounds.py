"""Interleaved rounds: A B C, B C A, C A B, … so that whatever the machine does meanwhile happens to all of them.

Figures compare contenders round by round (neighbours in time), and report the median of those ratios with its quartiles.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from pytest_benchmark.stats import Stats

from benchmarks.children import Child

FIRST_GUESS = 50
SLICE = 1_000  # lookups; hits in a fraction of a millisecond, and more misses than a round has

T = TypeVar("T")


class Spread(msgspec.Struct, frozen=True):
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float


def seconds_per_lookup(
    children: Mapping[str, Child], trace: str, *, rounds: int, seconds: float, most: int
) -> dict[str, list[float]]:
    """Time `rounds` interleaved rounds of about `seconds` each (at most `most` lookups); the cost of one lookup in each."""
    sizes = {name: _calibrated(child, trace, seconds, most) for name, child in children.items()}
    costs: dict[str, list[float]] = {name: [] for name in children}
    for number in range(rounds):
        for name in rotated(list(children), number):
            costs[name].append(_cost(children[name].ask({"trace": trace, "operations": sizes[name], "slice": SLICE})))
    return costs


def rotated(names: Sequence[T], by: int) -> list[T]:
    """The names, starting with another one each round."""
    start = by % len(names)
    return [*names[start:], *names[:start]]


def ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """The median and quartiles of the ratios of neighbouring rounds."""
    return spread([a / b for a, b in zip(over, under, strict=True)])


def spread(values: Sequence[float]) -> Spread:
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(statistics.median(values), low, high)


def summary(values: Sequence[float]) -> dict[str, Any]:
    """pytest-benchmark's statistics of one contender's rounds."""
    stats = Stats()
    for value in values:
        stats.update(value)
    return {name: getattr(stats, name) for name in ("min", "q1", "median", "q3", "max", "mean", "stddev", "rounds")}


def _calibrated(child: Child, trace: str, seconds: float, most: int) -> int:
    operations = FIRST_GUESS
    while True:  # the first call warms up; a round that took a fifth of the time is good enough to judge by
        cost = _cost(child.ask({"trace": trace, "operations": operations}))
        wanted = max(1, min(most, int(seconds / cost)))
        if operations * 5 >= wanted:
            return wanted
        operations = min(wanted, operations * 20)


def _cost(answer: Mapping[str, Any]) -> float:
    return float(answer["seconds"]) / int(answer["operations"])
