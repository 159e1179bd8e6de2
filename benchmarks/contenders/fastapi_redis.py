"""The same handler on FastAPI and uvicorn (uvloop, httptools), as FastAPI documents it."""

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

from benchmarks import data
from benchmarks.loops import Loop
from benchmarks.protocol import Round, Spec, serve
from benchmarks.serving import HOST, PATH, TOKEN, described, endpoint

TITLE = "FastAPI + redis.asyncio"
REQUIRES = ("fastapi", "uvicorn[standard]", "redis[hiredis]>=8")
DISTRIBUTIONS = ("fastapi", "uvicorn", "uvloop", "httptools", "redis", "hiredis")
TOKENS = {f"Bearer {TOKEN}": {data.DESTINATION}}


def _application(redis: Any) -> Any:
    from fastapi import FastAPI, Header, HTTPException
    from pydantic import BaseModel

    class Identity(BaseModel):
        type: str
        value: str

    class Question(BaseModel):
        entity: str
        destinationId: str  # noqa: N815  # the API's own spelling
        id: Identity

    application = FastAPI()

    @application.post(PATH)
    async def activation(asked: Question, authorization: Annotated[str, Header()]) -> dict[str, Any]:
        if asked.destinationId not in TOKENS.get(authorization, ()):
            raise HTTPException(401)
        key = f"{data.WORKSPACE}:{asked.destinationId}:{asked.entity}:{asked.id.type}:{asked.id.value}"
        fields = await redis.hgetall(key)
        traits = {model.decode(): json.loads(text) for model, text in fields.items()}
        return {"entity": asked.entity, "id": asked.id, "data": traits}

    return application


@asynccontextmanager
async def _serving(spec: Spec, listener: socket.socket) -> AsyncIterator[None]:
    import asyncio

    import uvicorn
    from redis.asyncio import Redis

    async with Redis(**spec["server"]) as redis:
        config = uvicorn.Config(_application(redis), http="httptools", log_level="warning", access_log=False)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve([listener]))  # noqa: SLF001  # `serve` would take the signals, in a thread that cannot
        yield
        server.should_exit = True
        await task


@contextmanager
def http(spec: Spec) -> Iterator[Round]:
    import uvloop

    with socket.create_server((HOST, 0), backlog=1024) as listener, Loop(uvloop.new_event_loop) as loop:
        loop.hold(_serving(spec, listener))
        yield described(endpoint(listener.getsockname()[1]))


if __name__ == "__main__":
    serve(DISTRIBUTIONS, http=http)
