"""What the engine logs: a handler of the application's may take its time, and the engine's loop must not wait for it.

Records wait in a bounded queue for a thread that lives for as long as there are any.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edgeprofile.metrics import Counters

__all__ = ["Voice", "flush", "say"]

_ROOM: Final = 256
_LAST_WORDS: Final = 1.0
"""Seconds that the end of a client waits for its last records to be handled."""


class Voice:
    """Hands records on to a logger; at most ``room`` of them wait, and what comes beyond that is dropped."""

    def __init__(self, logger: logging.Logger, room: int = _ROOM) -> None:
        self._logger = logger
        self._room = room
        self._lock = threading.Lock()
        self._queue: deque[logging.LogRecord] = deque()
        self._thread: threading.Thread | None = None

    def say(self, level: int, message: str, *args: object) -> bool:
        """Log without waiting for any handler. `False`: it was dropped."""
        logger = self._logger
        if not logger.isEnabledFor(level):
            return True
        record = logger.makeRecord(logger.name, level, __file__, 0, message, args, None)
        with self._lock:
            if len(self._queue) >= self._room:
                return False
            self._queue.append(record)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="edgeprofile-log", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter is about to exit
                    self._thread = None
                    return False
        return True

    def flush(self, timeout: float = _LAST_WORDS) -> None:
        """Wait until all records are handled, but not for long."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        while (record := self._next()) is not None:
            with suppress(Exception):  # a handler's own failure
                self._logger.handle(record)

    def _next(self) -> logging.LogRecord | None:
        with self._lock:
            if self._queue:
                return self._queue.popleft()
            self._thread = None
            return None


_voice = Voice(logging.getLogger("edgeprofile"))


def say(counters: Counters, level: int, message: str, *args: object) -> None:
    """Log on behalf of an engine, which counts what is dropped."""
    counters.logs_dropped += not _voice.say(level, message, *args)


def flush() -> None:
    """Wait until what was said is handled, but not for long."""
    _voice.flush()


def _after_fork() -> None:
    global _voice  # noqa: PLW0603 (the parent's thread is not there, and may have held the lock)
    _voice = Voice(logging.getLogger("edgeprofile"))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
