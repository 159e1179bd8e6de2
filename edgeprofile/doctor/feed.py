"""The feed, alive: the product's own sessions run for a moment, with a quick heartbeat, and are watched."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from statistics import median
from typing import TYPE_CHECKING, Final

import msgspec

from edgeprofile.config import CacheConfig
from edgeprofile.doctor.findings import failure, fine, skipped, warning
from edgeprofile.engine import Engine
from edgeprofile.engine.session import Session
from edgeprofile.metrics import Counters, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edgeprofile.config import Config
    from edgeprofile.doctor.findings import Finding
    from edgeprofile.engine.node import Node
    from edgeprofile.engine.upstream import Upstream

__all__ = ["fence", "state", "watch"]

_PROOFS: Final = 10
"""Heartbeats that are measured for each node."""
_LONGEST: Final = 3.0
"""Seconds that are spent on it once every session is ready."""
_QUICK: Final = {False: 0.02, True: 0.1}
"""Seconds between two heartbeats while the doctor watches; in a cluster, each confirms a node's slots."""
_DECIDED: Final = frozenset({"late", "notifications off"})
"""States beside the ready ones that say enough."""


class _Hurried(CacheConfig, frozen=True, kw_only=True):
    """As configured, but for heartbeats that come quickly."""

    interval: float

    @property
    def heartbeat_interval(self) -> float:
        """Seconds between two heartbeats."""
        return self.interval


class _Durations(Histogram):
    """Every duration, in seconds, as it comes."""

    def __init__(self, told: Callable[[], None]) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._told = told

    def observe(self, seconds: float) -> None:
        """Keep one."""
        self.seconds.append(seconds)
        self._told()


class _Bed:
    """One node under observation."""

    def __init__(self, session: Session, durations: _Durations, task: asyncio.Task[None]) -> None:
        self.session = session
        self.durations = durations
        self.task = task

    @property
    def is_decided(self) -> bool:
        """Whether it works, or never will as things are."""
        session = self.session
        return session.ready or session.state in _DECIDED or (session.hopeless and session.state != "starting")

    @property
    def is_measured(self) -> bool:
        """Whether enough heartbeats were proved, or none will be."""
        beats = self.session.ready or self.session.state == "late"
        return not beats or len(self.durations.seconds) >= _PROOFS


class _Ward:
    """Runs a session for each node of a deployment: what the engine would do, with counters for each."""

    def __init__(self, engine: Engine) -> None:
        self.beds: dict[Node, _Bed] = {}
        self._engine = engine
        self._news = asyncio.Event()

    def open(self, upstream: Upstream, node: Node) -> None:
        """Part of `Sessions`."""
        counters = Counters()
        counters.fence_seconds = durations = _Durations(self._news.set)
        engine = self._engine
        session = Session(
            node, upstream.targets, engine.config, engine.lock, counters, lambda _changed: None, self._news.set
        )
        task = asyncio.get_running_loop().create_task(session.run(), name=f"edgeprofile-doctor {node.name}")
        self.beds[node] = _Bed(session, durations, task)

    def shut(self, node: Node) -> None:
        """Part of `Sessions`."""
        self.beds.pop(node).task.cancel()

    def tell(self) -> None:
        """Part of `Sessions`."""
        self._news.set()

    async def until(self, condition: Callable[[_Bed], bool], timeout: float) -> None:
        """Until it holds for every node, or ``timeout`` seconds have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not (self.beds and all(condition(bed) for bed in self.beds.values())):
                    self._news.clear()
                    await self._news.wait()

    async def end(self) -> None:
        """Cancel the sessions and wait for their ends."""
        tasks = [bed.task for bed in self.beds.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def watch(config: Config, timeout: float) -> dict[str, list[Finding]]:
    """Watch the deployment of a configuration's destinations; what was found, by the node's address."""
    interval = min(_QUICK[config.destinations[0].config.cluster_mode], config.cache.heartbeat_interval)
    cache = _Hurried(**msgspec.structs.asdict(config.cache), interval=interval)
    engine = Engine(msgspec.structs.replace(config, cache=cache))
    (upstream,) = engine.upstreams
    ward = _Ward(engine)
    follow = asyncio.get_running_loop().create_task(upstream.follow(ward), name="edgeprofile-doctor-follow")
    begun = time.monotonic()
    try:
        await ward.until(lambda bed: bed.is_decided, timeout)
        await ward.until(lambda bed: bed.is_measured, min(timeout, _LONGEST))
        took = time.monotonic() - begun
        return {node.name: _found(bed, config, took) for node, bed in ward.beds.items()}
    finally:
        follow.cancel()
        await asyncio.gather(follow, return_exceptions=True)
        await ward.end()
        for node in upstream.nodes:
            node.close()


def _found(bed: _Bed, config: Config, took: float) -> list[Finding]:
    findings = [state(bed.session.state, bed.session.reason, config)]
    if bed.session.ready or bed.durations.seconds:
        findings.append(fence(bed.durations.seconds, config.cache.max_staleness, took))
    return findings


def state(name: str, reason: str, config: Config) -> Finding:
    """What the state of a session means."""
    if name == "live":
        return fine("feed", _LIVE[config.feed.mode, config.feed.heartbeat])
    if name == "late":
        return warning("feed", reason, "see the fence, below")
    if name == "unproven":
        return warning("feed", f"unproven: {reason}", "mend what is said here and above, or accept the weaker promise")
    if name == "notifications off":
        return failure("feed", reason, _SWITCH_ON)
    return failure("feed", f"{name}: {reason}", "see the checks above")


def fence(seconds: Iterable[float], max_staleness: float, took: float) -> Finding:
    """How long heartbeats take, from being sent until they are proved, beside the time that they have."""
    proofs = sorted(seconds)
    room = max_staleness / 4
    if not proofs:
        return skipped("fence", f"no heartbeat was proved within {took:.1f} s")
    what = (
        f"a heartbeat is proved within {median(proofs) * 1000:.1f} ms (median), {proofs[-1] * 1000:.1f} ms (longest "
        f"of {len(proofs)}); one is due every {room * 1000:g} ms"
    )
    if median(proofs) >= max_staleness:
        return failure("fence", what, f"raise cache.maxStaleness above {median(proofs) * 5:.1g} s: nothing is ever hit")
    if proofs[-1] > room:
        return warning("fence", what, "raise cache.maxStaleness, or bring Redis nearer: hits pause when one is late")
    return fine("fence", what)


_LIVE: Final = {
    ("keyspace", "canary"): "a heartbeat was written, and its event came back",
    ("keyspace", "ping"): "subscribed; PINGs prove it, a flush is noticed within feed.verifyInterval",
    ("tracking", "canary"): "a heartbeat was written, and its invalidation came back",
    ("tracking", "ping"): "tracked; PINGs prove it, a flush is told by the server",
}
_SWITCH_ON: Final = (
    "CONFIG SET notify-keyspace-events KA (and the same in the server's configuration file), "
    'or set feed.mode = "tracking", which needs no flags'
)
