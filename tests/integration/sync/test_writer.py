"""Bulk writes to real servers: what is retried, what is refused, what ends the delivery, and clusters."""

import socket
import threading
import time
from contextlib import closing

import pyarrow as pa
import pytest

from edgeprofile.config import RedisConfig
from edgeprofile.errors import AccessDenied, ConfigurationError, RedisUnavailable, ServerRefused
from edgeprofile.reverse_etl.commands import Commands, Rows, Target
from edgeprofile.store.writer import BulkWriter
from tests.support.cluster import Cluster
from tests.support.servers import Options, Server
from tests.support.wait import until


def batch(ids, text='{"n":1}', *, ttl=0, tag=""):
    names = pa.array([f"{tag}{one}" for one in ids], pa.string())
    return Commands.of(
        Rows(Target("w:d:user:id:", "m", ttl), names, pa.array(["insert"] * len(names)), pa.array([text] * len(names)))
    )


def writer(address, *, cluster=False, retry_for=10.0, timeout=5.0, **options):
    config = RedisConfig(address=address, cluster_mode=cluster, **options)
    return closing(BulkWriter(config, timeout=timeout, retry_for=retry_for))


def send(bulk, batches):
    settled = list(bulk.deliver(batches))
    return sum(one.delivered for one in settled), [refused for one in settled for refused in one.refused]


class Name:
    """A name in the system's resolver, and the server that it stands for."""

    address = "primary.test:6379"
    server: Server


@pytest.fixture
def behind_a_name(monkeypatch):
    def resolve(host, *rest, flags=0, **options):
        if host != "primary.test":
            return genuine(host, *rest, flags=flags, **options)
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no number")
        return genuine(name.server.host, name.server.port, type=socket.SOCK_STREAM)

    name, genuine = Name(), socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return name


