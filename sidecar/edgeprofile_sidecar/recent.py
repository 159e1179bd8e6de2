"""A bounded memory of what was worked out lately."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["Recent"]

K = TypeVar("K")
V = TypeVar("V")


class Recent(dict[K, V], Generic[K, V]):
    """A dict of at most ``size`` items, to be read with ``get``; what is put into a full one empties it first.

    To forget everything at times is cheaper than to know, at each use, what was used least.
    """

    __slots__ = ("_size",)

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def put(self, key: K, value: V) -> V:
        """Remember the value, and return it."""
        if len(self) >= self._size:
            self.clear()
        self[key] = value
        return value
