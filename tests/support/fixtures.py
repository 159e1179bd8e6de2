"""The pytest fixtures over `tests.support`.

| fixture | scope | what |
| --- | --- | --- |
| `flavour` | session, parametrized | "valkey", "redis" (skipped where it is not installed) |
| `server` | session | one shared server of each flavour, as the last test left it |
| `redis_db` | test | the same server, alive, empty, with its first settings and `notify-keyspace-events` KA |
| `make_server` | test | `make_server(requirepass="x", …)`: more servers, ended with the test |
| `cluster` | session | three primaries with a replica each, of each flavour, as the last test left it |
| `cluster_db` | test | the same cluster, every node alive, empty, with its first settings |
| `make_cluster` | test | `make_cluster(primaries=2, requirepass="x", …)`: clusters to be added to and taken apart |
| `json_server` | test | a server with JSON documents |
| `make_proxy` | test | `make_proxy(server)`: a fault-injecting proxy in front of it |
| `certificates` | session | an authority and certificates for TLS |
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.cluster import Cluster
from tests.support.json_server import JsonServer
from tests.support.proxy import Proxy
from tests.support.servers import FLAVOURS, Flavour, Options, Server, binary


def require(flavour: Flavour) -> None:
    """Skip the test, with the reason, where the server program is not installed."""
    try:
        binary(flavour)
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session", params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    chosen: Flavour = request.param
    require(chosen)
    return chosen


@pytest.fixture(scope="session")
def server(flavour: Flavour) -> Iterator[Server]:
    with Server(Options(flavour=flavour)) as running:
        yield running


@pytest.fixture
def redis_db(server: Server) -> Server:
    server.reset()
    return server


@pytest.fixture
def make_server(flavour: Flavour) -> Iterator[Callable[..., Server]]:
    with ExitStack() as stack:

        def make(**options: Any) -> Server:
            chosen = Options(**{"flavour": flavour, **options})
            require(chosen.flavour)
            return stack.enter_context(Server(chosen))

        yield make


@pytest.fixture(scope="session")
def cluster(flavour: Flavour) -> Iterator[Cluster]:
    with Cluster(Options(flavour=flavour), primaries=3, replicas=1) as running:
        yield running


@pytest.fixture
def cluster_db(cluster: Cluster) -> Cluster:
    cluster.reset()
    return cluster


@pytest.fixture
def make_cluster(flavour: Flavour) -> Iterator[Callable[..., Cluster]]:
    with ExitStack() as stack:

        def make(*, primaries: int = 3, replicas: int = 0, **options: Any) -> Cluster:
            chosen = Options(**{"flavour": flavour, **options})
            require(chosen.flavour)
            return stack.enter_context(Cluster(chosen, primaries=primaries, replicas=replicas))

        yield make


@pytest.fixture
def json_server() -> Iterator[JsonServer]:
    with JsonServer() as running:
        yield running


@pytest.fixture
def make_proxy() -> Iterator[Callable[..., Proxy]]:
    with ExitStack() as stack:

        def make(server: Server, **options: Any) -> Proxy:
            return stack.enter_context(Proxy(server.host, server.port, **options))

        yield make


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))
