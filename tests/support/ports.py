"""Free TCP ports on loopback that stay free while a server on them is down."""

import os
import random
import socket
from collections import deque
from collections.abc import Iterator
from itertools import islice

HOST = "127.0.0.1"

# Below Linux's ephemeral range (32768 up): there, a client that keeps dialling a server that is down is one day given
# the server's own number as its source port and connects to itself, or another client occupies the port meanwhile.
_RANGE = range(17_000, 32_000)
_LATELY: deque[int] = deque(maxlen=1_000)
"""Ports that were given to somebody who may not have bound them yet."""


def free_port() -> int:
    """A port that could be bound a moment ago.

    Raises:
        OSError: None of two hundred could be bound.
    """
    for port in islice(_candidates(), 200):
        if port not in _LATELY and _can_bind(port):
            _LATELY.append(port)
            return port
    raise OSError(f"no free port on {HOST} among 200 tried of {_RANGE.start}-{_RANGE.stop - 1}")


def _candidates() -> Iterator[int]:
    chance = random.SystemRandom()  # not the generator that tests seed: two runs beside each other would collide
    ours = _share(os.environ.get("PYTEST_XDIST_WORKER", ""), os.environ.get("PYTEST_XDIST_WORKER_COUNT", ""))
    while True:
        yield chance.choice(ours)


def _share(worker: str, workers: str) -> range:
    """What one of several test processes takes its ports from: between choosing and binding, no other may be faster."""
    number, count = int(worker.removeprefix("gw") or 0), int(workers or 1)
    return _RANGE[number % count :: count]


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
