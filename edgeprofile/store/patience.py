"""How fast to go, and how long to go on trying."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from edgeprofile.errors import RedisUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pace", "Patience"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_TOLD_FROM = 0.4


class Pace:
    """Lets ``most_per_second`` rows pass (0: any number), and owns the clock and the sleep that this needs.

    ``waiting`` is told why, once, where something has to be tried again for longer than a moment.
    """

    def __init__(
        self,
        most_per_second: float = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        waiting: Callable[[Exception], None] = lambda _why: None,
    ) -> None:
        self._gap = 1 / most_per_second if most_per_second else 0.0
        self._free_at = clock()
        self.clock = clock
        self.sleep = sleep
        self.waiting = waiting

    def wait(self, rows: int) -> None:
        """Wait until so many rows may be sent."""
        if not self._gap:
            return
        now = self.clock()
        if now < self._free_at:
            self.sleep(self._free_at - now)
        self._free_at = max(now, self._free_at) + rows * self._gap


class Patience:
    """Pauses between attempts: they double, jittered, and end ``seconds`` after the last progress."""

    def __init__(self, seconds: float, pace: Pace) -> None:
        self._seconds = seconds
        self._pace = pace
        self._pause = _FIRST_PAUSE
        self._until = pace.clock() + seconds
        self._is_told = False

    def pause(self, *, progress: bool, why: Exception | None = None) -> bool:
        """Wait before the next attempt; ``False`` where there should be none."""
        if progress:
            self._until = self._pace.clock() + self._seconds
            self._pause = _FIRST_PAUSE
        if self._pace.clock() >= self._until:
            return False
        if why is not None and (self._pause >= _TOLD_FROM or isinstance(why, RedisUnavailable)):
            self._tell(why)
        self._pace.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311  # jitter is no secret
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return True

    def _tell(self, why: Exception) -> None:
        if not self._is_told:
            self._is_told = True
            self._pace.waiting(why)
