"""The shared connection of one event loop: what leaves together, and that each caller gets its own answer."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
import uvloop

from edgeprofile.errors import EdgeProfileError, RedisUnavailable
from edgeprofile.store.endpoint import ConnectionLost, Endpoint
from edgeprofile.store.link import Call, Link
from edgeprofile.store.resp import ErrorReply, pack
from edgeprofile.store.streaming import AsyncWire
from tests.support.ports import HOST, free_port
from tests.support.proxy import Proxy
from tests.support.servers import Server
from tests.support.wait import auntil

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


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_after_a_write_that_failed_the_rest_of_a_turn_leaves_on_the_next_connection(
    redis_db: Server,
    make_proxy: Callable[..., Proxy],
    caplog: pytest.LogCaptureFixture,
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def scenario() -> None:
        proxy = make_proxy(redis_db)
        wire = AsyncWire(Endpoint((proxy.host, proxy.port)), max_reply_bytes=1 << 20, connect_timeout=5.0, stall=5.0)
        assert await wire.ask(pack((b"PING",)), 1) == [b"PONG"]
        proxy.all.reset()
        answers = await asyncio.gather(*(wire.ask(pack((b"PING",)), 1) for _ in range(300)), return_exceptions=True)
        lost = [answer for answer in answers if isinstance(answer, ConnectionLost)]
        assert len(lost) <= 32
        assert answers.count([b"PONG"]) == 300 - len(lost)
        wire.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())
    assert not caplog.records


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


class Greeter:
    """A server that has no room at first: it says so and closes, as Redis does with ``maxclients`` reached."""

    def __init__(self) -> None:
        self.has_room = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.has_room:
            writer.write(b"-ERR max number of clients reached\r\n")
        while self.has_room and await reader.read(1 << 10):
            writer.write(b"+PONG\r\n")
        writer.close()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_connection_that_ends_as_soon_as_it_is_made_is_made_anew(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def scenario() -> None:
        greeter = Greeter()
        async with await asyncio.start_server(greeter, HOST, 0) as server:
            endpoint = Endpoint(server.sockets[0].getsockname())
            wire = AsyncWire(endpoint, max_reply_bytes=1 << 20, connect_timeout=5.0, stall=5.0)
            for _ in range(20):
                with suppress(EdgeProfileError):  # or the greeting was taken for the answer
                    assert isinstance((await wire.ask(pack((b"PING",)), 1))[0], ErrorReply)
            greeter.has_room = True
            for _ in range(3):
                assert await wire.ask(pack((b"PING",)), 1) == [b"PONG"]
            wire.close()
            await asyncio.sleep(0.05)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())


def test_a_task_factory_that_begins_tasks_at_once_is_not_asked(redis_db: Server) -> None:
    def eager(*_args: object, **_options: object) -> asyncio.Future[object]:
        raise AssertionError("the connection's task was left to the factory")

    async def scenario() -> None:
        wire = wire_to(redis_db)
        asyncio.get_running_loop().set_task_factory(eager)
        assert await wire.ask(pack((b"PING",)), 1) == [b"PONG"]
        wire.close()
        asyncio.get_running_loop().set_task_factory(None)

    asyncio.run(scenario())


def test_when_the_tasks_of_a_loop_are_cancelled_while_it_connects_whoever_waits_is_told(redis_db: Server) -> None:
    async def scenario() -> None:
        endpoint = Endpoint((redis_db.host, redis_db.port), db=1)  # which is not answered
        wire = AsyncWire(endpoint, max_reply_bytes=1 << 20, connect_timeout=5.0, stall=5.0)
        told: list[object] = []
        wire.call(pack((b"PING",)), 1, told.append)
        await asyncio.sleep(0.05)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await auntil(lambda: told, 5, "the caller is told")
        assert isinstance(told[0], RedisUnavailable)
        wire.close()

    with redis_db.paused():
        asyncio.run(scenario())
