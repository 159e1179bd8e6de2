"""A clock for upper bounds: it stands still while a busy machine lets nothing of this process run.

with FairClock() as clock:
    lookup()
    assert clock.seconds < 0.5
"""

from tests.support.background import Background

_TICK = 0.01  # seconds


class FairClock(Background):
    """Counts the short sleeps of a thread of its own: who gets no turn in time does not wake from them in time."""

    def __init__(self) -> None:
        super().__init__("fair clock")
        self._ticks = 0

    @property
    def seconds(self) -> float:
        """How long it has been running, at most as long as it was; to within a tick of 10 ms."""
        return self._ticks * _TICK

    def _run(self) -> None:
        while not self._stop.wait(_TICK):
            self._ticks += 1
