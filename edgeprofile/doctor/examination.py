"""The order of the checks: each deployment's nodes, then the data of its destinations, then the sidecar's tokens."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edgeprofile.doctor import cluster, feed, product, reach, rights, sample, server, sidecar
from edgeprofile.doctor.findings import Section, Verdict, failure, fine, has_failed, skipped
from edgeprofile.doctor.line import Line
from edgeprofile.engine import Engine
from edgeprofile.engine.upstream import same_server
from edgeprofile.errors import EdgeProfileError
from edgeprofile.store.endpoint import Endpoint
from edgeprofile.store.resp import ErrorReply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprofile.config import Config, Destination
    from edgeprofile.doctor.findings import Finding

__all__ = ["Plan", "examine"]

_NO_WAY = "not looked at: there is no way to it, as said above"


class Plan(NamedTuple):
    """What to look at: ``timeout`` is seconds for each step, ``audit`` how many profiles of each destination to audit."""

    timeout: float
    audit: int = 0


def examine(config: Config, plan: Plan) -> Iterator[Section]:
    """Look at everything that is configured; each section as it is known. Raises `ConfigurationError`."""
    servers: dict[object, list[Destination]] = {}
    for destination in config.destinations:
        servers.setdefault(same_server(destination.config), []).append(destination)
    for destinations in servers.values():
        yield from _Deployment(_only(config, destinations), plan).sections()
    if config.sidecar.tokens_file:
        yield Section("sidecar", tuple(sidecar.tokens(config)))


def _only(config: Config, destinations: list[Destination]) -> Config:
    """The configuration without other destinations, and without a sync to others."""
    sync = config.sync
    its_own = {each.id for each in destinations}
    if len(config.destinations) == 1:
        its_own.add("")  # the only one need not be named
    kept = sync if sync is not None and sync.destination in its_own else None
    return msgspec.structs.replace(config, destinations=tuple(destinations), sync=kept)


class _Deployment:
    """One server, or one cluster, and the destinations on it."""

    def __init__(self, config: Config, plan: Plan) -> None:
        self._config = config
        self._plan = plan
        self._redis = config.destinations[0].config
        self._targets = Engine(config).targets
        self._nodes: dict[str, list[Finding]] = {}

    def sections(self) -> Iterator[Section]:
        """The findings, node by node and destination by destination."""
        endpoints = [Endpoint.of(self._redis, seed) for seed in self._redis.seeds]
        whole: list[Finding] = []
        if self._redis.cluster_mode:
            whole, endpoints = cluster.primaries(endpoints, self._redis, self._plan.timeout)
            yield Section(f"cluster {self._redis.address}", tuple(whole))
        for endpoint in endpoints:
            self._nodes[endpoint.name] = self._node(endpoint)
        self._watch(whole)
        for name, findings in self._nodes.items():
            yield Section(f"{'node' if self._redis.cluster_mode else 'server'} {name}", tuple(findings))
        for destination in self._config.destinations:
            yield Section(f"destination {destination.id}", tuple(self._data(destination, endpoints)))

    @property
    def _is_open(self) -> bool:
        """Whether there is a way to every node, and each is what the configuration says."""
        ways = {"address", "TLS", "login", "mode"}
        return bool(self._nodes) and not any(
            has_failed(finding for finding in findings if finding.name in ways) for findings in self._nodes.values()
        )

    def _node(self, endpoint: Endpoint) -> list[Finding]:
        timeout = self._plan.timeout
        findings = reach.reach(endpoint, self._redis, timeout)
        if has_failed(findings):
            return findings
        try:
            with Line(endpoint, timeout) as line:
                findings += server.look(line, self._config.feed, cluster=self._redis.cluster_mode)
                findings += rights.rights(line, self._config, list(self._targets.values()))
        except EdgeProfileError as error:
            findings.append(failure("login", str(error)))
        return findings

    def _watch(self, whole: list[Finding]) -> None:
        """Let the product listen for a moment, where it can; ``whole`` is about the cluster."""
        if not self._is_open:
            return
        if any(map(_stands_in_the_way, chain(whole, *self._nodes.values()))):
            for findings in self._nodes.values():
                findings.append(skipped("feed", "not watched: what is said above has to be mended first"))
            return
        found = asyncio.run(feed.watch(self._config, self._plan.timeout))
        for name, findings in self._nodes.items():
            findings.extend(found.get(name) or [failure("feed", "the cluster's map does not lead to this node")])

    def _data(self, destination: Destination, endpoints: list[Endpoint]) -> Iterator[Finding]:
        if not self._is_open:
            yield skipped("sample", _NO_WAY)
            return
        with ExitStack() as stack:
            lines = [stack.enter_context(Line(endpoint, self._plan.timeout)) for endpoint in endpoints]
            try:
                taken = sample.take(lines, self._targets[destination.id], destination, self._plan.timeout)
                yield from taken.judge()
                if self._plan.audit:
                    yield self._audit(destination, lines)
            except EdgeProfileError as error:
                yield failure("sample", str(error), "see the rights above")

    def _audit(self, destination: Destination, lines: list[Line]) -> Finding:
        layout = self._targets[destination.id].layout
        deadline = time.monotonic() + self._plan.timeout
        keys: list[bytes] = []
        for line in lines:
            found = sample.keys_of(line, layout.pattern, self._plan.audit - len(keys), deadline)
            if isinstance(found, ErrorReply):
                return skipped("audit", "no profile can be found: SCAN is not permitted", "grant +scan")
            keys += found[0]
        if not keys:
            return fine("audit", "there is no profile to read")
        return product.audit(_only(self._config, [destination]), layout, keys, self._plan.timeout)


def _stands_in_the_way(finding: Finding) -> bool:
    """Of the feed: it would fail for this reason, or add flags to the server, which is not for the doctor to do."""
    return has_failed([finding]) or (finding.name == "notifications" and finding.verdict is Verdict.WARNING)
