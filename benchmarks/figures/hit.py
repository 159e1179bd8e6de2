"""A hit in the process: `edgeprofile.get` with three arguments, profiles of 20 traits, everything cached and warm."""

from benchmarks import servers
from benchmarks.bench import Bench, server_spec, title
from benchmarks.rows import Row, Target, at_least, at_most, times_faster, times_the_cost

OURS = "edgeprofile"
FLOOR = "dictionary"
COHERENT = {"redis_py": at_least(100), "cashews": at_least(15), "cashews:decorated": None, "coredis": None}
LOCAL = ("cachebox", "cachetools", "theine")


def measure(bench: Bench) -> None:
    entries = bench.settings.entries
    with servers.valkey() as server:
        servers.fill(server, entries)
        spec = {**server_spec(server), "entries": entries, "trace": "zipf"}
        with bench.contenders([FLOOR, *LOCAL, *COHERENT, OURS], "hit", **spec) as present:
            costs = bench.time_lookups(present)
            if OURS in costs:
                bench.add(*_rows(costs))


def _rows(costs: dict[str, list[float]]) -> list[Row]:
    ours = costs[OURS]
    rows = [times_the_cost("hit, Zipf 0.99", ours, costs[FLOOR], at_most(3.0), peer_name=title(FLOOR))]
    rows += [_faster(name, ours, costs[name], target) for name, target in COHERENT.items() if name in costs]
    rows += [_cost(name, ours, costs[name]) for name in LOCAL if name in costs]
    return rows


def _faster(name: str, ours: list[float], peer: list[float], target: Target | None) -> Row:
    return times_faster("hit, Zipf 0.99", ours, peer, target, peer_name=title(name))


def _cost(name: str, ours: list[float], peer: list[float]) -> Row:
    return times_the_cost("hit, Zipf 0.99", ours, peer, None, peer_name=title(name))
