"""Many subscribers in one process: each listens to the feed as a process of ours does, and throws away what it is told.

They subscribe as `edgeprofile.store` does, to a destination's keys and to a canary of their own.
"""

import select
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks import data
from benchmarks.protocol import Round, Spec, serve
from benchmarks.resp import pack

TITLE = "subscribers"
REQUIRES = ()
QUIET = 0.25  # seconds without a byte, after which everything has come
_READ = 1 << 18


def commands(mode: str, number: int) -> bytes:
    """What subscriber `number` says."""
    if mode == "tracking":
        prefixes = ("PREFIX", data.KEY_PATTERN.removesuffix("*"), "PREFIX", f"canary:{number}")
        return pack("HELLO", "3") + pack("CLIENT", "TRACKING", "ON", "BCAST", *prefixes)
    exact = pack("SUBSCRIBE", f"__keyspace@0__:canary:{number}")
    return exact + pack("PSUBSCRIBE", f"__keyspace@0__:{data.KEY_PATTERN}")


@contextmanager
def crowd(spec: Spec) -> Iterator[Round]:
    """`count` of them; a round returns, once all is quiet, how many bytes they were sent since the last."""
    server = spec["server"]
    with ExitStack() as stack:
        poll = stack.enter_context(select.epoll())
        sockets: dict[int, socket.socket] = {}
        for number in range(spec["count"]):
            one = stack.enter_context(socket.create_connection((server["host"], server["port"])))
            one.sendall(commands(spec["mode"], number))
            sockets[one.fileno()] = one
            poll.register(one.fileno(), select.EPOLLIN)
        _drained(poll, sockets)

        def measure(request: Mapping[str, Any]) -> dict[str, Any]:
            return {"bytes": _drained(poll, sockets, request.get("least", 0))}

        yield measure


def _drained(poll: select.epoll, sockets: Mapping[int, socket.socket], least: int = 0) -> int:
    """Bytes received until it was quiet, and `least` had come."""
    total, end, last = 0, time.monotonic() + 60.0, time.monotonic()
    while time.monotonic() < end and (time.monotonic() - last < QUIET or total < least):
        ready = poll.poll(0.05)
        for number, _ in ready:
            total += len(sockets[number].recv(_READ))
        if ready:
            last = time.monotonic()
    return total


if __name__ == "__main__":
    serve((), crowd=crowd)
