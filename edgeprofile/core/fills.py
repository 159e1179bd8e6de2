"""Fill tokens: the identity of one fetch of one key, from before its first byte is sent until its reply is parsed.

A fetch and an event race each other: the reply may have left the server before the write whose event was processed
first. So a fetch is registered under its key before it is sent, and anything that may have changed the key poisons the
registration. A poisoned fetch answers those who were waiting already, is never stored, and is never joined again.

The same registration makes misses single-flight: whoever looks the key up meanwhile joins it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from edgeprofile.core.coherence import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator, KeysView


__all__ = ["Fill", "Fills"]


class Fill(msgspec.Struct, eq=False):
    """One fetch: its keys, when it was begun, the lease it was begun under, and who waits for it.

    ``lease`` is `None` for a fetch begun while nothing was proved; its reply is its own proof. ``outcome`` is what the
    fetch brought, or the error that it met; `None` while it is under way. ``where``, ``helped`` and ``overdue`` are the
    caller's to use.
    """

    identity: Any
    keys: tuple[bytes, ...]
    sent: float
    lease: Lease | None
    refresh: bool = False
    poisoned: bool = False
    outcome: Any = None
    where: Any = None
    helped: bool = False
    overdue: bool = False
    waiters: list[Callable[[], object]] = []


class Fills:
    """The fetches under way against one node, by key; at most one of them is live for each key."""

    __slots__ = ("_by_key",)

    def __init__(self) -> None:
        self._by_key: dict[bytes, Fill] = {}

    def __len__(self) -> int:
        return len(set(self._by_key.values()))

    def __iter__(self) -> Iterator[Fill]:
        return iter(set(self._by_key.values()))

    def keys(self) -> KeysView[bytes]:
        """The keys of all fetches under way, as they are at any time."""
        return self._by_key.keys()

    def live(self, key: bytes) -> Fill | None:
        """The fetch that a lookup of this key may join."""
        return self._by_key.get(key)

    def open(self, fill: Fill) -> None:
        """Register a fetch under all its keys; one that it replaces is poisoned."""
        by_key = self._by_key
        for key in fill.keys:
            if key in by_key:
                self.poison(key)
            by_key[key] = fill

    def poison(self, key: bytes) -> bool:
        """Something may have changed this key: its fetch will not be stored and not be joined. Was there one?"""
        fill = self._by_key.get(key)
        if fill is None:
            return False
        self.close(fill)
        fill.poisoned = True
        return True

    def poison_all(self) -> int:
        """Anything may have changed; how many fetches that spoiled."""
        spoiled = set(self._by_key.values())
        for fill in spoiled:
            fill.poisoned = True
        self._by_key.clear()
        return len(spoiled)

    def close(self, fill: Fill) -> bool:
        """The fetch ended. `True` if it is the live one of its keys still, so that its reply may be stored."""
        by_key, keys = self._by_key, fill.keys
        live = not fill.poisoned and by_key.get(keys[0]) is fill
        for key in keys:
            if by_key.get(key) is fill:
                del by_key[key]
        return live
