"""A process that asks the sidecar over HTTP at a steady pace, on one connection, as a service next door would.

``python -m edgeprofile.demo.calls HOST:PORT TOKEN_FILE USERS RATE`` tells its totals on standard output, a line of JSON
now and then.
"""

from __future__ import annotations

import os
import random
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgeprofile.demo import people
from edgeprofile.demo.measure import Distribution
from edgeprofile.demo.sidecar import request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprofile.demo.processes import Child, Household
    from edgeprofile.demo.sidecar import Sidecar

__all__ = ["Calls", "Totals", "start"]

_TELL_EVERY = 0.2
_TIMEOUT = 30.0
_LATE = 0.1
_HEAD_END = b"\r\n\r\n"


class Totals(msgspec.Struct, frozen=True):
    """Requests answered, how many of them not with 200, and their latencies as `Distribution` counts them."""

    requests: int = 0
    failed: int = 0
    latencies: dict[int, int] = {}


class Calls:
    """What the process has told so far."""

    def __init__(self, child: Child) -> None:
        self._output = child.output
        self._unread = b""
        self._totals = Totals()
        os.set_blocking(self._output.fileno(), False)

    def totals(self) -> Totals:
        """The totals told last; never waits."""
        self._unread += self._output.read(1 << 16) or b""
        *lines, self._unread = self._unread.split(b"\n")
        if lines:
            self._totals = msgspec.json.decode(lines[-1], type=Totals)
        return self._totals


def start(house: Household, sidecar: Sidecar, users: int, rate: int) -> Calls:
    """Start the process."""
    words = [sidecar.address, str(sidecar.token_file), str(users), str(rate)]
    return Calls(house.spawn("the caller", [sys.executable, "-m", __name__, *words]))


class _Caller:
    """One connection, with one request under way at a time."""

    def __init__(self, address: str, requests: Sequence[bytes]) -> None:
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), _TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests = requests
        self._chance = random.Random(0)  # noqa: S311 -- who asks for whom is no secret
        self._latencies = Distribution()
        self._asked = 0
        self._failed = 0

    @property
    def totals(self) -> Totals:
        return Totals(self._asked, self._failed, self._latencies.counts)

    def ask(self) -> None:
        sent = self._chance.choice(self._requests)
        began = time.perf_counter_ns()
        self._socket.sendall(sent)
        answer = self._answer()
        self._latencies.add(time.perf_counter_ns() - began)
        self._asked += 1
        self._failed += not answer.startswith(b"HTTP/1.1 200 ")

    def _answer(self) -> bytes:
        received = b""
        while True:
            piece = self._socket.recv(1 << 16)
            if not piece:
                raise ConnectionResetError("the sidecar closed the connection")
            received += piece
            head, end, rest = received.partition(_HEAD_END)
            if end and len(rest) >= _length(head):
                return received


def _length(head: bytes) -> int:
    _, _, value = head.lower().partition(b"\r\ncontent-length:")
    return int(value.partition(b"\r\n")[0])


def _call(address: str, token_file: str, users: int, rate: int) -> None:
    token = Path(token_file).read_text("ascii")
    caller = _Caller(address, [request(address, token, people.email(user)) for user in range(users)])
    pause, due, tell = 1 / rate, time.monotonic(), 0.0
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        caller.ask()
        now = time.monotonic()
        due = max(due + pause, now - _LATE)
        if now >= tell:
            tell = now + _TELL_EVERY
            os.write(1, msgspec.json.encode(caller.totals) + b"\n")


if __name__ == "__main__":
    _call(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
