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
_LONGEST_NUMBER: Final = 12
_LONGEST: Final = 512
"""Parts beyond this many bytes are not tabulated; the general reader takes them."""


class Cut(NamedTuple):
    """What was cut from a chunk.

    ``changes`` are the keys named by events, in order, in runs of one pattern each. ``rest`` is what follows: nothing or
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
        end = _end_of_parts(data)
        parts = data[:end].split(_HEAD)
        if parts[0]:
            return Cut([], data, partial=False)
        changes: list[tuple[bytes, list[bytes]]] = []
        position = 1
        while position < len(parts):
            pattern, keys = self._run(parts, position)
            if not keys:
                break
            changes.append((pattern, keys))
            position += len(keys)
        rest = b"".join([_HEAD + part for part in parts[position:]]) + data[end:]
        return Cut(changes, rest, partial=_is_partial(rest))

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


def _end_of_parts(data: bytes) -> int:
    """Where the last bytes begin that may be the first of another head."""
    start = data.rfind(b"*", max(0, len(data) - len(_HEAD) + 1))
    return start if start >= 0 and _HEAD.startswith(data[start:]) else len(data)


def _is_partial(data: bytes) -> bool:
    """Whether bytes are the beginning of one event, and not yet a whole one or anything else."""
    if _HEAD.startswith(data):
        return True
    position = len(_HEAD) - 1
    for _ in range(3):
        end = data.find(b"\r\n", position)
        if end < 0:
            return len(data) - position < _LONGEST_NUMBER
        if data[position : position + 1] != b"$" or not data[position + 1 : end].isdigit():
            return False
        position = end + 2 + int(data[position + 1 : end]) + 2
        if position > len(data):
            return True
    return False


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
