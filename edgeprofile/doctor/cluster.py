"""A cluster as a whole: which seeds answer, and which primaries have its slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeprofile.core.slots import SLOTS, SlotMap
from edgeprofile.doctor import reach
from edgeprofile.doctor.findings import Verdict, failure, fine, has_failed, warning
from edgeprofile.doctor.line import Line
from edgeprofile.errors import EdgeProfileError
from edgeprofile.store.refusals import refusal
from edgeprofile.store.resp import ErrorReply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprofile.config import RedisConfig
    from edgeprofile.doctor.findings import Finding
    from edgeprofile.store.endpoint import Endpoint

__all__ = ["primaries"]


def primaries(seeds: Sequence[Endpoint], config: RedisConfig, timeout: float) -> tuple[list[Finding], list[Endpoint]]:
    """What is wrong with the cluster, and where its primaries are; no primaries where that cannot be known."""
    tried = {seed: reach.reach(seed, config, timeout) for seed in seeds}
    good = [seed for seed, findings in tried.items() if not has_failed(findings)]
    if not good:
        return [finding for findings in tried.values() for finding in findings], []
    findings = [_seeds(tried, good)]
    slots, endpoints = _slots(good[0], timeout)
    return [*findings, slots], endpoints


def _seeds(tried: dict[Endpoint, list[Finding]], good: list[Endpoint]) -> Finding:
    what = f"{len(good)} of {len(tried)} answer"
    if len(good) == len(tried):
        return fine("seeds", what)
    failed = (finding.what for findings in tried.values() for finding in findings if finding.verdict is Verdict.FAILURE)
    return warning("seeds", f"{what}: {'; '.join(failed)}", "take dead seeds out of destinations.config.address")


def _slots(seed: Endpoint, timeout: float) -> tuple[Finding, list[Endpoint]]:
    try:
        with Line(seed, timeout) as line:
            return _owners(line.ask("CLUSTER", "SLOTS"), seed)
    except EdgeProfileError as error:
        return failure("slots", str(error)), []


def _owners(reply: Any, seed: Endpoint) -> tuple[Finding, list[Endpoint]]:
    if isinstance(reply, ErrorReply) and "cluster support disabled" in reply.text:
        return failure("mode", f"{seed.name} is a single server", "set clusterMode = false (true is the default)"), []
    if isinstance(reply, ErrorReply):
        error = refusal(reply, seed.name, doing="CLUSTER SLOTS")
        return failure("slots", str(error), getattr(error, "grant", None) or ""), []
    assert isinstance(seed.address, tuple)  # noqa: S101 (nodes of a cluster have host and port)
    found = SlotMap.parse(reply, seed.address)
    endpoints = [seed.at(address) for address in found.addresses]
    missing = found.owners.count(None)
    if missing:
        what = f"{missing} of {SLOTS} slots have no owner: their profiles cannot be read"
        return failure("slots", what, "redis-cli --cluster check, then --cluster fix"), endpoints
    return fine("slots", f"all {SLOTS}, on {len(endpoints)} primaries"), endpoints
