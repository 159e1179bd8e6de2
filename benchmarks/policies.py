"""Ways to choose what leaves a full cache, as pure simulations: how many lookups of a trace are hits.

The one that ships is the real `Pool`, driven as the hit path drives it. The others are written from their papers, for
caches of so many entries of one size: exact LRU, SIEVE (NSDI '24), S3-FIFO (SOSP '23) and Belady's optimum, which knows
the future and stores whatever is asked for, as a cache must that answers from itself.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from functools import partial

from edgeprofile.core.coherence import FOREVER
from edgeprofile.core.pool import ENTRY_SIZE, Pool
from edgeprofile.memory import bytes_size, text_size

RAW = b'{"m":{}}'
FOREVER_AFTER = 1e12
SMALL = 10  # S3-FIFO: one in so many entries
MOST_FREQUENT = 3


def shipped(trace: Sequence[str], capacity: int, policy: str = "lru") -> int:
    """Second chance: what was used since eviction last looked at it goes round again. All ids are of one length."""
    size = ENTRY_SIZE + text_size(trace[0]) + bytes_size(RAW)
    pool = Pool(1 << 40, clock=lambda: 0.0, policy=policy)
    space = pool.space("d", "user", "email", pin=True)
    pool._limit = space.size + capacity * size  # noqa: SLF001  # known once there is a space
    entries, hits = space.entries, 0
    for value in trace:
        entry = entries.get(value)
        if entry is None:
            pool.put(space, value, RAW, sent=0.0, life=FOREVER_AFTER, lease=FOREVER)
        else:
            entry.used = True
            hits += 1
    assert capacity - 1 <= pool.count <= capacity
    return hits


def lru(trace: Sequence[str], capacity: int) -> int:
    held: OrderedDict[str, None] = OrderedDict()
    hits = 0
    for value in trace:
        if value in held:
            held.move_to_end(value)
            hits += 1
        else:
            if len(held) >= capacity:
                held.popitem(last=False)
            held[value] = None
    return hits


def sieve(trace: Sequence[str], capacity: int) -> int:
    """A hand goes from the oldest to the newest, spares what was visited, and stays where it took something out."""
    visited: dict[str, bool] = {}
    newer: dict[str | None, str | None] = {None: None}  # of None: the oldest
    older: dict[str | None, str | None] = {None: None}  # of None: the newest
    hand: str | None = None
    hits = 0
    for value in trace:
        if value in visited:
            visited[value] = True
            hits += 1
            continue
        if len(visited) >= capacity:
            victim = hand if hand is not None else newer[None]
            while victim is not None and visited[victim]:
                visited[victim] = False
                victim = newer[victim] if newer[victim] is not None else newer[None]
            assert victim is not None
            hand = newer[victim]
            newer[older[victim]], older[newer[victim]] = newer[victim], older[victim]
            del visited[victim], newer[victim], older[victim]
        newest = older[None]
        visited[value] = False
        newer[newest], older[value], newer[value], older[None] = value, newest, None, value
    return hits


class _S3Fifo:
    def __init__(self, capacity: int) -> None:
        self._few = max(1, capacity // SMALL)
        self._many = capacity - self._few
        self._small: deque[str] = deque()
        self._main: deque[str] = deque()
        self._ghosts: OrderedDict[str, None] = OrderedDict()
        self.frequency: dict[str, int] = {}

    def add(self, value: str) -> None:
        if value in self._ghosts:
            del self._ghosts[value]
            self._main.append(value)
        else:
            self._small.append(value)
        self.frequency[value] = 0

    def shrink(self) -> None:
        """Take one entry out."""
        while len(self._small) >= self._few or not self._main:
            value = self._small.popleft()
            if self.frequency[value] <= 1:
                del self.frequency[value]
                self._remember(value)
                return
            self.frequency[value] = 0
            self._main.append(value)
            if len(self._main) > self._many:
                break
        self._shrink_main()

    def _remember(self, value: str) -> None:
        self._ghosts[value] = None
        if len(self._ghosts) > self._many:
            self._ghosts.popitem(last=False)

    def _shrink_main(self) -> None:
        while self.frequency[self._main[0]]:
            self.frequency[self._main[0]] -= 1
            self._main.rotate(-1)
        del self.frequency[self._main.popleft()]


def s3_fifo(trace: Sequence[str], capacity: int) -> int:
    """What is asked for once leaves a small queue early; what comes back soon after enters the main one."""
    cache, hits = _S3Fifo(capacity), 0
    for value in trace:
        if value in cache.frequency:
            cache.frequency[value] = min(MOST_FREQUENT, cache.frequency[value] + 1)
            hits += 1
            continue
        if len(cache.frequency) >= capacity:
            cache.shrink()
        cache.add(value)
    return hits


def belady(trace: Sequence[str], capacity: int) -> int:
    """Out goes what will be asked for last."""
    following, last = [0] * len(trace), dict[str, int]()
    for position in range(len(trace) - 1, -1, -1):
        following[position] = last.get(trace[position], len(trace) + position)
        last[trace[position]] = position
    held: dict[str, int] = {}
    farthest: list[tuple[int, str]] = []
    hits = 0
    for value, again in zip(trace, following, strict=True):
        if value in held:
            hits += 1
        elif len(held) >= capacity:
            while True:
                moment, victim = heapq.heappop(farthest)
                if held.get(victim) == -moment:
                    del held[victim]
                    break
        held[value] = again
        heapq.heappush(farthest, (-again, value))
    return hits


POLICIES: dict[str, Callable[[Sequence[str], int], int]] = {
    "edgeprofile": shipped,
    "edgeprofile, sieve": partial(shipped, policy="sieve"),
    "exact LRU": lru,
    "SIEVE": sieve,
    "S3-FIFO": s3_fifo,
    "Belady's optimum": belady,
}
