"""Whether the other side of a connection reads what it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["Reader"]


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
