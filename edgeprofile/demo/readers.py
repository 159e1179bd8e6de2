"""The threads that read: an application's work, with a pause between its requests, and a look at the clock.

Latencies are of single hits, with the clock's own cost taken off. They are timed in small groups; a group during which
any lookup of the process was a miss is set aside, so that what is left are hits.
"""

from __future__ import annotations

import random
import threading
import time
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING

import edgeprofile
from edgeprofile import get
from edgeprofile.demo.measure import Distribution

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["BATCH", "PAUSE", "THREADS", "Reader", "clock_cost", "loop_cost"]

THREADS = 2
BATCH = 1_000
"""Lookups between two pauses."""
PAUSE = 0.003
"""Seconds of a pause; threads that never pause keep the interpreter from all others for milliseconds."""

_TIMED = 32
_SKEW = 0.9
_TRACE = 50_000


class Reader(threading.Thread):
    """Looks users up, popular ones more often."""

    def __init__(self, number: int, emails: Sequence[str], clock_cost: float) -> None:
        super().__init__(name=f"demo-reader-{number}", daemon=True)
        self.lookups = 0
        self.spent = 0
        self.hits = Distribution()
        self.failures = 0
        self._trace = _endless(_trace(number, emails))
        self._clock_cost = clock_cost
        self._ended = False

    def end(self) -> None:
        """Stop and return when it has stopped."""
        self._ended = True
        self.join()

    def run(self) -> None:
        """Read until the end."""
        while not self._ended:
            try:
                self._read()
                self._time_hits()
            except edgeprofile.ServiceError:
                self.failures += 1
            time.sleep(PAUSE)

    def _read(self) -> None:
        emails = list(islice(self._trace, BATCH))
        began = time.perf_counter_ns()
        for email in emails:
            get("user", "email", email)
        self.spent += time.perf_counter_ns() - began
        self.lookups += BATCH

    def _time_hits(self) -> None:
        emails = list(islice(self._trace, _TIMED))
        misses = edgeprofile.stats().misses
        durations = [_timed(email) for email in emails]
        if edgeprofile.stats().misses == misses:
            for duration in durations:
                self.hits.add(max(1, round(duration - self._clock_cost)))


def clock_cost() -> float:
    """Nanoseconds that a look at the clock adds to what is timed."""
    now = time.perf_counter_ns
    return median(-(now() - now()) for _ in range(10_001))


def loop_cost(emails: Sequence[str]) -> float:
    """Nanoseconds that each turn of an empty loop takes."""
    began = time.perf_counter_ns()
    for _ in emails:
        pass
    return (time.perf_counter_ns() - began) / len(emails)


def _timed(email: str) -> int:
    began = time.perf_counter_ns()
    get("user", "email", email)
    return time.perf_counter_ns() - began


def _trace(seed: int, emails: Sequence[str]) -> list[str]:
    weights = [1 / (rank + 1) ** _SKEW for rank in range(len(emails))]
    return random.Random(seed).choices(emails, weights, k=_TRACE)  # noqa: S311 -- who is looked up is no secret


def _endless(trace: Sequence[str]) -> Iterator[str]:
    while True:
        yield from trace
