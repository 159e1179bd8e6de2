"""A Redis that knows JSON documents: fakeredis over TCP, because no real server with RedisJSON can be had from PyPI.

It knows neither INFO, CONFIG GET, ROLE nor tracking, and sends keyspace notifications always. Ask for a path: without
one its JSON.GET answers an empty object.
"""

import socket
import threading
from types import TracebackType
from typing import Any, Self

import redis
from fakeredis import TcpFakeServer
from fakeredis._clients._tcp_server import TCPFakeRequestHandler  # no public name has the connection's loop

from tests.support.ports import HOST


class _Handler(TCPFakeRequestHandler):
    """Keeps the connection after an error, as Redis does."""

    def handle(self) -> None:
        while not self.server._shutdown_event.is_set() and self._is_connected():
            super().handle()

    def _is_connected(self) -> bool:
        try:
            return bool(self.connection.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False


class JsonServer:
    """Runs in threads of its own; a context manager that ends them."""

    def __init__(self) -> None:
        self._server = TcpFakeServer((HOST, 0))
        self._server.RequestHandlerClass = _Handler
        self.host, self.port = HOST, int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="fake redis", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    def client(self, **options: Any) -> redis.Redis:
        """A redis-py client; the caller closes it."""
        return redis.Redis(host=self.host, port=self.port, **{"protocol": 2, "socket_timeout": 10, **options})
