"""Callers who are cancelled, or run into a limit, leave no trace: what is counted comes back to zero."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgeprofile import AsyncClient, Client, ClosedError, LookupTimeout, Overloaded, ReplyTooLarge
from edgeprofile.engine.batch import Fetch
from edgeprofile.store.streaming import AsyncWire
from tests.support.clients import configuration
from tests.support.faults import TO_CLIENT
from tests.support.wait import auntil, until

LONG = {"maxStaleness": "20s"}
"""No fetch is too old to be joined by who comes late."""


def quiet(client):
    stats = client.stats()
    return (stats.waiters, stats.in_flight) == (0, 0)


async def leave_while_joined(client, many):
    """One task leads, another joins its fetches, and goes when it has waited for a while."""
    leader = asyncio.create_task(client.get_many("user", "email", ["a", "b", "c"], timeout=10.0))
    await asyncio.sleep(0)
    joined = asyncio.create_task(many(client))
    await asyncio.sleep(0)
    assert client.stats().waiters > 0
    joined.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joined
    return leader


async def get_many(client):
    return await client.get_many("user", "email", ["a", "b", "c", "d"], timeout=10.0)


async def get(client):
    return await client.get("user", "email", "a", timeout=10.0)


@pytest.mark.parametrize("many", [get, get_many])
def test_callers_who_are_cancelled(redis_db, make_proxy, many):
    async def run():
        proxy = make_proxy(redis_db)
        async with AsyncClient(configuration(proxy.address, limits={"timeout": "10s"})) as client:
            await client.start()
            proxy.data.hold(TO_CLIENT)
            leader = await leave_while_joined(client, many)
            assert client.stats().waiters == 0
            proxy.heal()
            await leader
            await auntil(lambda: quiet(client), 5, "all fetches have ended")  # also one that nobody waits for

    asyncio.run(run())


def test_callers_who_run_into_a_limit(redis_db, make_proxy):
    async def run():
        proxy = make_proxy(redis_db)
        limits = {"timeout": "10s", "maxWaiters": 2}
        async with AsyncClient(configuration(proxy.address, limits=limits)) as client:
            await client.start()
            proxy.data.hold(TO_CLIENT)
            leader = asyncio.create_task(get_many(client))
            await asyncio.sleep(0)
            for _ in range(5):
                with pytest.raises(Overloaded):
                    await get_many(client)
            assert client.stats().waiters == 0
            proxy.heal()
            await leader
            await auntil(lambda: quiet(client), 5, "all fetches have ended")

    asyncio.run(run())


def test_callers_whose_loop_is_gone_keep_nobody_from_being_answered(redis_db, make_proxy):
    proxy = make_proxy(redis_db)
    client = AsyncClient(configuration(proxy.address, limits={"timeout": "10s"}, cache=LONG))

    async def leave():
        await client.start()
        proxy.data.hold(TO_CLIENT)
        with pytest.raises(LookupTimeout):
            await client.warm([("2Dest", "user", "email", "a")], timeout=0.05)

    asyncio.run(leave())
    with Client(client._engine) as threads, ThreadPoolExecutor() as pool:
        joined = pool.submit(threads.get, "user", "email", "a")
        until(lambda: client.stats().waiters == 1, 5, "a thread waits for what the loop began")
        proxy.heal()
        assert joined.result(5) is None
        until(lambda: quiet(client), 5, "all fetches have ended")


def test_who_joined_a_batch_does_not_suffer_for_the_reply_of_another(redis_db, make_proxy):
    """The batch's connection ends with the reply that is too large; what else it asked for is asked for again."""
    redis_db.command("HSET", "1Wsp:2Dest:user:email:huge", "m", "x" * 3_000_000)
    redis_db.command("HSET", "1Wsp:2Dest:user:email:ada", "m", '{"n":1}')

    async def run():
        proxy = make_proxy(redis_db)
        limits = {"timeout": "10s", "maxReplyBytes": "1MiB"}
        async with AsyncClient(configuration(proxy.address, limits=limits)) as client:
            await client.start()
            proxy.data.hold(TO_CLIENT)
            batch = asyncio.create_task(client.get_many("user", "email", ["huge", "ada"]))
            await asyncio.sleep(0)
            joined = asyncio.create_task(client.get("user", "email", "ada"))
            await asyncio.sleep(0)
            assert client.stats().waiters > 0
            proxy.heal()
            assert await joined == {"m": {"n": 1}}
            with pytest.raises(ReplyTooLarge):
                await batch

    asyncio.run(run())


def test_a_connection_made_while_the_loop_was_busy_is_a_connection(redis_db):
    async def run():
        limits = {"timeout": "10s", "connectTimeout": "50ms"}
        async with AsyncClient(configuration(redis_db.address, limits=limits)) as client:
            lookup = asyncio.create_task(client.get("user", "email", "nobody"))
            for _ in range(20):
                await asyncio.sleep(0)
                time.sleep(0.1)  # noqa: ASYNC251 (somebody else's long work on this loop)
            assert await lookup is None

    asyncio.run(run())


def test_a_client_that_is_closed_keeps_no_caller_waiting(redis_db, make_proxy):
    """Whoever leads, follows or joined, on a thread or a loop, however much time it had left."""
    proxy = make_proxy(redis_db)
    client = Client(configuration(proxy.address, limits={"timeout": "30s"}, cache=LONG))
    twin = AsyncClient(client._engine)
    client.start()
    asyncio.run(client_is_connected(client, twin))
    proxy.data.hold(TO_CLIENT)
    with ThreadPoolExecutor(8) as pool:
        lookups = [pool.submit(client.get, "user", "email", name) for name in "aabc"]
        lookups += [pool.submit(asyncio.run, twin.get("user", "email", name)) for name in "adde"]
        until(lambda: client.stats().in_flight == 5 and client.stats().waiters == 3, 5, "all of them wait")
        client.close()
        assert [type(lookup.exception(5)) for lookup in lookups] == [ClosedError] * 8
    proxy.heal()
    until(lambda: not proxy.data.connections, 5, "nothing was connected anew")
    with pytest.raises(ClosedError):
        client.get("user", "email", "a")


async def client_is_connected(client, twin):
    assert await twin.get("user", "email", "warm") is None
    assert client.get("user", "email", "warmer") is None


def test_a_batch_that_is_late_asks_redis_nothing_more(redis_db, make_proxy, monkeypatch):
    """A Redis that is slow already is not asked twice for what nobody waits for any more."""
    sent = []
    send = AsyncWire.send

    def counted(wire, call):
        sent.append(call)
        send(wire, call)

    async def run():
        proxy = make_proxy(redis_db)
        async with AsyncClient(configuration(proxy.address, limits={"timeout": "10s"})) as client:
            await client.start()
            await client.get("user", "email", "first")
            proxy.data.hold(TO_CLIENT)
            monkeypatch.setattr(AsyncWire, "send", counted)
            ids = [("email", str(number)) for number in range(200)]
            outcomes = await client.encoded.get_many("user", ids, timeout=0.3)
            assert {type(outcome) for outcome in outcomes} == {LookupTimeout}
            assert not any(isinstance(call, Fetch) for call in sent)  # of a batch they are no calls of their own
            proxy.data.release()

    asyncio.run(run())
