"""What the library counts: plain integers while it runs, and a frozen picture of them for whoever asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from functools import partial
from typing import Any

import msgspec

__all__ = ["Counters", "DestinationStatus", "Histogram", "Stats"]

_FETCH_BUCKETS = (50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1.0)


class Histogram:
    """Counts of durations by upper bound in seconds; the last count is of those beyond every bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = _FETCH_BUCKETS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[float, int]]:
        """Each upper bound with its count, not cumulated; the last bound is infinite."""
        return list(zip((*self.bounds, float("inf")), self.counts, strict=True))


class Counters:
    """Counted under the engine's lock, or by one thread, unless a loss of one in a million does not matter."""

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self.joins = 0
        self.fetches = 0
        self.fetch_errors: Counter[str] = Counter()
        self.fetch_seconds = Histogram()
        self.fence_seconds = Histogram()
        self.found: defaultdict[str, int] = defaultdict(int)
        self.absent: defaultdict[str, int] = defaultdict(int)
        self.models: defaultdict[str, defaultdict[str, int]] = defaultdict(partial(defaultdict, int))
        self.refreshes = 0
        self.refreshes_dropped = 0
        self.events = 0
        self.changes = 0
        self.beats = 0
        self.feed_losses: Counter[str] = Counter()
        self.unreadable_models = 0
        self.stale_served = 0
        self.audits = 0
        self.audits_skipped = 0
        self.audit_violations = 0
        self.logs_dropped = 0


class DestinationStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where the coherence of one destination stands.

    Attributes:
        destination: Id of the destination.
        state: ``starting``, ``live``, ``unproven`` (works, with a weaker promise that ``reason`` states), ``late`` (no
            heartbeat came back within the bound: each value is read again after ``maxStaleness``),
            ``notifications off``, ``disconnected`` or ``closed``.
        reason: Why, in words for the operator; empty when live and proved.
        ready: Live, or declared unproven.
        nodes: Nodes that serve the destination.
        watermark_age: Seconds since the send time of the latest proof, of the node where it is oldest; None before one.
    """

    destination: str
    state: str
    reason: str = ""
    ready: bool = False
    nodes: int = 1
    watermark_age: float | None = None


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of one client: totals since it was made, and gauges of this moment.

    Attributes:
        hits: Lookups answered from the cache, absent profiles included.
        misses: Lookups that were not.
        joins: Misses that waited for a fetch which was under way already.
        fetches: Profiles asked of Redis, refreshes included.
        fetch_errors: Fetches that failed, by name of the error.
        fetch_seconds: Upper bounds of the fetch duration's histogram, in seconds, each with its count (not cumulated);
            the last bound is infinite.
        fetch_seconds_sum: Sum of all fetch durations.
        fence_seconds: The same for heartbeats that were proved: from the sending of one until all events that were
            due before it had been processed, which is how far the feed lags.
        fence_seconds_sum: Sum of those durations.
        found: Fetches that found a profile, by destination.
        absent: Fetches that found no profile, by destination.
        models: Of those that found one, how many found each model, by destination and model; the first hundred models
            of a destination are counted, and none of event streams, which have no models.
        refreshes: Changed profiles read again because they were in use.
        refreshes_dropped: Those that were not, for want of room.
        events: Change events received, the heartbeats' own apart.
        changes: Events that named a cached profile.
        poisoned: Fetches that an event overtook; their replies were not kept.
        refused: Replies that were not kept, for that reason or because their epoch had ended.
        beats: Heartbeats sent.
        feed_losses: Ends of feed epochs, by reason.
        unreadable_models: Models served as text because they are no JSON.
        stale_served: Answers given past their promise, as ``staleIfError`` allows.
        audits: Hits that were read again from Redis, as ``auditFraction`` asks for.
        audits_skipped: Those that could not be, because Redis did not answer or too many were under way.
        audit_violations: Those that were served for longer than ``maxStaleness`` after Redis had another value: 0 is
            the promise.
        logs_dropped: Log records that were not handed to a handler, because too many waited for it already.
        evictions: Entries that left the cache, by reason.
        entries: Profiles in the cache, absent ones included.
        bytes: Memory they use.
        max_bytes: Memory they may use.
        in_flight: Fetches under way.
        waiters: Callers that wait for one.
        destinations: `DestinationStatus` of each destination.
    """

    hits: int
    misses: int
    joins: int
    fetches: int
    fetch_errors: dict[str, int]
    fetch_seconds: list[tuple[float, int]]
    fetch_seconds_sum: float
    fence_seconds: list[tuple[float, int]]
    fence_seconds_sum: float
    found: dict[str, int]
    absent: dict[str, int]
    models: dict[str, dict[str, int]]
    refreshes: int
    refreshes_dropped: int
    events: int
    changes: int
    poisoned: int
    refused: int
    beats: int
    feed_losses: dict[str, int]
    unreadable_models: int
    stale_served: int
    audits: int
    audits_skipped: int
    audit_violations: int
    logs_dropped: int
    evictions: dict[str, int]
    entries: int
    bytes: int
    max_bytes: int
    in_flight: int
    waiters: int
    destinations: dict[str, DestinationStatus]

    @property
    def hit_ratio(self) -> float:
        """Share of lookups answered from the cache; 0.0 before the first."""
        lookups = self.hits + self.misses
        return self.hits / lookups if lookups else 0.0


def counted(counters: Counters, extra_hits: int) -> dict[str, Any]:
    """The totals, as `Stats` names them."""
    return {
        "hits": counters.hits + extra_hits,
        "misses": counters.misses,
        "joins": counters.joins,
        "fetches": counters.fetches,
        "fetch_errors": dict(counters.fetch_errors),
        "fetch_seconds": counters.fetch_seconds.buckets(),
        "fetch_seconds_sum": counters.fetch_seconds.total,
        "fence_seconds": counters.fence_seconds.buckets(),
        "fence_seconds_sum": counters.fence_seconds.total,
        "found": dict(counters.found),
        "absent": dict(counters.absent),
        "models": {destination: dict(models) for destination, models in list(counters.models.items())},
        "refreshes": counters.refreshes,
        "refreshes_dropped": counters.refreshes_dropped,
        "events": counters.events,
        "changes": counters.changes,
        "beats": counters.beats,
        "feed_losses": dict(counters.feed_losses),
        "unreadable_models": counters.unreadable_models,
        "stale_served": counters.stale_served,
        "audits": counters.audits,
        "audits_skipped": counters.audits_skipped,
        "audit_violations": counters.audit_violations,
        "logs_dropped": counters.logs_dropped,
    }
