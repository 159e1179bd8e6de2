"""How much memory values take in CPython, counted as its allocators round it up."""

from __future__ import annotations

import sys
from typing import Any, Final

__all__ = ["allocated", "tree_size"]

_SHARED: Final = frozenset((bool, type(None)))
_SMALL_INTS: Final = range(-5, 257)
_CACHED_KEY: Final = 32
"""msgspec keeps ASCII names up to this length, so that all profiles share them."""


def allocated(size: int) -> int:
    """Bytes that an object of ``sys.getsizeof`` ``size`` takes: a multiple of 16, behind a header of malloc's if large."""
    return (size + 15) & ~15 if size <= 512 else (size + 23) & ~15


def tree_size(value: Any) -> int:
    """Bytes of a decoded JSON value, all that hangs on it included, and what the interpreter shares left out."""
    if isinstance(value, dict):
        own = sum(allocated(sys.getsizeof(name)) for name in value if len(name) > _CACHED_KEY or not name.isascii())
        return allocated(sys.getsizeof(value)) + own + sum(map(tree_size, value.values()))
    if isinstance(value, list):
        return allocated(sys.getsizeof(value)) + sum(map(tree_size, value))
    if type(value) in _SHARED or (type(value) is int and value in _SMALL_INTS):
        return 0
    return allocated(sys.getsizeof(value))
