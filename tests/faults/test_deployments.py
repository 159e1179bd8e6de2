"""Ways to reach a server: TLS and what is wrong with it, certificates of ours, Unix sockets, users with the least rights."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from edgeprofile import RedisUnavailable
from edgeprofile.config import from_mapping
from edgeprofile.store import route
from edgeprofile.store.rights import rules
from edgeprofile.store.route import Route
from edgeprofile.store.tls import Tls
from tests.support.certificates import Certificates, Identity
from tests.support.clients import configuration
from tests.support.cluster import Cluster
from tests.support.fixtures import require
from tests.support.rig import NAMES, key_of
from tests.support.servers import Options, Server
from tests.support.wait import until

BOUND = 0.5


def settings(address: str, *, limits: dict[str, str] | None = None, **config: Any) -> dict[str, Any]:
    limits = {"connectTimeout": "2s", "timeout": "5s", **(limits or {})}
    return configuration(address, config=config, cache={"maxStaleness": f"{BOUND}s"}, limits=limits)


def value(version: int) -> dict[str, Any]:
    return {"m": {"version": version}}


def write(server: Server | Cluster, name: str, version: int) -> None:
    server.command("HSET", key_of(name), "m", json.dumps(value(version)["m"]))


def is_coherent(client: Any, server: Server | Cluster, names: tuple[str, ...] = NAMES[:1]) -> None:
    """The client is live, keeps what it reads, and sees what is written."""
    client.start()
    until(lambda: client.status()["2Dest"].state == "live", 10, lambda: f"it is live: {client.status()}")
    for version in (1, 2, 3):
        for name in names:
            write(server, name, version)
        for name in names:
            until(partial(shows, client, name, version), BOUND, "the write is seen")
            until(partial(keeps, client, name, version), 5, "it is kept")


def shows(client: Any, name: str, version: int) -> bool:
    return bool(client.get("user", "email", name) == value(version))


def keeps(client: Any, name: str, version: int) -> bool:
    return shows(client, name, version) and client.peek("user", "email", name) is not None


class Kept(asyncio.Protocol):
    """Remembers its transport."""

    def connection_made(self, transport):
        self.transport = transport


@pytest.mark.parametrize("when", ["while it connects", "when it has connected"])
def test_a_busy_loop_is_not_taken_for_a_silent_server(redis_db, monkeypatch, when):
    """Until the loop has time for the connection that it has asked for, the time to connect may be over."""
    first = route._afirst

    async def first_of_a_busy_loop(*args):
        if when == "while it connects":
            connecting = asyncio.ensure_future(first(*args))
            asyncio.get_running_loop().call_soon(lambda: after(0.3, bool))  # between asking and hearing of the answer
            return await connecting
        found = await first(*args)
        return after(0.3, lambda: found)

    async def attach():
        protocol = Kept()
        await Route((redis_db.host, redis_db.port), None).attach(protocol, 0.2)
        protocol.transport.abort()

    monkeypatch.setattr(route, "_afirst", first_of_a_busy_loop)
    asyncio.run(attach())


# TLS


@dataclass
class Secured:
    """A server of the test module's that speaks TLS only."""

    server: Server
    certificates: Certificates

    @property
    def trust(self) -> dict[str, Any]:
        """What a client must have configured to be let in."""
        return {"secure": True, "caCertificate": self.certificates.authority.read_text()}

    def show(self, identity: Identity) -> None:
        """Show this certificate to those who connect from now on; nobody stays connected."""
        files = ("tls-cert-file", identity.certificate, "tls-key-file", identity.key)
        self.server.command("CONFIG", "SET", *map(str, files))
        self.server.kill_clients()
        self.server.kill_listeners()


@pytest.fixture(scope="module")
def tls_server(certificates):
    require("redis")
    with Server(Options(flavour="redis", tls=certificates)) as server:
        yield server


@pytest.fixture
def tls(tls_server, certificates) -> Secured:
    tls_server.reset()
    secured = Secured(tls_server, certificates)
    secured.show(certificates.server)
    return secured


