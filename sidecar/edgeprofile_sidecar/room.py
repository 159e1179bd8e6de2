"""The memory that large answers may take together, from when they are made until they are read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprofile_sidecar.counters import Counters

__all__ = ["LARGE", "Room"]

LARGE: Final = 1 << 16
"""Bytes beyond which an answer is large. A smaller one always finds room: it is about what any connection is given ahead
of its reader."""


class Room:
    """Has ``most`` bytes for all answers, of which one batch may take ``largest``.

    What connections have left unread is known from the last look at them, so whatever was sent since counts in full.
    """

    def __init__(self, counters: Counters, largest: int = 64 << 20, most: int = 128 << 20) -> None:
        self.largest = largest
        self.unread: Callable[[], int] = int
        """Asks the connections; to be set by whoever has some."""
        self._most = most
        self._counters = counters
        self._left = self._sent = 0
        self._made: dict[asyncio.Task[object], int] = {}

    def look(self) -> None:
        """Ask the connections what is unread; to be done now and then."""
        self._left, self._sent = self.unread(), 0
        self._counters.unread = self._taken

    def sends(self, size: int) -> bool:
        """Whether there is room for an answer that is sent now."""
        fits = self._fits(size)
        self._sent += size * fits
        return fits

    def makes(self, size: int) -> bool:
        """Whether there is room for so much more of what the running task makes.

        It is taken until the task sends it, or ends.
        """
        task = cast("asyncio.Task[object]", asyncio.current_task())
        if not self._fits(size):
            self._made.pop(task, None)
            return False
        if task not in self._made:
            task.add_done_callback(lambda done: self._made.pop(done, None))
        self._made[task] = self._made.get(task, 0) + size
        return True

    def made(self) -> None:
        """What the running task makes is whole, and sent now: from the next look on, the connections know of it."""
        self._sent += self._made.pop(cast("asyncio.Task[object]", asyncio.current_task()), 0)

    @property
    def _taken(self) -> int:
        return self._left + self._sent + sum(self._made.values())

    def _fits(self, size: int) -> bool:
        if self._sent and self._taken + size > self._most:
            self.look()
        fits = self._taken + size <= self._most
        self._counters.no_room += not fits
        return fits
