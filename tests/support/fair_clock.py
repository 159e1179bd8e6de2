"""A clock for upper bounds: it stands still while a busy machine lets nothing of this process run.

with FairClock() as clock:
    lookup()
    assert clock.seconds < 0.5
"""

import threading
from types import TracebackType
from typing import Self

_TICK = 0.01  # seconds


class FairClock:
    """Counts the short sleeps of a thread of its own: who gets no turn in time does not wake from them in time."""

    def __init__(self) -> None:
        self._ticks = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fair clock")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """How long it has been running, at most as long as it was; to within a tick of 10 ms."""
        return self._ticks * _TICK

    def _run(self) -> None:
        while not self._stop.wait(_TICK):
            self._ticks += 1
