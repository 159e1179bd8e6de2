"""cashews with its client-side cache, over RESP2, without which it never sees an invalidation on redis-py 8."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from benchmarks import data
from benchmarks.loops import Loop
from benchmarks.protocol import Round, Spec, alookups, serve, weighed

TITLE = "cashews, client side"
REQUIRES = ("cashews[redis]>=7", "redis[hiredis]>=8")
DISTRIBUTIONS = ("cashews", "redis", "hiredis")


@asynccontextmanager
async def _opened(spec: Spec) -> AsyncIterator[Any]:
    from cashews import Cache
    from cashews.backends.memory import Memory

    cache = Cache()
    url = f"redis://{spec['server']['host']}:{spec['server']['port']}"
    local = Memory(size=2 * spec["entries"], check_interval=60)
    cache.setup(url, client_side=True, local_cache=local, protocol=2)
    await cache.init()
    yield cache
    await cache.close()


async def _fill(cache: Any, entries: int) -> None:
    for index, value in enumerate(data.identities(entries)):
        await cache.set(value, {data.MODEL: data.traits(index)}, expire=3600)


@contextmanager
def hit(spec: Spec) -> Iterator[Round]:
    with Loop() as loop:
        cache = loop.hold(_opened(spec))
        loop.run(_fill(cache, spec["entries"]))
        get = cache.get

        async def run(ids: list[str]) -> None:
            for value in ids:
                await get(value)

        yield alookups(spec, loop, run)


@contextmanager
def decorated(spec: Spec) -> Iterator[Round]:
    """Through the decorator that its documentation starts with."""
    with Loop() as loop:
        cache = loop.hold(_opened(spec))

        @cache(ttl="1h", key="profile:{value}")
        async def profile(value: str) -> dict[str, dict[str, object]]:
            return {data.MODEL: data.traits(int(value[4:11]))}

        async def run(ids: list[str]) -> None:
            for value in ids:
                await profile(value)

        loop.run(run(data.identities(spec["entries"])))
        yield alookups(spec, loop, run)


@contextmanager
def memory(spec: Spec) -> Iterator[Round]:
    with Loop() as loop:
        cache = loop.hold(_opened(spec))
        yield weighed(lambda: loop.run(_fill(cache, spec["entries"])))


if __name__ == "__main__":
    serve(DISTRIBUTIONS, hit=hit, decorated=decorated, memory=memory)
