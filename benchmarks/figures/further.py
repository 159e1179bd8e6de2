"""Further figures of hits: other ways to look up, and growth."""

from benchmarks import servers
from benchmarks.bench import Bench, server_spec, title
from benchmarks.rows import at_most, times_the_cost

OURS = "edgeprofile"
PURE = "edgeprofile_pure"
FLOOR = "dictionary"
BATCH = 100
SIZES = (1_000, 10_000, 100_000, 1_000_000)


def bound(bench: Bench) -> None:
    """A lookup bound beforehand, against a function around one `dict.get` with a string."""
    floor, ours, pure = (f"{name}:bound" for name in (FLOOR, OURS, PURE))
    costs = _hits(bench, [floor, ours, pure], bench.settings.entries, "hot")
    name = "hit through a bound lookup"
    if ours in costs:
        bench.add(times_the_cost(name, costs[ours], costs[floor], at_most(1.6), title(FLOOR)))
    if pure in costs:
        bench.add(times_the_cost(f"{name}, pure Python", costs[pure], costs[floor], None, title(FLOOR)))


def many(bench: Bench) -> None:
    """`get_many` of cached ids, against as many single hits; the cost is that of one id."""
    costs = _hits(bench, [OURS, f"{OURS}:many"], bench.settings.entries, "hot")
    if len(costs) == 2:
        name = f"get_many of {BATCH} cached ids, each"
        bench.add(times_the_cost(name, costs[f"{OURS}:many"], costs[OURS], at_most(0.6), "single hits"))


def growth(bench: Bench) -> None:
    """Uniform lookups over ever more entries: what remains beside the bare dict is ours."""
    for entries in SIZES:
        if bench.settings.mode == "full" or entries <= bench.settings.entries:
            costs = _hits(bench, [FLOOR, OURS], entries, "uniform", f"uniform, {entries:_} entries")
            if OURS in costs:
                name = f"hit, uniform over {entries:,} entries"
                bench.add(times_the_cost(name, costs[OURS], costs[FLOOR], None, title(FLOOR)))


def _hits(bench: Bench, names: list[str], entries: int, trace: str, note: str = "") -> dict[str, list[float]]:
    with servers.valkey() as server:
        servers.fill(server, entries)
        spec = {**server_spec(server), "entries": entries, "batch": BATCH}
        with bench.contenders(names, "hit", **spec) as present:
            return bench.time_lookups(present, trace, note=note)
