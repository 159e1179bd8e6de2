"""TLS of the tests: good certificates are accepted, each bad one is refused for its own reason."""

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.certificates import Certificates
from tests.support.cluster import Cluster
from tests.support.fixtures import require
from tests.support.proxy import TO_CLIENT
from tests.support.servers import Options, Server
from tests.support.wait import until


@pytest.fixture(scope="module")
def tls_server(certificates):
    require("redis")
    with Server(Options(flavour="redis", tls=certificates, tls_clients=True, requirepass="secret")) as server:
        yield server


@pytest.fixture
def terminated(redis_db, make_proxy, certificates):
    """A proxy that speaks TLS before a server that does not."""

    def make(identity=None):
        return make_proxy(redis_db, tls=certificates.serving(identity))

    return make


def connected(proxy, certificates):
    trust = str(certificates.authority)
    once = Retry(NoBackoff(), 0)
    return redis.Redis(host=proxy.host, port=proxy.port, ssl=True, ssl_ca_certs=trust, socket_timeout=1, retry=once)


def test_a_real_server_with_client_certificates(tls_server, certificates):
    mine = certificates.client
    with tls_server.client(ssl_certfile=str(mine.certificate), ssl_keyfile=str(mine.key)) as client:
        assert client.ping()
    with tls_server.client() as stranger, pytest.raises(redis.ConnectionError):
        stranger.ping()
    assert tls_server.url.startswith("rediss://:secret@127.0.0.1:")
    assert tls_server.command("PING") == b"PONG"


def test_an_authority_that_is_not_trusted(tls_server, certificates, tmp_path):
    other = Certificates(tmp_path)
    mine = certificates.client
    files = {"ssl_certfile": str(mine.certificate), "ssl_keyfile": str(mine.key)}
    refused = pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED")
    with tls_server.client(ssl_ca_certs=str(other.authority), **files) as client, refused:
        client.ping()


def test_a_replica_over_tls(tls_server, certificates, make_server):
    replica = make_server(flavour="redis", tls=certificates, replicaof=tls_server, tls_clients=True)
    tls_server.command("SET", "key", "value")
    until(lambda: replica.command("GET", "key") == b"value", message="the replica has the value")


def test_a_cluster_over_tls(certificates):
    require("redis")
    with Cluster(Options(flavour="redis", tls=certificates), primaries=2) as cluster:
        cluster.command("SET", "key", "value")
        cluster.move(cluster.slot("key"), next(n for n in cluster.primaries if n is not cluster.owner("key")))
        with cluster.client() as client:
            assert client.get("key") == b"value"


def test_a_proxy_that_speaks_tls_sees_and_holds(terminated, certificates):
    proxy = terminated()
    with connected(proxy, certificates) as client:
        assert client.set("key", "value")
        assert proxy.data.seen("SET", "key", "value")
        proxy.data.hold(TO_CLIENT)
        with pytest.raises(redis.TimeoutError):
            client.get("key")
        proxy.heal()
        until(lambda: client.get("key") == b"value", ignoring=(redis.TimeoutError,))
        until(lambda: len(proxy.data.connections) == 1, message="those that were given up have ended")
        assert proxy.data.reset() == 1
        assert not proxy.data.connections


@pytest.mark.parametrize(
    ("identity", "reason"), [("expired", "certificate has expired"), ("wrong_host", "IP address mismatch")]
)
def test_a_bad_certificate_is_refused_for_its_reason(terminated, certificates, identity, reason):
    proxy = terminated(getattr(certificates, identity))
    with connected(proxy, certificates) as client, pytest.raises(redis.ConnectionError, match=reason):
        client.ping()


def test_tls_towards_the_server(tls_server, certificates, make_proxy):
    proxy = make_proxy(tls_server, server_tls=certificates.trusting())
    with redis.Redis(host=proxy.host, port=proxy.port, password="secret") as client:
        assert client.ping()


def test_a_proxy_whose_server_is_down_ends_tls_clients(redis_db, terminated, certificates):
    proxy = terminated()
    proxy.retarget(redis_db.host, 1)
    with connected(proxy, certificates) as client, pytest.raises(redis.ConnectionError):
        client.ping()
