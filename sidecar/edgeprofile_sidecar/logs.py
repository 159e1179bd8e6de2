"""Logs as JSON lines on standard error: ``time``, ``level``, ``logger``, ``message`` and what the record adds.

Nothing that is logged holds an id, a trait or a secret.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["Seldom", "configure", "handler", "origin", "request_id"]

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is being answered, where it has one; each record of it carries the id."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _JsonFormatter(logging.Formatter):
    def __init__(self, **always: object) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._always,
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if identity := request_id.get():
            line["request"] = identity
        if record.exc_info and record.exc_info[1]:
            line |= origin(record.exc_info[1])
        return msgspec.json.encode(line, enc_hook=str).decode()


class Seldom:
    """Lets one record of a kind through per interval, so that a failing Redis does not fill the log."""

    def __init__(self, interval: float = 10.0) -> None:
        self._interval = interval
        self._next: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def pass_through(self, kind: str, now: float | None = None) -> int:
        """How many records of the kind have come since the last one was let through, this one included; or 0.

        Args:
            kind: From a closed set.
            now: Seconds on a clock that never steps back.
        """
        moment = time.monotonic() if now is None else now
        self._held[kind] = self._held.get(kind, 0) + 1
        if moment < self._next.get(kind, moment):
            return 0
        self._next[kind] = moment + self._interval
        return self._held.pop(kind)


def origin(error: BaseException) -> dict[str, object]:
    """An unforeseen error as fields of a record: its type and where it arose, not its text, which may hold an id."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "error": type(error).__name__,
        "trace": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }


def handler(stream: TextIO, **always: object) -> logging.Handler:
    """What writes records as JSON lines; ``always`` stands in each of them."""
    made = logging.StreamHandler(stream)
    made.setFormatter(_JsonFormatter(**always))
    return made


def configure(**always: object) -> None:
    """Send the process' logs to standard error, from ``INFO`` on; ``always`` stands in each record."""
    logging.basicConfig(level=logging.INFO, handlers=[handler(sys.stderr, **always)], force=True)
