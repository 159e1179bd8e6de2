"""The Prometheus metrics: read from plain counters at the moment of a scrape, never touched by a request."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from edgeprofile_sidecar.counters import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from prometheus_client.core import Metric

    from edgeprofile import DestinationStatus, Stats
    from edgeprofile_sidecar.counters import Counters
    from edgeprofile_sidecar.followed import Followed
    from edgeprofile_sidecar.service import TokenSource

__all__ = ["Sources", "registry"]


class Sources(NamedTuple):
    """Where the figures come from; each is asked at every scrape."""

    stats: Callable[[], Stats]
    counters: Counters
    tokens: TokenSource
    files: Sequence[Followed[Any]]
    version: str


_TOTALS = {
    "lookup_joins": ("joins", "Lookups that waited for a fetch which was under way already"),
    "stale_served": ("stale_served", "Answers given past their promise, as staleIfError allows"),
    "store_fetches": ("fetches", "Profiles asked of Redis, refreshes included"),
    "refreshes": ("refreshes", "Changed profiles read again because they were in use"),
    "refreshes_dropped": ("refreshes_dropped", "Changed profiles in use that were dropped for want of room"),
    "feed_events": ("events", "Change events received"),
    "feed_changes": ("changes", "Change events that named a cached profile"),
    "feed_heartbeats": ("beats", "Heartbeats sent"),
    "fills_poisoned": ("poisoned", "Fetches that a change overtook, so that their replies were not kept"),
    "fills_refused": ("refused", "Replies that were not kept"),
    "audits": ("audits", "Hits that were read again from Redis and compared"),
    "audits_skipped": ("audits_skipped", "Hits that were to be audited and could not be"),
    "audit_violations": ("audit_violations", "Audited hits that were older than maxStaleness allows"),
    "log_records_dropped": ("logs_dropped", "Log records of the engine's that no handler had time for"),
    "models_unreadable": ("unreadable_models", "Models served as text because they are no JSON"),
}
_LABELLED_TOTALS = {
    "store_fetch_errors": ("fetch_errors", "error", "Fetches that failed"),
    "profiles_found": ("found", "destination", "Fetches that found a profile"),
    "profiles_absent": ("absent", "destination", "Fetches that found no profile"),
    "feed_losses": ("feed_losses", "reason", "Ends of the feed's continuity"),
    "cache_evictions": ("evictions", "reason", "Entries that left the cache"),
}
_GAUGES = {
    "cache_entries": ("entries", "Profiles in the cache, absent ones included"),
    "cache_bytes": ("bytes", "Memory that they use"),
    "cache_max_bytes": ("max_bytes", "Memory that they may use"),
    "store_fetches_in_flight": ("in_flight", "Fetches under way"),
    "lookup_waiters": ("waiters", "Callers that wait for a fetch"),
}


def registry(sources: Sources) -> CollectorRegistry:
    """A registry of the sidecar's metrics and those of its process."""
    made = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=made)
    made.register(_Collector(sources))
    return made


