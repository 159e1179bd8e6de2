"""How old the values of hits are while Redis is written at a steady pace.

One process writes rising versions and logs when Redis acknowledged each; another reads all ids in turn and logs the last
read that still returned an old version. The staleness seen of one write is the time from its acknowledgement to the
beginning of that read: zero where every later read returned it.
"""

from bisect import bisect_right
from itertools import accumulate
from typing import Any

from benchmarks import servers
from benchmarks.bench import Bench, server_spec
from benchmarks.children import Child
from benchmarks.rows import at_most, quantity

OURS = "edgeprofile"
IDS = 100
RATE = 1_000
MAX_STALENESS = 1.0
READERS = {"staleness": "reader pausing 0.5 ms between sweeps", "staleness_busy": "reader never pausing"}


def measure(bench: Bench) -> None:
    for task, reader in READERS.items():
        with servers.valkey() as server:
            servers.fill(server, IDS)
            spec = {**server_spec(server), "entries": IDS, "max_staleness": MAX_STALENESS}
            with bench.contenders([OURS], task, **spec) as present:
                if present:
                    _watched(bench, present[OURS], spec, reader, bound=task == "staleness")


def _watched(bench: Bench, child: Child, spec: dict[str, Any], reader: str, *, bound: bool) -> None:
    seconds = bench.settings.staleness_seconds
    with Child("benchmarks.writers", {**spec, "task": "steady"}) as writer:
        writer.wait_ready()
        child.tell({"seconds": seconds + 1})
        acknowledged = writer.ask({"seconds": seconds, "rate": RATE})["acknowledged"]
        seen = child.answer()
    ages = sorted(_ages(acknowledged, seen["last_reads"]))
    bench.keep(f"staleness, {reader}", [age * 1e3 for age in ages])
    note = f"{len(ages):,} writes, {seen['reads']:,} reads; {reader}"
    bench.add(
        quantity("staleness seen, p50", [_percentile(ages, 0.5) * 1e3], "ms", None, note),
        quantity("staleness seen, p99", [_percentile(ages, 0.99) * 1e3], "ms", at_most(5) if bound else None, note),
        quantity("staleness seen, worst", [ages[-1] * 1e3], "ms", at_most(MAX_STALENESS * 1e3), note),
    )


def _ages(acknowledged: list[int], last_reads: list[list[list[int]]]) -> list[float]:
    """Seconds, one for each write; `last_reads[id]` holds [version, when its last read began], by rising version."""
    ages = []
    last_until = [list(accumulate((began for _, began in reads), max)) for reads in last_reads]
    for number, moment in enumerate(acknowledged):
        version, index = number // len(last_reads) + 1, number % len(last_reads)
        older = bisect_right(last_reads[index], version - 1, key=lambda read: read[0])  # so many versions are older
        ages.append(max(0, last_until[index][older - 1] - moment) / 1e9 if older else 0.0)
    return ages


def _percentile(ages: list[float], share: float) -> float:
    return ages[min(len(ages) - 1, int(share * len(ages)))]
