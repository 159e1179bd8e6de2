"""How callers wait for a fetch that somebody else carries: threads on a lock, tasks on a future of their loop."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeprofile.core.fills import Fill

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
    """One task's place in a fill's row of waiters; it is woken on its own loop, the running one.

    ``loop`` saves asking for that: until Python 3.12 the answer costs a system call.
    """

    __slots__ = ("_loop", "_thread", "settled")

    settled: asyncio.Future[bool]
    """`True` when the fill is settled, `False` when the deadline passed first."""

    def __init__(self, fill: Fill, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self.settled = self._loop.create_future()
        fill.waiters.append(self._wake)

    async def wait(self, deadline: float) -> bool:
        """Until the fill is settled; `False` when the deadline passed first."""
        timer = self._loop.call_later(max(0.0, deadline - time.monotonic()), self.late)
        try:
            return await self.settled
        finally:
            timer.cancel()

    def late(self) -> None:
        """End this wait; the fill may be settled all the same, for the next one."""
        waited, self.settled = self.settled, self._loop.create_future()
        if not waited.done():
            waited.set_result(False)

    def _wake(self) -> None:
        if threading.get_ident() == self._thread:
            self._set()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._set)

    def _set(self) -> None:
        if not self.settled.done():
            self.settled.set_result(True)
