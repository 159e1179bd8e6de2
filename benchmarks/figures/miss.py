"""A lookup that has to ask Redis; every id is asked for once.

Server and contender stay on processors of their own, as on two machines: where the scheduler decides, a round trip costs
three times as much whenever it wakes an idle processor for the other side, and that, not the client, is what is seen.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks import servers
from benchmarks.bench import Bench, server_spec, title
from benchmarks.rows import Row, at_least, at_most, times_faster, times_the_cost

OURS = "edgeprofile"
PEER = "redis_py"
PLAIN = {"miss": "redis_py:hgetall", "amiss": "redis_py:ahgetall"}  # half of the work: no PTTL
TASKS = 64
MOST = {"miss": 400, "amiss": 400, "storm": 2_000}  # lookups a round
CALIBRATION = 1_100  # lookups at most, before the first round


def synchronous(bench: Bench) -> None:
    """One lookup after the other, from a thread."""
    costs = _costs(bench, "miss")
    if OURS in costs:
        bench.add(*_rows("sync miss", costs, PLAIN["miss"]))


def asynchronous(bench: Bench) -> None:
    """Lookups of one task, one after the other, and of many tasks at once."""
    one, storm = _costs(bench, "amiss"), _costs(bench, "storm")
    if OURS in one:
        bench.add(*_rows("async miss", one, PLAIN["amiss"]))
    if OURS in storm:
        name = f"cold storm, {TASKS} tasks"
        bench.add(times_faster(name, storm[OURS], storm[PEER], at_least(3), f"{title(PEER)}, one pool"))


def _rows(name: str, costs: dict[str, list[float]], plain: str) -> list[Row]:
    rows = [times_the_cost(name, costs[OURS], costs[PEER], at_most(1.25), f"{title(PEER)} HGETALL + PTTL")]
    if plain in costs:
        rows.append(times_the_cost(name, costs[OURS], costs[plain], None, f"{title(PEER)} HGETALL alone"))
    return rows


def _costs(bench: Bench, task: str) -> dict[str, list[float]]:
    entries = bench.settings.entries
    with servers.valkey() as server, _apart(server) as processor:
        servers.fill(server, entries)
        spec = {**server_spec(server), "entries": entries, "tasks": TASKS, **processor}
        names = [PEER, *([PLAIN[task]] if task in PLAIN else []), OURS]
        with bench.contenders(names, task, **spec) as present:
            return bench.time_lookups(present, "loop", most=_most(bench, task), note=task)


def _most(bench: Bench, task: str) -> int:
    """Lookups a round: the ids must last for all rounds."""
    return min(MOST[task], (bench.settings.entries - CALIBRATION) // bench.settings.rounds)


@contextmanager
def _apart(server: servers.Address) -> Iterator[dict[str, Any]]:
    """Keep the server on the first processor; the contender's specification names the second."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        yield {}
    else:
        servers.pin(server, processors[0])
        yield {"cpu": processors[1]}
