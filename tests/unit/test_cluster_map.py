"""The map of a cluster: whose word counts, and who is let go."""

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


@pytest.fixture
def cluster():
    config = from_mapping(configuration("10.0.0.1:1", config={"clusterMode": True}))
    redis = config.destinations[0].config
    cache = ProfileCache(1 << 20, clock=lambda: 0.0)
    target = Target(config.destinations[0], Counters(), ())
    made = Cluster(redis, [target], NodeMaker(redis, cache, Policy(1, 1, 1), config.limits), threading.Lock())
    made._sessions = Sessions()
    return made


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
