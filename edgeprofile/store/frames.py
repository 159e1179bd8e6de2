"""Cuts keyspace events out of a stream of bytes, for the one form in which Redis sends nearly all of them.

A pattern subscriber is sent the same four-element array again and again; between two keys only a few bytes differ. So a
chunk is split at what all frames have in common, and each part is compared with the only bytes that a part of its
length can begin with: lengths, pattern and channel prefix in one comparison. A part that passes is one whole event,
whatever bytes its key holds, because its length is right. Everything else is left to the general reader, from exactly
that byte on.

Most events are named alike, too. A run of such is split at the name and the next frame's beginning together, so that
nothing is left behind the keys and what is to be done for each is one call.

Where the compiled part was built, it cuts instead, by the lengths that stand in the bytes. It takes every whole event of a
subscribed pattern, however odd; what a feed tells is the same.
"""

from __future__ import annotations

from itertools import compress, takewhile
from operator import is_
from typing import TYPE_CHECKING, Final, NamedTuple

from edgeprofile.speedups import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BEGINNING", "CompiledCutter", "Cut", "Cutter", "cutter"]

BEGINNING: Final = b"*4\r\n$8\r\npmessage\r\n$"
"""What every event begins with."""
_HEAD: Final = BEGINNING[:7]
"""Where chunks are split: the search for so many bytes takes the least time."""
_MARK: Final = b"\r\n$"
_LONGEST_NUMBER: Final = 12
_LONGEST: Final = 512
"""Parts beyond this many bytes are not tabulated; the general reader takes them."""
_FEW: Final = 2048
"""Bytes of a chunk in which it does not pay to look for a run."""
_MOST_NAMES: Final = 64
"""Names of events, with their lengths, that are remembered; others are looked at each time."""


class Cut(NamedTuple):
    """What was cut from a chunk.

    ``changes`` are the keys named by events, in order, in runs of one pattern each. ``rest`` is what follows: nothing or
    the beginning of another event (``partial``), or anything else.
    """

    changes: list[tuple[bytes, list[bytes]]]
    rest: bytes
    partial: bool


class _Kind(NamedTuple):
    """A subscribed pattern, and by the length of a part without the event's name the bytes that it must begin with."""

    pattern: bytes
    openings: list[bytes]


class Cutter:
    """``channels`` gives the channel prefix (``__keyspace@0__:``) of each subscribed pattern."""

    def __init__(self, channels: Mapping[bytes, bytes]) -> None:
        self._names: set[bytes] = set()
        self._kinds = [_Kind(pattern, _openings(pattern, prefix)) for pattern, prefix in channels.items()]

    def cut(self, data: bytes) -> Cut:
        """Take whole events from the front of ``data``, which begins where a frame begins."""
        changes: list[tuple[bytes, list[bytes]]] = []
        if data.startswith(_HEAD):
            data = self._mixed(data if len(data) < _FEW else self._alike(data, changes), changes)
        return Cut(changes, data, _is_partial(data))

    def _alike(self, data: bytes, changes: list[tuple[bytes, list[bytes]]]) -> bytes:
        """Take events for as long as they have the first one's pattern and name, but for the last; what follows."""
        second = data.find(_HEAD, len(_HEAD))
        body, _, name = data[len(_HEAD) : second].rpartition(_MARK)
        kind = self._kind(body) if second > 0 and len(body) < _LONGEST and self._is_name(name) else None
        if kind is None:
            return data
        between = _MARK + name + _HEAD
        bodies = data.split(between)
        rest = _HEAD + bodies.pop()
        bodies[0] = bodies[0][len(_HEAD) :]
        keys = _keys(bodies, kind.openings)
        if len(keys) < len(bodies):
            rest = data[sum(map(len, bodies[: len(keys)])) + len(keys) * len(between) :]
        changes.append((kind.pattern, keys))
        return rest

    def _mixed(self, data: bytes, changes: list[tuple[bytes, list[bytes]]]) -> bytes:
        """Take events of any pattern and name; what follows."""
        end = _end_of_parts(data)
        names, openings = self._names, _CLOSED
        keys: list[bytes] = []
        taken = 0
        for part in data[:end].split(_HEAD)[1:]:
            body, _, name = part.rpartition(_MARK)
            if len(body) >= _LONGEST or not (name in names or self._is_name(name)):
                break
            key = body.removeprefix(openings[len(body)])
            if key is body:
                kind = self._kind(body)
                if kind is None:
                    break
                openings = kind.openings
                key = body.removeprefix(openings[len(body)])
                if not changes or changes[-1][0] != kind.pattern:
                    changes.append((kind.pattern, []))
                keys = changes[-1][1]
            keys.append(key)
            taken += len(_HEAD) + len(part)
        return data[taken:]

    def _kind(self, body: bytes) -> _Kind | None:
        """Whose event a part without its name begins as."""
        size = len(body)
        for kind in self._kinds:
            if body.startswith(kind.openings[size]):
                return kind
        return None

    def _is_name(self, name: bytes) -> bool:
        """Whether this is a length and a text of that length, and nothing else."""
        if name in self._names:
            return True
        length, _, text = name.partition(b"\r\n")
        if not text.endswith(b"\r\n") or length != b"%d" % (len(text) - 2):
            return False
        if len(self._names) < _MOST_NAMES:
            self._names.add(name)
        return True


