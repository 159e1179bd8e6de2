"""Whether the other side of a connection reads what it is sent."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

__all__ = ["PIECE", "Reader", "pieces"]

PIECE: Final = 1 << 18
"""Bytes to write at once, at most.

TLS encrypts all that one write brings, and hands it down to where nobody sees any more that it is unread. Of many
writes it keeps back, in sight, what comes when enough of that waits.
"""


def pieces(data: bytes) -> Sequence[bytes | memoryview]:
    """What to write one after the other."""
    if len(data) <= PIECE:
        return (data,)
    view = memoryview(data)
    return [view[start : start + PIECE] for start in range(0, len(data), PIECE)]


class Reader:
    """The one who is to read what is written to ``transport``, whether or not that was closed meanwhile.

    ``left`` is what was still unread at the last look; whoever learns in between that all of that was read sets it to 0.
    """

    __slots__ = ("_since", "left", "transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.left = 0
        self._since = 0.0

    def idle(self, now: float) -> float:
        """For how many seconds there has been something to read of which nothing was read; to be asked now and then.

        It was read where less is left than before; more is what more answers make of it, without anybody reading.
        """
        left = self.transport.get_write_buffer_size()
        if not 0 < self.left <= left:
            self._since = now
        self.left = left
        return now - self._since

    def hides(self) -> bool:
        """Whether TLS may have handed down what its socket does not take at the moment; nobody can see how much."""
        if self.transport.get_extra_info("sslcontext") is None:
            return False
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLOUT)
        return not poll.poll(0)  # one that is closed or broken has an event, too
