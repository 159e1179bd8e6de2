"""What a fault test stands on: a deployment behind a proxy, clients that go through it, and the history of both sides.

with Rig(server, proxy) as rig:
    rig.begin()                              # a client that is live, profiles that are written and cached
    with rig.traffic():                      # a writer and readers, threads and tasks
        rig.proxy.feed.reset()
        rig.recovers()
Every read is checked against every write when the traffic ends, and once more when the rig is closed.
"""

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import cycle
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import pytest

from edgeprofile import AsyncClient, Client, EdgeProfileError, Profile, Stats
from edgeprofile.metrics import DestinationStatus
from tests.support.callers import Caller, Kind, LoopThread
from tests.support.clients import DESTINATION, WORKSPACE, configuration, hears
from tests.support.history import Report
from tests.support.proxy import Connection, Proxy
from tests.support.recorder import History, Reader, Writer, fields
from tests.support.servers import Server
from tests.support.wait import until

T = TypeVar("T")
Mode = Literal["keyspace", "tracking"]
MODES: tuple[Mode, ...] = ("keyspace", "tracking")

NAMES = ("ada", "ben", "cai", "dot")
QUIET = "quiet"
_BREATH = 0.0005  # seconds between two reads of a reader


only_keyspace = pytest.mark.parametrize("mode", ["keyspace"], indirect=True)
only_tracking = pytest.mark.parametrize("mode", ["tracking"], indirect=True)


def sized(quick: T, literal: T) -> T:
    """How large a fault is: as the list of faults has it with `EDGEPROFILE_TEST_DEPTH=deep`, else what shows the same."""
    return literal if os.environ.get("EDGEPROFILE_TEST_DEPTH") == "deep" else quick


def key_of(name: str) -> str:
    """The Redis key of a profile of the tests."""
    return f"{WORKSPACE}:{DESTINATION}:user:email:{name}"


class Traffic:
    """Threads and tasks that read, and a thread that writes, while a fault happens."""

    def __init__(self, readers: Sequence[Reader], writer: Writer) -> None:
        self._readers = readers
        self.writer = writer

    @property
    def lookups(self) -> int:
        """How many were answered so far."""
        return sum(reader.lookups for reader in self._readers)

    @property
    def errors(self) -> Counter[str]:
        """How many failed so far, by the name of the exception."""
        return sum((reader.errors for reader in self._readers), Counter())

    def goes_on(self, lookups: int = 50) -> None:
        """Wait until so many more lookups are answered."""
        goal = self.lookups + lookups
        until(lambda: self.lookups >= goal, 10, lambda: f"lookups go on; errors so far {dict(self.errors)}")


