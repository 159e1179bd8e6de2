"""A server that answers byte by byte is never silent, and never done: who waits for it in vain says so."""

import asyncio
import time
from math import log2

import pytest

from edgeprofile import AsyncClient, CircuitOpen, Client, LookupTimeout, RedisUnavailable
from edgeprofile.core.breaker import State
from tests.support.clients import configuration
from tests.support.faults import TO_CLIENT
from tests.support.wait import auntil, until

LONG = {"maxStaleness": "20s"}
"""No fetch is too old to be joined by who comes late."""
LIMITS = {"timeout": "600ms"}
A_TRICKLE = 10  # bytes a second: far from silent, and minutes for one profile


@pytest.fixture
def proxy(redis_db, make_proxy):
    for name in "abcdefgh":
        redis_db.command("HSET", f"1Wsp:2Dest:user:email:{name}", "m", '"' + "x" * 5_000 + '"')
    return make_proxy(redis_db)


def trickle(proxy):
    """No heartbeat comes back either: it would be the success that closes a circuit."""
    proxy.feed.hold(TO_CLIENT)
    proxy.data.throttle(A_TRICKLE, TO_CLIENT)


def breaker(client):
    (node,) = client._engine.nodes
    return node.breaker


def attempt(client, name):
    with pytest.raises(RedisUnavailable) as caught:
        client.get("user", "email", name)
    return type(caught.value)


def test_it_costs_a_few_deadlines_and_then_nothing(make_client, proxy):
    client = make_client(configuration(proxy.address, limits=LIMITS, cache=LONG))
    client.start()
    trickle(proxy)
    assert [attempt(client, name) for name in "abc"] == [LookupTimeout] * 3
    begun = time.monotonic()
    until(lambda: attempt(client, "d") is LookupTimeout, 10, "a probe")
    errors = [attempt(client, "abcd"[n % 4]) for n in range(50)]  # fetches of all of them are under way
    assert errors.count(CircuitOpen) >= 50 - log2(1 + (time.monotonic() - begun) / 0.1)


async def late(client, names, timeout=None):
    """One caller for each letter; all of them wait in vain."""
    lookups = [client.get("user", "email", name, timeout=timeout) for name in names]
    assert {type(error) for error in await asyncio.gather(*lookups, return_exceptions=True)} == {LookupTimeout}


async def late_together(client, names):
    outcomes = await client.encoded.get_many("user", [("email", name) for name in names])
    assert {type(error) for error in outcomes} == {LookupTimeout}


@pytest.mark.parametrize("wait", [late, late_together])
def test_each_fetch_counts_once_however_many_wait_for_it_and_however_it_ends(proxy, wait):
    async def run():
        async with AsyncClient(configuration(proxy.address, limits=LIMITS, cache=LONG)) as client:
            await client.start()
            trickle(proxy)
            await asyncio.gather(wait(client, "ab"), late(client, "aaaabbbb"))
            assert breaker(client).since is not None
            proxy.data.hold(TO_CLIENT)
            await auntil(lambda: client.stats().in_flight == 0, 5, "both connections are given up")
            assert breaker(client).opened == 0
            await wait(client, "c")
            assert breaker(client).opened == 1

    asyncio.run(run())


def test_who_is_in_a_hurry_says_nothing(proxy):
    async def run():
        async with AsyncClient(configuration(proxy.address, limits=LIMITS, cache=LONG)) as client:
            await client.start()
            trickle(proxy)
            await late(client, "abcdefgh" * 2, timeout=0.05)
            assert breaker(client).since is None

    asyncio.run(run())


def test_a_thread_says_so_of_what_a_loop_began(proxy):
    async def run():
        async with AsyncClient(configuration(proxy.address, limits=LIMITS, cache=LONG)) as client:
            await client.start()
            trickle(proxy)
            await late(client, "abc", timeout=0.05)
            with Client(client._engine) as threads:
                attempts = [asyncio.to_thread(attempt, threads, name) for name in "abc"]
                assert await asyncio.gather(*attempts) == [LookupTimeout] * 3
                assert breaker(client).state is State.OPEN

    asyncio.run(run())


def test_what_comes_in_the_end_settles_it(proxy):
    async def run():
        async with AsyncClient(configuration(proxy.address, limits=LIMITS)) as client:
            await client.start()
            trickle(proxy)
            await late(client, "abc")
            assert breaker(client).opened == 1
            proxy.heal()
            await auntil(lambda: breaker(client).state is State.CLOSED, 5, "the circuit is closed")

    asyncio.run(run())
