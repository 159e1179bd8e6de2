"""The garbage collector's pauses: a full collection among few cached profiles and among many."""

from benchmarks import servers
from benchmarks.bench import Bench, server_spec
from benchmarks.rounds import spread
from benchmarks.rows import at_most, times_the_cost

OURS = "edgeprofile:collected"
BARE = "dictionary:collected"
FEW = 1_000


def measure(bench: Bench) -> None:
    entries = bench.settings.entries
    pauses = {many: _pauses(bench, many) for many in (FEW, entries)}
    ours, bare = ({many: found.get(name) for many, found in pauses.items()} for name in (OURS, BARE))
    if ours[FEW] and ours[entries]:
        name = f"full garbage collection, {entries:,} cached profiles"
        bench.add(
            times_the_cost(name, ours[entries], ours[FEW], at_most(1.25), f"{FEW:,} of them", _bare(bare, entries))
        )


def _bare(bare: dict[int, list[float] | None], entries: int) -> str:
    few, many = bare[FEW], bare[entries]
    return f"plain dicts: {spread(many).median / spread(few).median:.3g} x" if few and many else ""


def _pauses(bench: Bench, entries: int) -> dict[str, list[float]]:
    with servers.valkey() as server:
        servers.fill(server, entries)
        with bench.contenders([BARE, OURS], "collected", **server_spec(server), entries=entries) as present:
            return {name: child.ask({"rounds": bench.settings.rounds})["seconds"] for name, child in present.items()}
