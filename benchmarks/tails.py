"""Single lookups, each timed by itself, from one thread or from many at once: what a median hides."""

import threading
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.protocol import Round

HOT = 100  # ids in turn
_MOST = 200_000  # nanoseconds; what takes longer is kept as it is


def tails(look: Callable[[str], object], ids: Sequence[str]) -> Round:
    """A round of `threads` threads that look up for `seconds`; the two clock readings around a lookup are part of it."""

    def measure(request: Mapping[str, Any]) -> dict[str, Any]:
        end = time.monotonic() + request["seconds"]
        tallies = [_Tally() for _ in range(request["threads"])]
        threads = [threading.Thread(target=tally.fill, args=(look, ids[:HOT], end)) for tally in tallies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return _summary(tallies)

    return measure


class _Tally:
    def __init__(self) -> None:
        self.counts = array("q", bytes(8 * _MOST))
        self.longer: list[int] = []

    def fill(self, look: Callable[[str], object], ids: Sequence[str], end: float) -> None:
        clock, counts, longer = time.perf_counter_ns, self.counts, self.longer
        while time.monotonic() < end:
            for value in ids:
                start = clock()
                look(value)
                took = clock() - start
                if took < _MOST:
                    counts[took] += 1
                else:
                    longer.append(took)


def _summary(tallies: Sequence[_Tally]) -> dict[str, Any]:
    counts = [sum(column) for column in zip(*(tally.counts for tally in tallies), strict=True)]
    longer = sorted(took for tally in tallies for took in tally.longer)
    operations = sum(counts) + len(longer)
    shares = {name: _quantile(counts, longer, share * operations) for name, share in (("p50", 0.5), ("p999", 0.999))}
    return {"operations": operations, "worst": longer[-1] / 1e9 if longer else None, **shares}


def _quantile(counts: Sequence[int], longer: Sequence[int], rank: float) -> float:
    """Seconds."""
    seen = 0
    for took, count in enumerate(counts):
        seen += count
        if seen >= rank:
            return took / 1e9
    return longer[min(len(longer) - 1, int(rank - seen))] / 1e9