class _Collector(Collector):
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        stats = self._sources.stats()
        yield _counter("lookups", "Lookups by what they came to", "result", self._sources.counters.lookups)
        yield from _library(stats)
        yield from _destinations(stats.destinations.values())
        yield from _http(self._sources.counters)
        yield GaugeMetricFamily(
            "edgeprofile_tokens", "Tokens in force, expired ones included", value=len(self._sources.tokens.current)
        )
        yield from _files(self._sources.files)
        yield _info(self._sources.version)

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry asks at once, when there are no figures yet."""
        return ()


def _library(stats: Stats) -> Iterator[Metric]:
    yield GaugeMetricFamily("edgeprofile_hit_ratio", "Share of all lookups that were hits", value=stats.hit_ratio)
    for name, (field, text) in _TOTALS.items():
        yield CounterMetricFamily(f"edgeprofile_{name}", text, value=getattr(stats, field))
    for name, (field, label, text) in _LABELLED_TOTALS.items():
        yield _counter(name, text, label, getattr(stats, field))
    for name, (field, text) in _GAUGES.items():
        yield GaugeMetricFamily(f"edgeprofile_{name}", text, value=getattr(stats, field))
    yield _measured(
        "store_fetch_duration_seconds", "Time that Redis took for a fetch", stats.fetch_seconds, stats.fetch_seconds_sum
    )
    yield _measured(
        "feed_fence_lag_seconds",
        "Time from a heartbeat until all changes before it had been taken in",
        stats.fence_seconds,
        stats.fence_seconds_sum,
    )
    yield from _models(stats)


def _measured(name: str, text: str, buckets: Iterable[tuple[float, int]], total: float) -> Metric:
    family = HistogramMetricFamily(f"edgeprofile_{name}", text)
    bounds, counts = zip(*buckets, strict=True)
    family.add_metric([], _buckets(bounds, counts), total)
    return family


def _models(stats: Stats) -> Iterator[Metric]:
    """A sync that leaves out a model shows as one that more and more profiles lack."""
    labels = ["destination", "model"]
    found = CounterMetricFamily("edgeprofile_models_found", "Profiles that had the model", labels=labels)
    absent = CounterMetricFamily("edgeprofile_models_absent", "Profiles that had others, but not this", labels=labels)
    for destination, models in stats.models.items():
        profiles = stats.found.get(destination, 0)
        for model, count in models.items():
            found.add_metric([destination, model], count)
            absent.add_metric([destination, model], max(0, profiles - count))
    yield from (found, absent)


def _destinations(statuses: Iterable[DestinationStatus]) -> Iterator[Metric]:
    ready = GaugeMetricFamily("edgeprofile_destination_ready", "1: live, or declared unproven", labels=["destination"])
    state = GaugeMetricFamily("edgeprofile_feed_state", "1: the feed's state", labels=["destination", "state"])
    age = GaugeMetricFamily(
        "edgeprofile_feed_watermark_age_seconds", "Age of the latest proof of coherence", labels=["destination"]
    )
    for status in statuses:
        ready.add_metric([status.destination], float(status.ready))
        state.add_metric([status.destination, status.state], 1.0)
        if status.watermark_age is not None:
            age.add_metric([status.destination], status.watermark_age)
    yield from (ready, state, age)


def _http(counters: Counters) -> Iterator[Metric]:
    requests = CounterMetricFamily("edgeprofile_http_requests", "Requests", labels=["route", "method", "code"])
    for (route, method, status), count in counters.requests.items():
        requests.add_metric([route, method, str(status)], count)
    yield requests
    durations = HistogramMetricFamily(
        "edgeprofile_http_request_duration_seconds",
        "Time from a request's head to its answer",
        labels=["route", "method", "code"],
    )
    for (route, method, status), histogram in list(counters.durations.items()):
        buckets = _buckets((*BOUNDS, float("inf")), histogram.counts)
        durations.add_metric([route, method, str(status)], buckets, histogram.total)
    yield durations
    yield _counter("auth_failures", "Requests that were not let in", "reason", counters.denials)
    yield CounterMetricFamily("edgeprofile_http_malformed", "Requests that were no HTTP", value=counters.malformed)
    yield _counter("http_closed", "Connections that the sidecar ended", "reason", counters.closed)
    yield CounterMetricFamily(
        "edgeprofile_rate_limited",
        "Refused requests of callers with too many wrong tokens",
        value=counters.rate_limited,
    )
    yield GaugeMetricFamily("edgeprofile_http_requests_in_flight", "Requests under way", value=counters.in_flight)
    yield GaugeMetricFamily("edgeprofile_http_connections", "Connections open", value=counters.connections)
    yield GaugeMetricFamily("edgeprofile_http_streams", "Changes streams among them", value=counters.streams)
    yield GaugeMetricFamily(
        "edgeprofile_http_unread_bytes", "Memory of answers that are not read, or still made", value=counters.unread
    )
    yield CounterMetricFamily(
        "edgeprofile_http_no_room", "Large answers refused for want of that memory", value=counters.no_room
    )


def _files(files: Sequence[Followed[Any]]) -> Iterator[Metric]:
    good = GaugeMetricFamily(
        "edgeprofile_config_last_reload_successful", "1: the file was read, and is in force", labels=["file"]
    )
    loaded = GaugeMetricFamily(
        "edgeprofile_config_last_reload_success_timestamp_seconds", "When the file was last read", labels=["file"]
    )
    failures = CounterMetricFamily(
        "edgeprofile_config_reload_failures", "Files that could not be used", labels=["file"]
    )
    for file in files:
        good.add_metric([file.name], float(file.good))
        loaded.add_metric([file.name], file.loaded_at)
        failures.add_metric([file.name], file.failures)
    yield from (good, loaded, failures)


def _info(version: str) -> Metric:
    info = GaugeMetricFamily("edgeprofile_build_info", "1: this version", labels=["version"])
    info.add_metric([version], 1.0)
    return info


def _counter(name: str, text: str, label: str, values: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"edgeprofile_{name}", text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def _buckets(bounds: Iterable[float], counts: Iterable[int]) -> list[tuple[str, float]]:
    """Prometheus counts cumulatively, and writes the last bound as ``+Inf``."""
    written = map(floatToGoString, bounds)
    return list(zip(written, accumulate(counts), strict=True))
