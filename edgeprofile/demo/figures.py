"""What is shown: totals of one moment, and the pace between two of them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from edgeprofile.demo.measure import Distribution

if TYPE_CHECKING:
    from edgeprofile.demo.arrivals import Arrival

__all__ = ["Figures", "Pace", "Track", "pace"]


class Figures(NamedTuple):
    """Totals since the figures began; durations in nanoseconds."""

    at: float
    """Seconds of the monotonic clock."""
    hits: int = 0
    misses: int = 0
    events: int = 0
    changes: int = 0
    requests: int = 0
    failed: int = 0
    """Lookups and requests that ended with an error."""
    hit_latencies: Distribution = Distribution()
    delays: Distribution = Distribution()
    """From the acknowledgement of a change to the end of the first read that returned it."""
    oldest: int = 0
    """From the acknowledgement of a change to the begin of the last read that did not return it, at most."""
    arrivals: tuple[Arrival, ...] = ()
    """The syncs whose changes have been seen."""
    call_latencies: Distribution = Distribution()
    trouble: str = ""
    """Why hits are not proved to be fresh, if so."""
    entries: int = 0
    bytes: int = 0
    max_bytes: int = 0


class Pace(NamedTuple):
    """Rates by the second, and distributions of nanoseconds, over a stretch of time."""

    seconds: float
    lookups: float
    hit_ratio: float
    events: float
    changes: float
    requests: float
    hit_latencies: Distribution
    delays: Distribution
    call_latencies: Distribution


def pace(earlier: Figures, later: Figures) -> Pace:
    """What happened between two moments."""
    seconds = later.at - earlier.at
    hits, misses = later.hits - earlier.hits, later.misses - earlier.misses

    def rate(total: int) -> float:
        return total / seconds if seconds > 0 else 0.0

    return Pace(
        seconds=seconds,
        lookups=rate(hits + misses),
        hit_ratio=hits / (hits + misses) if hits + misses else 0.0,
        events=rate(later.events - earlier.events),
        changes=rate(later.changes - earlier.changes),
        requests=rate(later.requests - earlier.requests),
        hit_latencies=later.hit_latencies - earlier.hit_latencies,
        delays=later.delays - earlier.delays,
        call_latencies=later.call_latencies - earlier.call_latencies,
    )


class Track:
    """The figures so far, as far back as they are looked at: the first, and those of the last seconds."""

    def __init__(self, first: Figures, window: float = 2.0, curve: int = 240) -> None:
        self.first = first
        self.last = first
        self.lookups: deque[float] = deque(maxlen=curve)
        """Lookups a second of each step, the latest last."""
        self._window = window
        self._recent = deque([first])

    def add(self, figures: Figures) -> None:
        """The next figures."""
        self.lookups.append(pace(self.last, figures).lookups)
        self.last = figures
        self._recent.append(figures)
        while figures.at - self._recent[1].at >= self._window:
            self._recent.popleft()

    @property
    def now(self) -> Pace:
        """The pace of the last seconds."""
        return pace(self._recent[0], self.last)

    @property
    def whole(self) -> Pace:
        """The pace since the beginning."""
        return pace(self.first, self.last)

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self.last.at - self.first.at
