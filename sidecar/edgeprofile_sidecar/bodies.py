"""Request bodies: JSON, bounded in size and in the time they take to arrive."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError

from edgeprofile_sidecar.answers import (
    EXPECTATION_FAILED,
    MALFORMED,
    TOO_SLOW,
    UNSUPPORTED_CODING,
    UNSUPPORTED_TYPE,
    oversized,
)
from edgeprofile_sidecar.headers import is_json, is_plain

if TYPE_CHECKING:
    from aiohttp import StreamReader

    from edgeprofile_sidecar.answers import Answer

__all__ = ["arriving", "at_hand"]

_EXPECTATIONS = frozenset({"", "100-continue"})
_BROKEN = (web.RequestPayloadError, HttpProcessingError, ConnectionError)


def at_hand(request: web.BaseRequest, limit: int) -> bytes | Answer | None:
    """The body of a request, or the refusal of it; ``None`` while it is still arriving.

    Args:
        request: Whose body.
        limit: Bytes that it may have.
    """
    headers = request.headers
    if not is_json(headers.get("Content-Type", "")):
        return UNSUPPORTED_TYPE
    if not is_plain(headers.get("Content-Encoding", "")):
        return UNSUPPORTED_CODING
    content = request.content
    if not content.is_eof():
        return None
    body = content.read_nowait()
    if len(body) > limit:
        return oversized(limit)
    return EXPECTATION_FAILED if _expected(request) not in _EXPECTATIONS else body


async def arriving(request: web.BaseRequest, limit: int, seconds: float) -> bytes | Answer:
    """The body that was not yet at hand, or the refusal of it.

    Args:
        request: Whose body.
        limit: Bytes that it may have.
        seconds: Time in which it must be here.
    """
    if (request.content_length or 0) > limit:
        return oversized(limit)
    if not _go_ahead(request):
        return EXPECTATION_FAILED
    try:
        async with asyncio.timeout(seconds):
            return await _collect(request.content, limit)
    except TimeoutError:
        return TOO_SLOW
    except _BROKEN:
        return MALFORMED


def _go_ahead(request: web.BaseRequest) -> bool:
    expected = _expected(request)
    if expected == "100-continue" and request.version >= HttpVersion11 and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return expected in _EXPECTATIONS


def _expected(request: web.BaseRequest) -> str:
    return request.headers.get("Expect", "").strip().lower()


async def _collect(content: StreamReader, limit: int) -> bytes | Answer:
    parts = bytearray()
    while part := await content.readany():
        parts += part
        if len(parts) > limit:
            return oversized(limit)
    return bytes(parts)
