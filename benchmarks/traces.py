"""Orders in which ids are asked for, each the same for the same seed."""

import random
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, cycle, islice

ZIPF_EXPONENT = 0.99  # YCSB's
SCAN_SHARE = 0.1
HOT = 100


def one(ids: Sequence[str], _chance: random.Random) -> Iterator[str]:
    """The same id again and again: what is left when the CPU's caches hold everything."""
    return cycle(ids[:1])


def loop(ids: Sequence[str], _chance: random.Random) -> Iterator[str]:
    """Each id once, in order, then again: the worst case of LRU."""
    return cycle(ids)


def hot(ids: Sequence[str], chance: random.Random) -> Iterator[str]:
    """A hundred neighbours among the ids, again and again: the CPU's caches hold them, and what is measured is the code.

    A hundred from here and there would lie on a page of memory each, and finding the pages would be measured as well.
    """
    start = chance.randrange(max(1, len(ids) - HOT))
    return cycle(ids[start : start + HOT])


def uniform(ids: Sequence[str], chance: random.Random) -> Iterator[str]:
    while True:
        yield chance.choice(ids)


def zipf(ids: Sequence[str], chance: random.Random) -> Iterator[str]:
    """Few ids asked for often: the n-th most popular with a weight of n ** -0.99, popularity spread over the ids."""
    by_popularity = chance.sample(ids, len(ids))
    weights = list(accumulate(rank**-ZIPF_EXPONENT for rank in range(1, len(ids) + 1)))
    while True:
        yield by_popularity[bisect(weights, chance.random() * weights[-1], 0, len(ids) - 1)]


def scan(ids: Sequence[str], chance: random.Random) -> Iterator[str]:
    """Zipf, with every tenth lookup part of a scan over all ids."""
    popular, scanned = zipf(ids, chance), cycle(ids)
    while True:
        yield next(scanned if chance.random() < SCAN_SHARE else popular)


TRACES: dict[str, Callable[[Sequence[str], random.Random], Iterator[str]]] = {
    function.__name__: function for function in (one, hot, loop, uniform, zipf, scan)
}


class Trace:
    """Draws made beforehand, handed out in slices."""

    def __init__(self, name: str, ids: Sequence[str], *, length: int, seed: int = 0) -> None:
        self._draws = list(islice(TRACES[name](ids, random.Random(seed)), length))
        self._position = 0

    def take(self, count: int) -> list[str]:
        """The next `count` ids; starts over when the draws are used up."""
        start, self._position = self._position, (self._position + count) % len(self._draws)
        if start + count <= len(self._draws):
            return self._draws[start : start + count]
        return list(islice(cycle(self._draws), start, start + count))
