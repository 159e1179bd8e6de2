"""The admin listener's socket: few connections, and little time for each request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiohttp import web
from aiohttp.hdrs import SERVER

from edgeprofile_sidecar.background import begin, every

if TYPE_CHECKING:
    import contextlib
    import socket

__all__ = ["MOST", "serve_admin"]

MOST = 100
"""Connections at one time: probes and scrapes are few, and whoever else comes is closed without a word."""

_AT_ONCE = 0.001  # seconds; to aiohttp, no seconds at all means without a bound
_LINGER = 2.0  # seconds for which a body that nobody wants is read, so that its sender gets to see the answer
_LOOKING = 0.5  # seconds between two looks for answers that nobody reads


class _Closed(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()


class _Unread:
    """Ends the connections of ``server`` that have left something unread for ``seconds``."""

    def __init__(self, server: web.Server, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        self._since: dict[asyncio.Transport, float] = {}

    async def end(self) -> None:
        """Look once; aiohttp forgets the transports that it closes, read or not, so those seen before are kept."""
        now = asyncio.get_running_loop().time()
        seen = {each.transport for each in self._server.connections if each.transport is not None}
        unread = [each for each in seen | self._since.keys() if each.get_write_buffer_size()]
        self._since = {each: self._since.get(each, now) for each in unread}
        for each, since in self._since.items():
            if now - since >= self._seconds:
                each.abort()


async def serve_admin(
    stack: contextlib.AsyncExitStack, app: web.Application, bound: socket.socket, seconds: float
) -> None:
    """Serve ``app`` at a socket until the stack is closed.

    A head may take ``seconds``, and so may idleness and the reading of an answer; a body, which nothing here asks for,
    may take that time at most.
    """
    app.on_response_prepare.append(_anonymous)
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=_AT_ONCE,
        keepalive_timeout=seconds,
        lingering_time=min(seconds, _LINGER),
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    accept = cast("web.Server", runner.server)

    def factory() -> asyncio.Protocol:
        return accept() if len(accept.connections) < MOST else _Closed()

    begin(stack, every(_LOOKING, _Unread(accept, seconds).end))
    server = await asyncio.get_running_loop().create_server(factory, sock=bound)
    stack.callback(server.close)


async def _anonymous(_: web.Request, response: web.StreamResponse) -> None:
    """Say no versions to whoever asks: aiohttp would name its own and Python's."""
    response.headers[SERVER] = "edgeprofile"
