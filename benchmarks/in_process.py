"""The library alone, in one process, for whoever works on it: a pytest-benchmark suite.

``python -m pytest -o addopts= -p no:cacheprovider benchmarks/in_process.py`` prints its table;
``--benchmark-save`` and ``--benchmark-compare`` set two states of the code side by side. Each round is a pass over a
hundred cached ids.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import data, servers
from benchmarks.contenders import dictionary
from benchmarks.ours import configuration
from edgeprofile import Client

ENTRIES = 1_000
IDS = data.identities(100)


class Features(msgspec.Struct):
    """Four of the twenty traits, as an application would declare them."""

    churn_score: float
    orders: int
    country: str
    is_vip: bool


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with servers.valkey() as server:
        servers.fill(server, ENTRIES)
        with Client(configuration({"server": server})) as client:
            client.start()
            for value in data.identities(ENTRIES):
                client.get("user", "email", value)
            yield client


@pytest.mark.benchmark(group="hit")
def test_dict_get(benchmark: BenchmarkFixture) -> None:
    get = dictionary.tuple_key(ENTRIES)
    benchmark(lambda: [get("user", "email", value) for value in IDS])


@pytest.mark.benchmark(group="hit")
def test_get(benchmark: BenchmarkFixture, client: Client) -> None:
    get = client.get
    assert all(benchmark(lambda: [get("user", "email", value) for value in IDS]))


@pytest.mark.benchmark(group="hit")
def test_get_many(benchmark: BenchmarkFixture, client: Client) -> None:
    assert len(benchmark(lambda: client.get_many("user", "email", IDS))) == len(IDS)


@pytest.mark.benchmark(group="hit")
def test_peek(benchmark: BenchmarkFixture, client: Client) -> None:
    peek = client.peek
    assert all(benchmark(lambda: [peek("user", "email", value) for value in IDS]))


@pytest.mark.benchmark(group="typed")
def test_get_one_model(benchmark: BenchmarkFixture, client: Client) -> None:
    get = client.get
    assert all(benchmark(lambda: [get("user", "email", value, model=data.MODEL) for value in IDS]))


@pytest.mark.benchmark(group="typed")
def test_get_as_struct(benchmark: BenchmarkFixture, client: Client) -> None:
    get = client.get
    assert all(benchmark(lambda: [get("user", "email", value, model=data.MODEL, type=Features) for value in IDS]))


@pytest.mark.benchmark(group="value")
def test_read_a_trait(benchmark: BenchmarkFixture, client: Client) -> None:
    get: Any = client.get
    benchmark(lambda: [get("user", "email", value)[data.MODEL]["churn_score"] for value in IDS])


@pytest.mark.benchmark(group="value")
def test_read_the_json(benchmark: BenchmarkFixture, client: Client) -> None:
    get: Any = client.get
    benchmark(lambda: [get("user", "email", value).json for value in IDS])
