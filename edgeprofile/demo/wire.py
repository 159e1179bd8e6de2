"""A connection that writes to Redis, and knows when its writes are acknowledged."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from edgeprofile.demo.errors import DemoError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from edgeprofile.demo.people import Row

__all__ = ["Wire"]

_TIMEOUT = 30.0


class Wire:
    """One connection on loopback; a context manager. Each method raises `OSError` when the server is not there."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), _TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def write(self, row: Row) -> None:
        """Return when the server has acknowledged the write."""
        self._send(_packed(row), 1)

    def _send(self, commands: bytes, answers: int) -> None:
        self._socket.sendall(commands)
        while answers > 0:
            received = self._socket.recv(1 << 16)
            if not received:
                raise ConnectionResetError("the server closed the connection")
            # HSET is answered with one line, and only an error's line holds a hyphen.
            if b"-" in received:
                raise DemoError(f"the embedded server refused a write: {received.decode(errors='replace').strip()}")
            answers -= received.count(b"\n")


def _packed(row: Row) -> bytes:
    return b"*4\r\n$4\r\nHSET\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in row)
