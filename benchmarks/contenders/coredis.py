"""coredis with its tracking cache."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from benchmarks import data
from benchmarks.loops import Loop
from benchmarks.protocol import Round, Spec, alookups, serve, weighed

TITLE = "coredis, tracking cache"
REQUIRES = ("coredis>=6",)
DISTRIBUTIONS = ("coredis",)


@asynccontextmanager
async def _opened(spec: Spec) -> AsyncIterator[Any]:
    from coredis import Redis
    from coredis.patterns.cache import LRUCache

    cache = LRUCache(max_keys=2 * spec["entries"])
    async with Redis(**spec["server"], cache=cache, decode_responses=True) as client:
        yield client


async def _fill(client: Any, entries: int) -> None:
    for value in data.identities(entries):
        await client.hgetall(data.KEY_PREFIX + value)


@contextmanager
def hit(spec: Spec) -> Iterator[Round]:
    with Loop() as loop:
        client = loop.hold(_opened(spec))
        loop.run(_fill(client, spec["entries"]))
        hgetall, prefix = client.hgetall, data.KEY_PREFIX

        async def run(ids: list[str]) -> None:
            for value in ids:
                await hgetall(prefix + value)

        yield alookups(spec, loop, run)


@contextmanager
def memory(spec: Spec) -> Iterator[Round]:
    with Loop() as loop:
        client = loop.hold(_opened(spec))
        yield weighed(lambda: loop.run(_fill(client, spec["entries"])))


if __name__ == "__main__":
    serve(DISTRIBUTIONS, hit=hit, memory=memory)
