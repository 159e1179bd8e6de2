"""The compiled part, where it was built: plain hits, the sifting of change events, what is read, and what is decoded.

Everything works without it, and means the same: a hit and an event cost two to three times as much then, decoding three
times. It is not built without a C compiler, nor for an interpreter without its lock; ``EDGEPROFILE_NO_EXTENSIONS=1``
leaves it out where it was. The first interpreter of a process to import it has it; others, and further copies of the
package, do without. So does a source tree whose compiled part was built before it had all that is asked of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["compiled"]

_PARTS: Final = (
    "Shelf",
    "Shortcut",
    "cut",
    "encode_plain",
    "freeze_as",
    "freeze_into",
    "held",
    "learn",
    "pick",
)

compiled: ModuleType | None
"""The extension module, or None."""

try:
    import edgeprofile._speedups as _built
except ImportError:
    compiled = None
else:
    compiled = _built if all(hasattr(_built, part) for part in _PARTS) else None
