"""The admin listener's socket: few connections, and little time for each request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiohttp import web
from aiohttp.hdrs import SERVER

from edgeprofile_sidecar.background import begin, every
from edgeprofile_sidecar.readers import Reader

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


class _Readers:
    """Ends the connections of ``server`` whose other side reads nothing for ``seconds``."""

    def __init__(self, server: web.Server, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        self._all: dict[asyncio.Transport, Reader] = {}

    async def look(self) -> None:
        """Look once, at all transports: a connection forgets its own when it closes it, read or not."""
        now = asyncio.get_running_loop().time()
        transports = self._server._connections.values()  # noqa: SLF001  # aiohttp shows the connections alone
        self._all = {each: self._all.get(each) or Reader(each) for each in transports}
        for each in self._all.values():
            if each.idle(now) >= self._seconds:
                each.transport.abort()


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

    begin(stack, every(_LOOKING, _Readers(accept, seconds).look))
    server = await asyncio.get_running_loop().create_server(factory, sock=bound)
    stack.callback(server.close)


async def _anonymous(_: web.Request, response: web.StreamResponse) -> None:
    """Say no versions to whoever asks: aiohttp would name its own and Python's."""
    response.headers[SERVER] = "edgeprofile"
