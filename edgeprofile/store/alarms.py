"""The deadlines of one event loop's lookups, under one timer: nearly all of them pass after the lookup has ended."""

from __future__ import annotations

import heapq
import time
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Alarm", "Alarms"]

_FEW: Final = 64


class Alarm:
    """One deadline. ``ring`` is called when it passes, unless the alarm is ``off`` by then."""

    __slots__ = ("off", "ring")

    def __init__(self, ring: Callable[[], None]) -> None:
        self.ring = ring
        self.off = False


class Alarms:
    """Not thread-safe: use it on its loop. Deadlines are on `time.monotonic`.

    Alarms that are off stay only as long as there are not many more of them than of the others.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: list[tuple[float, int, Alarm]] = []
        self._number = count()
        self._on = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def __len__(self) -> int:
        return len(self._due)

    def set(self, deadline: float, ring: Callable[[], None]) -> Alarm:
        """Have a function called at the deadline, or soon where it has passed already."""
        due = self._due
        while due and due[0][2].off:
            heapq.heappop(due)
        if len(due) > _FEW + 2 * self._on:
            self._due = due = [each for each in due if not each[2].off]
            heapq.heapify(due)
        alarm = Alarm(ring)
        heapq.heappush(due, (deadline, next(self._number), alarm))
        self._on += 1
        if self._timer is None or deadline < self._timer_at:
            self._wind(deadline)
        return alarm

    def clear(self, alarm: Alarm) -> None:
        """The alarm is not needed any more; harmless where it has rung."""
        if not alarm.off:
            alarm.off = True
            self._on -= 1

    def _wind(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_later(max(0.0, deadline - time.monotonic()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        due = self._due
        while due and (due[0][2].off or due[0][0] <= time.monotonic()):
            alarm = heapq.heappop(due)[2]
            if not alarm.off:
                self.clear(alarm)
                alarm.ring()
        if due:
            self._wind(due[0][0])
