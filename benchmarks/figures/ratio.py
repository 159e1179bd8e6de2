"""How many lookups are hits, apart from speed: what eviction keeps, against other ways to choose, on the same traces."""

from collections.abc import Sequence

import msgspec

from benchmarks import data, public
from benchmarks.bench import Bench
from benchmarks.children import Absent
from benchmarks.policies import POLICIES
from benchmarks.rounds import Spread
from benchmarks.rows import Row, at_least
from benchmarks.traces import Trace

OURS = "edgeprofile"
DRAWN = {"zipf": "Zipf", "scan": "Zipf with a scan mixed in", "loop": "a loop over all ids"}
PUBLIC = "public"
TRACES = DRAWN | {PUBLIC: public.TITLE}
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # of the ids that fit
TOLD = 0.1
IDS = {"full": 20_000, "quick": 4_000}
LENGTH = 20  # lookups for each id
AS_GOOD_AS_LRU = at_least(0.98)


def measure(bench: Bench) -> None:
    ids = data.identities(IDS[bench.settings.mode])
    bench.result.settings |= {"ids": len(ids), "lookups": LENGTH * len(ids)}
    for name in DRAWN:
        _driven(bench, name, Trace(name, ids, length=LENGTH * len(ids)).take(LENGTH * len(ids)))
    try:
        asked = public.requests(fetch=bench.settings.mode == "full")
    except Absent as reason:
        bench.miss(public.TITLE, str(reason))
    else:
        bench.result.versions[public.TITLE] = public.SOURCE
        _driven(bench, PUBLIC, asked[: LENGTH * len(ids)])


def _driven(bench: Bench, name: str, trace: Sequence[str]) -> None:
    """Each policy over that trace, with room for more and more of its ids."""
    ids = len(set(trace))
    for share in SHARES:
        found = {policy: hits(trace, int(share * ids)) / len(trace) for policy, hits in POLICIES.items()}
        for policy, ratio in found.items():
            bench.keep(f"{policy}, {name}, {share:g}", [ratio])
        if share == TOLD:
            bench.add(*_rows(f"hit ratio, {TRACES[name]}, room for {share:.0%} of the ids", found))


def _rows(name: str, found: dict[str, float]) -> list[Row]:
    ours = found[OURS]
    return [_row(name, ours, ratio, policy) for policy, ratio in found.items() if policy != OURS and (ratio or ours)]


def _row(name: str, ours: float, peer: float, policy: str) -> Row:
    times = ours / peer if peer else float("inf")
    target = AS_GOOD_AS_LRU if policy == "exact LRU" else None
    row = Row(name=name, value=Spread(times, times, times), ours=ours * 100, peer=peer * 100, peer_name=policy)
    return msgspec.structs.replace(row, measure="%", target=target, sense=">=")
