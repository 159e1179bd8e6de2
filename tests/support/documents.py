"""A server of JSON documents, for the `useJSONModule` path: fakeredis behind a real socket.

No server with RedisJSON can be had from the package registries. This one speaks RESP over TCP and implements the JSON
commands, but sends no keyspace events and knows no HINCRBY channel: what it serves is fresh by the proof of each fetch.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from fakeredis import TcpFakeServer

from tests.support.ports import HOST, free_port


@dataclass
class Documents:
    """The running server."""

    port: int

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def command(self, *args: str | bytes) -> Any:
        with redis.Redis(host=HOST, port=self.port, protocol=2) as client:
            return client.execute_command(*args)  # type: ignore[no-untyped-call]  # redis-py's own signature


@contextmanager
def document_server() -> Iterator[Documents]:
    """Serve JSON documents until the block ends."""
    port = free_port()
    server = TcpFakeServer((HOST, port), server_type="redis")
    thread = threading.Thread(target=server.serve_forever, name="documents", daemon=True)
    thread.start()
    try:
        yield Documents(port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
