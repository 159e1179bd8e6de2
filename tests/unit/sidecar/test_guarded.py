"""The admin listener's few connections, and who may hold on to them."""

import asyncio
import contextlib
import socket

import pytest
from aiohttp import web

from edgeprofile_sidecar import guarded

LONG = b"x" * (8 << 20)  # more than the system takes for a reader who does not read


async def listening(stack: contextlib.AsyncExitStack, seconds: float) -> tuple[str, int]:
    async def long(_: web.Request) -> web.Response:
        return web.Response(body=LONG)

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="live")

    async def cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.write(LONG)
        request.protocol.force_close()
        return web.Response()

    app = web.Application()
    app.router.add_get("/long", long)
    app.router.add_get("/cut", cut)
    app.router.add_get("/livez", live)
    bound = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    await guarded.serve_admin(stack, app, bound, seconds)
    return bound.getsockname()


async def asked(address: tuple[str, int], path: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(*address, limit=1024)
    writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
    return reader, writer


async def lives(address: tuple[str, int]) -> bool:
    reader, writer = await asked(address, b"/livez")
    try:
        return (await reader.read(12)).endswith(b"200")
    except ConnectionError:
        return False
    finally:
        writer.close()


@pytest.mark.parametrize("path", [b"/long", b"/cut"])
def test_who_does_not_read_keeps_nobody_else_out_for_long(monkeypatch, path):
    monkeypatch.setattr(guarded, "MOST", 3)

    async def scenario() -> tuple[bool, bool]:
        async with contextlib.AsyncExitStack() as stack:
            address = await listening(stack, 0.2)
            deaf = [await asked(address, path) for _ in range(3)]
            await asyncio.sleep(0.05)
            before = await lives(address)
            for _ in range(100):
                await asyncio.sleep(0.05)
                after = await lives(address)
                if after:
                    break
            for _, writer in deaf:
                writer.transport.abort()
            return before, after

    assert asyncio.run(scenario()) == (False, True)


def test_who_reads_in_time_gets_all(monkeypatch):
    async def scenario() -> bytes:
        async with contextlib.AsyncExitStack() as stack:
            reader, writer = await asked(await listening(stack, 10.0), b"/long")
            await asyncio.sleep(0.6)
            await reader.readuntil(b"\r\n\r\n")
            received = await reader.readexactly(len(LONG))
            writer.close()
            return received

    monkeypatch.setattr(guarded, "_LOOKING", 0.05)
    assert asyncio.run(scenario()) == LONG


def test_a_body_that_does_not_come_holds_no_connection_for_longer_than_a_head_may():
    async def scenario() -> tuple[bytes, float]:
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            reader, writer = await asyncio.open_connection(*await listening(stack, 0.3))
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
            begun = loop.time()
            answer = await asyncio.wait_for(reader.read(), 20)
            writer.close()
            return answer, loop.time() - begun

    answer, seconds = asyncio.run(scenario())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert seconds < 2.0
