"""The figures, by the name that ``--only`` takes, in the order of the report."""

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.figures import feed, hit, miss, sidecar, staleness

FIGURES: dict[str, tuple[str, Callable[[Bench], None]]] = {
    "hit": ("A hit in the process", hit.measure),
    "miss": ("A miss, synchronous", miss.measure),
    "feed": ("Change events taken in", feed.measure),
    "sidecar": ("A hot profile over HTTP", sidecar.measure),
    "staleness": ("Staleness seen under 1,000 writes a second", staleness.measure),
}
