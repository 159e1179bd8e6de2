"""The last minutes of a sidecar, a point a second: what the status page draws."""

from __future__ import annotations

from collections import deque
from operator import add, sub
from typing import TYPE_CHECKING

import msgspec

from edgeprofile_sidecar.counters import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edgeprofile import Stats
    from edgeprofile_sidecar.counters import Counters

__all__ = ["History", "Point", "quantile"]

_POINTS = 120


class Point(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What happened between two samples: rates per second, latencies in seconds, `None` where nothing was measured.

    Attributes:
        at: When it ended, in seconds since the sidecar began.
        requests: Requests answered.
        hits: Lookups answered from the cache.
        misses: Lookups that were not.
        events: Change events received.
        p50: Median time of an answer.
        p99: Time within which 99 of 100 answers were given.
        staleness: Age of the oldest proof of coherence: nothing that was served was older than that.
        bytes: Memory that the cached profiles use.
    """

    at: float
    requests: float
    hits: float
    misses: float
    events: float
    p50: float | None
    p99: float | None
    staleness: float | None
    bytes: int


class _Sample(msgspec.Struct, frozen=True):
    at: float
    hits: int
    misses: int
    events: int
    counts: list[int]


class History:
    """Samples the figures; to be asked once a second."""

    def __init__(self, stats: Callable[[], Stats], counters: Counters) -> None:
        self.points = deque[Point](maxlen=_POINTS)
        self._stats = stats
        self._counters = counters
        self._before: _Sample | None = None

    def sample(self, now: float) -> None:
        """Add a point; ``now`` in seconds since the sidecar began."""
        stats = self._stats()
        sample = _Sample(now, stats.hits, stats.misses, stats.events, self._counts())
        if self._before is not None and now > self._before.at:
            self.points.append(_point(self._before, sample, stats))
        self._before = sample

    def _counts(self) -> list[int]:
        total = [0] * (len(BOUNDS) + 1)
        for histogram in list(self._counters.durations.values()):
            total = list(map(add, total, histogram.counts))
        return total


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """The duration that ``share`` of a histogram's durations do not exceed, as if they lay evenly in their bucket.

    ``counts`` has one more than ``bounds``, for what is beyond them; it is read as the last bound. None without any.
    """
    wanted = share * sum(counts)
    if not wanted:
        return None
    lower = 0.0
    for upper, count in zip(bounds, counts, strict=False):
        if count >= wanted:
            return lower + (upper - lower) * wanted / count
        wanted -= count
        lower = upper
    return lower


def _point(before: _Sample, after: _Sample, stats: Stats) -> Point:
    seconds = after.at - before.at
    counts = list(map(sub, after.counts, before.counts))

    def rate(name: str) -> float:
        happened: int = getattr(after, name) - getattr(before, name)
        return max(0, happened) / seconds  # a new client counts from nothing

    return Point(
        at=after.at,
        requests=sum(counts) / seconds,
        hits=rate("hits"),
        misses=rate("misses"),
        events=rate("events"),
        p50=quantile(BOUNDS, counts, 0.5),
        p99=quantile(BOUNDS, counts, 0.99),
        staleness=_oldest(status.watermark_age for status in stats.destinations.values()),
        bytes=stats.bytes,
    )


def _oldest(ages: Iterable[float | None]) -> float | None:
    return max((age for age in ages if age is not None), default=None)
