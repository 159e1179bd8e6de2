"""How the demo is told to end: by Ctrl-C, by SIGTERM, or by its own time."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType
    from typing import Self

__all__ = ["Ending", "undisturbed"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_GLANCE = 0.05


@contextmanager
def undisturbed() -> Iterator[None]:
    """Both signals wait until the block is done; for the main thread."""
    held: list[int] = []
    before = {number: signal.signal(number, lambda number, _: held.append(number)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in held:
            signal.raise_signal(late)


class Ending:
    """Takes both signals while its context lasts.

    At first a signal interrupts whatever is going on, as Ctrl-C always does. After `gently` it only sets `told`.
    """

    def __init__(self) -> None:
        self.told = False
        self._gentle = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._tell) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def gently(self) -> None:
        """From now on nothing is interrupted."""
        self._gentle = True

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until told; whether told."""
        until = time.monotonic() + seconds
        while not self.told and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _GLANCE))
        return self.told

    def _tell(self, _number: int, _frame: FrameType | None) -> None:
        self.told = True
        if not self._gentle:
            self._gentle = True  # what now cleans up is not interrupted
            raise KeyboardInterrupt
