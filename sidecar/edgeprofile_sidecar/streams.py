"""Server-sent events: a response that tells of the changes of some profiles for as long as its reader keeps up."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from aiohttp import web
from aiohttp.hdrs import AUTHORIZATION

from edgeprofile_sidecar.answers import Answer, error
from edgeprofile_sidecar.targets import origin_form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeprofile.config import SidecarConfig
    from edgeprofile_sidecar.connection import Connection
    from edgeprofile_sidecar.counters import Counters
    from edgeprofile_sidecar.service import Service, Watch
    from edgeprofile_sidecar.tokens import Tokens

__all__ = ["FULL", "Opened", "Streams"]

FULL: Final = error(503, "As many changes streams are open as this sidecar allows", b"Retry-After: 5\r\n")
_HEADERS: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "Server": "edgeprofile"}

_LAST_WORD: Final = 0.001  # seconds; it goes into the buffer at once, where its reader may find it for a while
_TOO_SLOW: Final = "its reader is too slow"

_log = logging.getLogger(__name__)


class Opened(Answer, frozen=True, gc=False):
    """An answer that goes on: its head, and what it tells of."""

    watch: Any = None


class Streams:
    """The streams that are open, at most ``sidecar.maxStreams``."""

    def __init__(self, service: Service, config: SidecarConfig, counters: Counters) -> None:
        self._service = service
        self._config = config
        self._counters = counters
        self._closing = False
        self._tokens: Tokens | None = None
        self._open = set[_Stream]()

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """End all streams, each with a reason, and begin no more."""
        self._closing = True
        for stream in self._open:
            stream.closing = True
            stream.woken.set()

    def look(self) -> None:
        """Have all streams look at their tokens again if those have changed; to be called now and then."""
        if self._service.tokens is not self._tokens:
            self._tokens = self._service.tokens
            for stream in self._open:
                stream.woken.set()

    async def open(self, request: web.BaseRequest) -> Answer:
        """The beginning of a stream, or the refusal of it."""
        grant = self._service.admit(request.headers.getall(AUTHORIZATION, ()))
        if isinstance(grant, Answer):
            return grant
        watch = self._service.watch(origin_form(request.raw_path), grant)
        if isinstance(watch, Answer):
            return watch
        full = len(self) >= self._config.max_streams or self._closing
        return FULL if full else Opened(200, b"", watch=watch)

    async def run(self, request: web.BaseRequest, watch: Watch, headers: Mapping[str, str]) -> web.StreamResponse:
        """Tell of changes until the reader leaves, falls behind, loses its right, or the sidecar stops."""
        stream = _Stream(self._service, self._config, request, watch, headers)
        cast("Connection", request.protocol).on_lost = stream.woken.set
        self._open.add(stream)
        self._counters.streams = len(self)
        try:
            self._counters.closed["slow reader"] += not await stream.run()
        finally:
            self._open.discard(stream)
            self._counters.streams = len(self)
        return stream.response


class _Stream:
    """One of them; ``woken`` is set when there may be a reason to end it."""

    def __init__(
        self,
        service: Service,
        config: SidecarConfig,
        request: web.BaseRequest,
        watch: Watch,
        headers: Mapping[str, str],
    ) -> None:
        self._service = service
        self._config = config
        self._request = request
        self._watch = watch
        self._unread_since = math.inf
        self.closing = False
        self.woken = asyncio.Event()
        self.response = web.StreamResponse(headers={**_HEADERS, **headers})
        self.response.force_close()

    async def run(self) -> bool:
        """Tell of changes; whether the reader kept up."""
        try:
            with self._watch.changes, suppress(ConnectionError):
                await self.response.prepare(self._request)
                await self._say("open", {})
                await self._say("closing", {"reason": await self._tell()})
        except TimeoutError:
            _log.info("a changes stream was closed", extra={"reason": _TOO_SLOW})
            with suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(_LAST_WORD):
                    await self.response.write(_event("closing", {"reason": _TOO_SLOW}))
            return False
        return True

    async def _tell(self) -> str:
        """Tell of changes; why no more of them can be told."""
        woken = asyncio.ensure_future(self.woken.wait())
        change = asyncio.ensure_future(anext(self._watch.changes))
        try:
            while isinstance(until := self._until(), float):
                pause = min(self._config.stream_heartbeat, until - time.time())
                await asyncio.wait({change, woken}, timeout=max(0.0, pause), return_when=asyncio.FIRST_COMPLETED)
                if woken.done():
                    self.woken.clear()
                    woken = asyncio.ensure_future(self.woken.wait())
                    continue
                if not change.done():
                    await self._write(b":\n\n")
                    continue
                if isinstance(change.exception(), StopAsyncIteration):
                    return "the sidecar has another configuration"
                if not isinstance(self._until(), float):
                    continue
                named, change = change.result(), asyncio.ensure_future(anext(self._watch.changes))
                await self._say(*(("change", {"type": named[0], "value": named[1]}) if named else ("resync", {})))
        finally:
            woken.cancel()
            change.cancel()
        return until

    def _until(self) -> float | str:
        """Until when the stream may go on, in seconds since 1970, or why it may not."""
        if self.closing:
            return "the sidecar is stopping"
        if self._request.transport is None:
            return "its reader has left"
        grant = self._service.admit(self._request.headers.getall(AUTHORIZATION, ()))
        if isinstance(grant, Answer) or not grant.covers(self._watch.destination):
            return "the token no longer opens this"
        return grant.until

    async def _say(self, event: str, data: dict[str, str]) -> None:
        await self._write(_event(event, data))

    async def _write(self, text: bytes) -> None:
        """Send something; raises `TimeoutError` if the reader has left something unread for too long."""
        now = time.monotonic()
        transport = self._request.transport
        unread = transport is not None and transport.get_write_buffer_size() > 0
        self._unread_since = min(self._unread_since, now) if unread else math.inf
        if now - self._unread_since >= self._config.write_timeout:
            raise TimeoutError
        async with asyncio.timeout(self._config.write_timeout):
            await self.response.write(text)


def _event(name: str, data: dict[str, str]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))
