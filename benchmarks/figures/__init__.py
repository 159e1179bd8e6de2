"""The figures, by the name that ``--only`` takes, in the order of the report."""

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.figures import (
    collector,
    feed,
    further,
    hit,
    library,
    miss,
    ratio,
    sidecar,
    staleness,
    start,
    subscribers,
    sync,
    tail,
    workloads,
)

Figure = tuple[str, Callable[[Bench], None]]

MAIN: dict[str, Figure] = {
    "hit": ("A hit in the process", hit.measure),
    "miss": ("A miss, synchronous", miss.synchronous),
    "feed": ("Change events taken in", feed.measure),
    "sidecar": ("A hot profile over HTTP", sidecar.hot),
    "staleness": ("Staleness seen under 1,000 writes a second", staleness.measure),
    "sync": ("Delivery from the warehouse", sync.delivery),
    "library": ("Ways to read a cached profile", library.measure),
}
FURTHER: dict[str, Figure] = {
    "bound": ("A hit through a bound lookup", further.bound),
    "many": ("Many hits in one call", further.many),
    "async": ("Misses of asynchronous callers", miss.asynchronous),
    "tail": ("Single hits among threads and events", tail.measure),
    "sizes": ("A hit of small and large profiles", workloads.sizes),
    "synced": ("Lookups during a full sync", workloads.synced),
    "collector": ("Pauses of the garbage collector", collector.measure),
    "growth": ("A hit among more and more entries", further.growth),
    "various": ("Many cached profiles over HTTP", sidecar.various),
    "missing": ("Profiles over HTTP, none of them cached", sidecar.missing),
    "wide": ("A hot profile over HTTP, more connections", sidecar.wide),
    "half": ("Latency over HTTP below saturation", sidecar.half),
    "sync-many": ("Many rows in the warehouse, few of them changed", sync.many_rows),
    "ratio": ("Hits among lookups", ratio.measure),
    "subscribers": ("What the feed costs Redis", subscribers.measure),
    "memory": ("Memory and warming", start.memory),
    "import": ("Importing", start.imports),
}
FIGURES = MAIN | FURTHER
