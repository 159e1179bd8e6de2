"""What any server on uvloop pays: each time bytes arrive, the same answer goes out, whatever was asked.

That is event loop, kernel and load generator, and nothing of a server: no rate above it can be reached in one process.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import cast

from benchmarks.loops import Loop
from benchmarks.protocol import Round, Spec, serve
from benchmarks.serving import HOST, answer, described, endpoint

TITLE = "floor: uvloop, the same bytes for whatever arrives"
REQUIRES = ("uvloop>=0.21",)
DISTRIBUTIONS = ("uvloop",)
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n"
    b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nCache-Status: edgeprofile; hit; ttl=285\r\nAge: 0\r\n"
    b'ETag: "000000000000000000000000"\r\nServer-Timing: cache;desc=hit\r\n\r\n'
)
"""As long as that of the sidecar's answer."""
_BODY = answer(0)
_ANSWER = _HEAD % len(_BODY) + _BODY


class _Deaf(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, _data: bytes) -> None:
        self._transport.write(_ANSWER)


@asynccontextmanager
async def _server() -> AsyncIterator[int]:
    async with await asyncio.get_running_loop().create_server(_Deaf, HOST, 0) as server:
        yield server.sockets[0].getsockname()[1]


@contextmanager
def http(_spec: Spec) -> Iterator[Round]:
    import uvloop

    with Loop(uvloop.new_event_loop) as loop:
        yield described(endpoint(loop.hold(_server())))


if __name__ == "__main__":
    serve(DISTRIBUTIONS, http=http)
