"""What the status page shows, as data, and the page itself."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edgeprofile import DestinationStatus
from edgeprofile_sidecar.health import Readiness
from edgeprofile_sidecar.history import Point, quantile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from edgeprofile import Stats
    from edgeprofile_sidecar.followed import Followed
    from edgeprofile_sidecar.health import Health
    from edgeprofile_sidecar.history import History
    from edgeprofile_sidecar.metrics import Sources

__all__ = ["Page", "Status", "page", "status"]


class File(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A file that is followed: whether it is good, when it was last read (seconds since 1970), how often it was not."""

    name: str
    good: bool
    loaded_at: float
    failures: int


class Place(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A destination: where its coherence stands, and what was found in it."""

    status: DestinationStatus
    found: int
    absent: int
    models: dict[str, int]


class Status(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All that the page shows. Durations are seconds, sizes bytes; totals count from the start of the process."""

    version: str
    pid: int
    uptime: float
    readiness: Readiness
    bound: float
    fence_p99: float | None
    entries: int
    bytes: int
    max_bytes: int
    totals: dict[str, int]
    connections: int
    in_flight: int
    places: list[Place]
    files: list[File]
    points: list[Point]


class Page(NamedTuple):
    """The page, and the policy that lets nothing run in it but its own script and style."""

    html: bytes
    policy: str


def status(sources: Sources, health: Health, history: History, bound: float, uptime: float) -> Status:
    """Everything at this moment; ``bound`` is the promised staleness, both times in seconds."""
    stats = sources.stats()
    bounds, counts = zip(*stats.fence_seconds, strict=True)
    return Status(
        version=sources.version,
        pid=os.getpid(),
        uptime=uptime,
        readiness=health.readiness(),
        bound=bound,
        fence_p99=quantile(bounds[:-1], counts, 0.99),
        entries=stats.entries,
        bytes=stats.bytes,
        max_bytes=stats.max_bytes,
        totals=_totals(stats, sources),
        connections=sources.counters.connections,
        in_flight=sources.counters.in_flight,
        places=_places(stats),
        files=_files(sources.files),
        points=list(history.points),
    )


@cache
def page() -> Page:
    """The status page: one file, no assets of others."""
    html = files(__package__).joinpath("status.html").read_bytes()
    style, script = (_digest(html, tag) for tag in (b"style", b"script"))
    policy = f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; img-src data:"
    return Page(html, f"{policy}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


def _totals(stats: Stats, sources: Sources) -> dict[str, int]:
    return {
        "hits": stats.hits,
        "misses": stats.misses,
        "joins": stats.joins,
        "fetches": stats.fetches,
        "fetch errors": sum(stats.fetch_errors.values()),
        "events": stats.events,
        "changes": stats.changes,
        "refreshes": stats.refreshes,
        "fills poisoned": stats.poisoned,
        "feed losses": sum(stats.feed_losses.values()),
        "stale served": stats.stale_served,
        "evicted for room": stats.evictions["capacity"],
        "auth failures": sum(sources.counters.denials.values()),
        "audit violations": stats.audit_violations,
    }


def _places(stats: Stats) -> list[Place]:
    return [
        Place(
            status=each,
            found=stats.found.get(name, 0),
            absent=stats.absent.get(name, 0),
            models=stats.models.get(name, {}),
        )
        for name, each in stats.destinations.items()
    ]


def _files(followed: Sequence[Followed[Any]]) -> list[File]:
    return [File(name=each.name, good=each.good, loaded_at=each.loaded_at, failures=each.failures) for each in followed]


def _digest(html: bytes, tag: bytes) -> str:
    found = re.search(rb"<%b>(.*?)</%b>" % (tag, tag), html, re.DOTALL)
    assert found is not None  # noqa: S101 (the page is ours)
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[1]).digest()).decode()}'"
