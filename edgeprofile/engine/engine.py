"""The engine: what all threads and tasks of one client share, and how it is put together.

Decisions are made by `edgeprofile.core` under one lock, which is never held across I/O. Lookups do their own I/O; the
engine's thread only listens: feeds, heartbeats, and refreshes of what changed.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from edgeprofile.core.cache import ProfileCache
from edgeprofile.core.keeper import Policy, servable
from edgeprofile.engine.audit import Auditor
from edgeprofile.engine.batch import Batch, Fetch
from edgeprofile.engine.cluster import Cluster
from edgeprofile.engine.lifetime import ENGINES, PARENTS
from edgeprofile.engine.lookup import Answer, Lookups
from edgeprofile.engine.refresh import Refresher
from edgeprofile.engine.session import Session
from edgeprofile.engine.subscribers import Subscribers
from edgeprofile.engine.target import Target
from edgeprofile.engine.thread import LoopThread
from edgeprofile.engine.upstream import NodeMaker, Standalone, same_server
from edgeprofile.engine.writes import Writes
from edgeprofile.errors import (
    AmbiguousDestination,
    ClosedError,
    EdgeProfileError,
    RedisUnavailable,
    UnknownDestination,
)
from edgeprofile.metrics import Counters, DestinationStatus, Stats, counted
from edgeprofile.store.endpoint import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edgeprofile.config import Config, RedisConfig
    from edgeprofile.core.entries import Entry
    from edgeprofile.core.fills import Fill
    from edgeprofile.core.keeper import Identity
    from edgeprofile.core.pool import Tree
    from edgeprofile.engine.batch import Settle, Settled
    from edgeprofile.engine.node import Node
    from edgeprofile.engine.upstream import Upstream
    from edgeprofile.profile import Profile

__all__ = ["Engine"]


class Engine:
    """One per client. Construction does no I/O; the first lookup that misses starts the engine's thread."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.clock = time.monotonic
        self.closed = self._retired = False
        self._forked: list[Callable[[], None]] = []
        self._build()
        ENGINES.add(self)

    def _build(self) -> None:
        """Everything that a forked child has to make anew."""
        config = self.config
        self._renew_locks()
        self.counters = Counters()
        self.in_flight = self.waiters = 0
        self.cache = ProfileCache(
            config.cache.max_bytes,
            clock=self.clock,
            max_profile_bytes=config.cache.max_profile_bytes,
            keep_stale=config.cache.stale_if_error,
            policy=config.cache.policy,
        )
        ids = tuple(destination.id for destination in config.destinations)
        self.targets = {each.id: Target(each, self.counters, ids) for each in config.destinations}
        self._only = next(iter(self.targets.values())) if len(ids) == 1 else None
        self.upstreams = self._upstreams()
        self._upstream_of = {target.id: upstream for upstream in self.upstreams for target in upstream.targets}
        self.refresher = Refresher(self._fetch_again, config.limits.refresh_in_flight, self.counters)
        self.subscribers = Subscribers()
        self.lookups = Lookups(self)
        self.writes = Writes(self)
        self.auditor = Auditor(self) if config.cache.audit_fraction else None
        self._thread: LoopThread | None = None
        self._closing: threading.Event | None = None
        self._sessions: dict[Node, Session] = {}
        self._tasks: dict[Node, asyncio.Task[None]] = {}
        self._pid = os.getpid()

    def _renew_locks(self) -> None:
        self.lock = threading.Lock()
        self._starting = threading.Lock()
        self._news = threading.Condition()

    def _upstreams(self) -> list[Upstream]:
        """The deployments: destinations on the same server share its connections."""
        cache = self.config.cache
        policy = Policy(cache.ttl, cache.negative_ttl, cache.max_staleness)
        servers: dict[Any, list[Target]] = {}
        for target in self.targets.values():
            servers.setdefault(same_server(target.config), []).append(target)
        return [self._upstream(server, targets, policy) for server, targets in servers.items()]

    def _upstream(self, server: RedisConfig, targets: list[Target], policy: Policy) -> Upstream:
        make = NodeMaker(server, self.cache, policy, self.config.limits)
        return Cluster(server, targets, make, self.lock) if server.cluster_mode else Standalone(server, targets, make)

    def target(self, destination: str | None) -> Target:
        """The destination of that id, or the only one. Raises `UnknownDestination` or `AmbiguousDestination`."""
        if destination is None:
            if self._only is None:
                raise AmbiguousDestination(tuple(self.targets))
            return self._only
        try:
            return self.targets[destination]
        except (KeyError, TypeError):
            raise UnknownDestination(destination, tuple(self.targets)) from None

    def default_tree(self) -> Tree:
        """The entries of the destination that need not be named; none where there are several."""
        return self.cache.tree(self._only.id) if self._only is not None else {}

    def pinned(self, destination: str, entity: str, id_type: str) -> dict[str, Entry]:
        """The entries of one id type, a dict that stays the same one."""
        with self.lock:
            return self.cache.space(destination, entity, id_type, pin=True).entries

    def trees(self) -> dict[str, Tree]:
        """The entries of every destination, by its id."""
        return {destination: self.cache.tree(destination) for destination in self.targets}

    def node(self, identity: Identity) -> Node:
        """The node that answers for a profile."""
        return self._upstream_of[identity.destination].node(identity.keys[0])

    def upstream(self, identity: Identity) -> Upstream:
        """The deployment that has a profile."""
        return self._upstream_of[identity.destination]

    @property
    def nodes(self) -> list[Node]:
        """Every node of every deployment."""
        return [node for upstream in self.upstreams for node in upstream.nodes]

    def start(self) -> None:
        """Start the engine's thread and its feed sessions, once. Raises `ClosedError` after `close`."""
        if (self._thread is not None or self._retired) and not self.closed:
            return
        with self._starting:
            if self.closed:
                raise ClosedError("this client is closed: make a new one")
            if self._thread is None:
                thread = LoopThread("edgeprofile-engine")
                thread.start()
                self._thread = thread
                thread.spawn(self._sweep(), "edgeprofile-sweep")
                if self.auditor is not None:
                    thread.spawn(self.auditor.run(), "edgeprofile-auditor")
                for upstream in self.upstreams:
                    thread.spawn(upstream.follow(self), "edgeprofile-follow")

    def close(self) -> None:
        """Revoke everything, end every connection, join the thread. Harmless when done already."""
        with self._starting:
            self.closed = True
            thread, self._thread = self._thread, None
        self.tell()
        self.subscribers.close()
        if self._pid != os.getpid():
            return
        with self.lock:
            for node in self.nodes:
                node.keeper.lost()
            self.cache.clear()
        if thread is not None:
            thread.stop()
        for node in self.nodes:
            node.close()

    def abandon(self) -> None:
        """As `close`, for the garbage collector: it may run on a thread that holds any lock, so another has to wait."""
        thread = self._thread
        if thread is not None:
            closer = threading.Thread(target=self._close_aside, name="edgeprofile-closer", daemon=True)
            with suppress(RuntimeError):  # the loop is closed already
                self._closing = threading.Event()
                thread.call(closer.start)

    def retire(self) -> None:
        """The interpreter is about to exit: end the thread, and let daemon threads that still look things up be."""
        self._retired = True
        if self._closing is not None:
            self._closing.wait(_LAST_WORDS)
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None and self._pid == os.getpid():
            thread.stop()

    def _close_aside(self) -> None:
        self.close()
        if self._closing is not None:
            self._closing.set()

    @property
    def running(self) -> bool:
        """Whether there is anything to close."""
        return self._thread is not None and self._pid == os.getpid()

    def wait_ready(self, timeout: float) -> None:
        """Until every session is ready. Raises what stands in the way, at once if only the operator can mend it."""
        with self._news:
            self._news.wait_for(self._decided, timeout)
        if self.closed:
            raise ClosedError("this client was closed while it was starting")
        for upstream in self.upstreams:
            sessions = self._sessions_of(upstream)
            late = RedisUnavailable(f"not ready after {timeout:g} s: {self._reason(upstream, sessions)}")
            if not sessions:
                raise upstream.trouble or late
            for session in sessions:
                if not session.ready:
                    raise session.error or late

    def _decided(self) -> bool:
        everything = [self._sessions_of(upstream) for upstream in self.upstreams]
        if self.closed:
            return True
        ready = all(sessions and all(session.ready for session in sessions) for sessions in everything)
        return (
            ready
            or any(session.hopeless for sessions in everything for session in sessions)
            or any(upstream.hopeless for upstream in self.upstreams if not self._sessions_of(upstream))
        )

    def _sessions_of(self, upstream: Upstream) -> list[Session]:
        return [self._sessions[node] for node in upstream.nodes if node in self._sessions]

    @staticmethod
    def _reason(upstream: Upstream, sessions: list[Session]) -> str:
        worst = min(sessions, key=lambda session: session.rank, default=None)
        return worst.reason if worst is not None else str(upstream.trouble or "no lookup has been made yet")

    @staticmethod
    async def aside(call: Callable[[], None]) -> None:
        """Call what waits on another thread, so that the loop goes on."""
        await asyncio.to_thread(call)

    def on_fork(self, call: Callable[[], None]) -> None:
        """Have a function called in forked children, once this engine is whole there."""
        self._forked.append(call)

    def after_fork(self) -> None:
        """In a forked child: nothing of the parent's may be used, and nothing of it may be disturbed.

        Its threads may have held any lock, and may have been in the middle of any change.
        """
        self._renew_locks()
        for node in self.nodes:
            node.keeper.authority.lease.revoke()
            node.sever()
        for session in self._sessions.values():
            session.sever()
        PARENTS.append((self._thread, self.upstreams, self._sessions))
        self.cache.forsake()
        if not self.closed:
            self._build()
            for call in self._forked:
                call()

    def fetch(self, fill: Fill, settle: Settle | None = None) -> Fetch:
        """A fill as questions to the node where it was begun; ``settle`` instead of this engine's own."""
        reading = self.targets[fill.identity.destination].reading
        return Fetch(fill, reading, fill.where, settle or self.settle)

    def batches(self, fills: Iterable[Fill], most: int = sys.maxsize) -> list[Batch]:
        """Fills as questions that are answered together, at most so many: by default all of one node."""
        by_node: dict[Node, list[Fetch]] = {}
        for fill in fills:
            by_node.setdefault(fill.where, []).append(self.fetch(fill))
        starts = [(node, all_, start) for node, all_ in by_node.items() for start in range(0, len(all_), most)]
        return [Batch(node, all_[start : start + most], self.settle) for node, all_, start in starts]

    def peek(self, identity: Identity) -> Answer | None:
        """What is cached and fresh; never any I/O."""
        with self.lock:
            entry = self.cache.find(*identity[:4])
            if entry is None or not servable(entry, self.clock()):
                return None
            entry.used = True
            self.counters.hits += 1
            return Answer(entry.raw, entry.sent, entry)

    def view(self, entry: Entry, raw: bytes) -> Profile:
        """The decoded profile of an entry; it is decoded outside the lock and kept for the next caller."""
        data = entry.data
        if data is not None and not isinstance(data, bytes):
            return data
        profile = self.cache.decode(entry, raw)
        with self.lock:
            return self.cache.adopt(entry, profile)

    def stale(self, identity: Identity) -> Answer | None:
        """What may be served of a profile while Redis is unreachable, past the promise, as ``staleIfError`` allows."""
        allowed = self.config.cache.stale_if_error
        if not allowed:
            return None
        with self.lock:
            entry = self.cache.find(*identity[:4])
            if entry is None or self.clock() >= (ended := min(entry.expires, entry.lease.ended)) + allowed:
                return None
            self.counters.stale_served += 1
            return Answer(entry.raw, entry.sent, entry, ended)

    def status(self) -> dict[str, DestinationStatus]:
        """Where each destination's coherence stands."""
        return {
            target.id: self._status(upstream, target.id) for upstream in self.upstreams for target in upstream.targets
        }

    def stats(self, extra_hits: int) -> Stats:
        """A picture of this moment; ``extra_hits`` are those that the hit path counted itself."""
        destinations = self.status()
        with self.lock:
            keepers = [node.keeper for node in self.nodes]
            return Stats(
                **counted(self.counters, extra_hits),
                poisoned=sum(keeper.poisoned for keeper in keepers),
                refused=sum(keeper.refused for keeper in keepers),
                evictions=msgspec.structs.asdict(self.cache.evictions),
                entries=self.cache.count,
                bytes=self.cache.size,
                max_bytes=int(self.cache.maxsize),
                in_flight=self.in_flight,
                waiters=self.waiters,
                destinations=destinations,
            )

    def _status(self, upstream: Upstream, destination: str) -> DestinationStatus:
        sessions = self._sessions_of(upstream)
        reason = self._reason(upstream, sessions)
        if not sessions:
            state = "closed" if self.closed else "disconnected" if upstream.trouble else "starting"
            return DestinationStatus(destination=destination, state=state, reason=reason, nodes=0)
        worst = min(sessions, key=lambda session: session.rank)
        age = self.clock() - min(session.watermark for session in sessions)
        return DestinationStatus(
            destination=destination,
            state=worst.state,
            reason=reason,
            ready=worst.ready,
            nodes=len(sessions),
            watermark_age=age if age != float("inf") else None,
        )

    def open(self, upstream: Upstream, node: Node) -> None:
        """Part of `Sessions`: listen to a node."""
        told = (self.refresher.want, self.tell, self.subscribers)
        session = Session(node, upstream.targets, self.config, self.lock, self.counters, *told)
        task = asyncio.get_running_loop().create_task(session.run(), name=f"edgeprofile-feed {node.name}")
        self._sessions[node] = session
        self._tasks[node] = task

    def shut(self, node: Node) -> None:
        """Part of `Sessions`: a node has gone."""
        with self.lock:
            node.keeper.lost()
        self._sessions.pop(node, None)
        self._tasks.pop(node).cancel()
        node.close()

    def send(self, batches: list[Batch]) -> None:
        """Carry batches of several nodes out at the same time, on the engine's loop."""
        thread = self._thread
        with suppress(RuntimeError):  # the loop is closed
            if thread is not None:
                thread.call(lambda: self._stream(batches))
                return
        for batch in batches:
            batch.fail(ClosedError("the client was closed"))

    def _stream(self, batches: list[Batch]) -> None:
        for batch in batches:
            wire = batch.node.stream()
            if wire is not None:
                batch.stream(wire)
            else:
                batch.fail(ConnectionLost(f"{batch.node.name} is not connected yet", node=batch.node.name))

    def tell(self) -> None:
        """Part of `Sessions`."""
        with self._news:
            self._news.notify_all()

    async def _sweep(self) -> None:
        """Now and then, a bounded part at a time, free what has expired."""
        while True:
            await asyncio.sleep(_SWEEP_EVERY)
            for node in self.nodes:
                node.reap(self.clock())
            with self.lock:
                self.cache.sweep(self.clock(), _SWEEP_BUDGET)

    def settle(self, node: Node, settled: Settled) -> None:
        """Fetches ended: keep what may be kept, and wake whoever waits. The first end of a fetch counts."""
        ended = []
        refreshed = []
        with self.lock:
            now = self.clock()
            for fill, result in settled:
                if fill.outcome is None:
                    fill.outcome = self._outcome(node, fill, result, now)
                    self.in_flight -= 1
                    ended.append(fill)
        for fill in ended:
            for wake in fill.waiters:
                try:
                    wake()
                except RuntimeError:  # the event loop of this one is closed; the others still wait
                    continue
            if fill.refresh:
                refreshed.append(fill.identity)
        if refreshed:
            self._on_loop(lambda: self.refresher.ended(refreshed))

    def _on_loop(self, call: Callable[[], None]) -> None:
        """Call on the engine's loop: now if this is its thread, else soon; never once the client is closed."""
        thread = self._thread
        if thread is not None and thread.inside:
            call()
        elif thread is not None:
            with suppress(RuntimeError):  # the loop is closed
                thread.call(call)

    def contribute(self, node: Node, settled: Settled) -> None:
        """Fetches that somebody else carries, too, ended here; what went wrong here is no end of theirs."""
        self.settle(node, [(fill, result) for fill, result in settled if not isinstance(result, EdgeProfileError)])

    def _outcome(self, node: Node, fill: Fill, result: Any, now: float) -> Answer | EdgeProfileError:
        counters = self.counters
        counters.fetches += 1
        counters.fetch_seconds.observe(now - fill.sent)
        if isinstance(result, EdgeProfileError):
            node.judge(result, now, now - fill.sent, overdue=fill.overdue)
            counters.fetch_errors[type(result).__name__] += 1
            node.keeper.fail(fill)
            return result
        node.answered(fill)
        if result.raw is None:
            counters.absent[fill.identity.destination] += 1
        return Answer(result.raw, fill.sent, node.keeper.store(fill, result, now, random.random()))  # noqa: S311 (jitter)

    def _fetch_again(self, identities: list[Identity]) -> list[Identity]:
        """Begin refreshes, on the engine's loop; those that began."""
        fills = self.begin(identities, refresh=True)
        self._stream(self.batches(fills))
        return [fill.identity for fill in fills]

    def begin(self, identities: Iterable[Identity], *, refresh: bool) -> list[Fill]:
        """Register fetches that nobody waits for, of what is neither cached nor being read, to be sent next."""
        with self.lock:
            fills = [fill for identity in identities if (fill := self._begin(identity, refresh=refresh)) is not None]
            self.in_flight += len(fills)
        return fills

    def _begin(self, identity: Identity, *, refresh: bool) -> Fill | None:
        """A fetch, unless somebody reads the profile already, or nobody knows where it is."""
        try:
            node = self.node(identity)
        except RedisUnavailable:
            return None
        now = self.clock()
        if node.keeper.join(identity, now) is not None or node.keeper.find(identity, now) is not None:
            return None
        fill = node.keeper.begin(identity, now, refresh=refresh)
        fill.where = node
        return fill


_LAST_WORDS: Final = 5.0
"""Seconds that the interpreter's exit waits for a client that is being closed."""
_SWEEP_EVERY: Final = 0.5
_SWEEP_BUDGET: Final = 2048
