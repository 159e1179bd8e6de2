"""A socket that one thread at a time writes to and reads from, until points in time instead of within durations.

Python's own time-outs cost a system call to set and another to wait with, for each write and each read. A plain socket
is waited for with `poll` instead, and only where there is something to wait for.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from contextlib import suppress
from typing import Final

__all__ = ["Line", "TlsLine", "line"]

_CHUNK: Final = 1 << 16
_LONGEST: Final = 1 << 20
"""Milliseconds that one `poll` waits at most: what it takes is bounded."""
_A_MOMENT: Final = 1e-6
"""Of a socket's timeouts, zero means something else."""


class Line:
    """A plain connection. Deadlines are on `time.monotonic`; raises `OSError`, `TimeoutError` when they pass."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._put, self._take = connection.send, connection.recv
        connection.setblocking(False)
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        self._poll = poller.poll

    def send(self, data: bytes, deadline: float) -> None:
        """Write all of the data. After an error it may be written in part."""
        try:
            sent = self._put(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._socket.settimeout(max(deadline - time.monotonic(), _A_MOMENT))
            try:
                self._socket.sendall(memoryview(data)[sent:])
            finally:
                self._socket.setblocking(False)

    def receive(self, deadline: float) -> bytes:
        """What has come, as soon as something has; nothing: the other side has closed the connection."""
        while True:
            wait = deadline - time.monotonic()
            if self._poll(min(max(0, int(wait * 1000) + 1), _LONGEST)):
                with suppress(BlockingIOError):
                    return self._take(_CHUNK)
            elif wait <= _LONGEST / 1000:
                raise TimeoutError

    def stirs(self) -> bool:
        """Whether something has come, be it the end."""
        return bool(self._poll(0))

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def shut(self) -> None:
        """End the connection, and wake who waits for it; to be closed by its reader."""
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # beneath TLS, which has a reader of its own

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


class TlsLine(Line):
    """A connection in TLS: what is read from it may have come long before, and what comes may be no data."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._socket = connection

    def send(self, data: bytes, deadline: float) -> None:
        """As `Line.send`."""
        self._socket.settimeout(max(deadline - time.monotonic(), _A_MOMENT))
        self._socket.sendall(data)

    def receive(self, deadline: float) -> bytes:
        """As `Line.receive`."""
        self._socket.settimeout(max(deadline - time.monotonic(), _A_MOMENT))
        return self._socket.recv(_CHUNK)

    def stirs(self) -> bool:
        """As `Line.stirs`; what has come is lost."""
        self._socket.settimeout(0)
        try:
            self._socket.recv(1)
        except ssl.SSLWantReadError:
            return False
        except OSError:
            pass
        return True


def line(connection: socket.socket) -> Line:
    """The line of a connected socket."""
    return TlsLine(connection) if isinstance(connection, ssl.SSLSocket) else Line(connection)
