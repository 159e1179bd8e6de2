"""Clusters of the tests: they form, their slots move, their nodes fail over, die, come and go."""

import pytest
import redis

from tests.support.cluster import Cluster
from tests.support.servers import Options
from tests.support.wait import until


def other_primary(cluster, key):
    return next(node for node in cluster.primaries if node is not cluster.owner(key))


def test_a_cluster_serves_and_knows_its_nodes(cluster_db):
    assert (len(cluster_db.primaries), len(cluster_db.replicas)) == (3, 3)
    assert [len(cluster_db.replicas_of(primary)) for primary in cluster_db.primaries] == [1, 1, 1]
    assert cluster_db.address.count(",") == 5
    cluster_db.command("SET", "key", "value")
    assert cluster_db.owner("key").command("GET", "key") == b"value"
    with pytest.raises(redis.exceptions.MovedError):
        other_primary(cluster_db, "key").command("GET", "key")
    with cluster_db.client() as client:
        assert client.get("key") == b"value"


def test_reset_empties_every_node(cluster_db):
    cluster_db.command("SET", "key", "value")
    cluster_db.owner("key").notify("")
    cluster_db.replicas[0].pause()
    cluster_db.reset()
    assert [node.command("DBSIZE") for node in cluster_db.nodes] == [0] * 6
    assert {node.config_get("notify-keyspace-events") for node in cluster_db.nodes} <= {"AK", "KA"}


def test_a_slot_moves_with_its_keys(cluster_db):
    for number in range(250):
        cluster_db.command("SET", f"{{key}}{number}", "value")
    target = other_primary(cluster_db, "key")
    cluster_db.move(cluster_db.slot("key"), target)
    assert cluster_db.owner("key") is target
    assert target.command("CLUSTER", "COUNTKEYSINSLOT", cluster_db.slot("key")) == 250


def test_a_slot_on_its_way_asks(cluster_db):
    cluster_db.command("SET", "{key}1", "value")
    source, target, slot = cluster_db.owner("key"), other_primary(cluster_db, "key"), cluster_db.slot("key")
    with cluster_db.migrating(slot, target):
        assert source.command("GET", "{key}1") == b"value"
        with pytest.raises(redis.exceptions.AskError, match=f"^{slot} {target.address}$"):
            source.command("GET", "{key}2")
        cluster_db.move_key("{key}1", target)
        with pytest.raises(redis.exceptions.AskError):
            source.command("GET", "{key}1")
    assert cluster_db.owner("key") is source
    assert source.command("GET", "{key}2") is None


def test_a_slot_moves_atomically(make_cluster, flavour):
    if flavour != "valkey":
        pytest.skip("only Valkey 9 moves slots atomically")
    cluster = make_cluster(primaries=2)
    cluster.command("SET", "key", "value")
    target, slot = other_primary(cluster, "key"), cluster.slot("key")
    cluster.move_atomically(range(slot, slot + 1), target)
    assert cluster.owner("key") is target
    assert cluster.command("GET", "key") == b"value"


def test_a_seized_slot_loses_its_keys(cluster_db):
    cluster_db.command("SET", "key", "value")
    source, target = cluster_db.owner("key"), other_primary(cluster_db, "key")
    cluster_db.seize(cluster_db.slot("key"), target)
    assert cluster_db.owner("key") is target
    assert cluster_db.command("GET", "key") is None
    until(lambda: source.command("DBSIZE") == 0, message="the former owner drops its keys")


@pytest.mark.parametrize("how", ["", "FORCE", "TAKEOVER"])
def test_failover_on_demand(cluster_db, how):
    cluster_db.command("SET", "key", "value")
    old = cluster_db.owner("key")
    (replica,) = cluster_db.replicas_of(old)
    until(lambda: replica.command("DBSIZE") == 1, message="the replica has the key")
    cluster_db.failover(replica, how)
    assert cluster_db.owner("key") is replica
    assert cluster_db.replicas_of(replica) == [old]
    assert cluster_db.command("GET", "key") == b"value"


def test_a_dead_primary_is_replaced_and_returns_as_a_replica(cluster_db):
    old = cluster_db.owner("key")
    candidates = cluster_db.replicas_of(old)
    old.kill()
    new = cluster_db.wait_promoted(*candidates)
    assert cluster_db.owner("key") is new
    cluster_db.reset()
    assert cluster_db.replicas_of(new) == [old]


def test_nodes_come_and_go(make_cluster):
    cluster = make_cluster(primaries=2, requirepass="secret")
    primary = cluster.add()
    cluster.move(cluster.slot("key"), primary)
    replica = cluster.add(replica_of=primary)
    cluster.command("SET", "key", "value")
    with cluster.client() as client:
        assert client.get("key") == b"value"
    cluster.remove(replica)
    cluster.move(cluster.slot("key"), cluster.nodes[0])
    cluster.remove(primary)
    assert len(cluster.nodes) == 2
    assert cluster.command("GET", "key") == b"value"


def test_a_slot_that_nobody_serves_is_an_error(make_cluster):
    cluster = make_cluster(primaries=1)
    cluster.nodes[0].command("CLUSTER", "DELSLOTS", 5)
    with pytest.raises(LookupError, match="slot 5"):
        cluster.slot_owner(5)


def test_a_cluster_that_cannot_start_leaves_nothing():
    with pytest.raises(RuntimeError, match="nonsense"):
        Cluster(Options(config={"nonsense": "1"}))
