"""aiohttp's low-level server, answering every request with the same prebuilt bytes: no routes, no parsing, no Redis.

On uvloop, as the sidecar is, and on asyncio's own loop, as it comes.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from benchmarks.protocol import Round, Spec, serve
from benchmarks.serving import aiohttp_site, answer, running

TITLE = "bare aiohttp, prebuilt bytes"
REQUIRES = ("aiohttp>=3.12", "uvloop>=0.21")
DISTRIBUTIONS = ("aiohttp", "uvloop")


@asynccontextmanager
async def _server() -> AsyncIterator[Any]:
    from aiohttp import web

    body = answer(0)

    async def handler(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    async with running(web.ServerRunner(web.Server(handler))) as runner:
        yield runner


@contextmanager
def on_uvloop(_spec: Spec) -> Iterator[Round]:
    with aiohttp_site(_server()) as measure:
        yield measure


@contextmanager
def on_asyncio(_spec: Spec) -> Iterator[Round]:
    with aiohttp_site(_server(), asyncio.new_event_loop) as measure:
        yield measure


if __name__ == "__main__":
    serve(DISTRIBUTIONS, uvloop=on_uvloop, asyncio=on_asyncio)