@pytest.fixture
def others(tmp_path) -> Certificates:
    """An authority that nobody here trusts."""
    return Certificates(tmp_path)


def test_writes_are_seen_over_tls(make_client, tls):
    is_coherent(make_client(settings(tls.server.address, **tls.trust)), tls.server)


UNACCEPTABLE = {"expired": "has expired", "wrong_host": "is for another host"}


@pytest.mark.parametrize("what", UNACCEPTABLE)
def test_fault_39_a_certificate_that_is_not_accepted_is_named_and_its_successor_noticed(make_client, tls, what):
    tls.show(getattr(tls.certificates, what))
    client = make_client(settings(tls.server.address, **tls.trust))
    with pytest.raises(RedisUnavailable, match=UNACCEPTABLE[what]):
        client.get("user", "email", "ada")
    with pytest.raises(RedisUnavailable, match=UNACCEPTABLE[what]):
        client.start()
    assert UNACCEPTABLE[what] in client.status()["2Dest"].reason
    tls.show(tls.certificates.server)
    until(lambda: client.status()["2Dest"].state == "live", 10, "the new certificate is accepted")
    is_coherent(client, tls.server)


def test_fault_39_a_certificate_that_expires_while_it_is_in_use_is_named(make_client, tls):
    """An open connection is not asked again; a new one is."""
    client = make_client(settings(tls.server.address, **tls.trust))
    is_coherent(client, tls.server)
    tls.show(tls.certificates.expired)
    until(lambda: "has expired" in client.status()["2Dest"].reason, 10, "it is said")
    with pytest.raises(RedisUnavailable, match="has expired"):
        client.get("user", "email", "unknown")
    tls.show(tls.certificates.server)
    until(lambda: client.status()["2Dest"].state == "live", 10, "the new certificate is accepted")
    is_coherent(client, tls.server)


@pytest.mark.parametrize("trusted", ["another authority", "the system's"])
def test_fault_39_an_unknown_authority_is_named_and_the_option_with_it(make_client, tls, others, trusted):
    theirs = others.authority.read_text() if trusted == "another authority" else ""
    limits = {"connectTimeout": "5s"}
    client = make_client(settings(tls.server.address, limits=limits, secure=True, caCertificate=theirs))
    with pytest.raises(RedisUnavailable, match=r"authority that is not trusted here.*caCertificate"):
        client.get("user", "email", "ada")
    with pytest.raises(RedisUnavailable, match="caCertificate"):
        client.start()


def test_fault_39_the_time_that_it_takes_to_read_authorities_is_none_of_the_servers(make_client, tls, monkeypatch):
    """The system's are more than a hundred: they were as good as all of the time to connect on a busy machine."""
    read = Tls._trusting
    monkeypatch.setattr(Tls, "_trusting", lambda self: after(0.6, lambda: read(self)))
    client = make_client(settings(tls.server.address, limits={"timeout": "10s"}, **tls.trust))
    assert client.get("user", "email", "nobody") is None


def after(seconds: float, then: Callable[[], Any]) -> Any:
    begun = time.monotonic()
    until(lambda: time.monotonic() - begun > seconds, 10, "time passes")
    return then()


def test_fault_39_a_plain_server_is_named_where_tls_is_configured(make_client, redis_db):
    client = make_client(settings(redis_db.address, limits={"connectTimeout": "500ms"}, secure=True))
    with pytest.raises(RedisUnavailable, match="is `secure` right for this port"):
        client.get("user", "email", "ada")
    until(lambda: "is `secure` right" in client.status()["2Dest"].reason, 5, "the feed says it, too")


def test_fault_39_a_tls_server_is_named_where_none_is_configured(make_client, tls):
    client = make_client(settings(tls.server.address))
    with pytest.raises(RedisUnavailable, match=r"does it expect TLS \(secure = true\)"):
        client.get("user", "email", "ada")
    until(lambda: "secure = true" in client.status()["2Dest"].reason, 5, "the feed says it, too")


