"""Cuts keyspace events out of a stream of bytes, for the one form in which Redis sends nearly all of them.

A pattern subscriber is sent the same four-element array again and again; between two keys only a few bytes differ. So a
chunk is split at what all frames have in common, and each part is compared with the only bytes that a part of its
length can begin with: lengths, pattern and channel prefix in one comparison. A part that passes is one whole event,
whatever bytes its key holds, because its length is right. Everything else is left to the general reader, from exactly
that byte on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Cut", "Cutter"]

_HEAD: Final = b"*4\r\n$8\r\npmessage\r\n$"
_EVENTS: Final = ("hset", "set", "del", "expire", "hdel", "expired", "json.set", "restore", "rename_to", "copy_to")
_LONGEST: Final = 512
"""Parts beyond this many bytes are not tabulated; the general reader takes them."""


class Cut(NamedTuple):
    """What was cut from a chunk.

    ``changes`` are the keys named by events, in order, in runs of one pattern each. ``rest`` is what follows: nothing,
    the beginning of another event (``partial``), or anything else.
    """

    changes: list[tuple[bytes, list[bytes]]]
    rest: bytes
    partial: bool


class Cutter:
    """``channels`` gives the channel prefix (``__keyspace@0__:``) of each subscribed pattern."""

    def __init__(self, channels: Mapping[bytes, bytes]) -> None:
        self._tails = [b"\r\n$%d\r\n%b\r\n" % (len(name), name) for name in map(str.encode, _EVENTS)]
        self._openings = [_openings(pattern, prefix) for pattern, prefix in channels.items()]

    def cut(self, data: bytes) -> Cut:
        """Take whole events from the front of ``data``, which begins where a frame begins."""
        parts = data.split(_HEAD)
        if parts[0]:
            return Cut([], data, _HEAD.startswith(data))
        changes: list[tuple[bytes, list[bytes]]] = []
        position = 1
        while position < len(parts):
            pattern, keys = self._run(parts, position)
            if not keys:
                break
            changes.append((pattern, keys))
            position += len(keys)
        rest = b"".join([_HEAD + part for part in parts[position:]])
        return Cut(changes, rest, position >= len(parts) - 1)

    def _run(self, parts: list[bytes], position: int) -> tuple[bytes, list[bytes]]:
        """The longest run of whole events of one pattern and one kind."""
        part = parts[position]
        for tail in self._tails:
            if part.endswith(tail):
                for pattern, openings in self._openings:
                    keys = _cut_run(parts, position, openings, tail)
                    if keys:
                        return pattern, keys
        return b"", []


def _cut_run(parts: list[bytes], position: int, openings: list[tuple[bytes, int]], tail: bytes) -> list[bytes]:
    keys: list[bytes] = []
    take = keys.append
    end = len(tail)
    limit = len(openings) + end
    for index in range(position, len(parts)):
        part = parts[index]
        size = len(part)
        if not part.endswith(tail) or size >= limit:
            break
        opening, start = openings[size - end]
        if not part.startswith(opening):
            break
        take(part[start:-end])
    return keys


def _openings(pattern: bytes, prefix: bytes) -> tuple[bytes, list[tuple[bytes, int]]]:
    """By the length of a part without its tail: the bytes that it must begin with, and how many they are."""
    table = []
    for size in range(_LONGEST):
        opening = _opening(pattern, prefix, size)
        table.append((opening, len(opening)))
    return pattern, table


def _opening(pattern: bytes, prefix: bytes, size: int) -> bytes:
    """The beginning of a part of this size: ``pattern length, pattern, channel length, channel prefix``."""
    fixed = b"%d\r\n%b\r\n$" % (len(pattern), pattern)
    for digits in range(1, 4):
        length = size - len(fixed) - digits - 2
        if length >= len(prefix) and len(str(length)) == digits:
            return b"%b%d\r\n%b" % (fixed, length, prefix)
    return b"\0impossible"
