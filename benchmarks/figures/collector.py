"""The garbage collector's pauses: a full collection among few cached profiles and among many."""

from contextlib import ExitStack

from benchmarks import servers
from benchmarks.bench import Bench, server_spec
from benchmarks.rounds import ratio, rotated
from benchmarks.rows import at_most, times_the_cost

OURS = "edgeprofile:collected"
BARE = "dictionary:collected"
FEW = 1_000
IN_A_TURN = 9  # collections, of which the least disturbed one counts

Pauses = dict[tuple[str, int], list[float]]


def measure(bench: Bench) -> None:
    entries = bench.settings.entries
    pauses = _pauses(bench, entries)
    if (OURS, FEW) in pauses and (OURS, entries) in pauses:
        name = f"full garbage collection, {entries:,} cached profiles"
        ours, few = pauses[OURS, entries], pauses[OURS, FEW]
        bench.add(times_the_cost(name, ours, few, at_most(1.25), f"{FEW:,} of them", _bare(pauses, entries)))


def _bare(pauses: Pauses, entries: int) -> str:
    few, many = pauses.get((BARE, FEW)), pauses.get((BARE, entries))
    return f"plain dicts: {ratio(many, few).median:.3g} x" if few and many else ""


def _pauses(bench: Bench, entries: int) -> Pauses:
    """Seconds of each pause, by contender and profiles; few and many take turns, so that the machine is the same."""
    pauses: Pauses = {}
    with servers.valkey() as server, ExitStack() as stack:
        servers.fill(server, entries)
        present = {
            (name, many): child
            for many in (FEW, entries)
            for name, child in stack.enter_context(
                bench.contenders([BARE, OURS], "collected", **server_spec(server), entries=many)
            ).items()
        }
        for number in range(bench.settings.rounds):
            for each in rotated(list(present), number):
                pauses.setdefault(each, []).append(min(present[each].ask({"rounds": IN_A_TURN})["seconds"]))
    return pauses
