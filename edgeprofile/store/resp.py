"""The Redis protocol at its narrowest: commands to bytes, bytes to replies, and a bound on how large a reply may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import hiredis

from edgeprofile.errors import ProtocolViolation, ReplyTooLarge

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ErrorReply", "ReplyReader", "pack"]

_INCOMPLETE: Final = object()


class ErrorReply(Exception):
    """An error that the server answered with: a value like other replies, raised by nobody."""

    @property
    def text(self) -> str:
        """The server's words; they may hold names of commands and keys, so they are not for logs as they are."""
        return str(self.args[0]) if self.args else ""

    @property
    def code(self) -> str:
        """The first word: ``WRONGTYPE``, ``NOAUTH``, ``MOVED``, ``ERR`` and so on."""
        return self.text.partition(" ")[0]


class ReplyReader:
    """Cuts a stream of bytes into replies.

    ``max_bytes`` bounds what one reply may need on the wire, ``node`` is whose replies they are. Raises `ReplyTooLarge` and `ProtocolViolation`; after
    either the connection is worth nothing and has to be closed.
    """

    __slots__ = ("_max_bytes", "_node", "_reader", "_unfinished")

    def __init__(self, max_bytes: int, node: str) -> None:
        self._reader = hiredis.Reader(protocolError=ProtocolViolation, replyError=ErrorReply, notEnoughData=_INCOMPLETE)
        self._node = node
        self._max_bytes = max_bytes
        self._unfinished = 0

    def feed(self, data: bytes) -> list[Any]:
        """Take in bytes; the replies that are whole now, in order."""
        reader = self._reader
        reader.feed(data)
        self._unfinished += len(data)
        replies: list[Any] = []
        try:
            while (reply := reader.gets()) is not _INCOMPLETE:
                replies.append(reply)
        except ProtocolViolation as error:
            what = f"{self._node} answered with what is no reply ({error})"
            hint = "does Redis listen there, and is `secure` right for this port?"
            raise ProtocolViolation(f"{what}: {hint}", node=self._node) from None
        if replies:
            self._unfinished = len(data)
        elif self._unfinished > self._max_bytes:
            raise ReplyTooLarge(
                f"a reply of more than {self._max_bytes} bytes: raise limits.maxReplyBytes to accept it",
                node=self._node,
            )
        return replies


def pack(*commands: Sequence[bytes | str | int]) -> bytes:
    """The bytes of commands, to be sent in one write."""
    packed = (hiredis.pack_command(tuple(command)) for command in commands)  # type: ignore[arg-type]  # stub: 1-tuples
    return b"".join(packed)
