"""Warehouses to sync from: DuckDB always, PostgreSQL where it is installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeprofile.config import RedisConfig
from tests.support.cluster import Cluster
from tests.support.postgres import Postgres, programs
from tests.support.servers import Flavour, Options, Server
from tests.support.sync import DuckDB, Store, Syncing


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    try:
        programs()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with Postgres() as running:
        yield running


@pytest.fixture(params=["duckdb", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "duckdb":
        return DuckDB(tmp_path / "warehouse.duckdb")
    running: Postgres = request.getfixturevalue("postgres")
    running.reset()
    return running


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    with Server(Options(flavour="valkey")) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(flavour: Flavour) -> Iterator[Cluster]:
    """Three primaries."""
    with Cluster(Options(flavour=flavour), primaries=3) as running:
        yield running


@pytest.fixture
def redis_config(valkey: Server) -> RedisConfig:
    valkey.reset()
    return RedisConfig(address=valkey.address, cluster_mode=False)


@pytest.fixture
def syncing(store: Store, valkey: Server, redis_config: RedisConfig) -> Syncing:
    return Syncing(store, redis_config, valkey)


@pytest.fixture
def embedded(tmp_path: Path, valkey: Server, redis_config: RedisConfig) -> Syncing:
    """From DuckDB alone, where the warehouse does not matter."""
    return Syncing(DuckDB(tmp_path / "warehouse.duckdb"), redis_config, valkey)
