"""Profiles over HTTP, one server process: one or many from the cache, all of them missing it, and latency below saturation."""

from benchmarks import load, servers
from benchmarks.bench import Bench, server_spec, title
from benchmarks.children import ContenderFailed
from benchmarks.figures import http
from benchmarks.load import Load
from benchmarks.rounds import spread
from benchmarks.rows import at_least, at_most, times_the_cost, times_the_rate

OURS = "sidecar"
FLOOR = "floor"  # no peer, but the limit of machine, loop and load generator
BARE = "aiohttp_bare:uvloop"
PLAIN = "aiohttp_redis"
PEERS = {
    FLOOR: None,
    BARE: at_least(4),
    "aiohttp_bare:asyncio": None,
    PLAIN: at_least(12),
    "fastapi_redis": None,
    "webdis": at_least(1.5),
    "feast": at_least(150),
}
LARGE = {"feast": "half a gigabyte to install, so in full runs only"}
CONNECTIONS = 16
MANY = 64
PROFILES = 20_000
VARIOUS = 5_000  # different ids, far more than whole requests are remembered, and all of them cached
MISSED = 20_000  # different ids, far more than the cache may hold
TINY = {"cache": {"maxBytes": "1MiB"}}

PACE_KEPT = 0.95  # less, and it is not latency below saturation that was measured

Loads = dict[str, list[Load]]


def hot(bench: Bench) -> None:
    """Every request the same, answers of the same bytes."""
    _hot(bench, CONNECTIONS)


def wide(bench: Bench) -> None:
    """The same over more connections."""
    _hot(bench, MANY)


def _hot(bench: Bench, connections: int) -> None:
    bench.result.settings |= {"load generator": load.generator(), "connections": connections}
    with servers.valkey() as server:
        servers.fill(server, 1)
        with bench.contenders([*_peers(bench), OURS], "http", **server_spec(server)) as present:
            endpoints = http.ready(bench, present, connections)
            loads = http.interleaved(
                bench, list(endpoints), lambda name: _load(bench, endpoints[name], connections=connections), "hot"
            )
    _compare(bench, loads, connections)


def _peers(bench: Bench) -> list[str]:
    """All of them in a full run; otherwise what is too large is named as absent."""
    large = {} if bench.settings.mode == "full" else LARGE
    for name, reason in large.items():
        bench.miss(title(name), reason)
    return [name for name in PEERS if name not in large]


def various(bench: Bench) -> None:
    """Many profiles in turn, all of them cached."""
    with servers.valkey() as server:
        servers.fill(server, VARIOUS)
        with bench.contenders([FLOOR, BARE, PLAIN, OURS], "http", **server_spec(server)) as present:
            endpoints = http.ready(bench, present, CONNECTIONS)

            def run(name: str) -> Load:
                return _load(bench, endpoints[name], VARIOUS)

            if OURS in endpoints:
                run(OURS)  # which fills the cache
            loads = http.interleaved(bench, list(endpoints), run, "various")
    rates = _rates(loads)
    for name in (FLOOR, BARE, PLAIN):
        if OURS in rates and name in rates:
            what = f"sidecar, {VARIOUS:,} cached profiles in turn, {CONNECTIONS} connections"
            bench.add(times_the_rate(what, rates[OURS], rates[name], None, title(name)))


def missing(bench: Bench) -> None:
    """Every request for another profile, through a cache that holds a twentieth of them."""
    with servers.valkey() as server:
        servers.fill(server, PROFILES)
        with bench.contenders([PLAIN, OURS], "http", **server_spec(server), **TINY) as present:
            endpoints = http.ready(bench, present, CONNECTIONS)
            loads = http.interleaved(
                bench, list(endpoints), lambda name: _load(bench, endpoints[name], MISSED), "missing"
            )
    rates = _rates(loads)
    if OURS in rates and PLAIN in rates:
        name = f"sidecar, every lookup a miss, {CONNECTIONS} connections"
        bench.add(times_the_rate(name, rates[OURS], rates[PLAIN], at_least(4), title(PLAIN)))


def half(bench: Bench) -> None:
    """The sidecar at half of what it can do, and the bare server at the same rate.

    Where that is more than half of what the bare server can do, it gets that half: overloaded, it would be easily beaten.
    """
    bench.result.settings |= {
        "load generator": f"{load.pacer()}; capacities: {load.generator()}",
        "connections": MANY,
    }
    with servers.valkey() as server:
        servers.fill(server, 1)
        with bench.contenders([BARE, OURS], "http", **server_spec(server)) as present:
            endpoints = http.ready(bench, present, MANY)
            if len(endpoints) == 2:
                _halved(bench, endpoints)


def _halved(bench: Bench, endpoints: dict[str, http.Endpoint]) -> None:
    capacities = {name: _load(bench, endpoint, connections=MANY).rate for name, endpoint in endpoints.items()}
    rates = {OURS: capacities[OURS] / 2, BARE: min(capacities.values()) / 2}

    def run(name: str) -> Load:
        body, seconds = http.bodies(endpoints[name], 1)[0], bench.settings.http_seconds
        return load.paced(endpoints[name], body, connections=MANY, seconds=seconds, rate=rates[name])

    loads = http.interleaved(bench, list(endpoints), run, "half")
    if len(loads) < 2:
        return
    for name, found in loads.items():
        if (answered := spread([one.rate for one in found]).median) < PACE_KEPT * rates[name]:
            raise ContenderFailed(f"{title(name)} answered {answered:,.0f} of {rates[name]:,.0f} requests a second")
    ours, bare = [one.p99 for one in loads[OURS]], [one.p50 for one in loads[BARE]]
    told = {
        name: f"{rates[name]:,.0f}/s asked, {spread([one.rate for one in found]).median:,.0f}/s answered"
        for name, found in loads.items()
    }
    note = f"sidecar at half of its capacity: {told[OURS]}; bare: {told[BARE]}"
    name = "sidecar, p99 at half of its capacity, against p50"
    bench.add(times_the_cost(name, ours, bare, at_most(2), title(BARE), note))


def _load(bench: Bench, endpoint: http.Endpoint, ids: int = 1, connections: int = CONNECTIONS) -> Load:
    seconds = bench.settings.http_seconds
    return load.run(endpoint, http.bodies(endpoint, ids), connections=connections, seconds=seconds)


def _compare(bench: Bench, loads: Loads, connections: int) -> None:
    rates = _rates(loads)
    for name, target in PEERS.items():
        if OURS in rates and name in rates:
            what = f"sidecar, hot profile, {connections} connections"
            bench.add(times_the_rate(what, rates[OURS], rates[name], target, title(name)))


def _rates(loads: Loads) -> dict[str, list[float]]:
    return {name: [one.rate for one in found] for name, found in loads.items()}
