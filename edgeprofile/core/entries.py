"""What the cache holds: entries, and the spaces that they live in."""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import msgspec

from edgeprofile.core.coherence import Lease
from edgeprofile.profile import Profile

__all__ = ["ENDED", "Entry", "Evictions", "Home", "Space"]

Home: TypeAlias = tuple[str, str, str]
"""Destination id, entity and id type."""

ENDED: Final = Lease(-math.inf)
"""The lease of entries that were taken out."""


class Entry(msgspec.Struct, gc=False, eq=False):
    """One cached profile, or the knowledge that there is none.

    It carries no header for the garbage collector and is never walked by it, so nothing that it points to may ever
    point back. Its memory is counted: a field more, or a float that could be shared and is not, shows in the tests.

    ``data`` is the encoded profile until it is first wanted decoded, then the `Profile`, which carries its encoding;
    `None` says that Redis has no such profile. ``expires`` is its deadline and ``ready_until`` the same once nothing is
    left to decode, 0.0 before; ``life`` is the time from sending the fetch to the deadline. Seconds, on the engine's
    clock. ``used`` is `None` until the first use, then `True`, and `False` once eviction has looked at it since.

    Threads read entries without a lock, in this order: the deadline, the data, the lease. ``ready_until`` is set after
    the data is decoded, and the lease is ended before the data is taken away, so whoever found both good has good data.
    """

    value: str
    home: Home
    data: bytes | Profile | None
    lease: Lease
    expires: float
    life: float
    ready_until: float
    used: bool | None

    @property
    def sent(self) -> float:
        """When the fetch was sent, in seconds on the engine's clock."""
        return self.expires - self.life

    @property
    def raw(self) -> bytes | None:
        """The encoded profile."""
        data = self.data
        return data.json if isinstance(data, Profile) else data


class Space:
    """All entries of one destination, entity and id type, by id value.

    ``entries`` stays the same dict for as long as the space is pinned; a space that is not pinned leaves the cache with
    its last entry.
    """

    __slots__ = ("entries", "home", "pinned", "size")

    def __init__(self, home: Home, size: int) -> None:
        self.home = home
        self.size = size
        self.entries: dict[str, Entry] = {}
        self.pinned = False


class Evictions(msgspec.Struct):
    """How many entries left the cache, by reason, and how many were too large to enter it."""

    capacity: int = 0
    expired: int = 0
    revoked: int = 0
    dropped: int = 0
    replaced: int = 0
    cleared: int = 0
    oversize: int = 0
