"""How values lie in CPython's memory: what they take, as its allocators round it up, and what its collector walks."""

from __future__ import annotations

import ctypes
import gc
import sys
from sys import getrefcount, getsizeof
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["allocated", "bytes_size", "may_hold_containers", "text_size", "tree_size", "untrack"]

_BYTES: Final = getsizeof(b"")
_ASCII: Final = getsizeof("")
_UNSHARED: Final = 4
"""References to a name that one dict alone holds: the dict, two of the counting, and the parser's cache of names."""
_SHARED: Final = _UNSHARED + 1
_PLAIN: Final = frozenset({str, float})
_ROUNDING: Final = 8
"""What the allocator adds to an object by rounding up to 16 bytes, on average."""


def allocated(size: int) -> int:
    """Bytes that an object of ``sys.getsizeof`` ``size`` takes: a multiple of 16, behind a header of malloc's if large."""
    return (size + 15) & ~15 if size <= 512 else (size + 23) & ~15


def bytes_size(data: bytes) -> int:
    """Bytes that a ``bytes`` takes; `sys.getsizeof` says the same, but slowly."""
    return allocated(_BYTES + len(data))


def text_size(text: str) -> int:
    """Bytes that a ``str`` takes."""
    return allocated(_ASCII + len(text) if text.isascii() else getsizeof(text))


def tree_size(value: dict[str, Any] | list[Any]) -> int:
    """Bytes of a decoded JSON value with all that hangs on it; what it shares with others is not counted.

    Most values are texts and floats, which are summed without a look at each; the rest is corrected one by one.
    """
    items: Any = value.values() if isinstance(value, dict) else value
    total = allocated(getsizeof(value)) + sum(map(getsizeof, items)) + _ROUNDING * len(value)
    if isinstance(value, dict) and min(map(getrefcount, value), default=_SHARED) < _SHARED:
        total += sum([text_size(name) for name in value if getrefcount(name) <= _UNSHARED])
    for item in [item for item in items if type(item) not in _PLAIN]:
        total += _size(item) - getsizeof(item) - _ROUNDING
    return total


def _size(item: Any) -> int:
    if item is None or isinstance(item, bool):
        return 0
    if isinstance(item, int):
        return 0 if -6 < item < 257 else allocated(getsizeof(item))  # CPython has one object for each small integer
    return tree_size(item)


def _find_untrack() -> Callable[[object], object]:
    if sys.implementation.name != "cpython":
        return lambda _value: None
    function = ctypes.pythonapi["PyObject_GC_UnTrack"]
    function.argtypes = [ctypes.py_object]
    function.restype = None
    return function


untrack: Final = _find_untrack()
"""Take an object off the garbage collector's list: what can never be part of a cycle need not be walked again and again.

CPython does so by itself for tuples and dicts of plain values, but not for subclasses. It tracks a dict again if
something is put into it that could close a cycle.
"""

may_hold_containers: Final[Callable[[object], bool]] = getattr(gc, "is_tracked", lambda _value: True)
"""Whether a dict may hold dicts or lists: CPython up to 3.13 has the collector track only those that do."""
