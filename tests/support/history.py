"""Was every read fresh, whole and of the right key? A checker over what was written and what was seen.

Time is any monotone clock in seconds, the same for all records. A write takes effect at one instant between *sent* and
*acknowledged*, so its value may be visible from *sent* until the first acknowledgement of a write that was sent after
its own acknowledgement. A read must have been answered with a value that may have been visible at some instant between
its begin, less the bound, and its end.

Writes may overlap, values may come back (a restored snapshot), and a write without an acknowledgement may take effect
at any time or never: what is in doubt is no violation.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import ceil, inf
from typing import Literal

import msgspec

ABSENT = 0
Kind = Literal["stale", "unwritten", "torn", "mixed up"]
Interval = tuple[float, float]


class Write(msgspec.Struct, frozen=True, gc=False):
    """A version was written to a key; `ABSENT` for a deletion, a flush, a loss.

    Attributes:
        sent: When, at the earliest, it took effect.
        acknowledged: When, at the latest; infinite where the outcome is unknown.
    """

    key: str
    version: int
    sent: float
    acknowledged: float = inf


class Read(msgspec.Struct, frozen=True, gc=False):
    """A lookup of a key between two instants was answered with a version.

    Attributes:
        stale: The answer was marked as stale: its age is excused.
        defect: "torn" or "mixed up" where the value itself was wrong.
        detail: What was wrong with it.
    """

    key: str
    version: int
    begin: float
    end: float
    stale: bool = False
    defect: Literal["torn", "mixed up"] | None = None
    detail: str = ""


class Violation(msgspec.Struct, frozen=True):
    """A read that must not have happened, and why."""

    kind: Kind
    read: Read
    why: str

    def __str__(self) -> str:
        read = self.read
        return f"{self.kind}: {read.key!r} read at {read.begin:.6f}-{read.end:.6f} s: {self.why}"


class Report(msgspec.Struct, frozen=True):
    """What a check found. Reports of parts of a history can be added.

    Attributes:
        reads: How many records were checked.
        violations: In the order of the reads.
        staleness: For each read that was not marked stale, how many seconds before its begin its value had certainly
            been replaced; 0 where it had not.
    """

    reads: int = 0
    violations: tuple[Violation, ...] = ()
    staleness: tuple[float, ...] = ()

    def __add__(self, other: "Report") -> "Report":
        return Report(self.reads + other.reads, self.violations + other.violations, self.staleness + other.staleness)

    def quantile(self, q: float) -> float:
        """The staleness that a share q of the reads did not exceed, in seconds."""
        ordered = sorted(self.staleness)
        return ordered[max(0, ceil(q * len(ordered)) - 1)] if ordered else 0.0

    def raise_if_any(self) -> "Report":
        """Return the report itself.

        Raises:
            AssertionError: There are violations; shows the first ten.
        """
        if self.violations:
            shown = "\n  ".join(map(str, self.violations[:10]))
            raise AssertionError(f"{len(self.violations)} violations in {self.reads} reads, among them\n  {shown}")
        return self


class Timeline:
    """When each version of one key may have been visible."""

    def __init__(self, writes: Iterable[Write]) -> None:
        ordered = sorted(writes, key=lambda write: (write.sent, write.acknowledged))
        ordered.insert(0, Write("", ABSENT, -inf, -inf))
        sent = [write.sent for write in ordered]
        least = accumulate((write.acknowledged for write in reversed(ordered)), min, initial=inf)
        first_after = list(least)[::-1]
        self._versions: defaultdict[int, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
        for index, write in enumerate(ordered):
            follower = max(index + 1, bisect_left(sent, write.acknowledged))
            begins, ends = self._versions[write.version]
            begins.append(write.sent)
            ends.append(max(first_after[follower], ends[-1] if ends else -inf))

    def visible_until(self, version: int, end: float) -> float | None:
        """The last instant at which the version, sent by `end`, may have been visible; None if it was not sent by then."""
        begins, ends = self._versions.get(version, ((), ()))
        position = bisect_right(begins, end)
        return ends[position - 1] if position else None


def check(writes: Iterable[Write], reads: Iterable[Read], bound: float, excused: Sequence[Interval] = ()) -> Report:
    """Check every read against the writes.

    Args:
        writes: Every write to every key that is read, in any order.
        reads: In any order.
        bound: The most seconds that an answer may be older than the begin of its read.
        excused: Intervals; reads that began in one may be older.
    """
    timelines = _timelines(writes)
    violations, staleness, count = [], [], 0
    for read in reads:
        count += 1
        until = timelines[read.key].visible_until(read.version, read.end)
        age = 0.0 if until is None or read.stale or read.defect else max(0.0, read.begin - until)
        if not read.stale:
            staleness.append(age)
        if violation := _judge(read, until, age, bound, excused):
            violations.append(violation)
    return Report(count, tuple(violations), tuple(staleness))


def _timelines(writes: Iterable[Write]) -> defaultdict[str, Timeline]:
    by_key: defaultdict[str, list[Write]] = defaultdict(list)
    for write in writes:
        by_key[write.key].append(write)
    timelines: defaultdict[str, Timeline] = defaultdict(lambda: Timeline(()))
    return timelines | {key: Timeline(found) for key, found in by_key.items()}


def _judge(read: Read, until: float | None, age: float, bound: float, excused: Sequence[Interval]) -> Violation | None:
    if read.defect:
        return Violation(read.defect, read, read.detail)
    if until is None:
        return Violation("unwritten", read, f"version {read.version} had not been sent by then")
    if age <= bound or any(begin <= read.begin <= end for begin, end in excused):
        return None
    why = f"version {read.version} was replaced at {until:.6f} s at the latest, {age:.6f} s before (bound {bound:g} s)"
    return Violation("stale", read, why)
