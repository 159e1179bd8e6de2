"""redis-py: client-side caching, its pipelined round trip, its pub/sub loop; synchronous, over hiredis."""

import asyncio
import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks import data
from benchmarks.loops import Loop
from benchmarks.protocol import CannotMeasure, Round, Spec, alookups, events_taken_in, lookups, serve, weighed

TITLE = "redis-py"
REQUIRES = ("redis[hiredis]>=8",)
DISTRIBUTIONS = ("redis", "hiredis")


@contextmanager
def _caching(spec: Spec) -> Iterator[Any]:
    """Client-side caching as documented: RESP3, one client, a cache large enough for everything.

    redis-py wants a server that calls itself Redis 7.4 or later; CLIENT TRACKING is the same on the server used here,
    and a hit does not reach it, so the two constants are set to what stands there.
    """
    from redis import Redis
    from redis.cache import CacheConfig
    from redis.connection import CacheProxyConnection

    CacheProxyConnection.MIN_ALLOWED_VERSION = "6.0.0"
    CacheProxyConnection.DEFAULT_SERVER_NAME = spec["server_name"]
    cache = CacheConfig(max_size=2 * spec["entries"])
    with Redis(**spec["server"], protocol=3, cache_config=cache, decode_responses=True) as client:
        yield client


def _fill(client: Any, entries: int) -> None:
    for value in data.identities(entries):
        client.hgetall(data.KEY_PREFIX + value)


@contextmanager
def hit(spec: Spec) -> Iterator[Round]:
    with _caching(spec) as client:
        _fill(client, spec["entries"])
        hgetall, prefix = client.hgetall, data.KEY_PREFIX

        def run(ids: list[str]) -> None:
            for value in ids:
                hgetall(prefix + value)

        yield lookups(spec, run)


@contextmanager
def memory(spec: Spec) -> Iterator[Round]:
    """Replies, as client-side caching keeps them."""
    with _caching(spec) as client:
        yield weighed(lambda: _fill(client, spec["entries"]))


@contextmanager
def ahit(_spec: Spec) -> Iterator[Round]:
    """Client-side caching in asyncio."""
    from redis.asyncio import Redis

    if "cache_config" in inspect.signature(Redis.__init__).parameters:
        raise CannotMeasure("redis.asyncio has client-side caching now, and nobody has written its measurement yet")
    raise CannotMeasure("redis.asyncio has no client-side caching")
    yield


@contextmanager
def hgetall(spec: Spec) -> Iterator[Round]:
    """The lookup that most write: HGETALL, nothing else."""
    from redis import Redis

    with Redis(**spec["server"]) as client:

        def run(ids: list[str]) -> None:
            for value in ids:
                client.hgetall(data.KEY_PREFIX + value)

        yield lookups(spec, run)


@contextmanager
def ahgetall(spec: Spec) -> Iterator[Round]:
    """As `hgetall`, for redis.asyncio."""
    from redis.asyncio import Redis

    with Loop() as loop:
        client: Any = loop.hold(Redis(**spec["server"]))

        async def run(ids: list[str]) -> None:
            for value in ids:
                await client.hgetall(data.KEY_PREFIX + value)

        yield alookups(spec, loop, run)


@contextmanager
def miss(spec: Spec) -> Iterator[Round]:
    """Value and remaining TTL in one round trip: HGETALL and PTTL in a pipeline without MULTI."""
    from redis import Redis

    with Redis(**spec["server"]) as client:
        prefix = data.KEY_PREFIX

        def run(ids: list[str]) -> None:
            for value in ids:
                pipeline = client.pipeline(transaction=False)
                pipeline.hgetall(prefix + value)
                pipeline.pttl(prefix + value)
                pipeline.execute()

        yield lookups(spec, run)


async def _fetch(client: Any, ids: list[str]) -> None:
    for value in ids:
        pipeline = client.pipeline(transaction=False)
        pipeline.hgetall(data.KEY_PREFIX + value)
        pipeline.pttl(data.KEY_PREFIX + value)
        await pipeline.execute()


@contextmanager
def amiss(spec: Spec) -> Iterator[Round]:
    """As `miss`, for redis.asyncio."""
    from redis.asyncio import Redis

    with Loop() as loop:
        client = loop.hold(Redis(**spec["server"]))
        yield alookups(spec, loop, lambda ids: _fetch(client, ids))


@contextmanager
def storm(spec: Spec) -> Iterator[Round]:
    """Many tasks, each missing ids of its own, over one pool."""
    from redis.asyncio import Redis

    with Loop() as loop:
        client, tasks = loop.hold(Redis(**spec["server"])), spec["tasks"]

        async def run(ids: list[str]) -> None:
            await asyncio.gather(*(_fetch(client, ids[number::tasks]) for number in range(tasks)))

        yield alookups(spec, loop, run)


@contextmanager
def feed(spec: Spec) -> Iterator[Round]:
    """The fastest of redis-py's loops: synchronous, RESP2, `listen`. Every event drops its key from the keys that are held."""
    from redis import Redis

    with Redis(**spec["server"], protocol=2) as client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
        channels = f"__keyspace@0__:{data.KEY_PATTERN}"
        pubsub.psubscribe(channels)
        pubsub.parse_response()
        counted = Counted()
        held = {data.key(value).encode(): None for value in data.identities(spec["cached"])}
        prefix = channels.index(data.KEY_PATTERN)
        threading.Thread(target=_listen, args=(pubsub, counted, held, prefix), daemon=True).start()
        yield events_taken_in(lambda: counted.events)


class Counted:
    """Events so far."""

    events = 0


def _listen(pubsub: Any, counted: Counted, held: dict[bytes, None], prefix: int) -> None:
    for message in pubsub.listen():
        held.pop(message["channel"][prefix:], None)
        counted.events += 1


if __name__ == "__main__":
    serve(
        DISTRIBUTIONS,
        hit=hit,
        ahit=ahit,
        memory=memory,
        hgetall=hgetall,
        ahgetall=ahgetall,
        miss=miss,
        amiss=amiss,
        storm=storm,
        feed=feed,
    )
