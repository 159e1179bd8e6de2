"""Who reads and who writes during the soak: threads and tasks, hot, warm and cold keys, singly, bound and by the dozen."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import cycle
from random import Random
from traceback import format_exception
from typing import Any

import redis
from redis.exceptions import RedisClusterException

from edgeprofile import AsyncClient, Client, ServiceError
from tests.soak.window import Window
from tests.support.clients import DESTINATION, WORKSPACE
from tests.support.cluster import Cluster
from tests.support.recorder import Reader
from tests.support.servers import Server

HOT = [f"hot{number}" for number in range(16)]
WARM = [f"warm{number}" for number in range(2_000)]
COLD = [f"cold{number}" for number in range(10_000)]
_BREATH = 0.001  # seconds between two lookups of a reader
_WRITES = 150.0  # a second, of each writer
_MANY = 24
_NAP = 0.01  # seconds
_AFTER_FAILURE = 0.05  # seconds

Choose = Callable[[], str]
Round = Callable[[Reader, Choose], None]
AsyncRound = Callable[[Reader, Choose], Awaitable[None]]


def key_of(name: str) -> str:
    """The Redis key of a profile of the soak."""
    return f"{WORKSPACE}:{DESTINATION}:user:email:{name}"


KEYS = [key_of(name) for name in (*HOT, *WARM, *COLD)]


class Load:
    """All readers and writers of a run.

    Attributes:
        stop: Ends them.
        unexpected: Exceptions that no lookup may raise, by their text.
        longest: Seconds that the longest lookup took, when it began, and its error if it had one.
        lag: Seconds that a thread which wanted to sleep ten milliseconds overslept, at most: the machine's share.
        written: Writes that were acknowledged; `syncs`: times that every cold key was rewritten at full speed.
        refused: Writes that failed, by the name of the exception.
    """

    def __init__(self, history: Window, server: Server | Cluster, seed: int) -> None:
        self.stop = threading.Event()
        self.unexpected: Counter[str] = Counter()
        self.longest = (0.0, 0.0, "")
        self.lag = 0.0
        self.written = self.syncs = 0
        self.refused: Counter[str] = Counter()
        self._history, self._server, self._seed = history, server, seed

    @contextmanager
    def running(self, client: Client, twin: AsyncClient) -> Iterator[None]:
        """Read and write until the block ends."""
        threads: list[Callable[[], None]] = [
            *self._writers(),
            *self._readers(client),
            partial(asyncio.run, self._tasks(twin)),
        ]
        threads.append(self._oversleep)
        started = [threading.Thread(target=work, name="soak") for work in threads]
        for thread in started:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in started:
                thread.join()

    # Writers

    def _writers(self) -> Iterator[Callable[[], None]]:
        yield partial(self._write_on, HOT[::2])
        yield partial(self._write_on, HOT[1::2])
        yield self._sync_on

    def _write_on(self, names: Sequence[str]) -> None:
        with ExitStack() as stack:
            client, turn = stack.enter_context(self._server.client()), self._history.turn()
            for number, name in enumerate(cycle(names), 1):
                act = self._history.write if number % 25 else self._history.delete
                with turn:
                    done = self._survive(partial(act, client, key_of(name)))
                self.written += done
                if self.stop.wait(1 / _WRITES if done else _AFTER_FAILURE):
                    return

    def _sync_on(self) -> None:
        """Warm keys change and are read every few seconds: rarely enough for an event that was missed to show."""
        random, turn = Random(self._seed), self._history.turn()
        with self._server.client() as client:
            while not self.stop.wait(random.uniform(0.02, 0.2)):
                whole = random.random() < 0.01
                names = COLD if whole else random.sample(WARM, 40) + random.sample(COLD, 4)
                with turn:
                    self._survive(partial(self._sync, client, [key_of(name) for name in names], whole))

    def _sync(self, client: redis.Redis, keys: Sequence[str], whole: bool) -> None:
        self.written += self._history.write_all(client, keys)
        self.syncs += whole

    def _survive(self, write: Callable[[], object]) -> bool:
        try:
            write()
        except (redis.RedisError, RedisClusterException) as error:
            self.refused[type(error).__name__] += 1
            return False
        return True

    # Readers

    def _readers(self, client: Client) -> Iterator[Callable[[], None]]:
        single = partial(_one, partial(client.get, "user", "email"))
        bound = partial(_one, client.lookup("user", "email"))
        many = partial(_many, partial(client.get_many, "user", "email"))
        kinds = [(single, [HOT, WARM]), (single, [COLD]), (bound, [WARM, COLD]), (many, [HOT, WARM, COLD])]
        for number, (look, pools) in enumerate(kinds):
            yield partial(self._read_on, look, self._history.reader(), self._choice(number, pools))

    async def _tasks(self, client: AsyncClient) -> None:
        single = partial(_aone, partial(client.get, "user", "email"))
        many = partial(_amany, partial(client.get_many, "user", "email"))
        kinds = [(single, [HOT]), (single, [WARM]), (single, [WARM, COLD]), (many, [HOT, WARM, COLD])]
        await asyncio.gather(*(self._task(look, self._choice(9 + n, pools)) for n, (look, pools) in enumerate(kinds)))

    def _choice(self, number: int, pools: Sequence[Sequence[str]]) -> Choose:
        random = Random(self._seed * 100 + number)
        return lambda: random.choice(random.choice(pools))

    def _read_on(self, look: Round, reader: Reader, choose: Choose) -> None:
        while not self.stop.wait(_BREATH):
            with self._looked():
                look(reader, choose)

    def _task(self, look: AsyncRound, choose: Choose) -> Coroutine[Any, Any, None]:
        reader = self._history.reader()

        async def read_on() -> None:
            while not self.stop.is_set():
                with self._looked():
                    await look(reader, choose)
                await asyncio.sleep(_BREATH)

        return read_on()

    @contextmanager
    def _looked(self) -> Iterator[None]:
        begin, outcome = time.monotonic(), ""
        try:
            yield
        except ServiceError as error:  # counted by the reader
            outcome = str(error)
        except Exception as error:  # noqa: BLE001  # whatever else comes out of a lookup fails the run
            self.unexpected["".join(format_exception(error))] += 1
        self.longest = max(self.longest, (time.monotonic() - begin, begin, outcome))

    def _oversleep(self) -> None:
        begin = time.monotonic()
        while not self.stop.wait(_NAP):
            begin, last = time.monotonic(), begin
            self.lag = max(self.lag, begin - last - _NAP)


def _one(lookup: Callable[[str], Any], reader: Reader, choose: Choose) -> None:
    name = choose()
    reader.read(key_of(name), lambda: lookup(name))


async def _aone(lookup: Callable[[str], Awaitable[Any]], reader: Reader, choose: Choose) -> None:
    name = choose()
    await reader.aread(key_of(name), lambda: lookup(name))


def _many(lookup: Callable[[list[str]], dict[str, Any]], reader: Reader, choose: Choose) -> None:
    names, begin = [choose() for _ in range(_MANY)], time.monotonic()
    with _counted(reader):
        _saw(reader, lookup(names), begin)


async def _amany(lookup: Callable[[list[str]], Awaitable[dict[str, Any]]], reader: Reader, choose: Choose) -> None:
    names, begin = [choose() for _ in range(_MANY)], time.monotonic()
    with _counted(reader):
        _saw(reader, await lookup(names), begin)


@contextmanager
def _counted(reader: Reader) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        reader.errors[type(error).__name__] += 1
        raise


def _saw(reader: Reader, found: dict[str, Any], begin: float) -> None:
    end = time.monotonic()
    for name, profile in found.items():
        reader.saw(key_of(name), profile, begin, end, stale=bool(getattr(profile, "stale", False)))
