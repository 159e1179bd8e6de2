"""A Redis Cluster under a client: routing, many keys at once, moved slots, failover, nodes that come and go."""

import json
import threading
import time

import pytest

import edgeprofile
from tests.support.clients import configuration, hears
from tests.support.cluster import Cluster
from tests.support.ports import HOST, free_port
from tests.support.wait import until

pytestmark = pytest.mark.limit(120)

NAMES = [f"u{n}" for n in range(60)]


def key(name):
    return f"1Wsp:2Dest:user:email:{name}"


def write(cluster: Cluster, name, version):
    cluster.owner(key(name)).command("HSET", key(name), "m", json.dumps({"version": version, "name": name}))


def settings(cluster: Cluster, **changes):
    return configuration(cluster.address, config={"clusterMode": True}, **{"limits": {"timeout": "10s"}, **changes})


@pytest.fixture
def client(make_client, cluster_db):
    made = make_client(settings(cluster_db))
    made.start()
    return made


def test_profiles_of_every_node_are_read_and_hit(client, cluster_db):
    for name in NAMES:
        write(cluster_db, name, 1)
    for name in NAMES:
        assert client.get("user", "email", name) == {"m": {"version": 1, "name": name}}
    until(
        lambda: all(client.get("user", "email", name) and client.peek("user", "email", name) for name in NAMES),
        5,
        "hits",
    )
    assert client.status()["2Dest"].nodes == 3
    assert client.status()["2Dest"].state == "live"


def test_many_profiles_of_several_nodes(client, cluster_db):
    for name in NAMES:
        write(cluster_db, name, 1)
    found = client.get_many("user", "email", [*NAMES, "nobody"])
    assert [profile and profile["m"]["name"] for profile in found.values()] == [*NAMES, None]


def test_writes_on_every_node_are_seen(client, cluster_db):
    for version in range(1, 4):
        for name in NAMES[:12]:
            write(cluster_db, name, version)
        for name in NAMES[:12]:
            until(lambda: client.get("user", "email", name)["m"]["version"] == version, 5, "the write is seen")  # noqa: B023


def test_delete_reaches_every_node(client, cluster_db):
    for name in NAMES:
        write(cluster_db, name, 1)
    assert client.delete("user", [("email", name) for name in [*NAMES, "nobody"]]) == len(NAMES)
    assert client.get_many("user", "email", NAMES) == dict.fromkeys(NAMES)


def test_a_delete_that_is_the_first_call_waits_for_the_map(make_client, cluster_db):
    for name in NAMES:
        write(cluster_db, name, 1)
    client = make_client(settings(cluster_db))
    assert client.delete("user", [("email", name) for name in NAMES]) == len(NAMES)


def test_a_delete_without_a_map_is_given_up_at_its_deadline(make_client):
    client = make_client(configuration(f"{HOST}:{free_port()}", config={"clusterMode": True}))
    begun = time.monotonic()
    with pytest.raises(edgeprofile.RedisUnavailable, match="no node of the cluster is known"):
        client.delete("user", [("email", "ada")], timeout=0.4)
    assert time.monotonic() - begun > 0.3


def test_a_delete_waits_for_a_cluster_that_serves_nothing_for_the_moment(make_client, make_cluster):
    cluster = make_cluster(primaries=3)
    for name in NAMES:
        write(cluster, name, 1)
    client = make_client(settings(cluster))
    client.start()
    first = cluster.primaries[0]
    for node in cluster.nodes:
        node.command("CLUSTER", "DELSLOTS", "0")
    until(lambda: refuses(first), 10, "the cluster serves nothing")
    back = threading.Timer(0.5, first.command, ("CLUSTER", "ADDSLOTS", "0"))
    back.start()
    assert client.delete("user", [("email", name) for name in NAMES], timeout=30) == len(NAMES)
    back.join()


def refuses(node):
    return b"cluster_state:fail" in node.command("CLUSTER", "INFO")


def test_a_single_server_is_not_taken_for_a_cluster(make_client, redis_db):
    client = make_client(configuration(redis_db.address, config={"clusterMode": True}))
    begun = time.monotonic()
    with pytest.raises(edgeprofile.EdgeProfileError, match="clusterMode = false"):
        client.start()
    assert time.monotonic() - begun < 5, "what only the operator can mend is said at once"


def test_a_node_of_a_cluster_is_not_taken_for_a_single_server(make_client, cluster_db):
    client = make_client(configuration(cluster_db.address.split(",")[0], config={"clusterMode": False}))
    with pytest.raises(edgeprofile.EdgeProfileError, match="clusterMode = true"):
        client.get_many("user", "email", NAMES)


def test_a_password_that_a_seed_refused_is_not_offered_again_and_again(make_client, make_server):
    server = make_server(cluster=True, requirepass="right")
    client = make_client(configuration(server.address, config={"clusterMode": True, "password": "wrong"}))
    with pytest.raises(edgeprofile.EdgeProfileError):
        client.get("user", "email", "ada", timeout=0.2)
    until(lambda: refusals(server), 5, "it is refused")
    time.sleep(2)
    assert refusals(server) <= 4