class TestOneServer:
    def test_everything_gets_in(self, redis_db):
        with writer(redis_db.address) as bulk:
            delivered, refused = send(bulk, (batch(range(n, n + 100)) for n in range(0, 5_000, 100)))
        assert (delivered, refused) == (5_000, [])
        assert redis_db.command("DBSIZE") == 5_000
        assert redis_db.command("HGET", "w:d:user:id:4999", "m") == b'{"n":1}'

    def test_a_batch_larger_than_any_buffer(self, redis_db):
        with writer(redis_db.address) as bulk:
            assert send(bulk, [batch(range(20), "x" * (1 << 20))]) == (20, [])

    def test_time_to_live(self, redis_db):
        with writer(redis_db.address) as bulk:
            assert send(bulk, [batch("ab", ttl=100)]) == (2, [])
        assert 90 < redis_db.command("TTL", "w:d:user:id:b") <= 100

    def test_a_key_of_somebody_else_gets_no_time_to_live(self, redis_db):
        redis_db.command("SET", "w:d:user:id:b", "theirs")
        with writer(redis_db.address) as bulk:
            delivered, (refused,) = send(bulk, [batch("abc", ttl=100)])
        assert (delivered, refused.row) == (2, 1)
        assert redis_db.command("TTL", "w:d:user:id:b") == -1
        assert all(90 < redis_db.command("TTL", f"w:d:user:id:{one}") <= 100 for one in "ac")

    def test_every_row_of_many_batches_gets_its_time_to_live(self, redis_db):
        with writer(redis_db.address) as bulk:
            batches = (batch(range(n, n + 10), ttl=100) for n in range(0, 200, 10))
            assert send(bulk, batches) == (200, [])
        assert all(redis_db.command("TTL", f"w:d:user:id:{n}") > 90 for n in range(200))

    def test_the_write_of_a_ttl_counts_against_the_rate(self, redis_db):
        config = RedisConfig(address=redis_db.address, cluster_mode=False)
        began = time.monotonic()
        with closing(BulkWriter(config, timeout=5, retry_for=5, most_per_second=1_000)) as bulk:
            assert send(bulk, (batch(range(n, n + 100), ttl=9) for n in range(0, 400, 100))) == (400, [])
        assert time.monotonic() - began >= 0.6

    @pytest.mark.parametrize(("password", "rows"), [("", 1), ("secret", 10)])
    def test_a_server_without_a_connection_to_spare_is_tried_again(self, redis_db, password, rows):
        redis_db.config_set("requirepass", password)
        options = {"password": password} if password else {}
        with redis_db.client(**options) as first:
            most = int(first.info("clients")["connected_clients"])
            redis_db.config_set("maxclients", str(most))
            try:
                making_room = threading.Timer(0.5, first.config_set, ("maxclients", "1000"))
                with writer(redis_db.address, **options) as bulk:
                    making_room.start()
                    assert send(bulk, [batch(range(rows))]) == (rows, [])
                making_room.join()
            finally:
                first.config_set("maxclients", "1000")
                first.config_set("requirepass", "")

    def test_a_row_of_the_wrong_type_is_refused_and_the_others_get_in(self, redis_db):
        redis_db.command("SET", "w:d:user:id:5", "x")
        with writer(redis_db.address) as bulk:
            delivered, (refused,) = send(bulk, [batch(range(10))])
        assert (delivered, refused.row) == (9, 5)
        assert "holds another type" in refused.reason
        assert "user:id" not in refused.reason

    def test_no_right_to_write_ends_it_at_once(self, redis_db):
        redis_db.command("ACL", "SETUSER", "reader", "on", ">s", "~*", "+@read", "+@connection")
        with (
            writer(redis_db.address, username="reader", password="s") as bulk,
            pytest.raises(AccessDenied, match=r"grant \+hset"),
        ):
            send(bulk, [batch("ab")])

    def test_wrong_credentials(self, redis_db):
        with writer(redis_db.address, password="wrong", retry_for=0.1) as bulk, pytest.raises(AccessDenied):
            send(bulk, [batch("ab")])

    def test_a_database_other_than_0(self, redis_db):
        with writer(redis_db.address, database="3") as bulk:
            send(bulk, [batch("a")])
        assert redis_db.command("DBSIZE") == 0
        with redis_db.client(db=3) as client:
            assert client.dbsize() == 1

    def test_a_connection_that_is_cut_is_made_again(self, redis_db):
        def batches():
            for n in range(40):
                if n in {10, 30}:
                    redis_db.kill_clients()
                yield batch(range(n * 100, n * 100 + 100))

        with writer(redis_db.address) as bulk:
            delivered, refused = send(bulk, batches())
            assert bulk.interrupted
        assert (delivered, refused) == (4_000, [])
        assert redis_db.command("DBSIZE") == 4_000

    def test_a_server_that_comes_up_late_interrupts_nothing(self, redis_db):
        redis_db.kill()
        coming = threading.Timer(0.3, redis_db.restart)
        with writer(redis_db.address) as bulk:
            coming.start()
            assert send(bulk, [batch("ab")]) == (2, [])
            assert not bulk.interrupted
        coming.join()

    def test_a_server_that_is_restarted(self, redis_db):
        def batches():
            for n in range(20):
                if n == 10:
                    redis_db.snapshot()
                    redis_db.restart(wait=False)
                yield batch(range(n * 10, n * 10 + 10))

        with writer(redis_db.address) as bulk:
            assert send(bulk, batches()) == (200, [])
        assert redis_db.command("DBSIZE") >= 100

    def test_a_server_that_was_made_a_replica_is_looked_for_anew(self, redis_db, behind_a_name):
        """Its connections stay open, and only its name leads to the primary."""

        def batches():
            yield batch(range(100))
            until(lambda: redis_db.command("DBSIZE") == 100, 5)
            redis_db.command("REPLICAOF", primary.host, primary.port)
            moving.start()
            yield batch(range(100, 300), ttl=100)

        with Server(Options(flavour=redis_db.flavour)) as primary, writer(behind_a_name.address) as bulk:
            behind_a_name.server = redis_db
            moving = threading.Timer(0.3, setattr, (behind_a_name, "server", primary))
            assert send(bulk, batches()) == (300, [])
            assert primary.command("DBSIZE") == 200
            assert bulk.interrupted
            moving.join()

    def test_one_that_was_a_replica_from_the_first_interrupts_nothing(self, redis_db, behind_a_name):
        with Server(Options(flavour=redis_db.flavour)) as primary, writer(behind_a_name.address) as bulk:
            behind_a_name.server = redis_db
            redis_db.command("REPLICAOF", primary.host, primary.port)
            moving = threading.Timer(0.3, setattr, (behind_a_name, "server", primary))
            moving.start()
            assert send(bulk, [batch(range(100))]) == (100, [])
            assert not bulk.interrupted
            moving.join()

    def test_a_server_that_stays_away_ends_it(self, redis_db):
        redis_db.kill()
        with writer(redis_db.address, retry_for=0.3) as bulk, pytest.raises(RedisUnavailable, match="nothing listens"):
            send(bulk, [batch("ab")])

    def test_a_server_that_does_not_answer_ends_it(self, redis_db):
        with (
            redis_db.paused(),
            writer(redis_db.address, timeout=0.3, retry_for=0.5) as bulk,
            pytest.raises(RedisUnavailable, match="did not answer"),
        ):
            send(bulk, [batch("ab")])

    def test_a_full_server_is_tried_again_until_there_is_room(self, redis_db):
        redis_db.config_set("maxmemory", "1")
        making_room = threading.Timer(0.5, redis_db.command, ("CONFIG", "SET", "maxmemory", "0"))
        with writer(redis_db.address) as bulk:
            making_room.start()
            assert send(bulk, [batch(range(10))]) == (10, [])
        making_room.join()

    def test_a_server_that_stays_full_ends_it(self, redis_db):
        redis_db.config_set("maxmemory", "1")
        with writer(redis_db.address, retry_for=0.3) as bulk, pytest.raises(ServerRefused, match="maxmemory") as caught:
            send(bulk, [batch(range(10))])
        assert caught.value.code == "OOM"

    def test_the_rate_is_limited(self, redis_db):
        config = RedisConfig(address=redis_db.address, cluster_mode=False)
        began = time.monotonic()
        with closing(BulkWriter(config, timeout=5, retry_for=5, most_per_second=1_000)) as bulk:
            assert send(bulk, (batch(range(n, n + 100)) for n in range(0, 600, 100))) == (600, [])
        assert time.monotonic() - began >= 0.5

    def test_nothing_to_send_connects_nowhere(self):
        with writer("127.0.0.1:1") as bulk:
            assert send(bulk, []) == (0, [])


