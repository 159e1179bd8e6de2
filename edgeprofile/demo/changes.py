"""A process that changes profiles at a steady pace, as a stream of events would.

``python -m edgeprofile.demo.changes PORT USERS RATE`` writes the changes 1, 2, 3, … of `people.change` and tells on
standard output, in records of 16 bytes, when which of them was acknowledged.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from edgeprofile.demo import people
from edgeprofile.demo.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprofile.demo.processes import Child, Household
    from edgeprofile.demo.server import Server

__all__ = ["Acknowledgements", "start"]

_RECORD = struct.Struct("=qq")
_LATE = 0.1


class Acknowledged(NamedTuple):
    """The number of a change, and when it was acknowledged (nanoseconds of the monotonic clock)."""

    number: int
    at: int


class Acknowledgements:
    """What the process has told so far."""

    def __init__(self, child: Child) -> None:
        self._output = child.output
        os.set_blocking(self._output.fileno(), False)

    def news(self) -> Iterator[Acknowledged]:
        """What has come since the last time; never waits."""
        # Records are written whole, and a pipe keeps its order.
        records = self._output.read(_RECORD.size * 1_024) or b""
        return (Acknowledged(*record) for record in _RECORD.iter_unpack(records))


def start(house: Household, server: Server, users: int, rate: int) -> Acknowledgements:
    """Start the process."""
    command = [sys.executable, "-m", __name__, str(server.port), str(users), str(rate)]
    return Acknowledgements(house.spawn("the writer", command))


def _write(port: int, users: int, rate: int) -> None:
    pause = 1 / rate
    due = time.monotonic()
    with Wire(port) as wire:
        for number in count(1):
            row = people.change(number, users)
            time.sleep(max(0.0, due - time.monotonic()))
            wire.write(row)
            os.write(1, _RECORD.pack(number, time.monotonic_ns()))
            # What a busy machine held up is made up for, what a suspended one missed is not.
            due = max(due + pause, time.monotonic() - _LATE)


if __name__ == "__main__":
    _write(*map(int, sys.argv[1:]))