class CompiledCutter:
    """As `Cutter`, by the compiled part."""

    def __init__(self, channels: Mapping[bytes, bytes]) -> None:
        assert compiled is not None  # noqa: S101 (`cutter` asks)
        self._cut = compiled.cut
        self._channels = tuple(channels.items())

    def cut(self, data: bytes) -> Cut:
        """Take whole events from the front of ``data``, which begins where a frame begins."""
        changes, end = self._cut(data, self._channels)
        rest = data[end:]
        return Cut(changes, rest, _is_partial(rest))


def cutter(channels: Mapping[bytes, bytes]) -> Cutter | CompiledCutter:
    """The faster one that there is."""
    return Cutter(channels) if compiled is None else CompiledCutter(channels)


def _keys(bodies: list[bytes], openings: list[bytes]) -> list[bytes]:
    """The keys of the bodies before the first that does not begin as one of its length must."""
    try:
        keys = [body.removeprefix(openings[len(body)]) for body in bodies]
    except IndexError:
        return _keys(list(takewhile(lambda body: len(body) < _LONGEST, bodies)), openings)
    unopened = next(compress(range(len(keys)), map(is_, bodies, keys)), len(keys))
    return keys if unopened == len(keys) else keys[:unopened]


def _end_of_parts(data: bytes) -> int:
    """Where the last bytes begin that may be the first of another head."""
    start = data.rfind(b"*", max(0, len(data) - len(_HEAD) + 1))
    return start if start >= 0 and _HEAD.startswith(data[start:]) else len(data)


def _is_partial(data: bytes) -> bool:
    """Whether bytes are nothing or the beginning of one event, and not yet a whole one or anything else."""
    if not data.startswith(BEGINNING):
        return BEGINNING.startswith(data)
    position = len(BEGINNING) - 1
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


def _openings(pattern: bytes, prefix: bytes) -> list[bytes]:
    """By the length of a part without its name: the bytes that it must begin with."""
    return [_opening(pattern, prefix, size) for size in range(_LONGEST)]


_IMPOSSIBLE: Final = b"\0impossible"
_CLOSED: Final = [_IMPOSSIBLE] * _LONGEST
"""The openings of no kind."""


def _opening(pattern: bytes, prefix: bytes, size: int) -> bytes:
    """The beginning of a part of this size: what is left of the head, pattern length, pattern, channel length and prefix."""
    fixed = b"%b%d\r\n%b\r\n$" % (BEGINNING[len(_HEAD) :], len(pattern), pattern)
    for digits in range(1, 4):
        length = size - len(fixed) - digits - 2
        if length >= len(prefix) and len(str(length)) == digits:
            return b"%b%d\r\n%b" % (fixed, length, prefix)
    return _IMPOSSIBLE
