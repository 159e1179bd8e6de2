"""Requests that ask for another protocol, as Java's client does of a server that it does not know yet.

They are answered as if they had not asked. But the parser drops what came in one piece behind the end of such a request,
so that the answers to whatever follows on the connection would belong to other requests: it has to end with its answer.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["Upgrades"]

_ASKS: Final = b"\nupgrade"
_LENGTH: Final = re.compile(rb"\ncontent-length[ \t]*:[ \t]*([0-9]{1,9})[ \t]*\r")


class Upgrades:
    """What one connection receives, looked at for a request that asks for another protocol, and for more behind it."""

    __slots__ = ("_edge", "_left")

    def __init__(self) -> None:
        self._edge = b""
        self._left: int | None = None

    def followed(self, data: bytes) -> bool:
        """Whether such a request has, or may have, more behind it in what has come so far, ``data`` being the latest."""
        if self._left is not None:
            self._left -= len(data)
            return self._left < 0
        lower = data.lower()
        text, self._edge = self._edge + lower, lower[-len(_ASKS) :]
        if _ASKS not in text:
            return False
        end = lower.find(b"\r\n\r\n") + 4
        if end < 4 or _ASKS in lower[end:] or b"\ntransfer-encoding" in lower:
            return True
        length = _LENGTH.search(lower, 0, end)
        self._left = end + (int(length[1]) if length else 0) - len(data)
        return self._left < 0

    def answered(self) -> None:
        """The request that was arriving has been answered."""
        self._left = None
