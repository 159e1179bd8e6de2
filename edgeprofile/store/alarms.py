"""The deadlines of one event loop's lookups, under one timer: nearly all of them pass after the lookup has ended.

So setting one and clearing it has to cost nothing, and ringing may cost a look at all that are set.
"""

from __future__ import annotations

import math
import time
from operator import itemgetter
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

__all__ = ["Alarms", "Sleeper"]

_BREATH: Final = 0.001
"""Seconds between two looks at all that are set, if not more: what a deadline may be late by."""
_REST: Final = 10
"""The same as a multiple of what the look took."""


class Sleeper(Protocol):
    """Who wants to be told when time is over."""

    def late(self) -> None:
        """The deadline has passed."""


class Alarms:
    """Not thread-safe: use it on its loop. Deadlines are on `time.monotonic`; none rings early."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._deadlines: dict[Sleeper, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    def __len__(self) -> int:
        return len(self._deadlines)

    def set(self, sleeper: Sleeper, deadline: float) -> None:
        """Tell a sleeper at the deadline, or soon where it has passed already. Each has one alarm."""
        self._deadlines[sleeper] = deadline
        if deadline < self._rings_at:
            self._wind(deadline)

    def clear(self, sleeper: Sleeper) -> None:
        """The sleeper need not be told any more; harmless where it was."""
        self._deadlines.pop(sleeper, None)

    def _wind(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = moment
        self._timer = self._loop.call_later(max(0.0, moment - time.monotonic()), self._ring)

    def _ring(self) -> None:
        self._timer, self._rings_at = None, math.inf
        now = time.monotonic()
        due = [(deadline, sleeper) for sleeper, deadline in self._deadlines.items() if deadline <= now]
        for _, sleeper in sorted(due, key=itemgetter(0)):
            if self._deadlines.pop(sleeper, None) is not None:
                sleeper.late()
        first = min(self._deadlines.values(), default=math.inf)
        if first < self._rings_at:
            self._wind(max(first, now + max(_BREATH, _REST * (time.monotonic() - now))))