@pytest.mark.limit(180)
class TestCluster:
    @pytest.fixture(autouse=True)
    def _empty(self, cluster):
        cluster.reset()

    def test_each_row_goes_to_its_node(self, cluster):
        with writer(cluster.primaries[0].address, cluster=True) as bulk:
            assert send(bulk, (batch(range(n, n + 500)) for n in range(0, 3_000, 500))) == (3_000, [])
        assert sum(node.command("DBSIZE") for node in cluster.primaries) == 3_000
        assert all(node.command("DBSIZE") for node in cluster.primaries)

    def test_a_slot_that_moved_is_followed(self, cluster):
        slot = cluster.slot("w:d:user:id:{a}1")
        target = next(node for node in cluster.primaries if node is not cluster.slot_owner(slot))

        def batches():
            yield batch(range(10), tag="{a}")
            cluster.move(slot, target)
            yield batch(range(10, 30), tag="{a}")

        with writer(cluster.address, cluster=True) as bulk:
            assert send(bulk, batches()) == (30, [])
            assert not bulk.interrupted
        assert target.command("CLUSTER", "COUNTKEYSINSLOT", slot) == 30

    def test_a_slot_on_its_way_is_asked_for(self, cluster):
        slot = cluster.slot("w:d:user:id:{b}1")
        target = next(node for node in cluster.primaries if node is not cluster.slot_owner(slot))
        with writer(cluster.address, cluster=True) as bulk:
            send(bulk, [batch(range(5), tag="{b}")])
            with cluster.migrating(slot, target):
                assert send(bulk, [batch(range(10), '{"n":2}', ttl=50, tag="{b}")]) == (10, [])
                assert target.command("CLUSTER", "COUNTKEYSINSLOT", slot) == 5
            assert cluster.slot_owner(slot).command("HGET", "w:d:user:id:{b}4", "m") == b'{"n":2}'

    def test_a_node_that_names_no_host_means_its_own(self, cluster):
        slot = cluster.slot("w:d:user:id:{c}1")
        target = next(node for node in cluster.primaries if node is not cluster.slot_owner(slot))
        for node in cluster.primaries:
            node.command("CONFIG", "SET", "cluster-preferred-endpoint-type", "unknown-endpoint")
        try:
            with writer(cluster.address, cluster=True) as bulk, cluster.migrating(slot, target):
                assert send(bulk, [batch(range(10), tag="{c}")]) == (10, [])
                assert target.command("CLUSTER", "COUNTKEYSINSLOT", slot) == 10
        finally:
            for node in cluster.primaries:
                node.command("CONFIG", "SET", "cluster-preferred-endpoint-type", "ip")

    def test_without_the_right_to_ask_it_says_so(self, cluster):
        slot = cluster.slot("w:d:user:id:{d}1")
        target = next(node for node in cluster.primaries if node is not cluster.slot_owner(slot))
        rules = ("~w:d:*", "+hset", "+hdel", "+expire", "+persist", "+cluster|slots")
        for node in cluster.primaries:
            node.command("ACL", "SETUSER", "sync", "reset", "on", ">secret", *rules)
        user = {"username": "sync", "password": "secret"}
        with cluster.migrating(slot, target):
            with writer(cluster.address, cluster=True, **user) as bulk, pytest.raises(AccessDenied, match=r"\+asking"):
                send(bulk, [batch(range(10), tag="{d}")])
            for node in cluster.primaries:
                node.command("ACL", "SETUSER", "sync", "+asking")
            with writer(cluster.address, cluster=True, **user) as bulk:
                assert send(bulk, [batch(range(10), tag="{d}")]) == (10, [])

    def test_seeds_that_are_dead_are_passed_over(self, cluster):
        with writer(f"127.0.0.1:1,{cluster.primaries[0].address}", cluster=True) as bulk:
            assert send(bulk, [batch(range(50))]) == (50, [])

    def test_a_single_server_is_no_cluster(self, redis_db):
        with (
            writer(redis_db.address, cluster=True, retry_for=0.2) as bulk,
            pytest.raises(ConfigurationError, match="is no cluster: set clusterMode = false"),
        ):
            send(bulk, [batch("a")])


