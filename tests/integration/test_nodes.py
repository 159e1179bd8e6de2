"""A node that was let go is never connected to again, whoever still holds on to it."""

import asyncio
import time

import pytest

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
