"""Records what is written to a server and what lookups answer, cheaply and from any number of threads, for `history`.

history = History()
with Writer(history, server.client(), keys, rate=1_000):
    reader = history.reader()                      # one for each thread or task
    while busy():
        reader.read(key, lambda: client.get("user", "email", "ada@example.com"))
history.check(bound=1.0).raise_if_any()
"""

import json
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle
from math import inf
from typing import Any, Literal, Protocol, TypeVar

import redis

from tests.support.background import Background
from tests.support.history import ABSENT, Interval, Read, Report, Write, check

T = TypeVar("T")
_MODELS = ("model_a", "model_b")
_AFTER_FAILURE = 0.02  # seconds
_LONGEST_RUN = 0.05  # seconds: a value may go and come back within a run, and a read in between would not be seen


class Commands(Protocol):
    """What is needed of a redis-py client, of a single server or a cluster."""

    def execute_command(self, *args: Any, **options: Any) -> Any: ...


def fields(key: str, version: int) -> dict[str, str]:
    """The hash of a profile that carries its key and, in each trait of each model, its version."""
    return {model: json.dumps({"key": key, "version": version, "again": version}) for model in _MODELS}


def observe(key: str, data: Mapping[str, Any] | None) -> tuple[int, Literal["torn", "mixed up"] | None, str]:
    """The version that an answer shows, and what is wrong with it, if anything: kind and description."""
    if not data:
        return ABSENT, None, ""
    keys = {model["key"] for model in data.values()}
    versions = {number for model in data.values() for number in (model["version"], model["again"])}
    if keys != {key}:
        return max(versions), "mixed up", f"the value belongs to {sorted(keys)}"
    if len(versions) > 1 or data.keys() != set(_MODELS):
        return max(versions), "torn", f"models {sorted(data)} say versions {sorted(versions)}"
    return versions.pop(), None, ""


class _Sent:
    """A write on its way; its acknowledgement is filled in."""

    __slots__ = ("acknowledged", "key", "refused", "sent", "version")

    def __init__(self, key: str, version: int, sent: float) -> None:
        self.key, self.version, self.sent, self.acknowledged = key, version, sent, inf
        self.refused = False

    def frozen(self) -> Write:
        return Write(self.key, self.version, self.sent, self.acknowledged)


class _Run:
    """Reads of one key, one after the other, that showed the same version: the first and the last decide for all."""

    __slots__ = ("data", "first", "last", "until", "version")

    def __init__(self, version: int, data: object, times: Interval) -> None:
        self.version, self.data, self.first, self.last = version, data, times, times
        self.until = times[0] + _LONGEST_RUN


