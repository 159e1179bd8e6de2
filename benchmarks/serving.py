"""For contenders that answer over HTTP: what they are asked, and a round that tells the load generator where and how."""

import json
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

from benchmarks import data
from benchmarks.loops import Loop
from benchmarks.protocol import Round, cpu_seconds

HOST = "127.0.0.1"
PATH = "/v1/activation"
TOKEN = "benchmark-token"


def question(id_value: str) -> bytes:
    """The body of an Activation API request."""
    identity = {"type": data.ID_TYPE, "value": id_value}
    return json.dumps({"entity": data.ENTITY, "destinationId": data.DESTINATION, "id": identity}).encode()


def answer(index: int) -> bytes:
    """The body of the Activation API's answer for the profile with that number."""
    identity = {"type": data.ID_TYPE, "value": data.identity(index)}
    traits = {data.MODEL: data.traits(index)}
    return json.dumps({"entity": data.ENTITY, "id": identity, "data": traits}, separators=(",", ":")).encode()


def endpoint(port: int, token: str = TOKEN) -> dict[str, Any]:
    """How to ask a server that speaks the Activation API."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return {"url": f"http://{HOST}:{port}", "path": PATH, "method": "POST", "headers": headers}


def described(what: Mapping[str, Any], cpu: Callable[[], float] = cpu_seconds) -> Round:
    """A round that tells the endpoint and the processor time so far."""

    def measure(_request: Mapping[str, Any]) -> dict[str, Any]:
        return {**what, "cpu": cpu()}

    return measure


@contextmanager
def aiohttp_site(
    server: AbstractAsyncContextManager[Any], new_loop: Callable[[], AbstractEventLoop] | None = None
) -> Iterator[Round]:
    """Serve an aiohttp runner on a free port, in a thread of its own, on uvloop unless told."""
    import uvloop

    with Loop(new_loop or uvloop.new_event_loop) as loop:
        runner = loop.hold(server)
        port = runner.addresses[0][1]
        yield described(endpoint(port))


@asynccontextmanager
async def running(runner: Any) -> AsyncIterator[Any]:
    """An aiohttp runner, listening."""
    from aiohttp import web

    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        yield runner
    finally:
        await runner.cleanup()
