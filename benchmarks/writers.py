"""Processes that write to Redis while contenders read: at full speed, or at a steady pace with a log of what was acknowledged."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks import data
from benchmarks.protocol import Round, Spec, serve
from benchmarks.resp import Connection, pack

BATCH = 5_000
BATCHES = 100  # a second
SMALL = '{"churn_score":0.5}'

TITLE = "writer"
REQUIRES = ()


@contextmanager
def flood(spec: Spec) -> Iterator[Round]:
    """HSET of small profiles, in batches packed beforehand, two of them on the way at any time; ids from number `first` on."""
    first = spec.get("first", 0)
    ids = [data.identity(index) for index in range(first, first + spec["entries"])]
    size = min(BATCH, len(ids))
    batches = [_packed(ids[start : start + size]) for start in range(0, len(ids) - size + 1, size)]
    with Connection(spec["server"]) as connection:

        def measure(request: Mapping[str, Any]) -> dict[str, Any]:
            start = time.monotonic()
            until = start + request.get("seconds", float("inf"))
            written = _write(connection, batches, size, request.get("events", float("inf")), until)
            return {"events": written, "seconds": time.monotonic() - start}

        yield measure


def _packed(ids: list[str]) -> bytes:
    return b"".join(pack("HSET", data.key(value), data.MODEL, SMALL) for value in ids)


def _write(connection: Connection, batches: list[bytes], size: int, events: float, until: float) -> int:
    sent = answered = 0
    while sent < events and time.monotonic() < until:
        connection.send(batches[sent // size % len(batches)])
        sent += size
        if sent - answered > size:
            connection.expect(size)
            answered += size
    connection.expect(sent - answered)
    return sent


@contextmanager
def stream(spec: Spec) -> Iterator[Round]:
    """HSET of small profiles at a steady `rate` a second, in a hundred batches a second; ids from number `first` on."""
    ids = [data.identity(index) for index in range(spec["first"], spec["first"] + spec["entries"])]
    with Connection(spec["server"]) as connection:

        def measure(request: Mapping[str, Any]) -> dict[str, Any]:
            size = request["rate"] // BATCHES
            batches = [_packed(ids[start : start + size]) for start in range(0, len(ids) - size + 1, size)]
            start, sent = time.monotonic(), 0
            for number in range(int(request["seconds"] * BATCHES)):
                time.sleep(max(0.0, start + number / BATCHES - time.monotonic()))
                connection.send(batches[number % len(batches)])
                connection.expect(size)
                sent += size
            return {"events": sent, "seconds": time.monotonic() - start}

        yield measure


@contextmanager
def steady(spec: Spec) -> Iterator[Round]:
    """One HSET at a time, `rate` a second, over `entries` ids in turn; returns when each version was acknowledged."""
    keys = [data.key(value) for value in data.identities(spec["entries"])]
    texts = [data.text(index)[1:] for index in range(len(keys))]
    with Connection(spec["server"]) as connection:

        def put(number: int) -> int:
            version, index = divmod(number, len(keys))
            connection.call("HSET", keys[index], data.MODEL, f'{{"version":{version + 1},{texts[index]}')
            return time.monotonic_ns()

        def measure(request: Mapping[str, Any]) -> dict[str, Any]:
            start, pause = time.monotonic(), 1 / request["rate"]
            acknowledged = []
            for number in range(int(request["rate"] * request["seconds"])):
                time.sleep(max(0.0, start + number * pause - time.monotonic()))
                acknowledged.append(put(number))
            return {"acknowledged": acknowledged, "seconds": time.monotonic() - start}

        yield measure


if __name__ == "__main__":
    serve((), flood=flood, stream=stream, steady=steady)
