"""Ctrl-C and SIGTERM: the first ends the run in an orderly way, the second at once."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgeprofile.reverse_etl.errors import SyncCancelled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["cancellable"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def cancellable() -> Iterator[None]:
    """Within it, the first signal raises ``SyncCancelled`` in the main thread; elsewhere than there it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def cancel(_number: int, _frame: FrameType | None) -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        raise SyncCancelled

    for number in _SIGNALS:
        signal.signal(number, cancel)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
