"""The promise, measured: hits that are read again from Redis, and what a difference means.

Redis may well disagree with a hit: a write may have come a moment ago whose event is still on its way. So a difference
alone accuses nobody. It starts a clock. The other value was visible when the answer to the reading came, at ``r``, and
a hit at ``t`` may return what was visible at some instant in ``[t - max_staleness, t]``. Therefore the very entry that
Redis contradicted must be gone, whatever the reason, when ``r + max_staleness`` has passed. Where it is served even
then, Redis is asked once more, and an entry that is contradicted again is a violation. (The same value may have come
back meanwhile: then an event was missed, but nobody was given an old value.)

In a sound cache that never happens. The entry's lease at ``t > r + max_staleness`` comes from a heartbeat that was sent
after ``r``, hence after the write, and the write's event was processed before that heartbeat counted. So a violation is
a defect, or one of the exceptions that are stated: a heartbeat of PINGs that saw no flush, flags off and on again.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Final

from edgeprofile.core.keeper import servable
from edgeprofile.profile import decode

if TYPE_CHECKING:
    from edgeprofile.core.entries import Entry
    from edgeprofile.core.keeper import Identity

__all__ = ["Case", "Outcome", "gap", "same"]

_LONGEST: Final = 1 << 62


class Outcome(enum.Enum):
    """What a reading says about a hit."""

    AGREES = "agrees"
    """Redis has what was served."""
    GONE = "gone"
    """The entry was dropped or ran out in time; nothing is proved against it."""
    CONTRADICTED = "contradicted"
    """Redis has another value: look again when the bound has passed."""
    VIOLATED = "violated"
    """The entry was served beyond the bound, and Redis still has another value."""


class Case:
    """The audit of one entry that a hit was answered from: one reading, and a second one where the first differs.

    All times are in seconds on the engine's clock; ``max_staleness`` is the bound. ``due`` is when a contradicted entry
    has to be gone, infinite before. The caller holds the engine's lock, so that an entry does not change meanwhile.
    """

    __slots__ = ("_entry", "_max_staleness", "_served", "due", "identity")

    def __init__(self, identity: Identity, entry: Entry, max_staleness: float) -> None:
        self.identity = identity
        self.due = math.inf
        self._entry = entry
        self._max_staleness = max_staleness
        self._served: bytes | None = None

    def first(self, found: bytes | None, now: float) -> Outcome:
        """A reading that was sent after the hit brought ``found``; its answer came at ``now``."""
        if not servable(self._entry, now):
            return Outcome.GONE
        if same(self._entry.raw, found):
            return Outcome.AGREES
        self.due = now + self._max_staleness
        return Outcome.CONTRADICTED

    def outlived(self, now: float) -> bool:
        """Whether a contradicted entry is served although its time is over: then Redis has to be asked again."""
        if now <= self.due or not servable(self._entry, now):
            return False
        self._served = self._entry.raw
        return True

    def second(self, found: bytes | None) -> Outcome:
        """A reading that was sent after `outlived` brought ``found``."""
        return Outcome.AGREES if same(self._served, found) else Outcome.VIOLATED


def same(served: bytes | None, found: bytes | None) -> bool:
    """Whether two encoded profiles are the same; servers may give the fields of a hash in another order each time."""
    if served == found:
        return True
    if served is None or found is None or len(served) != len(found):
        return False
    return decode(served) == decode(found)


def gap(fraction: float, chance: float) -> int:
    """How many lookups until one is chosen, that one included, where each is chosen with probability ``fraction`` > 0.

    ``chance`` in [0, 1) decides. Gaps of chance do not fall into step with a pattern in the lookups.
    """
    if fraction >= 1.0:
        return 1
    return 1 + int(min(math.log1p(-chance) / math.log1p(-fraction), _LONGEST))
