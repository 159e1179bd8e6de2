"""The admin listener's socket: few connections, and little time for each request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiohttp import web
from aiohttp.hdrs import SERVER

if TYPE_CHECKING:
    import contextlib
    import socket

__all__ = ["MOST", "serve_admin"]

MOST = 100
"""Connections at one time: probes and scrapes are few, and whoever else comes is closed without a word."""

_AT_ONCE = 0.001  # seconds; to aiohttp, no seconds at all means without a bound


class _Closed(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()


async def serve_admin(
    stack: contextlib.AsyncExitStack, app: web.Application, bound: socket.socket, seconds: float
) -> None:
    """Serve ``app`` at a socket until the stack is closed; a head may take ``seconds``, and so may idleness."""
    app.on_response_prepare.append(_anonymous)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_AT_ONCE, keepalive_timeout=seconds)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    accept = cast("web.Server", runner.server)

    def factory() -> asyncio.Protocol:
        return accept() if len(accept.connections) < MOST else _Closed()

    server = await asyncio.get_running_loop().create_server(factory, sock=bound)
    stack.callback(server.close)


async def _anonymous(_: web.Request, response: web.StreamResponse) -> None:
    """Say no versions to whoever asks: aiohttp would name its own and Python's."""
    response.headers[SERVER] = "edgeprofile"
