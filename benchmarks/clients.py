"""A load generator in plain asyncio, for machines without wrk: slower, so it understates every server that is faster."""

import asyncio
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit

from benchmarks.protocol import Round, Spec, serve

TITLE = "load generator"
REQUIRES = ()
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Client(asyncio.Protocol):
    """One connection with one request under way."""

    def __init__(self, requests: Iterator[bytes], latencies: list[float]) -> None:
        self._requests = requests
        self._latencies = latencies
        self._received = b""
        self._asked = 0.0
        self.failed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, received: bytes) -> None:
        self._received += received
        head = self._received.find(b"\r\n\r\n")
        length = LENGTH.search(self._received, 0, head) if head >= 0 else None
        if length and len(self._received) >= head + 4 + int(length[1]):
            self._answered()

    def _answered(self) -> None:
        self._latencies.append(time.perf_counter() - self._asked)
        self.failed += not self._received.startswith((b"HTTP/1.1 2", b"HTTP/1.0 2"))
        self._received = b""
        self._ask()

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(next(self._requests))

    def connection_lost(self, error: Exception | None) -> None:
        self.failed += error is not None

    def close(self) -> None:
        self._transport.abort()


@contextmanager
def http(spec: Spec) -> Iterator[Round]:
    endpoint = spec["endpoint"]
    requests = [request(endpoint, body.encode()) for body in spec["bodies"]]

    async def load(connections: int, seconds: float) -> dict[str, Any]:
        latencies: list[float] = []
        source, where = cycle(requests), urlsplit(endpoint["url"])
        start = time.perf_counter()
        loop = asyncio.get_running_loop()
        clients = [
            (await loop.create_connection(lambda: Client(source, latencies), where.hostname, where.port))[1]
            for _ in range(connections)
        ]
        await asyncio.sleep(seconds)
        elapsed, failed = time.perf_counter() - start, sum(client.failed for client in clients)
        for client in clients:
            client.close()
        return summary(sorted(latencies), elapsed, failed)

    def measure(request: Mapping[str, Any]) -> dict[str, Any]:
        return asyncio.run(load(request["connections"], request["seconds"]))

    yield measure


def request(endpoint: Mapping[str, Any], body: bytes) -> bytes:
    headers = {"Host": urlsplit(endpoint["url"]).netloc, **endpoint["headers"]}
    if body:
        headers["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{endpoint['method']} {endpoint['path']} HTTP/1.1\r\n{lines}\r\n".encode() + body


def summary(latencies: list[float], elapsed: float, failed: int) -> dict[str, Any]:
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "worst": 1.0}
    last = len(latencies) - 1
    found = {name: latencies[int(share * last)] * 1e6 if latencies else 0.0 for name, share in shares.items()}
    return {"requests": len(latencies), "microseconds": elapsed * 1e6, "failed": failed, **found}


if __name__ == "__main__":
    serve((), http=http)
