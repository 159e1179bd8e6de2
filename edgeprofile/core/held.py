"""Which of many keys are cached: of a feed's events nearly all concern others, so this is asked of all of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from edgeprofile.speedups import compiled

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["held", "held_here"]

Spaces: TypeAlias = tuple[tuple[bytes, dict[str, Any]], ...]
"""What some keys begin with, and what is cached by the text that they end as."""


def held_here(keys: list[bytes], spaces: Spaces) -> list[bytes]:
    """The keys that begin as a space's keys do and end as a name in it, space by space."""
    joined = _joined(keys) if spaces else ""
    found: list[bytes] = []
    for beginning, entries in spaces:
        prefix = beginning.decode()
        values = _among(joined, prefix, len(keys)) if joined and "\0" not in prefix else _ends(keys, beginning)
        found += [(prefix + value).encode("utf-8", "surrogateescape") for value in values if value in entries]
    return found


def _joined(keys: list[bytes]) -> str:
    """All keys as one text, a NUL before each; empty if a key holds one."""
    text = "\0" + b"\0".join(keys).decode("utf-8", "surrogateescape")
    return text if text.count("\0") == len(keys) else ""


def _among(joined: str, prefix: str, count: int) -> list[str]:
    """What follows the prefix in those of ``count`` joined keys that begin with it."""
    values = joined.split("\0" + prefix)[1:]
    return values if len(values) == count else [value.partition("\0")[0] for value in values]


def _ends(keys: list[bytes], prefix: bytes) -> list[str]:
    """As `_among`, of keys that may hold anything."""
    size = len(prefix)
    return [key[size:].decode("utf-8", "surrogateescape") for key in keys if key.startswith(prefix)]


held: Callable[[list[bytes], Spaces], list[bytes]] = held_here if compiled is None else compiled.held