@pytest.mark.parametrize("what", UNACCEPTABLE)
def test_any_certificate_is_accepted_where_that_is_asked_for(make_client, tls, what):
    tls.show(getattr(tls.certificates, what))
    is_coherent(make_client(settings(tls.server.address, secure=True, skipVerify=True)), tls.server)


# Certificates of ours


@pytest.fixture
def strict(tls) -> Secured:
    """A server that asks for certificates."""
    tls.server.config_set("tls-auth-clients", "yes")
    return tls


def ours(identity: Identity) -> dict[str, str]:
    return {"clientCertificate": str(identity.certificate), "clientKey": str(identity.key)}


def test_our_certificate_lets_us_in(make_client, strict):
    mine = ours(strict.certificates.client)
    is_coherent(make_client(settings(strict.server.address, **strict.trust, **mine)), strict.server)


def test_fault_39_a_certificate_of_ours_that_is_lacking_is_named(make_client, strict):
    client = make_client(settings(strict.server.address, **strict.trust))
    with pytest.raises(RedisUnavailable, match="clientCertificate"):
        client.get("user", "email", "ada")
    until(lambda: "clientCertificate" in client.status()["2Dest"].reason, 5, "the feed says it, too")


@pytest.mark.parametrize("what", ["expired", "of another authority"])
def test_fault_39_a_certificate_of_ours_that_is_refused_is_named_and_its_successor_used(
    make_client, strict, others, what, tmp_path
):
    refused = strict.certificates.expired if what == "expired" else others.client
    both = tmp_path / "both.pem"
    both.write_bytes(refused.certificate.read_bytes() + refused.key.read_bytes())
    client = make_client(settings(strict.server.address, **strict.trust, clientCertificate=str(both)))
    with pytest.raises(RedisUnavailable, match=r"client certificate.*clientCertificate"):
        client.get("user", "email", "ada")
    mine = strict.certificates.client
    both.write_bytes(mine.certificate.read_bytes() + mine.key.read_bytes())
    until(lambda: client.status()["2Dest"].state == "live", 10, "the new certificate is used")
    is_coherent(client, strict.server)


# Unix sockets


def test_writes_are_seen_over_a_unix_socket(make_client, redis_db):
    is_coherent(make_client(settings(f"unix:{redis_db.unix_socket}")), redis_db)


def test_a_user_with_a_password_over_a_unix_socket(make_client, redis_db, tmp_path):
    redis_db.command("ACL", "SETUSER", "app", "reset", "on", ">secret", "~*", "&*", "+@all")
    (tmp_path / "secret").write_text("secret\n")
    login = {"username": "app", "passwordFile": str(tmp_path / "secret")}
    is_coherent(make_client(settings(f"unix:{redis_db.unix_socket}", **login)), redis_db)


def test_a_unix_socket_that_is_not_there_is_named(make_client, tmp_path):
    client = make_client(settings(f"unix:{tmp_path}/none"))
    with pytest.raises(RedisUnavailable, match="there is no such socket"):
        client.get("user", "email", "ada")


# All of it in a cluster


@pytest.fixture(scope="module")
def tls_cluster(certificates):
    require("redis")
    with Cluster(Options(flavour="redis", tls=certificates, requirepass="of the default user"), primaries=3) as cluster:
        yield cluster


def test_a_cluster_over_tls_for_a_user_with_a_password_file_and_the_least_rights(
    make_client, feed_mode, tls_cluster, certificates, tmp_path
):
    file = tmp_path / "secret"
    file.write_text("secret\n")
    login = {"username": "app", "passwordFile": str(file), "secure": True, "clusterMode": True}
    chosen = settings(tls_cluster.address, caCertificate=certificates.authority.read_text(), **login)
    config = from_mapping({**chosen, "feed": {"mode": feed_mode}}, "the test")
    granted = rules(config.destinations[0], config.feed, field_ttls=False)
    for node in tls_cluster.nodes:
        node.command("ACL", "SETUSER", "app", "reset", "on", ">secret", "resetchannels", "-@all", *granted)
    is_coherent(make_client(chosen), tls_cluster, tuple(f"u{number}" for number in range(12)))