@pytest.mark.limit(180)
def test_a_primary_that_dies_is_replaced_by_its_replica(flavour):
    with Cluster(Options(flavour=flavour), primaries=3, replicas=1) as cluster:
        victim = cluster.primaries[0]

        def batches():
            yield batch(range(300))
            victim.kill()
            yield batch(range(300, 600))

        with writer(cluster.address, cluster=True, retry_for=60) as bulk:
            assert send(bulk, batches()) == (600, [])
        until(lambda: sum(node.command("DBSIZE") for node in cluster.primaries) >= 500, 10)


@pytest.mark.limit(180)
def test_a_primary_of_a_cluster_that_was_made_a_replica_interrupts(flavour):
    """Its connections stay open, it refers to its successor, and what it had acknowledged may be gone."""
    with Cluster(Options(flavour=flavour), primaries=3, replicas=1) as cluster:
        (replica,) = cluster.replicas_of(cluster.primaries[0])

        def batches():
            yield batch(range(300))
            until(lambda: sum(node.command("DBSIZE") for node in cluster.primaries) == 300, 10)
            cluster.failover(replica, "TAKEOVER")
            yield batch(range(300, 600))

        with writer(cluster.address, cluster=True, retry_for=60) as bulk:
            assert send(bulk, batches()) == (600, [])
            assert bulk.interrupted
