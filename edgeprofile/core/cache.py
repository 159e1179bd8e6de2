"""The cache of profiles: a `cachetools.Cache` to its users, a `Pool` to the engine, plain dicts to the hit path."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import cachetools
import msgspec

from edgeprofile.core.coherence import FOREVER
from edgeprofile.core.entries import ENDED, Entry, Evictions, Space
from edgeprofile.core.pool import ENTRY_SIZE, Pool, data_size
from edgeprofile.profile import Profile, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


__all__ = ["Entry", "Evictions", "Key", "ProfileCache", "Space"]

Key: TypeAlias = tuple[str, str, str, str]
"""Destination id, entity, id type and id value."""

_AGES: Final = 2.0**40
"""Seconds that are as good as for ever, and still leave a float room for the time of day."""


class ProfileCache(Pool, cachetools.Cache[Key, Profile | None]):
    """A mapping of identities to profiles, `None` where Redis is known to have none, under a budget of bytes.

    As a mapping it is exact, like `cachetools.LRUCache` and `cachetools.TLRUCache`: reading an item makes it the most
    recent one, and items past their deadline are not there. Nor are items whose lease has lapsed, though ``len`` and
    ``currsize`` count them, for it may be extended again. ``ttu(key, profile, now)`` gives the deadline of an item that
    is set through the mapping, in seconds on ``clock``; without it such an item does not expire. ``getsizeof`` replaces
    the memory that items really take as their size. Like the caches of cachetools it is not thread-safe.
    """

    def __init__(
        self,
        maxsize: int,
        *,
        clock: Callable[[], float],
        ttu: Callable[[Key, Profile | None, float], float] | None = None,
        getsizeof: Callable[[Profile | None], int] | None = None,
        max_profile_bytes: int | None = None,
        keep_stale: float = 0.0,
        policy: str = "lru",
    ) -> None:
        Pool.__init__(
            self, maxsize, clock=clock, max_profile_bytes=max_profile_bytes, keep_stale=keep_stale, policy=policy
        )
        cachetools.Cache.__init__(self, maxsize, getsizeof)
        self._ttu = ttu
        if getsizeof is not None:
            self._own_sizes, self._weigh = False, partial(_weigh_by, getsizeof)

    @staticmethod
    def getsizeof(value: Profile | None) -> int:
        """Bytes of memory that an item takes, its id value and its share of the id type's table not counted."""
        return ENTRY_SIZE + data_size(value)

    @property
    def currsize(self) -> int:
        """The sum of the sizes of all items: bytes, unless ``getsizeof`` says otherwise."""
        self.expire()
        return self.size

    def __getitem__(self, key: Key) -> Profile | None:
        entry = self._servable(key)
        return self.__missing__(key) if entry is None else self.view(self._touch(entry))

    def __setitem__(self, key: Key, value: Profile | None) -> None:
        now = self._clock()
        expires = now + _AGES if self._ttu is None else min(self._ttu(key, value, now), now + _AGES)
        self.expire(now)
        destination, entity, id_type, name = key
        space = self.space(destination, entity, id_type)
        if expires <= now:
            self.drop(space, name)
            return
        self._check(space, name, value)
        self._insert(space, Entry(name, space.home, value, FOREVER, expires, expires - now, expires, None))

    def __delitem__(self, key: Key) -> None:
        entry = self._entry(key)
        if entry is None:
            raise KeyError(key)
        expired = entry.expires <= self._clock()
        self.drop_identity(*key)
        if expired:
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return self._servable(key) is not None

    def __iter__(self) -> Iterator[Key]:
        now = self._clock()
        for space in self._spaces.values():
            for name, entry in space.entries.items():
                if now < entry.expires and now < entry.lease.until:
                    yield (*space.home, name)

    def __len__(self) -> int:
        self.expire()
        return self.count

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.count} entries, size {self.size} of {self._limit}>"

    def __copy__(self) -> NoReturn:
        raise TypeError("a cache of profiles is not copied or pickled: its entries live by the leases of this process")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        self.__copy__()

    def popitem(self) -> tuple[Key, Profile | None]:
        """Remove and return the least recent item that has not expired; raises `KeyError` if there is none."""
        self.expire()
        if not self.count:
            raise KeyError(f"{type(self).__name__} is empty")
        entry = self._victim()
        key, value = (*entry.home, entry.value), self._value(entry)
        self._remove(entry)
        self.evictions.capacity += 1
        return key, value

    def expire(self, time: float | None = None) -> list[tuple[Key, Profile | None]]:
        """Remove and return all items past their deadline. It walks the cache, if any item can be."""
        now = self._clock() if time is None else time
        if now < self._earliest:
            return []
        entries = [entry for space in self._spaces.values() for entry in space.entries.values()]
        ended = [entry for entry in entries if entry.expires <= now]
        items: list[tuple[Key, Profile | None]] = [((*entry.home, entry.value), self._value(entry)) for entry in ended]
        for entry in ended:
            self._remove(entry)
            self._tidy()
        self.evictions.expired += len(ended)
        self._earliest = min((entry.expires for entry in entries if entry.lease is not ENDED), default=math.inf)
        return items

    def _entry(self, key: Any) -> Entry | None:
        return self.find(*key) if isinstance(key, tuple) and len(key) == 4 else None

    def _servable(self, key: object) -> Entry | None:
        entry = self._entry(key)
        if entry is None:
            return None
        now = self._clock()
        return entry if now < entry.expires and now < entry.lease.until else None

    def _touch(self, entry: Entry) -> Entry:
        """Make it the most recent one: a twin takes its place, and the place in the queue becomes a tombstone."""
        twin = msgspec.structs.replace(entry)
        self._spaces[entry.home].entries[entry.value] = twin
        self._recency.push(twin)
        self._bury(entry)
        self._tidy()
        return twin

    def _check(self, space: Space, name: str, value: Profile | None) -> None:
        if not (value is None or isinstance(value, Profile)):
            raise TypeError(f"a {type(value).__name__} is no profile: set Profile(mapping), or None for an absent one")
        size = self._weigh(name, value)
        if size < 0:
            raise ValueError("value size must be non-negative")
        if size + space.size > self._limit or self._is_large(value):
            raise ValueError("value too large")

    def _value(self, entry: Entry) -> Profile | None:
        data = entry.data
        return self.decode(entry, data) if isinstance(data, bytes) else data


def _weigh_by(getsizeof: Callable[[Profile | None], int], _value: str, data: bytes | Profile | None) -> int:
    return int(getsizeof(decode(data) if isinstance(data, bytes) else data))
