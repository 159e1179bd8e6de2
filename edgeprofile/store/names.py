"""The addresses behind a host's name.

The system's resolver cannot be given a deadline and may think for half a minute. So it is asked on a thread of its own,
once for all who want to know at the same time, and each waits for as long as its own deadline allows.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeAlias

__all__ = ["Names", "Place"]

Place: TypeAlias = tuple[int, int, int, str, Any]
"""Family, type, protocol, canonical name, address: an answer of `socket.getaddrinfo`."""


class Names:
    """One host and port; every answer is asked for anew, because addresses move."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._lock = threading.Lock()
        self._asked: Future[list[Place]] | None = None

    def resolve(self, timeout: float) -> list[Place]:
        """In the order of preference, for a thread. Raises `OSError`, `TimeoutError` after ``timeout`` seconds."""
        places = self._literal()
        if places is not None:
            return places
        try:
            return self._answer().result(timeout)
        except TimeoutError as error:
            raise _late() from error

    async def aresolve(self, timeout: float) -> list[Place]:
        """As `resolve`, for a task."""
        places = self._literal()
        if places is not None:
            return places
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.wrap_future(self._answer())
        except TimeoutError as error:
            raise _late() from error

    def _literal(self) -> list[Place] | None:
        with suppress(OSError, UnicodeError):
            return self._ask(socket.AI_NUMERICHOST)
        return None

    def _ask(self, flags: int = 0) -> list[Place]:
        return list(socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=flags))

    def _answer(self) -> Future[list[Place]]:
        """The answer that is on its way, or a new one."""
        with self._lock:
            if self._asked is None:
                asked: Future[list[Place]] = Future()
                asked.set_running_or_notify_cancel()  # a waiter that gives up must not cancel it for the others
                threading.Thread(target=self._run, args=(asked,), name="edgeprofile-resolve", daemon=True).start()
                self._asked = asked  # not before: where no thread can be started, the next caller tries again
            return self._asked

    def _run(self, answer: Future[list[Place]]) -> None:
        try:
            places = self._ask()
        except Exception as error:  # noqa: BLE001 (handed to whoever asked)
            self._done()
            answer.set_exception(socket.gaierror(str(error)) if isinstance(error, UnicodeError) else error)
        else:
            self._done()
            answer.set_result(places)

    def _done(self) -> None:
        with self._lock:
            self._asked = None


def _late() -> TimeoutError:
    return TimeoutError("its name was not resolved in time")
