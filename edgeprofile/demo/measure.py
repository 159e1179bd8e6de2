"""The arithmetic of the demo's figures; takes times as arguments, all of them in nanoseconds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Distribution", "Sightings"]

_STEP = math.log(1.01)


class Distribution:
    """How often which duration was seen, in steps of 1%: bounded memory, and quantiles that are exact within half a step.

    One thread may add while another copies.
    """

    __slots__ = ("_counts",)

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counts = dict(counts or {})

    @property
    def counts(self) -> dict[int, int]:
        """A copy of the counts by step, from which an equal distribution can be made."""
        return self._counts.copy()  # in one step: the interpreter switches threads between instructions only

    def __len__(self) -> int:
        """How many durations were added."""
        return sum(self.counts.values())

    def add(self, duration: int) -> None:
        """Count one duration; whatever is below 1 ns counts as nothing."""
        step = int(math.log(duration) / _STEP) if duration > 0 else -1
        self._counts[step] = self._counts.get(step, 0) + 1

    def __add__(self, other: Distribution) -> Distribution:
        """All durations of both."""
        return self._with(other, 1)

    def __sub__(self, earlier: Distribution) -> Distribution:
        """The durations that came since the earlier copy of this one was made."""
        return self._with(earlier, -1)

    def quantile(self, share: float) -> float | None:
        """The duration that this share of all does not exceed; `None` where there are none."""
        counts = self.counts
        left = share * sum(counts.values())
        for step in sorted(counts):
            left -= counts[step]
            if left <= 0:
                return math.exp((step + 0.5) * _STEP) if step >= 0 else 0.0
        return None

    def _with(self, other: Distribution, sign: int) -> Distribution:
        ours, theirs = self.counts, other.counts
        both = {step: ours.get(step, 0) + sign * theirs.get(step, 0) for step in ours.keys() | theirs.keys()}
        return Distribution({step: count for step, count in both.items() if count})


class _Change:
    """One write as it was seen: when it was acknowledged, last missing and first there."""

    __slots__ = ("acknowledged", "first_new", "last_old")

    def __init__(self) -> None:
        self.acknowledged: int | None = None
        self.last_old: int | None = None
        self.first_new: int | None = None


class Sightings:
    """When readers see numbered writes.

    Writes are numbered from 1 in the order in which they are sent. Whoever reads asks `awaited` whose turn it is, a few
    writes that are yet to come among them: so the last read that missed a write is known, even if the news of the
    acknowledgement arrives long after it. Of each write two times count, both from its acknowledgement on: until the
    end of the first read that returned it (``delays``), and until the begin of the last read that did not, which is how
    old a value was read (``oldest``).
    """

    def __init__(self, ahead: int = 2) -> None:
        self.delays = Distribution()
        self.oldest = 0
        self.acknowledged_count = 0
        self._ahead = ahead
        self._pending = {number: _Change() for number in range(1, ahead + 1)}

    @property
    def awaited(self) -> tuple[int, ...]:
        """Numbers of the writes that no read has returned."""
        return tuple(number for number, change in self._pending.items() if change.first_new is None)

    def acknowledged(self, number: int, at: int) -> None:
        """The server acknowledged this write at this time."""
        self.acknowledged_count = number
        self._pending.setdefault(number + self._ahead, _Change())
        self._pending[number].acknowledged = at
        self._weigh(number)

    def read(self, number: int, revision: int, began: int, ended: int) -> None:
        """A read of the user whom the write ``number`` concerns returned what the write ``revision`` made of him."""
        if revision < number:
            self._pending[number].last_old = began
        else:
            self._pending[number].first_new = ended
        self._weigh(number)

    def _weigh(self, number: int) -> None:
        change = self._pending[number]
        if change.acknowledged is None:
            return
        if change.last_old is not None:
            self.oldest = max(self.oldest, change.last_old - change.acknowledged)
        if change.first_new is not None:
            self.delays.add(change.first_new - change.acknowledged)
            del self._pending[number]
