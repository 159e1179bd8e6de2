"""The map of a cluster: whose word counts, and who is let go."""

import asyncio
import socket
import threading

import pytest

from edgeprofile.config import from_mapping
from edgeprofile.core.cache import ProfileCache
from edgeprofile.core.keeper import Policy
from edgeprofile.core.slots import SLOTS, SlotMap
from edgeprofile.engine.cluster import Cluster
from edgeprofile.engine.target import Target
from edgeprofile.engine.upstream import NodeMaker
from edgeprofile.errors import CircuitOpen, RedisUnavailable, ServerRefused
from edgeprofile.metrics import Counters
from edgeprofile.store.refusals import refusal
from edgeprofile.store.resp import ErrorReply
from tests.support.clients import configuration

A, B = ("10.0.0.1", 1), ("10.0.0.2", 2)


class Sessions:
    def __init__(self):
        self.open_nodes = []

    def open(self, _upstream, node):
        self.open_nodes.append(node)

    def shut(self, node):
        self.open_nodes.remove(node)

    def tell(self):
        pass


@pytest.fixture
def cluster():
    return made("10.0.0.1:1")


def made(address, **changes):
    config = from_mapping(configuration(address, config={"clusterMode": True}, **changes))
    redis = config.destinations[0].config
    cache = ProfileCache(1 << 20, clock=lambda: 0.0)
    target = Target(config.destinations[0], Counters(), ())
    cluster = Cluster(redis, [target], NodeMaker(redis, cache, Policy(1, 1, 1), config.limits), threading.Lock())
    cluster._sessions = Sessions()
    return cluster


def whole(address):
    return SlotMap((address,) * SLOTS)


def owner(cluster):
    return cluster.node(b"key").endpoint.address


def test_an_older_word_than_the_last_is_not_believed(cluster):
    cluster._learn(whole(A), 5)
    cluster._learn(whole(B), 4)
    assert owner(cluster) == A
    cluster._learn(whole(B), 6)
    assert owner(cluster) == B
    assert [node.endpoint.address for node in cluster._sessions.open_nodes] == [B]


def test_it_is_when_nobody_has_repeated_the_last_for_long(cluster):
    """The nodes are another cluster now."""
    cluster._learn(whole(A), 5)
    cluster._heard -= 60
    cluster._learn(whole(B), 1)
    assert owner(cluster) == B


def test_a_guest_that_comes_to_stay_is_no_guest_any_more_and_one_that_is_forgotten_goes(cluster):
    guest = cluster.at(B)
    assert cluster.at(B) is guest
    assert guest in cluster.nodes
    cluster._see_off()
    assert cluster.at(B) is guest, "it was used just now"
    cluster._learn(whole(B), 1)
    cluster._see_off()
    assert guest not in cluster.nodes
    assert cluster.at(B) is cluster.node(b"key")
    cluster.at(A)
    cluster._guests[A] = cluster._guests[A][0], cluster._guests[A][1] - 60
    cluster._see_off()
    assert len(cluster.nodes) == 1


def test_another_attempt_helps_where_something_passes_and_not_where_a_circuit_is_open(cluster):
    assert cluster.amend(RedisUnavailable("x")) is not None
    assert cluster.amend(ServerRefused("x", code="CLUSTERDOWN")) is not None
    assert cluster.amend(CircuitOpen("x")) is None
    assert cluster.amend(ServerRefused("x", code="OOM")) is None


def test_a_key_on_its_way_does_not_change_the_map(cluster):
    cluster._learn(whole(A), 1)
    moved = []
    cluster._call = moved.append
    assert cluster.amend(refusal(ErrorReply("ASK 5 10.0.0.2:2"), "n", doing="GET"))
    assert not moved
    assert cluster.amend(refusal(ErrorReply("MOVED 5 10.0.0.1:1"), "n", doing="GET")) == 0.0
    assert len(moved) == 1


def test_without_a_map_the_retries_are_fewer_and_fewer_however_many_ask(cluster, monkeypatch):
    async def nobody_tells(address):
        asked.append(address)

    async def scenario():
        following = asyncio.create_task(cluster.follow(Sessions()))
        for _ in range(100):
            cluster.ask_again()
            await asyncio.sleep(0.01)
        following.cancel()

    asked = []
    monkeypatch.setattr(cluster, "_ask", nobody_tells)
    asyncio.run(scenario())
    assert 3 <= len(asked) <= 8


def test_a_seed_whose_name_is_not_resolved_is_waited_for_by_one_thread(monkeypatch):
    def hangs(host, *_, flags=0, **__):
        if not flags:
            resolving.append(host)
            released.wait(10)
        raise socket.gaierror("unknown")

    async def scenario():
        for _ in range(3):
            assert await cluster._ask(("nowhere.example", 1)) is None

    resolving, released = [], threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    cluster = made("nowhere.example:1", limits={"connectTimeout": "20ms"})
    try:
        asyncio.run(scenario())
    finally:
        released.set()
    assert resolving == ["nowhere.example"]


def test_a_node_that_has_left_and_is_no_seed_tells_nothing(cluster):
    assert asyncio.run(cluster._ask(B)) is None
