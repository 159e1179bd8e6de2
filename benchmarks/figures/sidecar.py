"""Profiles over HTTP, one server process: a hot one, all of them missing the cache, and latency below saturation."""

from benchmarks import load, servers
from benchmarks.bench import Bench, server_spec, title
from benchmarks.figures import http
from benchmarks.load import Load
from benchmarks.rows import at_least, at_most, times_the_cost, times_the_rate

OURS = "sidecar"
BARE = "aiohttp_bare"
PLAIN = "aiohttp_redis"
PEERS = {BARE: at_least(0.75), PLAIN: at_least(2.5), "fastapi_redis": None, "webdis": None, "feast": None}
LARGE = {"feast"}  # half a gigabyte to install: in full runs only
CONNECTIONS = 16
PROFILES = 20_000
MISSED = 20_000  # different ids, far more than the cache may hold
TINY = {"cache": {"maxBytes": "1MiB"}}

Loads = dict[str, list[Load]]


def hot(bench: Bench) -> None:
    """Every request the same, answers of the same bytes."""
    bench.result.settings |= {"load generator": load.generator(), "connections": CONNECTIONS}
    with servers.valkey() as server:
        servers.fill(server, 1)
        peers = [name for name in PEERS if bench.settings.mode == "full" or name not in LARGE]
        with bench.contenders([*peers, OURS], "http", **server_spec(server)) as present:
            endpoints = http.ready(present, CONNECTIONS)
            loads = http.interleaved(bench, list(present), lambda name: _load(bench, endpoints[name]), "hot")
    _compare(bench, loads)


def missing(bench: Bench) -> None:
    """Every request for another profile, through a cache that holds a twentieth of them."""
    with servers.valkey() as server:
        servers.fill(server, PROFILES)
        with bench.contenders([PLAIN, OURS], "http", **server_spec(server), **TINY) as present:
            endpoints = http.ready(present, CONNECTIONS)
            loads = http.interleaved(
                bench, list(present), lambda name: _load(bench, endpoints[name], MISSED), "missing"
            )
    rates = _rates(loads)
    if OURS in rates:
        name = f"sidecar, every lookup a miss, {CONNECTIONS} connections"
        bench.add(times_the_rate(name, rates[OURS], rates[PLAIN], at_least(4), title(PLAIN)))


def half(bench: Bench) -> None:
    """Both servers at half of what the sidecar can do, or of what the bare server can if that is less."""
    with servers.valkey() as server:
        servers.fill(server, 1)
        with bench.contenders([BARE, OURS], "http", **server_spec(server)) as present:
            endpoints = http.ready(present, CONNECTIONS)
            rate = min(_load(bench, endpoint).rate for endpoint in endpoints.values()) / 2
            loads = http.interleaved(
                bench, list(present), lambda name: _load(bench, endpoints[name], rate=rate), f"{rate:,.0f}/s"
            )
    if OURS in loads:
        ours, bare = [one.p99 for one in loads[OURS]], [one.p50 for one in loads[BARE]]
        name = f"sidecar, p99 at {rate:,.0f} requests/s, against p50"
        bench.add(times_the_cost(name, ours, bare, at_most(2), title(BARE)))


def _load(bench: Bench, endpoint: http.Endpoint, ids: int = 1, rate: float = 0.0) -> Load:
    seconds = bench.settings.http_seconds
    return load.run(endpoint, http.bodies(endpoint, ids), connections=CONNECTIONS, seconds=seconds, rate=rate)


def _compare(bench: Bench, loads: Loads) -> None:
    rates = _rates(loads)
    for name, target in PEERS.items():
        if OURS in rates and name in rates:
            what = f"sidecar, hot profile, {CONNECTIONS} connections"
            bench.add(times_the_rate(what, rates[OURS], rates[name], target, title(name)))


def _rates(loads: Loads) -> dict[str, list[float]]:
    return {name: [one.rate for one in found] for name, found in loads.items()}
