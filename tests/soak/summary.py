"""What a soak found: figures for the reader, and whether it passed."""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from statistics import median

import msgspec

from tests.support.history import Report

_FINE = 10_000  # buckets in a second
_MOST_SHOWN = 20


class Spread:
    """The distribution of durations, to a tenth of a millisecond, in bounded memory."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.greatest = 0.0

    def add(self, seconds: tuple[float, ...]) -> None:
        self._counts.update(round(value * _FINE) for value in seconds)
        self.greatest = max((self.greatest, *seconds))

    def quantile(self, q: float) -> float:
        """In seconds; 0.0 of nothing."""
        ordered = sorted(self._counts)
        goal = q * self._counts.total()
        reached = accumulate(self._counts[value] for value in ordered)
        return next((value / _FINE for value, count in zip(ordered, reached, strict=True) if count >= goal), 0.0)


class Sample(msgspec.Struct, frozen=True):
    """What the process uses: bytes of resident memory, open descriptors, threads."""

    rss: int
    descriptors: int
    threads: int


def sample() -> Sample:
    """Of this process, on systems that have /proc."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Sample(pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd")), threading.active_count())  # noqa: PTH208  # counted, not walked


class Usage(msgspec.Struct, frozen=True):
    """The medians of the first and the last tenth of the samples after the warm-up, and the most."""

    after_warm_up: int
    at_the_end: int
    most: int

    @classmethod
    def of(cls, values: list[int]) -> "Usage":
        tenth = max(1, len(values) // 10)
        return cls(int(median(values[:tenth])), int(median(values[-tenth:])), max(values))

    @property
    def growth(self) -> int:
        return self.at_the_end - self.after_warm_up


class Checked:
    """The checks of all windows together."""

    def __init__(self) -> None:
        self.reads = self.violations = 0
        self.shown: list[str] = []
        self.staleness = Spread()

    def add(self, report: Report) -> None:
        self.reads += report.reads
        self.violations += len(report.violations)
        self.staleness.add(report.staleness)


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome. Durations are seconds, memory is bytes.

    Attributes:
        lookups: How many were answered; `checked`: how many records of them were compared with the writes.
        hits: Share of lookups answered from the cache, as the clients count.
        staleness: p50, p99 and the most: how long a value had certainly been replaced when its read began.
        longest_lookup: From call to answer or error.
        lag: How late the machine let a sleeping thread of the same process go on, at most.
        recoveries: Median and the most, from the end of a fault until both clients were live.
        excused: Seconds of the declared exception, flags off and on again at once: no staleness was judged in them.
        shown: The first violations, and what had gone wrong before them.
        problems: Other reasons why the run failed.
    """

    seed: int
    mode: str
    flavour: str
    cluster: bool
    seconds: float
    bound: float
    lookups: int
    checked: int
    hits: float
    writes: int
    syncs: int
    staleness: dict[str, float]
    longest_lookup: float
    lag: float
    errors: dict[str, int]
    write_errors: dict[str, int]
    faults: dict[str, int]
    recoveries: dict[str, float]
    losses: dict[str, int]
    memory: Usage
    descriptors: Usage
    threads: Usage
    excused: float
    violations: int
    shown: list[str]
    problems: list[str]

    @property
    def passed(self) -> bool:
        return not self.violations and not self.problems

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        where = f"a cluster of {self.flavour}" if self.cluster else self.flavour
        yield f"{self.mode} on {where}, {self.seconds:.0f} s, bound {self.bound:g} s, seed {self.seed}"
        yield f"lookups       {self.lookups:,} answered, {self.hits:.1%} from the cache; {self.checked:,} records checked"
        yield f"writes        {self.writes:,}, in them {self.syncs} full syncs"
        yield "staleness     " + ", ".join(f"{name} {value * 1000:.1f} ms" for name, value in self.staleness.items())
        yield f"longest       {self.longest_lookup:.3f} s for a lookup; the machine lagged {self.lag:.3f} s at most"
        yield f"errors        {_counts(self.errors)}"
        yield f"of writers    {_counts(self.write_errors)}"
        yield f"faults        {sum(self.faults.values())}: {_counts(self.faults)}"
        yield "recovery      " + ", ".join(f"{name} {value:.2f} s" for name, value in self.recoveries.items())
        yield f"feed losses   {_counts(self.losses)}"
        yield f"memory        {_mib(self.memory.after_warm_up)} after warm-up, {_mib(self.memory.at_the_end)} at the end"
        for name, usage in (("descriptors", self.descriptors), ("threads", self.threads)):
            yield f"{name:<13} {usage.after_warm_up} after warm-up, {usage.at_the_end} at the end, {usage.most} at most"
        yield f"violations    {self.violations}, {self.excused:.1f} s excused"
        yield from (f"  {line}" for line in (*self.shown[:_MOST_SHOWN], *self.problems))


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(found.items(), key=lambda x: -x[1])) or "none"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
