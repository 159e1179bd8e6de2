"""The ``Date`` header, formatted once a second."""

from __future__ import annotations

import time
from email.utils import formatdate

__all__ = ["HttpDate"]


class HttpDate:
    """The current time as HTTP writes it."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = b""

    def __call__(self) -> bytes:
        """``Sun, 06 Nov 1994 08:49:37 GMT``."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = formatdate(second, usegmt=True).encode()
        return self._text
