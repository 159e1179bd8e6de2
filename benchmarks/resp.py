"""Just enough of Redis' protocol to write faster than a client library: commands packed beforehand, replies counted."""

import socket
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import TracebackType
from typing import Self

_READ = 1 << 20
_LOAD_BATCH = 2_000


def pack(*arguments: str) -> bytes:
    """One command, as it goes over the wire."""
    parts = [argument.encode() for argument in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


class Connection:
    """A blocking connection that sends packed commands and counts the lines that come back."""

    def __init__(self, server: Mapping[str, object]) -> None:
        self._socket = socket.create_connection((str(server["host"]), int(str(server["port"]))))
        self._awaited = 0
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, packed: bytes) -> None:
        self._socket.sendall(packed)

    def expect(self, replies: int) -> None:
        """Wait for that many replies of one line each.

        Raises:
            ConnectionError: The server refused a command or went away.
        """
        self._awaited += replies
        while self._awaited > 0:  # below zero: replies to what was sent since have come already
            received = self._socket.recv(_READ)
            if not received or received[:1] == b"-":
                raise ConnectionError(f"the server said {received[:80]!r}")
            self._awaited -= received.count(b"\n")

    def call(self, *arguments: str) -> None:
        """Send one command whose reply is one line, and wait for it."""
        self.send(pack(*arguments))
        self.expect(1)


def load(server: Mapping[str, object], commands: Iterable[bytes]) -> None:
    """Send every packed command and wait until all are answered with one line each."""
    with Connection(server) as connection:
        for batch in _batches(iter(commands)):
            connection.send(b"".join(batch))
            connection.expect(len(batch))


def _batches(commands: Iterator[bytes]) -> Iterator[list[bytes]]:
    while batch := list(islice(commands, _LOAD_BATCH)):
        yield batch
