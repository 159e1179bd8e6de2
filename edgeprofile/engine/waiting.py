"""How callers wait for a fetch that somebody else carries: threads on a lock, tasks on a future of their loop."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeprofile.core.fills import Fill
    from edgeprofile.store.alarms import Alarms

__all__ = ["TaskWaiter", "ThreadWaiter"]


class ThreadWaiter:
    """One thread's place in a fill's row of waiters."""

    __slots__ = ("_lock",)

    def __init__(self, fill: Fill) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        fill.waiters.append(self._lock.release)

    def wait(self, deadline: float) -> bool:
        """Until the fill is settled; `False` when the deadline passed first."""
        return self._lock.acquire(timeout=max(0.0, deadline - time.monotonic()))


class TaskWaiter:
    """One task's place in a fill's row of waiters; it is woken on its own loop."""

    __slots__ = ("_future", "_loop", "_thread")

    def __init__(self, fill: Fill) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._future: asyncio.Future[bool] = self._loop.create_future()
        fill.waiters.append(self._wake)

    async def wait(self, deadline: float) -> bool:
        """Until the fill is settled; `False` when the deadline passed first."""
        timer = self._loop.call_later(max(0.0, deadline - time.monotonic()), self._late)
        try:
            return await self._future
        finally:
            timer.cancel()

    async def wait_among(self, alarms: Alarms, deadline: float) -> bool:
        """As `wait`, where many wait: the deadline is kept by the loop's alarms."""
        alarm = alarms.set(deadline, self._late)
        try:
            return await self._future
        finally:
            alarms.clear(alarm)

    def _late(self) -> None:
        """End this wait; the fill may be settled all the same, for the next one."""
        waited, self._future = self._future, self._loop.create_future()
        if not waited.done():
            waited.set_result(False)

    def _wake(self) -> None:
        if threading.get_ident() == self._thread:
            self._set()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._set)

    def _set(self) -> None:
        if not self._future.done():
            self._future.set_result(True)
