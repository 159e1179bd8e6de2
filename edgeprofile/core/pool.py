"""The entries under a byte budget: what the engine does with them, always under its lock.

Hits do not come here. They read the tree, or a space's dict, and mark the entry as used; eviction sorts out later what
the marks mean: an entry that was used since eviction last looked at it stays, at the back of the queue or in its place.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Final, TypeAlias

from edgeprofile.core.entries import ENDED, Entry, Evictions, Space
from edgeprofile.core.recency import CHUNK, RECENCIES
from edgeprofile.memory import allocated, bytes_size, text_size
from edgeprofile.profile import Profile, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edgeprofile.core.coherence import Lease
    from edgeprofile.core.entries import Home

__all__ = ["Pool", "Tree"]

Tree: TypeAlias = dict[str, dict[str, dict[str, Entry]]]
"""Entity, then id type, then id value. Nested, because a tuple would have to be built and hashed for each lookup."""

ENTRY_SIZE: Final = (
    allocated(sys.getsizeof(Entry("", ("", "", ""), None, ENDED, 0.0, 0.0, 0.0, None)))
    + allocated(sys.getsizeof(0.5))  # its deadline
    + 36  # its place in the space's dict, which is between a third and two thirds full
    + 8  # its place in the queue
)
SPACE_SIZE: Final = 1024
"""An empty space: the object, its dict, its name and its branches of the tree."""

_MEASURE_EVERY: Final = 60
_WEIGHT: Final = 0.2

SECOND_CHANCES: Final = 64
"""Used entries that one eviction may pass over: the bound of its time."""


class Pool:
    """Bounded entries. ``maxsize`` and ``max_profile_bytes`` are bytes; ``clock`` gives profiles their age.

    ``keep_stale`` is how many seconds past its end an entry is kept for callers who may be served stale ones; ``policy``
    is one of `RECENCIES`.
    """

    def __init__(
        self,
        maxsize: int,
        *,
        clock: Callable[[], float],
        max_profile_bytes: int | None = None,
        keep_stale: float = 0.0,
        policy: str = "lru",
    ) -> None:
        self.size = 0
        self.count = 0
        self.evictions = Evictions()
        self._own_sizes = True  # bytes of memory, not whatever a caller counts
        self._weigh: Callable[[str, bytes | Profile | None], int] = weight
        self._limit = maxsize
        self._clock = clock
        self._largest = math.inf if max_profile_bytes is None else max_profile_bytes
        self._keep_stale = keep_stale
        self._trees: dict[str, Tree] = {}
        self._spaces: dict[Home, Space] = {}
        self._recency = RECENCIES[policy]()
        self._tombstones = 0
        self._unmeasured = 0
        self._ratio = 0.0
        self._earliest = math.inf  # no entry ends before

    def tree(self, destination: str) -> Tree:
        """The entries of a destination, to look up without a lock. Always the same dict; only its branches change."""
        return self._trees.setdefault(destination, {})

    def space(self, destination: str, entity: str, id_type: str, *, pin: bool = False) -> Space:
        """The space of that name; pinned, it stays even when it is empty."""
        home = (destination, entity, id_type)
        space = self._spaces.get(home) or Space(home, self._space_size(home))
        if pin:
            space.pinned = True
            self._enter(space)
        return space

    def find(self, destination: str, entity: str, id_type: str, value: str) -> Entry | None:
        """The entry of that identity, whatever its deadline and its lease say."""
        space = self._spaces.get((destination, entity, id_type))
        return None if space is None else space.entries.get(value)

    def put(
        self,
        space: Space,
        value: str,
        raw: bytes | None,
        *,
        sent: float,
        life: float,
        lease: Lease,
        wanted: bool = True,
    ) -> Entry | None:
        """Keep an encoded profile, or its absence, from a fetch sent at ``sent`` until ``sent + life``.

        ``wanted`` is whether somebody asked for it: False for a refresh of its own accord. Returns None if it is
        larger than an entry may be; an older entry is gone all the same. A ``life`` that many entries share as one
        object costs them nothing.
        """
        if type(value) is not str:
            value = str.__str__(value)
        expires = sent + life
        used = False if wanted else None
        return self._insert(
            space, Entry(value, space.home, raw, lease, expires, life, expires if raw is None else 0.0, used)
        )

    def drop(self, space: Space, value: str) -> Entry | None:
        """Take an entry out; it is returned without its data."""
        entry = self._spaces.get(space.home, space).entries.get(value)
        if entry is not None:
            self._remove(entry)
            self.evictions.dropped += 1
            self._tidy()
        return entry

    def drop_identity(self, destination: str, entity: str, id_type: str, value: str) -> Entry | None:
        """Take the entry of that identity out; it is returned without its data."""
        space = self._spaces.get((destination, entity, id_type))
        return None if space is None else self.drop(space, value)

    def view(self, entry: Entry) -> Profile | None:
        """The decoded profile of an entry that is in the cache: decoded at the first call, kept for the next."""
        data = entry.data
        return self.adopt(entry, self.decode(entry, data)) if isinstance(data, bytes) else data

    def decode(self, entry: Entry, raw: bytes) -> Profile:
        """The decoded profile, not kept yet. Needs no lock: ``raw`` was read from the entry under it."""
        return decode(raw, read_at=entry.sent, clock=self._clock)

    def adopt(self, entry: Entry, profile: Profile) -> Profile:
        """Keep what was decoded, unless the entry has left meanwhile or another thread was faster: theirs is returned."""
        data = entry.data
        if isinstance(data, Profile):
            return data
        growth = self._growth(profile)
        if self.size + growth > self._limit and entry.lease is not ENDED and self._fits(entry, growth):
            self._make_room(growth)
        if entry.lease is not ENDED and self.size + growth <= self._limit:
            self.size += growth
            entry.data = profile
            entry.ready_until = entry.expires
        return profile

    def sweep(self, now: float, budget: int) -> int:
        """Take out expired and revoked entries among the next ``budget`` (rounded up to whole chunks); how many."""
        before = self.count
        for _ in range(0, budget, CHUNK):
            if self._recency.sift(lambda entries: self._unexpired(entries, now)):
                break
        return before - self.count

    def clear(self) -> None:
        """Take everything out. Spaces that are pinned stay."""
        self.evictions.cleared += self.count
        for space in list(self._spaces.values()):
            for entry in space.entries.values():
                entry.lease = ENDED
            space.entries.clear()
            self._leave(space)
        self._recency = type(self._recency)()
        self.size = self.count = self._tombstones = 0
        self._earliest = math.inf

    def forsake(self) -> None:
        """In a forked child: let go of everything, whatever a thread of the parent was in the middle of."""
        for tree in self._trees.values():
            tree.clear()
        for space in self._spaces.values():
            space.entries.clear()
        self._spaces.clear()
        self._recency = type(self._recency)()

    def _insert(self, space: Space, entry: Entry) -> Entry | None:
        space = self._spaces.get(space.home, space)
        entries = space.entries
        older = entries.get(entry.value)
        if older is not None:
            self._remove(older)
            self.evictions.replaced += 1
            self._tidy()
        size = self._weigh(entry.value, entry.data)
        if size + space.size > self._limit or self._is_large(entry.data):
            self.evictions.oversize += 1
            return None
        if self.size + size + space.size > self._limit:
            self._make_room(size, space)
        if not entries:
            self._enter(space)
            self.size += space.size
        entries[entry.value] = entry
        self._recency.push(entry)
        self.size += size
        self.count += 1
        self._earliest = min(self._earliest, entry.expires)
        return entry

    def _is_large(self, data: bytes | Profile | None) -> bool:
        return data is not None and len(data if isinstance(data, bytes) else data.json) > self._largest

    def _fits(self, entry: Entry, growth: int) -> bool:
        """Whether a cache of this entry alone would be within the limit."""
        return self._spaces[entry.home].size + self._weigh(entry.value, entry.data) + growth <= self._limit

    def _remove(self, entry: Entry) -> None:
        """Out of its space; its place in the queue becomes a tombstone."""
        space = self._spaces[entry.home]
        del space.entries[entry.value]
        self.size -= self._weigh(entry.value, entry.data)
        self.count -= 1
        self._bury(entry)
        if not space.entries:
            self.size -= space.size
            self._leave(space)

    def _bury(self, entry: Entry) -> None:
        self._tombstones += 1
        entry.lease = ENDED
        entry.data = None

    def _make_room(self, size: int, space: Space | None = None) -> None:
        while self.size + size + (0 if space is None or space.entries else space.size) > self._limit:
            self._remove(self._victim())
            self.evictions.capacity += 1

    def _victim(self) -> Entry:
        """The least recent entry, but those that were used since the last look are passed over, a bounded number."""
        entry = self._next()
        for _ in range(SECOND_CHANCES):
            if not entry.used:
                break
            entry.used = False
            self._recency.spare(entry)
            entry = self._next()
        self._tombstones -= 1  # its place in the queue is gone before the entry is
        return entry

    def _next(self) -> Entry:
        entry = self._recency.pop()
        while entry.lease is ENDED:
            self._tombstones -= 1
            entry = self._recency.pop()
        return entry

    def _tidy(self) -> None:
        """Bound the tombstones: every removal beyond an eighth of the living cleans one chunk."""
        if self._tombstones > CHUNK + self.count // 8:
            self._recency.sift(self._living)

    def _living(self, entries: Iterable[Entry]) -> list[Entry]:
        found = list(entries)
        living = [entry for entry in found if entry.lease is not ENDED]
        self._tombstones -= len(found) - len(living)
        return living

    def _unexpired(self, entries: Iterable[Entry], now: float) -> list[Entry]:
        living = self._living(entries)
        end = now - self._keep_stale
        for entry in living:
            lease = entry.lease
            if entry.expires <= end:
                self.evictions.expired += 1
                self._remove(entry)
            elif lease.until <= 0.0 and lease.ended <= end:
                self.evictions.revoked += 1
                self._remove(entry)
        return self._living(living)

    def _enter(self, space: Space) -> None:
        destination, entity, id_type = space.home
        self._spaces[space.home] = space
        self.tree(destination).setdefault(entity, {})[id_type] = space.entries

    def _leave(self, space: Space) -> None:
        """An empty space goes, so that made-up names leave nothing behind; a pinned one stays."""
        if not space.pinned:
            destination, entity, id_type = space.home
            del self._spaces[space.home]
            branches = self._trees[destination]
            del branches[entity][id_type]
            if not branches[entity]:
                del branches[entity]

    def _growth(self, profile: Profile) -> int:
        """What an entry gains when its decoded profile is kept.

        Profiles are alike: one of some dozens is measured, the others are judged by the length of their encoding. The
        sums come out the same, for a fraction of the time.
        """
        if not self._own_sizes:
            return 0
        self._unmeasured -= 1
        if self._unmeasured < 0:
            self._unmeasured = _MEASURE_EVERY
            ratio = profile.footprint / len(profile.json)
            self._ratio += (ratio - self._ratio) * (_WEIGHT if self._ratio else 1.0)
        return profile.judge(self._ratio)

    def _space_size(self, home: Home) -> int:
        return SPACE_SIZE + sum(map(text_size, home[1:])) if self._own_sizes else 0


def weight(value: str, data: bytes | Profile | None) -> int:
    """Bytes of memory that an entry takes, its id value included."""
    return ENTRY_SIZE + text_size(value) + data_size(data)


def data_size(data: bytes | Profile | None) -> int:
    """Bytes of memory that an entry's data take."""
    if data is None:
        return 0
    if isinstance(data, bytes):
        return bytes_size(data)
    return bytes_size(data.json) + data.footprint
