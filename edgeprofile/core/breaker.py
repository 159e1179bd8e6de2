"""A circuit breaker for one node: when Redis is dead, lookups say so at once instead of waiting for it one by one.

::

    closed ──(failures in a row)──▶ open ──(pause over)──▶ probing ──(success)──▶ closed
                                      ▲                       │
                                      └──────(failure)────────┘

While open, nobody asks. After the pause one lookup may try: the probe. Its failure doubles the pause, up to a cap.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["TRANSITIONS", "Breaker", "State"]

_TRIPS_AFTER: Final = 3
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0


class State(enum.Enum):
    """Whether questions are let through."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


TRANSITIONS: Final = {
    (State.CLOSED, "failed"): State.OPEN,
    (State.OPEN, "pause over"): State.PROBING,
    (State.PROBING, "failed"): State.OPEN,
    (State.PROBING, "succeeded"): State.CLOSED,
    (State.OPEN, "succeeded"): State.CLOSED,
    (State.CLOSED, "succeeded"): State.CLOSED,
}


class Breaker:
    """All times are seconds on one monotonic clock of the caller's. Not thread-safe."""

    def __init__(self) -> None:
        self.state = State.CLOSED
        self.since: float | None = None
        self.cause: BaseException | None = None
        self.opened = 0
        self._failures = 0
        self._pause = _FIRST_PAUSE
        self._until = 0.0

    def admits(self, now: float) -> bool:
        """Whether a question may be asked now; in the half-open state only one at a time is."""
        if self.state is State.CLOSED:
            return True
        if self.state is State.OPEN and now >= self._until:
            self._turn("pause over")
            self._until = now + _LONGEST_PAUSE
            return True
        if self.state is State.PROBING and now >= self._until:  # the probe was lost: it never told how it went
            self._until = now + _LONGEST_PAUSE
            return True
        return False

    def failed(self, now: float, cause: BaseException) -> None:
        """A question was not answered."""
        self._failures += 1
        self.cause = cause
        if self.since is None:
            self.since = now
        if self.state is State.OPEN or (self.state is State.CLOSED and self._failures < _TRIPS_AFTER):
            return
        self._pause = _FIRST_PAUSE if self.state is State.CLOSED else min(2 * self._pause, _LONGEST_PAUSE)
        self._turn("failed")
        self.opened += 1
        self._until = now + self._pause

    def unsettled(self, now: float) -> None:
        """A question came to an end that says nothing about the server: if it was the probe, another may go at once."""
        if self.state is State.PROBING:
            self._until = now

    def succeeded(self) -> None:
        """A question was answered, if only with an error of its own."""
        if self.since is not None or self.state is not State.CLOSED:
            self._turn("succeeded")
            self.since = self.cause = None
            self._failures = 0

    def _turn(self, what: str) -> None:
        self.state = TRANSITIONS[self.state, what]
