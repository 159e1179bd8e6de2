"""Hits of other workloads: smaller and larger profiles, and while a full sync writes every profile anew."""

from collections.abc import Mapping

from benchmarks import servers
from benchmarks.bench import Bench, server_spec, title
from benchmarks.children import Child
from benchmarks.figures.hit import FLOOR, FLOOR_BOUND, OURS
from benchmarks.rounds import spread
from benchmarks.rows import Row, times_the_cost

SIZES = (5, 20, 200)  # traits
SYNCED = 20_000  # profiles
LARGEST = 2_000_000  # traits in all, for the memory's sake
SYNC = "edgeprofile:synced"


def sizes(bench: Bench) -> None:
    """A hit hands out what is there: its cost must not depend on its size."""
    for size in SIZES:
        entries = min(bench.settings.entries, LARGEST // size)
        with servers.valkey() as server:
            servers.fill(server, entries, size)
            spec = {**server_spec(server), "entries": entries, "size": size}
            with bench.contenders([FLOOR, OURS], "hit", **spec) as present:
                costs = bench.time_lookups(present, "hot", note=f"{size} traits")
        if OURS in costs:
            name = f"hit, profiles of {size} traits"
            bench.add(times_the_cost(name, costs[OURS], costs[FLOOR], FLOOR_BOUND, title(FLOOR)))


def synced(bench: Bench) -> None:
    """Lookups by Zipf's law while every profile is written again and again at full speed, misses included."""
    with servers.valkey() as server:
        servers.fill(server, SYNCED)
        spec = {**server_spec(server), "entries": SYNCED}
        with (
            Child("benchmarks.writers", {"task": "flood", **spec}) as writer,
            bench.contenders([FLOOR, SYNC], "hit", **spec) as present,
        ):
            writer.wait_ready()
            if len(present) == 2:
                bench.add(_synced(bench, present, writer))


def _synced(bench: Bench, present: Mapping[str, Child], writer: Child) -> Row:
    costs: dict[str, list[float]] = {name: [] for name in present}
    missed = asked = written = 0
    for _ in range(bench.settings.http_rounds):
        for name, child in present.items():
            child.ask({"trace": "zipf", "operations": SYNCED})
            writer.tell({"seconds": bench.settings.http_seconds + 1})
            found = _lookups(child, bench.settings.http_seconds)
            written += writer.answer()["events"]
            costs[name].append(found["seconds"] / found["operations"])
            if name == SYNC:
                missed, asked = missed + found["missed"], asked + found["operations"]
    note = f"{missed / asked:.2%} of {asked:,} lookups were misses; mean, not median"
    per_second = written / (2 * bench.settings.http_rounds * (bench.settings.http_seconds + 1))
    note += f"; {spread([per_second]).median:,.0f} HSET/s"
    return times_the_cost("lookup during a full sync, Zipf", costs[SYNC], costs[FLOOR], None, title(FLOOR), note)


def _lookups(child: Child, seconds: float) -> dict[str, float]:
    found: dict[str, float] = {"seconds": 0.0, "operations": 0, "missed": 0}
    while found["seconds"] < seconds:
        told = child.ask({"trace": "zipf", "operations": 5_000})
        found = {name: found[name] + told.get(name, 0) for name in found}
    return found