class Rig:
    """A deployment under test. `bound` is its `maxStaleness`, in seconds; `login` how its clients identify themselves."""

    def __init__(self, server: Server, proxy: Proxy, *, mode: Mode = "keyspace", bound: float = 0.3) -> None:
        self.server = server
        self.proxy = proxy
        self.mode = mode
        self.bound = bound
        self.history = History()
        self.client: Client
        self.twin: AsyncClient
        self.login: dict[str, str] = {}
        self._direct = server.client()
        self._reader = self.history.reader()
        self._undo = ExitStack()
        self._undo.callback(self._direct.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()
        if error is None:
            self.check()

    # Clients

    def configuration(self, **changes: Any) -> dict[str, Any]:
        """Through the proxy, with the rig's mode and bound; `changes` are sections of the file."""
        cache = {"maxStaleness": f"{round(self.bound * 1000)}ms", **changes.pop("cache", {})}
        feed = {"mode": self.mode, **changes.pop("feed", {})}
        return configuration(self.proxy.address, cache=cache, feed=feed, config=self.login, **changes)

    def open(self, **changes: Any) -> Client:
        """A further client; it is closed with the rig."""
        return self._undo.enter_context(Client(self.configuration(**changes)))

    def begin(self, *, live: bool = True, **changes: Any) -> Client:
        """The rig's client; unless told otherwise, live, with the first version of every profile written and cached."""
        self.client = self.open(**changes)
        self.twin = AsyncClient(self.client._engine)  # as long as the rig: one that is forgotten closes the engine
        for name in (*NAMES, QUIET):
            self.write(name)
        if live:
            self.client.start()
            self.recovers()
        return self.client

    def caller(self, kind: Kind, threads: int = 64) -> Caller:
        """A caller of the rig's client; it ends with the rig, before the client does."""
        return self._undo.enter_context(Caller(self.client, self.twin, kind, threads))

    def carrier(self, name: str) -> Connection:
        """The connection on which this profile was asked for last."""
        wanted = (b"HGETALL", key_of(name).encode())
        return next(c for c in reversed(self.proxy.data.connections) if wanted in c.commands.copy())

    # What is written and read

    def write(self, name: str) -> int:
        """Write a profile's next version, not through the proxy."""
        return self.history.write(self._direct, key_of(name))

    def written(self, name: str) -> int:
        """Write a profile's next version, and wait until its event has come: what is read from now on is not in doubt."""
        version = self.write(name)
        hears(self.client)
        return version

    def delete(self, name: str) -> None:
        self.history.delete(self._direct, key_of(name))

    def read(self, name: str = QUIET, **how: Any) -> Profile | None:
        """Look a profile up; recorded."""
        return self._reader.read(key_of(name), lambda: self.client.get("user", "email", name, **how))

    def version(self, name: str = QUIET, **how: Any) -> int:
        """The version that a lookup shows, 0 where there is no profile."""
        return version_of(self.read(name, **how))

    def hit(self, name: str = QUIET) -> bool:
        """Whether the profile would be a hit now; what it shows is recorded."""
        begin = self.history.clock()
        found = self.client.peek("user", "email", name)
        if found is not None:
            self._reader.saw(key_of(name), found, begin, self.history.clock())
        return found is not None

    def pairs(self, name: str, version: int) -> list[str]:
        """Fields and values of a version, for an HSET of the test's own."""
        return [text for pair in fields(key_of(name), version).items() for text in pair]

    # Where the client stands

    @property
    def status(self) -> DestinationStatus:
        return self.client.status()[DESTINATION]

    @property
    def stats(self) -> Stats:
        return self.client.stats()

    @property
    def losses(self) -> int:
        """How many epochs have ended."""
        return sum(self.stats.feed_losses.values())

    @property
    def live(self) -> bool:
        """Whether a heartbeat came back within the bound."""
        age = self.status.watermark_age
        return self.status.ready and age is not None and age < self.bound

    def cached(self, name: str = QUIET) -> bool:
        """Read, and say whether what was found stayed, be it that there is no such profile."""
        with suppress(EdgeProfileError):
            self.read(name)
        return self._entry(name) is not None

    def kept(self, name: str = QUIET) -> bool:
        """Whether the profile is cached under the lease of the present epoch, not by the proof of its own fetch."""
        entry = self._entry(name)
        return entry is not None and entry.lease is self.client._engine.nodes[0].keeper.authority.lease

    def _entry(self, name: str) -> Any:
        return self.client._engine.cache.find(DESTINATION, "user", "email", name)

    def recovers(self, patience: float = 15.0) -> None:
        """Wait until the client is live and keeps what it reads."""
        until(lambda: self.live, patience, lambda: f"the feed is live: {self.status}, {self.stats.feed_losses}")
        until(lambda: self.cached() and self.kept(), patience, lambda: f"profiles are kept: {self.status}")

    def stops_hitting(self, name: str = QUIET) -> float:
        """Wait until the profile is no hit any more, without reading it; how many seconds it still was one."""
        begun = last = time.monotonic()

        def over() -> bool:
            nonlocal last
            now = time.monotonic()
            hit = self.hit(name)
            last = now if hit else last
            return not hit

        until(over, 10, f"{name} is no hit any more")
        return last - begun

    # Histories

    @contextmanager
    def traffic(
        self, *, rate: float = 200.0, threads: int = 2, tasks: int = 2, delete_every: int = 0
    ) -> Iterator[Traffic]:
        """Read and write `NAMES` until the block ends; then every read is checked."""
        readers = [self.history.reader() for _ in range(threads + tasks)]
        with ExitStack() as stack:
            direct = stack.enter_context(self.server.client())
            writer = Writer(self.history, direct, [key_of(n) for n in NAMES], rate=rate, delete_every=delete_every)
            stack.enter_context(reading(self.client, self.twin, readers[:threads], readers[threads:]))
            yield Traffic(readers, stack.enter_context(writer))
        self.check()

    def check(self, **how: Any) -> Report:
        """Check what was read since the last check.

        Raises:
            AssertionError: A read was stale, torn, mixed up or of a version never written.
        """
        return self.history.check(self.bound, **how).raise_if_any()


@contextmanager
def reading(client: Client, twin: AsyncClient, threads: Sequence[Reader], tasks: Sequence[Reader]) -> Iterator[None]:
    """Read `NAMES` in turn, each reader in a thread or a task of its own, until the block ends.

    Errors of the product are counted by the readers; any other exception is raised at the end of the block.
    """
    stop = threading.Event()
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(threads) + 1, "readers of a test"))
        loop = LoopThread()
        stack.callback(loop.close)
        futures = [pool.submit(_read_on, client, reader, stop) for reader in threads]
        futures += [loop.submit(_aread_on(twin, reader, stop)) for reader in tasks]
        try:
            yield
        finally:
            stop.set()
        for future in futures:
            future.result(10)


def _read_on(client: Client, reader: Reader, stop: threading.Event) -> None:
    for name in cycle(NAMES):
        with suppress(EdgeProfileError):
            reader.read(key_of(name), partial(client.get, "user", "email", name))
        if stop.wait(_BREATH):
            return


async def _aread_on(client: AsyncClient, reader: Reader, stop: threading.Event) -> None:
    for name in cycle(NAMES):
        with suppress(EdgeProfileError):
            await reader.aread(key_of(name), partial(client.get, "user", "email", name))
        await asyncio.sleep(_BREATH)
        if stop.is_set():
            return


def version_of(profile: Profile | None) -> int:
    return 0 if profile is None else int(profile["model_a"]["version"])
