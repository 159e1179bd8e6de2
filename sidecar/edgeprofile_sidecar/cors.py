"""Cross-origin requests: off, unless the configuration names the origins whose pages may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprofile_sidecar.answers import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Cors"]

_EXPOSED = b"Age, Cache-Status, ETag, Retry-After, Server-Timing, X-Request-Id"
_ALLOWED = b"Authorization, Content-Type, If-None-Match, X-Request-Id, traceparent, tracestate"
_REMEMBERED = 600  # seconds for which a browser need not ask again


class Cors:
    """The header lines that let pages of some origins read answers; ``*`` stands for all origins."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)

    def headers(self, origin: str | None) -> bytes:
        """What each answer to a page of that origin carries; nothing if the page may not read it."""
        if origin is None or not self._origins:
            return b""
        if "*" in self._origins:
            return b"Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: %b\r\n" % _EXPOSED
        if origin not in self._origins:
            return b"Vary: Origin\r\n"
        return b"Access-Control-Allow-Origin: %b\r\nAccess-Control-Expose-Headers: %b\r\nVary: Origin\r\n" % (
            origin.encode(),
            _EXPOSED,
        )

    def preflight(self, origin: str | None, methods: Iterable[str]) -> Answer | None:
        """The answer to a browser that asks what it may send; `None` if that page may send nothing."""
        if origin is None or not self._origins & {origin, "*"}:
            return None
        lines = (
            b"Access-Control-Allow-Methods: %b" % ", ".join(sorted(methods)).encode(),
            b"Access-Control-Allow-Headers: %b" % _ALLOWED,
            b"Access-Control-Max-Age: %d" % _REMEMBERED,
        )
        return Answer(204, b"", b"".join(b"%b\r\n" % line for line in lines))