class Reader:
    """The lookups of one thread or task.

    Attributes:
        lookups: How many were answered.
        errors: How many failed, by the name of the exception.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.lookups = 0
        self.errors: Counter[str] = Counter()
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        self._done: deque[Read] = deque()

    def read(self, key: str, lookup: Callable[[], T]) -> T:
        """Call the lookup, record and return its answer; its exceptions are counted and pass."""
        begin = self._clock()
        try:
            answer = lookup()
        except Exception as error:
            self.errors[type(error).__name__] += 1
            raise
        self.saw(key, answer, begin, self._clock(), stale=bool(getattr(answer, "stale", False)))
        return answer

    async def aread(self, key: str, lookup: Callable[[], Awaitable[T]]) -> T:
        """As `read`, for asyncio."""
        begin = self._clock()
        try:
            answer = await lookup()
        except Exception as error:
            self.errors[type(error).__name__] += 1
            raise
        self.saw(key, answer, begin, self._clock(), stale=bool(getattr(answer, "stale", False)))
        return answer

    def saw(self, key: str, data: Any, begin: float, end: float, *, stale: bool = False) -> None:
        """Record an answer: a mapping from model to traits; None or an empty one where there is no profile."""
        self.lookups += 1
        run = self._runs.get(key)
        if run is not None and run.data is data and not stale and end < run.until:
            run.last = (begin, end)
            return
        version, defect, detail = observe(key, data)
        if stale or defect:
            self._done.append(Read(key, version, begin, end, stale, defect, detail))
        elif run is not None and run.version == version and end < run.until:
            run.data, run.last = data, (begin, end)
        else:
            self._done.extend(_reads(key, run) if run else ())
            self._runs[key] = _Run(version, data, (begin, end))

    def take(self) -> list[Read]:
        """What was recorded since the last call; runs that go on are given again. May be called from any thread."""
        running = [read for key, run in self._runs.copy().items() for read in _reads(key, run)]
        taken = []
        with suppress(IndexError):
            while True:
                taken.append(self._done.popleft())
        return taken + running


def _reads(key: str, run: _Run) -> Iterator[Read]:
    yield from (Read(key, run.version, *times) for times in dict.fromkeys((run.first, run.last)))


class History:
    """Everything that happened to some keys. Each key is written by one thread at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._sent: deque[_Sent] = deque()
        self._versions: Counter[str] = Counter()
        self._readers: list[Reader] = []
        self._excused: list[Interval] = []

    @property
    def readers(self) -> list[Reader]:
        return self._readers.copy()

    def reader(self) -> Reader:
        """A recorder of lookups for one thread or task."""
        self._readers.append(reader := Reader(self.clock))
        return reader

    def include(self, reads: Iterable[Read]) -> None:
        """Add what another process has read, by the same clock."""
        self.reader()._done.extend(reads)

    def write(self, client: Commands, key: str) -> int:
        """Write the key's next version and return it.

        Raises:
            redis.RedisError: It failed. What the server refused never happened; what it did not answer may have.
        """
        self._versions[key] += 1
        version = self._versions[key]
        pairs = (text for field in fields(key, version).items() for text in field)
        self._send(client, [key], version, "HSET", key, *pairs)
        return version

    def delete(self, client: Commands, key: str) -> None:
        """Delete the key."""
        self._send(client, [key], ABSENT, "DEL", key)

    def flush(self, client: Commands) -> None:
        """Delete everything on the server."""
        self._send(client, list(self._versions), ABSENT, "FLUSHALL")

    @contextmanager
    def becoming(self, version: int, keys: Sequence[str]) -> Iterator[None]:
        """Declare that within the block the keys come to show a version: `ABSENT`, or an old one from a snapshot."""
        entries = self._record(keys, version)
        yield
        self._acknowledge(entries)

    @contextmanager
    def excusing(self) -> Iterator[None]:
        """Declare that reads that begin within the block may be older than the bound."""
        begin = self.clock()
        yield
        self._excused.append((begin, self.clock()))

    def writes(self) -> list[Write]:
        return [entry.frozen() for entry in self._sent.copy() if not entry.refused]

    def check(self, bound: float) -> Report:
        """Check what was read since the last check, writers and readers still running or not."""
        reads = [read for reader in self.readers for read in reader.take()]
        return check(self.writes(), reads, bound, self._excused)

    def _send(self, client: Commands, keys: Sequence[str], version: int, *command: str) -> None:
        entries = self._record(keys, version)
        try:
            client.execute_command(*command)
        except redis.ResponseError:
            for entry in entries:
                entry.refused = True
            raise
        self._acknowledge(entries)

    def _record(self, keys: Sequence[str], version: int) -> list[_Sent]:
        now = self.clock()
        entries = [_Sent(key, version, now) for key in keys]
        self._sent.extend(entries)
        return entries

    def _acknowledge(self, entries: Sequence[_Sent]) -> None:
        now = self.clock()
        for entry in entries:
            entry.acknowledged = now


class Writer(Background):
    """A thread that writes new versions of some keys in turn until the block ends; failures are counted and survived.

    Attributes:
        writes: How many were acknowledged.
        errors: How many were not, by the name of the exception.
    """

    def __init__(
        self, history: History, client: Commands, keys: Sequence[str], *, rate: float = 100.0, delete_every: int = 0
    ) -> None:
        """Prepare the thread.

        Args:
            history: Where writes are recorded.
            client: A connection that retries nothing; the caller closes it.
            keys: Written by nobody else.
            rate: Writes a second, all keys together.
            delete_every: With n, every nth write is a deletion; 0 for none.
        """
        super().__init__("history writer")
        self.writes = 0
        self.errors: Counter[str] = Counter()
        self._history, self._client, self._keys = history, client, keys
        self._pause, self._delete_every = 1 / rate, delete_every

    def _run(self) -> None:
        due = time.monotonic()
        for number, key in enumerate(cycle(self._keys), 1):
            if not self._write(number, key):
                due = time.monotonic() + _AFTER_FAILURE
            due += self._pause
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return

    def _write(self, number: int, key: str) -> bool:
        try:
            if self._delete_every and number % self._delete_every == 0:
                self._history.delete(self._client, key)
            else:
                self._history.write(self._client, key)
        except redis.RedisError as error:
            self.errors[type(error).__name__] += 1
            return False
        self.writes += 1
        return True
