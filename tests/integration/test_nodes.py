"""The connections of a node: let go with it, whoever still holds on to it, and with the loops that they belong to."""

import asyncio
import gc
import time
from collections.abc import Callable

import pytest
import uvloop

from edgeprofile.config import from_mapping
from edgeprofile.core.cache import ProfileCache
from edgeprofile.core.coherence import Authority
from edgeprofile.core.keeper import Keeper, Policy
from edgeprofile.engine.node import Node
from edgeprofile.store.endpoint import ConnectionLost, Endpoint
from edgeprofile.store.resp import pack
from tests.support.clients import configuration
from tests.support.servers import Server
from tests.support.wait import auntil, until

PING = pack((b"PING",))


@pytest.fixture
def node(redis_db: Server) -> Node:
    keeper = Keeper(ProfileCache(1 << 20, clock=lambda: 0.0), Policy(1.0, 1.0, 1.0), Authority(1.0))
    limits = from_mapping(configuration(redis_db.address)).limits
    return Node(Endpoint((redis_db.host, redis_db.port)), keeper, limits)


def connections(server: Server) -> int:
    return len(server.command("CLIENT", "LIST", "TYPE", "normal").splitlines())


def test_by_threads(node: Node, redis_db: Server) -> None:
    before = connections(redis_db)
    assert node.blocking.call(PING, 1, time.monotonic() + 5) == [b"PONG"]
    node.close()
    with pytest.raises(ConnectionLost, match="was closed"):
        node.blocking.call(PING, 1, time.monotonic() + 5)
    until(lambda: connections(redis_db) == before, 5, "no connection is left")


def test_by_tasks(node: Node, redis_db: Server) -> None:
    before = connections(redis_db)

    async def ask() -> None:
        wire = await node.attach()
        assert await wire.ask(PING, 1) == [b"PONG"]
        node.close()
        for _ in range(2):
            with pytest.raises(ConnectionLost, match="closed"):
                await (await node.attach()).ask(PING, 1)
        assert node.stream() is None
        await auntil(lambda: connections(redis_db) == before, 5, "no connection is left")

    asyncio.run(ask())


LONG = 60.0
MakeLoop = Callable[[], asyncio.AbstractEventLoop]
loops = pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop])


async def ask(node: Node) -> None:
    wire = node.stream() or await node.attach()
    assert await wire.ask(PING, 1) == [b"PONG"]


async def look_on(node: Node, seconds: float) -> None:
    node.reap(seconds)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed:ResourceWarning")
def test_a_loop_that_was_left_takes_its_connection_along(node: Node, redis_db: Server) -> None:
    before = connections(redis_db)
    for _ in range(3):
        asyncio.new_event_loop().run_until_complete(ask(node))
    gc.collect()
    assert connections(redis_db) == before + 3
    node.reap(0.0)
    node.reap(LONG)
    gc.collect()
    until(lambda: connections(redis_db) == before, 5, "no connection is left")


@loops
def test_a_loop_that_was_left_for_long_and_runs_again_has_one_connection(
    node: Node, redis_db: Server, make_loop: MakeLoop
) -> None:
    before = connections(redis_db)
    with asyncio.Runner(loop_factory=make_loop) as runner:
        for _ in range(3):
            for seconds in (0.0, LONG):
                runner.run(ask(node))
                assert len(node._streams) == 1
                node.reap(seconds)
            node.reap(2 * LONG)
            assert not node._streams
        runner.run(ask(node))
        until(lambda: connections(redis_db) == before + 1, 5, "one connection is left")
    node.close()


def test_a_loop_that_runs_was_not_left(node: Node) -> None:
    with asyncio.Runner() as runner:
        runner.run(ask(node))
        node.reap(0.0)
        runner.run(look_on(node, LONG))
        node.reap(LONG + 1)
        assert len(node._streams) == 1


def test_a_loop_that_was_left_with_something_under_way_keeps_it(node: Node, redis_db: Server) -> None:
    with asyncio.Runner() as runner:
        runner.run(ask(node))
        with redis_db.paused():
            asked = runner.get_loop().create_task(ask(node))
            runner.run(asyncio.sleep(0))
            node.reap(0.0)
            node.reap(LONG)
            assert len(node._streams) == 1
        runner.run(asyncio.wait_for(asked, 5))


def test_who_holds_a_connection_that_ends_is_given_another(node: Node) -> None:
    """A loop may begin to run while it is being let go."""
    with asyncio.Runner() as runner:
        runner.run(ask(node))
        (held,) = node._streams.values()
        node.reap(0.0)
        node.reap(LONG)
        node._latest = held
        runner.run(asyncio.sleep(0))
        assert held.closed
        runner.run(ask(node))
