"""Server-sent events: a response that tells of the changes of some profiles for as long as its reader keeps up."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web
from aiohttp.hdrs import AUTHORIZATION

from edgeprofile_sidecar.answers import Answer, error
from edgeprofile_sidecar.targets import origin_form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeprofile.config import SidecarConfig
    from edgeprofile_sidecar.service import Service, Watch

__all__ = ["FULL", "Opened", "Streams"]

FULL: Final = error(503, "As many changes streams are open as this sidecar allows", b"Retry-After: 5\r\n")
_HEADERS: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "Server": "edgeprofile"}

_log = logging.getLogger(__name__)


class Opened(Answer, frozen=True, gc=False):
    """An answer that goes on: its head, and what it tells of."""

    watch: Any = None


class Streams:
    """The streams that are open, at most ``sidecar.maxStreams``."""

    def __init__(self, service: Service, config: SidecarConfig) -> None:
        self._service = service
        self._config = config
        self._closing = asyncio.Event()
        self._open = 0

    def __len__(self) -> int:
        return self._open

    def close(self) -> None:
        """End all streams, each with a reason, and begin no more."""
        self._closing.set()

    async def open(self, request: web.BaseRequest) -> Answer:
        """The beginning of a stream, or the refusal of it."""
        grant = self._service.admit(request.headers.getall(AUTHORIZATION, ()))
        if isinstance(grant, Answer):
            return grant
        watch = self._service.watch(origin_form(request.raw_path), grant)
        if isinstance(watch, Answer):
            return watch
        full = self._open >= self._config.max_streams or self._closing.is_set()
        return FULL if full else Opened(200, b"", watch=watch)

    async def run(self, request: web.BaseRequest, watch: Watch, headers: Mapping[str, str]) -> web.StreamResponse:
        """Tell of changes until the reader leaves, falls behind, loses its right, or the sidecar stops."""
        response = web.StreamResponse(headers={**_HEADERS, **headers})
        response.force_close()
        self._open += 1
        try:
            with watch.changes, suppress(ConnectionError):
                await response.prepare(request)
                await self._say(response, "open", {})
                await self._tell(request, response, watch)
        except TimeoutError:
            _log.info("a changes stream was closed", extra={"reason": "its reader is too slow"})
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._open -= 1
        return response

    async def _tell(self, request: web.BaseRequest, response: web.StreamResponse, watch: Watch) -> None:
        closing = asyncio.ensure_future(self._closing.wait())
        change = asyncio.ensure_future(anext(watch.changes))
        try:
            while True:
                await asyncio.wait(
                    {change, closing}, timeout=self._config.stream_heartbeat, return_when=asyncio.FIRST_COMPLETED
                )
                if reason := self._ended(request, watch, closing):
                    await self._say(response, "closing", {"reason": reason})
                    return
                if change.done() and isinstance(change.exception(), StopAsyncIteration):
                    await self._say(response, "closing", {"reason": "the sidecar has another configuration"})
                    return
                if not change.done():
                    await self._write(response, b":\n\n")
                    continue
                named, change = change.result(), asyncio.ensure_future(anext(watch.changes))
                await self._say(
                    response, *(("change", {"type": named[0], "value": named[1]}) if named else ("resync", {}))
                )
        finally:
            closing.cancel()
            change.cancel()

    def _ended(self, request: web.BaseRequest, watch: Watch, closing: asyncio.Future[Any]) -> str:
        if closing.done():
            return "the sidecar is stopping"
        grant = self._service.admit(request.headers.getall(AUTHORIZATION, ()))
        opens = not isinstance(grant, Answer) and grant.covers(watch.destination)
        return "" if opens else "the token no longer opens this"

    async def _say(self, response: web.StreamResponse, event: str, data: dict[str, str]) -> None:
        await self._write(response, b"event: %b\ndata: %b\n\n" % (event.encode(), msgspec.json.encode(data)))

    async def _write(self, response: web.StreamResponse, text: bytes) -> None:
        async with asyncio.timeout(self._config.write_timeout):
            await response.write(text)
