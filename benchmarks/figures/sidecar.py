"""A hot profile over HTTP: one server process, every request the same, answers of the same bytes."""

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from benchmarks import data, load, servers, serving
from benchmarks.bench import Bench, server_spec, title
from benchmarks.children import Child, ContenderFailed
from benchmarks.load import Load
from benchmarks.rounds import rotated
from benchmarks.rows import at_least, times_the_rate

OURS = "sidecar"
PEERS = {"aiohttp_bare": at_least(0.75), "aiohttp_redis": at_least(2.5), "fastapi_redis": None, "webdis": None}
CONNECTIONS = 16
PROFILES = 100
WARM_UP = 1.0  # seconds


def measure(bench: Bench) -> None:
    bench.result.settings |= {"load generator": load.generator(), "connections": CONNECTIONS}
    with servers.valkey() as server:
        servers.fill(server, PROFILES)
        with bench.contenders([*PEERS, OURS], "http", **server_spec(server)) as present:
            loads = _loads(bench, present)
    for name, found in loads.items():
        _keep(bench, name, found)
    _compare(bench, loads)


def _loads(bench: Bench, present: Mapping[str, Child]) -> dict[str, list[Load]]:
    endpoints = {name: _ready(child) for name, child in present.items()}
    loads: dict[str, list[Load]] = {name: [] for name in present}
    for number in range(bench.settings.http_rounds):
        for name in rotated(list(present), number):
            loads[name].append(_run(endpoints[name], bench.settings.http_seconds))
    return loads


def _ready(child: Child) -> dict[str, Any]:
    """The endpoint, once it has given the right answer and is warm."""
    endpoint = child.ask({})
    _check(endpoint)
    _run(endpoint, WARM_UP)
    return endpoint


def _check(endpoint: Mapping[str, Any]) -> None:
    body = _bodies(endpoint)[0] or None
    request = urllib.request.Request(  # noqa: S310  # http, to a server of ours
        endpoint["url"] + endpoint["path"], body, endpoint["headers"], method=endpoint["method"]
    )
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        received = json.load(response)
    if received != json.loads(serving.answer(0)):
        raise ContenderFailed(f"{endpoint['url']} gives another answer: {str(received)[:200]}")


def _bodies(endpoint: Mapping[str, Any]) -> list[bytes]:
    return [serving.question(data.identity(0)) if endpoint["method"] == "POST" else b""]


def _run(endpoint: Mapping[str, Any], seconds: float) -> Load:
    return load.run(endpoint, _bodies(endpoint), connections=CONNECTIONS, seconds=seconds)


def _keep(bench: Bench, name: str, found: list[Load]) -> None:
    bench.keep(f"{title(name)}, requests/s", [one.rate for one in found])
    bench.keep(f"{title(name)}, p50 ms", [one.p50 * 1e3 for one in found])
    bench.keep(f"{title(name)}, p99 ms", [one.p99 * 1e3 for one in found])


def _compare(bench: Bench, loads: Mapping[str, list[Load]]) -> None:
    rates = {name: [one.rate for one in found] for name, found in loads.items()}
    for name, target in PEERS.items():
        if OURS in rates and name in rates:
            what = f"sidecar, hot profile, {CONNECTIONS} connections"
            bench.add(times_the_rate(what, rates[OURS], rates[name], target, peer_name=title(name)))
