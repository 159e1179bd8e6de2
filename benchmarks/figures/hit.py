"""A hit in the process: `edgeprofile.get` with three arguments, profiles of 20 traits, everything cached and warm.

The bounds are about code, so they are for lookups that go to a hundred ids in turn, which the processor's caches hold.
Over all ids by Zipf's law every contender, the bare dict included, mostly waits for memory; that is reported beside it.
"""

from benchmarks import servers
from benchmarks.bench import Bench, server_spec, title
from benchmarks.rows import Row, Target, at_least, at_most, times_faster, times_the_cost

OURS = "edgeprofile"
PURE = "edgeprofile_pure"
FLOOR = "dictionary"
COHERENT = {
    "redis_py": at_least(100),
    "cashews": at_least(15),
    "cashews:decorated": None,
    "coredis": None,
    "redis_py:ahit": None,
}
LOCAL = ("cachebox", "cachetools", "theine")
FLOOR_BOUND = at_most(2.0)
TRACES = {
    "hot": "hit, 100 hot ids",
    "zipf": "hit, Zipf over all ids",
    "scan": "hit, Zipf with a scan mixed in",
    "uniform": "hit, uniform over all ids",
}

Costs = dict[str, list[float]]


def measure(bench: Bench) -> None:
    entries = bench.settings.entries
    with servers.valkey() as server:
        servers.fill(server, entries)
        spec = {**server_spec(server), "entries": entries}
        with bench.contenders([FLOOR, *LOCAL, *COHERENT, PURE, OURS], "hit", **spec) as present:
            for trace, name in TRACES.items():
                costs = bench.time_lookups(present, trace)
                if OURS in costs:
                    bench.add(*_rows(name, costs, bound=trace == "hot"))
                pure = present.pop(PURE, None)  # its code is what is of interest, and that the hot ids show
                if pure is not None and FLOOR in costs:
                    row = times_the_cost(f"{name}, pure Python", costs[PURE], costs[FLOOR], FLOOR_BOUND, title(FLOOR))
                    bench.add(row)


def _rows(name: str, costs: Costs, *, bound: bool) -> list[Row]:
    rows = [_cost(name, costs, FLOOR, FLOOR_BOUND)]
    rows += [
        _faster(name, costs, peer, bounds if bound else None) for peer, bounds in COHERENT.items() if peer in costs
    ]
    rows += [_cost(name, costs, peer, None) for peer in LOCAL if peer in costs]
    return rows


def _faster(name: str, costs: Costs, peer: str, target: Target | None) -> Row:
    return times_faster(name, costs[OURS], costs[peer], target, title(peer))


def _cost(name: str, costs: Costs, peer: str, target: Target | None) -> Row:
    return times_the_cost(name, costs[OURS], costs[peer], target, title(peer))
