"""A one-off audit: profiles that exist are read through a client, and every hit is read again from Redis."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from edgeprofile.client import Client
from edgeprofile.doctor.findings import counted, failure, fine, warning
from edgeprofile.errors import EdgeProfileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprofile.config import Config
    from edgeprofile.doctor.findings import Finding
    from edgeprofile.keys import Identity, Layout
    from edgeprofile.metrics import Stats

__all__ = ["audit", "verdict"]

_TOGETHER = 128
_POLL = 0.005


def audit(config: Config, layout: Layout, keys: Sequence[bytes], timeout: float) -> Finding:
    """Audit the profiles of these keys of the one destination that is configured."""
    identities = [found[0] for key in keys if (found := layout.identities(key))]
    cache = msgspec.structs.replace(config.cache, audit_fraction=1.0)
    with Client(msgspec.structs.replace(config, cache=cache)) as client:
        try:
            client.start(timeout)
            for start in range(0, len(identities), _TOGETHER):
                _read(client, identities[start : start + _TOGETHER], config.cache.max_staleness + timeout)
        except EdgeProfileError as error:
            return failure("audit", str(error), "see the checks above")
        return verdict(len(identities), client.stats())


def _read(client: Client, identities: Sequence[Identity], timeout: float) -> None:
    """Once to have them cached, once to hit them; then wait until the audits of the hits are concluded."""
    by_type: dict[tuple[str, str], list[str]] = defaultdict(list)
    for entity, id_type, value in identities:
        by_type[entity, id_type].append(value)
    for _ in range(2):
        before = client.stats()
        for (entity, id_type), values in by_type.items():
            client.get_many(entity, id_type, values, timeout=timeout)
    expected = client.stats().hits - before.hits
    deadline = time.monotonic() + timeout
    while _concluded(client.stats()) - _concluded(before) < expected and time.monotonic() < deadline:
        time.sleep(_POLL)


def _concluded(stats: Stats) -> int:
    return stats.audits + stats.audits_skipped


def verdict(profiles: int, stats: Stats) -> Finding:
    """What the counters say."""
    what = f"{counted(profiles, 'profile')} read, {counted(stats.audits, 'hit')} compared with Redis"
    if stats.audit_violations:
        return failure(
            "audit",
            f"{what}, {stats.audit_violations} were older than cache.maxStaleness allows",
            "see the feed, above; if it is well, report this as a defect",
        )
    if stats.audits_skipped:
        return warning("audit", f"{what}, {stats.audits_skipped} could not be", "see the checks above, and try again")
    if profiles and not stats.audits:
        return warning("audit", f"{what}: nothing stayed cached", "see the feed, above, and cache.maxProfileBytes")
    return fine("audit", f"{what}, none was older than cache.maxStaleness allows")
