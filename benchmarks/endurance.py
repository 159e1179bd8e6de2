"""A minute at 80% of capacity with a full sync running and tokens reloading, then 10,000 idle connections.

    python -m benchmarks.endurance [--seconds 60] [--connections 10000]

One sidecar process on uvloop; Redis, the writer of the sync and the callers, each a process, share its machine. Callers
keep to a rate, and latency counts from when a request was due. The capacity is what the same callers reach, with the
same sync under way, when each asks again as soon as it is answered. Prints a line of JSON.

The sync is what a full one sends to Redis, at a fixed rate: pipelines of HSET for every profile, again and again, the same
values each time. There is no warehouse and no snapshot behind it.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
import uvloop

from edgeprofile_sidecar.tokens import dump
from tests.support.sidecar import request, token
from tests.support.wait import until

PROFILES = 20_000
CALLERS = 16
SHARE = 0.8
SYNC_RATE = 5_000.0
SECRET = "ep_endurance"
TRAITS = {f"trait_{number}": number * 1.5 for number in range(20)}


def question(number: int) -> bytes:
    body = json.dumps(
        {"entity": "user", "destinationId": "2Dest", "id": {"type": "email", "value": f"user{number}@example.com"}}
    ).encode()
    head = (
        f"POST /v2/activation HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass
class Tally:
    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def quantile(self, share: float) -> float:
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))]


async def call(address: str, until_: float, interval: float, first: int, tally: Tally) -> None:
    """One caller on one connection; ``interval`` 0.0 asks again at once, and latency counts from when it was due."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    due, number = time.perf_counter(), first
    while (now := time.perf_counter()) < until_:
        if interval and now < due:
            await asyncio.sleep(due - now)
        begun = due if interval else now
        number += CALLERS
        writer.write(question(number % PROFILES))
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0]))
        tally.seconds.append(time.perf_counter() - begun)
        if not head.startswith(b"HTTP/1.1 200"):
            tally.errors[head[9:12].decode()] += 1
        due += interval
    writer.close()


async def load(address: str, seconds: float, rate: float) -> Tally:
    """All callers together; ``rate`` in requests a second, 0.0 for as many as there can be."""
    tally, end = Tally(), time.perf_counter() + seconds
    interval = CALLERS / rate if rate else 0.0
    await asyncio.gather(*(call(address, end, interval, first, tally) for first in range(CALLERS)))
    return tally


async def idle(address: str, count: int, measure: Callable[[], float]) -> float:
    """Memory of the sidecar in MiB while that many connections, each served once, stay open."""
    host, _, port = address.rpartition(":")
    writers = []
    for number in range(count):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(question(number % PROFILES))
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0]))
        writers.append(writer)
    held = measure()
    for writer in writers:
        writer.close()
    return held


def run(work: Any) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@contextmanager
def redis_server(home: Path) -> Iterator[redis.Redis]:
    path = home / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--notify-keyspace-events", "KA"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=home) as child:
        try:
            until(path.exists, message="Redis")
            with redis.Redis(unix_socket_path=str(path)) as client:
                yield client
        finally:
            child.terminate()


def write_all(client: redis.Redis, rate: float = 0.0) -> None:
    """What a full sync does: every profile, in pipelines, at a rate in profiles a second."""
    text = json.dumps(TRAITS)
    begun = time.monotonic()
    for start in range(0, PROFILES, 500):
        if rate:
            time.sleep(max(0.0, begun + start / rate - time.monotonic()))
        with client.pipeline(transaction=False) as pipe:
            for number in range(start, start + 500):
                pipe.hset(f"1Wsp:2Dest:user:email:user{number}@example.com", "features", text)
            pipe.execute()


@contextmanager
def syncing(path: Path) -> Iterator[None]:
    """One full sync after the other, in a process of its own."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.endurance", "--sync", str(path)]) as child:
        try:
            yield
        finally:
            child.kill()


def sync(path: str) -> None:
    with redis.Redis(unix_socket_path=path) as client:
        while True:
            write_all(client, SYNC_RATE)


@contextmanager
def again_and_again(pause: float, action: Callable[[], None]) -> Iterator[list[int]]:
    """An action in a thread, with a pause in between; yields how often it was done, in a list of one."""
    stop, done = threading.Event(), [0]

    def work() -> None:
        while not stop.is_set():
            action()
            done[0] += 1
            stop.wait(pause)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()


@dataclass
class Process:
    child: subprocess.Popen[bytes]
    listen: str
    admin: str

    def memory(self) -> float:
        """Resident, in MiB."""
        pages = int(Path(f"/proc/{self.child.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20

    def ready(self) -> bool:
        return request(self.admin, "GET", "/readyz").status == 200


@contextmanager
def sidecar(home: Path) -> Iterator[Process]:
    (home / "tokens.json").write_bytes(dump([token(SECRET)]))
    (home / "edgeprofile.toml").write_text(
        f'[[destinations]]\nid = "2Dest"\nworkspaceId = "1Wsp"\n'
        f'config = {{ address = "unix:{home}/redis.sock", clusterMode = false }}\n'
        '[sidecar]\nlisten = ["127.0.0.1:0"]\nadminListen = "127.0.0.1:0"\ntokensFile = "tokens.json"\n'
    )
    config = str(home / "edgeprofile.toml")
    command = [sys.executable, "-m", "edgeprofile", "sidecar", "--config", config, "--print-addresses"]
    with (home / "log").open("wb") as log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as child:
        try:
            assert child.stdout is not None
            addresses = json.loads(child.stdout.readline() or (home / "log").read_text())
            process = Process(child, addresses["listen"][0], addresses["admin"])
            until(process.ready, 30.0, "ready")
            yield process
        finally:
            child.terminate()


def measure(seconds: float, connections: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, redis_server(Path(name)) as client:
        home = Path(name)
        write_all(client)
        with sidecar(home) as process:
            with syncing(home / "redis.sock"), again_and_again(0.5, lambda: reload(home)) as reloads:
                run(load(process.listen, 3.0, 0.0))  # warm
                capacity = len(run(load(process.listen, min(10.0, seconds), 0.0)).seconds) / min(10.0, seconds)
                before = process.memory()
                tally = run(load(process.listen, seconds, SHARE * capacity))
                after = process.memory()
            held = run(idle(process.listen, connections, process.memory))
    return {
        "capacity_rps": round(capacity),
        "rate_rps": round(len(tally.seconds) / seconds),
        "errors": dict(tally.errors),
        "p50_ms": round(tally.quantile(0.5) * 1e3, 2),
        "p99_ms": round(tally.quantile(0.99) * 1e3, 2),
        "sync_profiles_per_second": SYNC_RATE,
        "token_reloads": reloads[0],
        "memory_mib": {"before": round(before), "after": round(after)},
        "idle_connections": connections,
        "idle_memory_mib": round(held),
    }


def reload(home: Path) -> None:
    draft = home / "tokens.draft"
    draft.write_bytes(dump([token(SECRET), token(f"ep_other_{time.monotonic_ns()}")]))
    draft.replace(home / "tokens.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--sync", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.sync:
        sync(args.sync)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(json.dumps(measure(args.seconds, args.connections)))


if __name__ == "__main__":
    main()
