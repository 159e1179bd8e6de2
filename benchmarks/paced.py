"""A load generator that does not wait: requests are due at moments drawn beforehand, and timed from when they were due.

One that asks again only when it was answered pauses while the server pauses, and so never sees what it would have met.
Moments are those of a Poisson process; a request that is due while all connections are taken waits for the first that
is free, and its time runs. A process of its own, which never sleeps: on a machine with one processor it disturbs.
"""

import random
import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any
from urllib.parse import urlsplit

from benchmarks import clients
from benchmarks.protocol import Round, Spec, serve

TITLE = "open-loop load generator"
REQUIRES = ()
PATIENCE = 2.0  # seconds for what is under way when the last request was due
_READ = 1 << 16


class Connection:
    """One connection with at most one request under way."""

    __slots__ = ("_answer", "_left", "due", "failed", "socket")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.failed = 0
        self._answer = b""
        self._left = 0

    def ask(self, request: bytes, due: float) -> None:
        self.due = due
        self.socket.sendall(request)

    def is_answered(self) -> bool:
        """Read what has come; whether that was the end of an answer."""
        received = self.socket.recv(_READ)
        if not received:
            raise ConnectionError("the server closed the connection")
        if self._left:
            self._left -= len(received)
            return self._left == 0
        self._answer += received
        head = self._answer.find(b"\r\n\r\n")
        if head < 0:
            return False
        length = clients.LENGTH.search(self._answer, 0, head)
        assert length, "an answer without its length"
        self.failed += not self._answer.startswith((b"HTTP/1.1 2", b"HTTP/1.0 2"))
        self._left = head + 4 + int(length[1]) - len(self._answer)
        self._answer = b""
        return self._left == 0


@contextmanager
def http(spec: Spec) -> Iterator[Round]:
    request = clients.request(spec["endpoint"], spec["body"].encode())
    where = urlsplit(spec["endpoint"]["url"])

    def measure(asked: Mapping[str, Any]) -> dict[str, Any]:
        assert where.hostname is not None
        assert where.port is not None
        connections = [Connection((where.hostname, where.port)) for _ in range(asked["connections"])]
        moments = _moments(asked["rate"], asked["seconds"])
        try:
            latencies, elapsed = _asked(connections, request, moments)
        finally:
            for connection in connections:
                connection.socket.close()
        failed = sum(connection.failed for connection in connections)
        return clients.summary(sorted(latencies), elapsed, failed)

    yield measure


def _moments(rate: float, seconds: float) -> list[float]:
    chance = random.Random(0)
    return list(accumulate(chance.expovariate(rate) for _ in range(int(rate * seconds))))


def _asked(connections: Sequence[Connection], request: bytes, moments: Sequence[float]) -> tuple[list[float], float]:
    """Latencies, and the seconds until the last answer."""
    clock = time.perf_counter
    by_number = {connection.socket.fileno(): connection for connection in connections}
    free, latencies, asked = deque(connections), [], 0
    with select.epoll() as poll:
        for number in by_number:
            poll.register(number, select.EPOLLIN)
        start = clock()
        end = start + moments[-1] + PATIENCE
        while len(latencies) < len(moments) and (now := clock()) < end:
            while free and asked < len(moments) and start + moments[asked] <= now:
                free.popleft().ask(request, start + moments[asked])
                asked += 1
            for number, _ in poll.poll(0):
                connection = by_number[number]
                if connection.is_answered():
                    latencies.append(clock() - connection.due)
                    free.append(connection)
        return latencies, clock() - start


if __name__ == "__main__":
    serve((), http=http)
