"""Profiles in use, carried from one client to the next by their ids."""

import asyncio
import json

import pytest

from edgeprofile import AsyncClient, LookupTimeout, RedisUnavailable
from tests.support.clients import configuration
from tests.support.servers import Flavour, Server
from tests.support.wait import auntil, until


@pytest.fixture(scope="session")
def flavour() -> Flavour:
    """One flavour is enough: what is tested here does not ask Redis much."""
    return "valkey"


def fill(server: Server, count: int) -> list[str]:
    names = [f"p{number}" for number in range(count)]
    for name in names:
        server.command("HSET", f"1Wsp:2Dest:user:email:{name}", "m", json.dumps({"name": name}))
    return names


def known(name: str, destination: str = "2Dest") -> tuple[str, str, str, str]:
    return destination, "user", "email", name


def test_what_one_client_used_the_next_one_has(redis_db):
    names = fill(redis_db, 1_200)

    async def scenario() -> None:
        async with AsyncClient(configuration(redis_db.address)) as before:
            await before.start()
            await before.get_many("user", "email", [*names, "absent"])
            hot = before.hot()
        assert sorted(hot) == sorted(map(known, names))
        async with AsyncClient(configuration(redis_db.address, cache={"maxStaleness": "20s"})) as after:
            await after.start()
            assert await after.warm(hot) == len(names)
            assert await after.warm(hot) == 0
            counted = after.stats()
            assert (counted.hits, counted.misses, counted.entries) == (0, 0, len(names))
            assert all(after.peek("user", "email", name) == {"m": {"name": name}} for name in names)

    asyncio.run(scenario())


def test_what_was_used_comes_first(redis_db):
    names = fill(redis_db, 30)

    async def scenario() -> None:
        async with AsyncClient(configuration(redis_db.address)) as client:
            await client.start()
            await client.warm(map(known, names))
            await client.get_many("user", "email", names[10:15])
            await client.get_many("user", "email", names[10:15])
            assert set(client.hot(5)) == set(map(known, names[10:15]))
            assert client.hot(0) == []

    asyncio.run(scenario())


def test_what_names_nothing_is_passed_over(redis_db):
    (name,) = fill(redis_db, 1)

    async def scenario() -> None:
        async with AsyncClient(configuration(redis_db.address)) as client:
            await client.start()
            odd = [known(name, "2Gone"), known(""), known(name), ("2Dest", "", "email", name)]
            assert await client.warm(odd) == 1
            assert client.hot() == [known(name)]

    asyncio.run(scenario())


def test_a_full_cache_ends_it(redis_db):
    names = fill(redis_db, 3_000)

    async def scenario() -> None:
        async with AsyncClient(configuration(redis_db.address, cache={"maxBytes": "300KiB"})) as client:
            await client.start()
            assert 500 <= await client.warm(map(known, names)) < 3_000
            assert client.stats().evictions["capacity"] < 500

    asyncio.run(scenario())


def test_a_change_while_it_is_read_is_not_missed(redis_db):
    names = fill(redis_db, 500)

    async def scenario() -> None:
        async with AsyncClient(configuration(redis_db.address)) as client:
            await client.start()
            warming = asyncio.create_task(client.warm(map(known, names)))
            for name in names[:50]:
                await asyncio.to_thread(redis_db.command, "HSET", f"1Wsp:2Dest:user:email:{name}", "m", '{"new":1}')
            await warming

            async def all_new() -> bool:
                found = await client.get_many("user", "email", names[:50])
                return all(profile == {"m": {"new": 1}} for profile in found.values())

            await auntil(all_new, 1.0, "no old value outlives the bound")

    asyncio.run(scenario())


def test_a_redis_that_does_not_answer_ends_it(redis_db):
    async def scenario() -> None:
        async with AsyncClient(configuration(redis_db.address)) as client:
            await client.start()
            with redis_db.paused(), pytest.raises(LookupTimeout, match="were not read within"):
                await client.warm([known("a")], timeout=0.2)
        async with AsyncClient(configuration("127.0.0.1:1")) as client:
            with pytest.raises(RedisUnavailable):
                await client.warm([known("a")])

    asyncio.run(scenario())


def test_nothing_is_left_under_way(redis_db):
    names = fill(redis_db, 20)

    async def scenario() -> None:
        async with AsyncClient(configuration(redis_db.address)) as client:
            await client.start()
            await client.warm(map(known, names))
            until(lambda: client.stats().in_flight == 0, message="nothing under way")

    asyncio.run(scenario())
