"""One Redis node at run time: what is kept of it, and the connections that lead there."""

from __future__ import annotations

import asyncio
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from edgeprofile.core.breaker import Breaker, State
from edgeprofile.errors import CircuitOpen, LookupTimeout, RedisUnavailable
from edgeprofile.store.blocking import BlockingWire
from edgeprofile.store.endpoint import ConnectionLost, sever
from edgeprofile.store.streaming import AsyncWire
from edgeprofile.store.witness import Witness

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from edgeprofile.config import LimitsConfig
    from edgeprofile.core.fills import Fill
    from edgeprofile.core.keeper import Keeper
    from edgeprofile.engine.ownership import Ownership
    from edgeprofile.errors import EdgeProfileError
    from edgeprofile.store.endpoint import Endpoint

__all__ = ["Node"]

_FAIR_SHARE: Final = 0.5
"""Of limits.timeout: who began anew elsewhere, or got a turn late, has less than all of it."""
_LEFT_AFTER: Final = 60.0
"""Seconds without a run and with nothing under way after which a loop counts as left for good, be it closed or not."""


class Node:
    """A node: its keeper, one connection for all threads, and one for each event loop that asks.

    ``ownership`` is what it owns of a cluster; a single server owns everything. ``lookout`` is called once, when the next
    fetch has been answered; it is set under the engine's lock.
    """

    def __init__(self, endpoint: Endpoint, keeper: Keeper, limits: LimitsConfig) -> None:
        self.endpoint = endpoint
        self.name = endpoint.name
        self.keeper = keeper
        self.breaker = Breaker()
        self.ownership: Ownership | None = None
        self.lookout: Callable[[], object] | None = None
        self._limits = limits
        self.witness = Witness()
        self.blocking = BlockingWire(
            endpoint,
            self.witness,
            max_reply_bytes=limits.max_reply_bytes,
            connect_timeout=limits.connect_timeout,
            stall=limits.timeout,
        )
        self._streams: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncWire] = weakref.WeakKeyDictionary()
        self._latest: AsyncWire | None = None
        self._guards: dict[int, AsyncGenerator[None]] = {}
        self._rests: weakref.WeakKeyDictionary[AsyncWire, tuple[float | None, float]] = weakref.WeakKeyDictionary()
        self._closed = False
        self._lock = threading.Lock()

    def answered(self, fill: Fill) -> None:
        """A fetch was answered; under the engine's lock. It wakes who looks out for that along with those who wait."""
        self.breaker.succeeded()
        if self.lookout is not None:
            fill.waiters.append(self.lookout)
            self.lookout = None

    def judge(self, error: EdgeProfileError, now: float, waited: float, *, overdue: bool = False) -> None:
        """Tell the circuit breaker, under the engine's lock, of a question that failed after so many seconds.

        A caller in a hurry, or a connection that ended, says nothing about the server. One that ended without a word of
        the server's does, once for all who shared it. What was ``overdue`` has been counted.
        """
        breaker = self.breaker
        if overdue and isinstance(error, RedisUnavailable):
            return
        if isinstance(error, ConnectionLost):
            silent = error.heard or error is breaker.cause
        else:
            silent = isinstance(error, LookupTimeout) and not self._is_fair(waited)
        if silent:
            breaker.unsettled(now)
        elif isinstance(error, RedisUnavailable):
            breaker.failed(now, error)
        else:
            breaker.succeeded()

    def overdue(self, error: LookupTimeout, now: float, waited: float) -> bool:
        """As `judge`, of a question that is still under way. Whether it counted."""
        fair = self._is_fair(waited)
        if fair:
            self.breaker.failed(now, error)
        return fair

    def despairs(self, fill: Fill) -> bool:
        """Whether waiting for a fetch, too, is as good as waiting in vain: it is overdue, as everything else is."""
        return fill.overdue and self.breaker.state is not State.CLOSED

    def _is_fair(self, waited: float) -> bool:
        return waited >= _FAIR_SHARE * self._limits.timeout

    def refused(self, now: float) -> CircuitOpen:
        """What is said while the circuit is open."""
        since, cause = now - (self.breaker.since or now), self.breaker.cause
        message = f"{self.name} has not answered for {since:.1f} s; it is tried again soon ({cause})"
        refused = CircuitOpen(message, node=self.name, since=since)
        refused.__cause__ = cause
        return refused

    def stream(self) -> AsyncWire | None:
        """The connection of the running loop, if it has one already."""
        loop, latest = asyncio.get_running_loop(), self._latest
        if latest is None or latest.loop is not loop or latest.closed:
            self._latest = latest = self._streams.get(loop)
        return latest

    async def attach(self, stall: float | None = None) -> AsyncWire:
        """The connection of the running loop; it ends with the loop. Of a node that was closed: one that is closed."""
        loop = asyncio.get_running_loop()
        wire = self._streams.get(loop)
        if wire is not None:
            return wire
        wire = self.spare(stall)
        with self._lock:
            if not self._closed:
                self._streams[loop] = wire
        if self._closed:
            wire.close()
        else:
            await self._tie(wire, id(loop))
        return wire

    def spare(self, stall: float | None = None) -> AsyncWire:
        """A connection of the running loop that nobody else uses; to be closed by who asked for it."""
        return AsyncWire(
            self.endpoint,
            self.witness,
            max_reply_bytes=self._limits.max_reply_bytes,
            connect_timeout=self._limits.connect_timeout,
            stall=stall or self._limits.timeout,
        )

    async def renew(self, stall: float) -> AsyncWire:
        """As `attach`, but for a connection that was made from now on: addresses move, and old connections do not."""
        with self._lock:
            old = self._streams.pop(asyncio.get_running_loop(), None)
            self._latest = None
        if old is not None:
            old.close()
        return await self.attach(stall)

    @property
    def closed(self) -> bool:
        """Whether nothing can be asked of it any more."""
        return self._closed

    def close(self) -> None:
        """End every connection, those of other loops on their own threads; no other is ever made."""
        self._closed = True
        self.blocking.close()
        with self._lock:
            streams = list(self._streams.items())
            self._streams.clear()
            self._latest = None
        for loop, wire in streams:
            if not loop.is_closed():
                loop.call_soon_threadsafe(wire.close)

    def reap(self, now: float) -> None:
        """Let go of the connections of loops that were closed, however that was done; what they were asked has failed.

        And of loops that were left: theirs end with the loop, which nothing holds any more here, or when it runs again.
        """
        with self._lock:
            gone = [(loop, wire) for loop, wire in self._streams.items() if loop.is_closed()]
            left = [loop for loop, wire in self._streams.items() if self._is_left(loop, wire, now)]
            guards = [(loop, self._forget(loop)) for loop in left]
            for loop, _ in gone:
                self._forget(loop)
        for _, wire in gone:
            wire.abandon()
        for loop, guard in guards:
            with suppress(RuntimeError):  # it is closed
                loop.call_soon_threadsafe(_end, guard)

    def _forget(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None] | None:
        """Hold nothing of a loop's any more; what guards its connection comes back."""
        self._latest = None
        del self._streams[loop]
        return self._guards.pop(id(loop), None)

    def _is_left(self, loop: asyncio.AbstractEventLoop, wire: AsyncWire, now: float) -> bool:
        """Whether the loop stands, and nothing has been asked on it, for long."""
        rests = None if loop.is_closed() or loop.is_running() else wire.rests
        before, since = self._rests.get(wire, (None, now))
        if rests is None or rests != before:
            self._rests[wire] = rests, now
            return False
        return now - since >= _LEFT_AFTER

    def sever(self) -> None:
        """In a forked child: let go of the parent's sockets without a word to the servers or the parent's loop."""
        sever([self.blocking.fileno(), *(wire.fileno() for wire in self._streams.values())])

    async def _tie(self, wire: AsyncWire, key: int) -> None:
        """Have the loop close the wire when it shuts its asynchronous generators down, as `asyncio.run` does."""
        guard = _closing(wire)
        await anext(guard)
        self._guards[key] = guard


async def _closing(wire: AsyncWire) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        wire.close()


def _end(guard: AsyncGenerator[None] | None) -> None:
    """Have a guard close its wire now; it awaits nothing, and so needs no task."""
    if guard is not None:
        with suppress(StopIteration):
            guard.aclose().send(None)
