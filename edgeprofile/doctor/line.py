"""Questions to one node over the product's own connection for threads."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from edgeprofile.store.blocking import BlockingWire
from edgeprofile.store.resp import ErrorReply, pack

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from edgeprofile.store.endpoint import Endpoint

__all__ = ["Line", "is_denied", "is_unknown"]

_MOST_BYTES = 64 << 20


class Line:
    """One connection, made when it is first needed; each question has ``timeout`` seconds. A context manager."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self._wire = BlockingWire(endpoint, max_reply_bytes=_MOST_BYTES, connect_timeout=timeout, stall=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._wire.close()

    @property
    def node(self) -> str:
        """The node's address."""
        return self.endpoint.name

    def ask(self, *command: bytes | str | int) -> Any:
        """The reply to one command; an error reply is a value. Raises the `ServiceError` family."""
        return self.send(pack(command), 1)[0]

    def ask_all(self, *commands: tuple[bytes | str | int, ...]) -> list[Any]:
        """The replies to several commands of one round trip."""
        return self.send(pack(*commands), len(commands))

    def send(self, payload: bytes, expects: int) -> list[Any]:
        """The replies to commands that are packed already."""
        return self._wire.call(payload, expects, time.monotonic() + self.timeout)

    def fresh(self) -> Line:
        """Another connection to the same node."""
        return Line(self.endpoint, self.timeout)


def is_denied(reply: Any) -> bool:
    """Whether the user lacks a right."""
    return isinstance(reply, ErrorReply) and reply.code == "NOPERM"


def is_unknown(reply: Any) -> bool:
    """Whether the server does not know the command, or hides it."""
    return isinstance(reply, ErrorReply) and "unknown" in reply.text.lower() and "command" in reply.text.lower()