def test_a_password_that_every_seed_refuses_is_said_at_once(make_client, make_server):
    seeds = ",".join(make_server(cluster=True, requirepass="right").address for _ in range(2))
    client = make_client(configuration(seeds, config={"clusterMode": True, "password": "wrong"}))
    calls = [
        lambda: client.get("user", "email", "ada", timeout=30),
        lambda: client.get_many("user", "email", NAMES, timeout=30),
        lambda: client.delete("user", [("email", "ada")], timeout=30),
        client.start,
    ]
    for call in calls:
        begun = time.monotonic()
        with pytest.raises(edgeprofile.AccessDenied, match="check username, password and passwordFile"):
            call()
        assert time.monotonic() - begun < 10


def test_a_cluster_that_was_never_made_is_waited_for_and_named(make_client, make_server):
    client = make_client(configuration(make_server(cluster=True).address, config={"clusterMode": True}))
    with pytest.raises(edgeprofile.RedisUnavailable, match="is the cluster made"):
        client.get("user", "email", "ada", timeout=0.5)
    assert "is the cluster made" in client.status()["2Dest"].reason


def test_a_password_that_one_seed_refuses_is_not(make_client, make_server, cluster_db):
    stranger = make_server(cluster=True, requirepass="other")
    hopeful = make_client(configuration(f"{stranger.address},{HOST}:{free_port()}", config={"clusterMode": True}))
    with pytest.raises(edgeprofile.RedisUnavailable, match="no node of the cluster is known") as caught:
        hopeful.get("user", "email", "ada", timeout=0.5)
    assert caught.value.__cause__ is not None
    client = make_client(configuration(f"{stranger.address},{cluster_db.address}", config={"clusterMode": True}))
    client.start()
    assert client.get("user", "email", "ada") is None


def refusals(server):
    return int(server.info("errorstats").get("errorstat_WRONGPASS", "count=0").removeprefix("count="))


def test_a_moved_slot_is_followed_and_its_entries_are_dropped(make_client, make_cluster):
    cluster = make_cluster(primaries=3)
    client = make_client(settings(cluster))
    client.start()
    name = NAMES[0]
    write(cluster, name, 1)
    until(lambda: client.get("user", "email", name) and client.peek("user", "email", name), 5, "the profile is cached")
    source = cluster.owner(key(name))
    target = next(node for node in cluster.primaries if node is not source)
    cluster.move(cluster.slot(key(name)), target)
    write(cluster, name, 2)
    until(lambda: client.get("user", "email", name)["m"]["version"] == 2, 3, "the new owner's write is seen")
    until(lambda: client.get("user", "email", name) and client.peek("user", "email", name), 5, "it is cached again")
    write(cluster, name, 3)
    until(lambda: client.get("user", "email", name)["m"]["version"] == 3, 3, "the new owner's events are heard")


def test_a_key_on_its_way_is_asked_for_at_its_new_node(make_client, make_cluster):
    cluster = make_cluster(primaries=3)
    client = make_client(settings(cluster))
    client.start()
    name = NAMES[0]
    write(cluster, name, 1)
    target = next(node for node in cluster.primaries if node is not cluster.owner(key(name)))
    with cluster.migrating(cluster.slot(key(name)), target):
        cluster.move_key(key(name), target)
        assert client.get("user", "email", name)["m"]["version"] == 1
        assert client.get_many("user", "email", [name])[name]["m"]["version"] == 1
        assert client.delete("user", [("email", name)]) == 1, "it is deleted there"
        assert client.delete("user", [("email", name)]) == 0
        assert client.get("user", "email", name) is None


def test_a_dead_primary_is_replaced_by_its_replica(make_client, make_cluster):
    cluster = make_cluster(primaries=3, replicas=1)
    client = make_client(settings(cluster))
    client.start()
    for name in NAMES:
        write(cluster, name, 1)
    hears(client)
    until(
        lambda: all(client.get("user", "email", name) and client.peek("user", "email", name) for name in NAMES),
        5,
        "hits",
    )
    victim = cluster.owner(key(NAMES[0]))
    safe = next(name for name in NAMES if cluster.owner(key(name)) is not victim)
    kept = client.peek("user", "email", safe)
    heirs = cluster.replicas_of(victim)
    victim.kill()
    until(lambda: client.peek("user", "email", NAMES[0]) is None, 5, "the dead node's entries are gone")
    assert client.peek("user", "email", safe) is kept
    cluster.wait_promoted(*heirs)
    write(cluster, NAMES[0], 2)
    down = (edgeprofile.RedisUnavailable,)
    until(lambda: client.get("user", "email", NAMES[0])["m"]["version"] == 2, 10, "the replica serves", ignoring=down)


def test_nodes_are_added_and_removed_while_running(make_client, make_cluster):
    cluster = make_cluster(primaries=3)
    client = make_client(settings(cluster))
    client.start()
    name = NAMES[0]
    write(cluster, name, 1)
    assert client.get("user", "email", name)["m"]["version"] == 1
    fourth = cluster.add()
    cluster.move(cluster.slot(key(name)), fourth)
    write(cluster, name, 2)
    until(lambda: client.get("user", "email", name)["m"]["version"] == 2, 5, "the new node serves")
    until(lambda: client.status()["2Dest"].nodes == 4, 10, "the new node is listened to")
    cluster.move(cluster.slot(key(name)), cluster.primaries[0])
    cluster.remove(fourth)
    write(cluster, name, 3)
    gone = (edgeprofile.RedisUnavailable,)  # until the client knows whose the slot is now
    until(lambda: client.get("user", "email", name)["m"]["version"] == 3, 10, "it is read elsewhere", ignoring=gone)
    until(lambda: client.status()["2Dest"].nodes == 3, 15, "the node is forgotten")
