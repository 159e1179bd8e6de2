"""What the sidecar counts of its own work: plain integers, read by the metrics when they are asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import Final

from edgeprofile_sidecar.tokens import Denial

__all__ = ["BOUNDS", "CLOSURES", "OUTCOMES", "Counters", "Histogram"]

BOUNDS: Final = (
    *(50e-6, 100e-6, 250e-6, 500e-6),
    *(1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
"""Upper bounds of the latency buckets, in seconds; a hit takes tens of microseconds, a deadline about a second."""


CLOSURES: Final = ("slow request", "slow reader", "too many connections", "failed handshake")
"""Why the sidecar ends a connection."""

OUTCOMES: Final = ("hit", "negative", "stale", "miss", "error")
"""What a lookup comes to: a profile from memory; the knowledge that there is none; one past its promise; one that Redis
was asked for, there or not; none at all."""


class Histogram:
    """Durations of one kind of request: ``counts`` per bucket (the last one is without a bound), ``total`` in seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Counters:
    """Requests by route, method and status, refusals by reason, and what is open or being answered now."""

    def __init__(self) -> None:
        self.durations = defaultdict[tuple[str, str, int], Histogram](Histogram)
        self.denials = {reason.value: 0 for reason in Denial}
        self.lookups = dict.fromkeys(OUTCOMES, 0)
        self.closed = dict.fromkeys(CLOSURES, 0)
        self.malformed = 0
        self.rate_limited = 0
        self.in_flight = 0
        self.connections = 0
        self.streams = 0
        self.unread = 0
        self.no_room = 0

    @property
    def requests(self) -> dict[tuple[str, str, int], int]:
        """How many requests were answered, by route, method and status."""
        return {asked: sum(histogram.counts) for asked, histogram in list(self.durations.items())}

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request; ``route`` and ``method`` are from closed sets, whatever the caller sent."""
        self.durations[route, method, status].observe(seconds)
