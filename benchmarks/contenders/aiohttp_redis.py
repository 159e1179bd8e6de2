"""The handler that most would write: an aiohttp application that asks Redis through redis.asyncio each time. uvloop, hiredis."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from benchmarks import data
from benchmarks.protocol import Round, Spec, serve
from benchmarks.serving import PATH, TOKEN, aiohttp_site, running

TITLE = "aiohttp + redis.asyncio"
REQUIRES = ("aiohttp>=3.12", "uvloop>=0.21", "redis[hiredis]>=8")
DISTRIBUTIONS = ("aiohttp", "uvloop", "redis", "hiredis")
TOKENS = {f"Bearer {TOKEN}": {data.DESTINATION}}


@asynccontextmanager
async def _application(spec: Spec) -> AsyncIterator[Any]:
    from aiohttp import web
    from redis.asyncio import Redis

    async with Redis(**spec["server"]) as redis:

        async def activation(request: web.Request) -> web.Response:
            asked = await request.json()
            if asked["destinationId"] not in TOKENS.get(request.headers["Authorization"], ()):
                raise web.HTTPUnauthorized
            wanted = asked["id"]
            key = f"{data.WORKSPACE}:{asked['destinationId']}:{asked['entity']}:{wanted['type']}:{wanted['value']}"
            fields: Any = await redis.hgetall(key)
            traits = {model.decode(): json.loads(text) for model, text in fields.items()}
            return web.json_response({"entity": asked["entity"], "id": wanted, "data": traits})

        application = web.Application()
        application.router.add_post(PATH, activation)
        async with running(web.AppRunner(application, access_log=None)) as runner:
            yield runner


@contextmanager
def http(spec: Spec) -> Iterator[Round]:
    with aiohttp_site(_application(spec)) as measure:
        yield measure


if __name__ == "__main__":
    serve(DISTRIBUTIONS, http=http)
