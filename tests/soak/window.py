"""A history that goes on for hours: it forgets what no later read may show, and its writers can be held."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from math import inf

import msgspec
import redis

from tests.support.history import ABSENT, Read, Report, check
from tests.support.recorder import History, fields

_HORIZON = 10.0  # seconds: longer than any lookup, the bound and the time between two checks together
_BATCH = 200


class Window(History):
    """The recent part of a history.

    What is dropped had certainly been replaced before the horizon, so that a read that shows it is a violation still:
    of a version that was never written, as far as the window knows.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._turns: list[threading.Lock] = []
        self._decided = -inf

    def turn(self) -> threading.Lock:
        """What a writer holds during each write, so that `quiet` can wait for its end."""
        self._turns.append(turn := threading.Lock())
        return turn

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """No write is under way within the block; those whose outcome is unknown have happened by now, or never will."""
        with ExitStack() as stack:
            for turn in self._turns:
                stack.enter_context(turn)
            self._decided = self.clock()
            yield

    @contextmanager
    def excusing(self) -> Iterator[None]:
        """As in any history, and known to checks that are made before the block ends."""
        excuse = (self.clock(), inf)
        self._excused.append(excuse)
        try:
            yield
        finally:
            self._excused[self._excused.index(excuse)] = (excuse[0], self.clock())

    @property
    def excused(self) -> float:
        """Seconds that were excused so far."""
        return sum(min(end, self.clock()) - begin for begin, end in self._excused)

    def write_all(self, client: redis.Redis, keys: Sequence[str]) -> int:
        """Write the next version of every key, as fast as the server takes them; how many were acknowledged."""
        return sum(self._write_batch(client, keys[at : at + _BATCH]) for at in range(0, len(keys), _BATCH))

    def _write_batch(self, client: redis.Redis, keys: Sequence[str]) -> int:
        entries, pipeline = [], client.pipeline(transaction=False)
        for key in keys:
            self._versions[key] += 1
            entries += self._record([key], self._versions[key])
            pipeline.hset(key, items=list(chain.from_iterable(fields(key, self._versions[key]).items())))
        replies = pipeline.execute(raise_on_error=False)
        for entry, reply in zip(entries, replies, strict=True):
            entry.refused = isinstance(reply, redis.ResponseError)
        done = [entry for entry, reply in zip(entries, replies, strict=True) if not isinstance(reply, Exception)]
        self._acknowledge(done)
        return len(done)

    def stored(self, client: redis.Redis, keys: Sequence[str]) -> dict[int, list[str]]:
        """The keys by the version that the server has of them."""
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.hget(key, "model_a")
        found: dict[int, list[str]] = {}
        for key, text in zip(keys, pipeline.execute(), strict=True):
            found.setdefault(msgspec.json.decode(text)["version"] if text else ABSENT, []).append(key)
        return found

    def check(self, bound: float) -> Report:
        """Check what was read since the last check, and forget what later checks need not know."""
        now = self.clock()
        reads = [read for reader in self.readers for read in reader.take()]
        report = self._judged(reads, bound)
        self._forget_reads(now - 1.0)
        self._forget_writes(now - _HORIZON)
        return report

    def _judged(self, reads: Sequence[Read], bound: float) -> Report:
        """What is excused is checked apart, so that its age does not count."""
        keys, excuses = {read.key for read in reads}, self._excused.copy()
        writes = [write for write in self.writes() if write.key in keys]
        parts: tuple[list[Read], list[Read]] = [], []
        for read in reads:
            parts[any(begin <= read.begin <= end for begin, end in excuses)].append(read)
        excused = check(writes, parts[True], bound, excuses)
        return check(writes, parts[False], bound) + Report(excused.reads, excused.violations)

    def _forget_reads(self, before: float) -> None:
        """A run that ended was checked already; a read that its reader adds to it at this moment is not."""
        for reader in self.readers:
            for key, run in reader._runs.copy().items():
                if run.until < before:
                    reader._runs.pop(key, None)

    def _forget_writes(self, before: float) -> None:
        settled: dict[str, float] = {}
        for entry in self._sent.copy():
            if entry.acknowledged <= before and not entry.refused:
                settled[entry.key] = max(entry.sent, settled.get(entry.key, -inf))
        for _ in range(len(self._sent)):
            entry = self._sent.popleft()
            over = entry.acknowledged
            if over == inf and entry.sent < self._decided:  # unknown, and decided long ago
                over = self._decided
            if not entry.refused and over > settled.get(entry.key, -inf):
                self._sent.append(entry)
