"""The shared connection of one event loop: what leaves together, and that each caller gets its own answer."""

import asyncio
from collections.abc import Sequence

import pytest

from edgeprofile.errors import RedisUnavailable
from edgeprofile.store.endpoint import Endpoint
from edgeprofile.store.link import Call, Link
from edgeprofile.store.resp import pack
from edgeprofile.store.streaming import AsyncWire
from tests.support.ports import HOST, free_port
from tests.support.servers import Server

NUMBERS = [b"%d" % number for number in range(100)]


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls left in each write."""
    sizes: list[int] = []
    send = Link.send

    def counted(link: Link, calls: Sequence[Call]) -> None:
        sizes.append(len(calls))
        send(link, calls)

    monkeypatch.setattr(Link, "send", counted)
    return sizes


def wire_to(server: Server) -> AsyncWire:
    return AsyncWire(Endpoint((server.host, server.port)), max_reply_bytes=1 << 20, connect_timeout=5.0, stall=5.0)


async def echoes(wire: AsyncWire) -> list[bytes]:
    answers = await asyncio.gather(*(wire.ask(pack((b"ECHO", number)), 1) for number in NUMBERS))
    return [answer for (answer,) in answers]


def test_the_calls_of_one_turn_leave_in_a_few_writes_and_each_gets_its_answer(
    redis_db: Server, writes: list[int]
) -> None:
    async def scenario() -> None:
        wire = wire_to(redis_db)
        await wire.ask(pack((b"PING",)), 1)
        writes.clear()
        assert await echoes(wire) == NUMBERS
        assert writes == [1, *[16] * 6, 3]
        wire.close()

    asyncio.run(scenario())


def test_calls_that_come_before_the_connection_leave_with_it(redis_db: Server, writes: list[int]) -> None:
    async def scenario() -> None:
        wire = wire_to(redis_db)
        assert await echoes(wire) == NUMBERS
        assert sum(writes) == len(NUMBERS)
        wire.close()

    asyncio.run(scenario())


def test_calls_that_come_one_at_a_time_leave_at_once(redis_db: Server, writes: list[int]) -> None:
    async def scenario() -> None:
        wire = wire_to(redis_db)
        for number in NUMBERS:
            assert await wire.ask(pack((b"ECHO", number)), 1) == [number]
        assert writes == [1] * len(NUMBERS)
        wire.close()

    asyncio.run(scenario())


def test_a_wire_that_nobody_waits_for_does_not_connect_again(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[float] = []
    stream = Endpoint.stream

    async def counted(endpoint: Endpoint, protocol: asyncio.Protocol, timeout: float) -> None:
        attempts.append(timeout)
        await stream(endpoint, protocol, timeout)

    monkeypatch.setattr(Endpoint, "stream", counted)

    async def scenario() -> None:
        wire = AsyncWire(Endpoint((HOST, free_port())), max_reply_bytes=1 << 20, connect_timeout=5.0, stall=5.0)
        for failures in (1, 2):
            with pytest.raises(RedisUnavailable):
                await wire.ask(pack((b"PING",)), 1)
            await asyncio.sleep(0.1)
            assert len(attempts) == failures
        wire.close()

    asyncio.run(scenario())
