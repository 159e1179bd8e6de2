"""The order in which entries are considered for eviction.

A queue in chunks. A full chunk is a tuple: the garbage collector finds that nothing in it can be part of a cycle and
stops walking it, so its pauses do not grow with the cache. Entries leave the middle of the queue only when a pass over
a chunk filters them out; until then they are tombstones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from edgeprofile.core.entries import Entry

__all__ = ["CHUNK", "RECENCIES", "Recency", "Sieve"]

CHUNK: Final = 512


class Recency:
    """Entries, least recent first; tombstones included."""

    __slots__ = ("_cursor", "_middle", "_newest", "_oldest")

    def __init__(self) -> None:
        self._oldest: list[Entry] = []  # in reverse: its end is the queue's head
        self._middle: list[tuple[Entry, ...]] = []
        self._newest: list[Entry] = []
        self._cursor = 0

    def __iter__(self) -> Iterator[Entry]:
        yield from reversed(self._oldest)
        for chunk in self._middle:
            yield from chunk
        yield from self._newest

    def __bool__(self) -> bool:
        return bool(self._oldest or self._middle or self._newest)

    def push(self, entry: Entry) -> None:
        """Add the most recent one."""
        newest = self._newest
        newest.append(entry)
        if len(newest) >= CHUNK:
            self._middle.append(tuple(newest))
            newest.clear()

    def spare(self, entry: Entry) -> None:
        """Put back the one that was taken last: it was used, and goes to the end of the queue."""
        self.push(entry)

    def pop(self) -> Entry:
        """Remove and return the least recent one; raises `IndexError` if there is none."""
        if not self._oldest:
            self._advance()
        return self._oldest.pop()

    def sift(self, keep: Callable[[Iterable[Entry]], list[Entry]]) -> bool:
        """Replace the next chunk by what ``keep`` keeps of it; whether that was the last chunk of a round."""
        cursor, middle = self._cursor, self._middle
        if cursor >= len(middle):
            self._oldest, self._newest, self._cursor = keep(self._oldest), keep(self._newest), 0
            return True
        kept = tuple(keep(middle[cursor]))
        if not kept:  # an empty chunk would look like the end of the queue
            del middle[cursor]
        elif cursor and len(middle[cursor - 1]) + len(kept) <= CHUNK:
            middle[cursor - 1] += kept
            del middle[cursor]
        else:
            middle[cursor] = kept
            self._cursor += 1
        return False

    def _advance(self) -> None:
        if self._middle:
            self._oldest.extend(reversed(self._middle.pop(0)))
            self._cursor = max(self._cursor - 1, 0)
        else:
            self._oldest, self._newest = self._newest[::-1], []


class Sieve(Recency):
    """The order of SIEVE: what is spared keeps its place, so that what was never used again is found and goes first.

    A hand goes from the oldest entry to the newest. What it has passed is a queue of its own; when it has passed all,
    it begins anew with that. New entries join at the far end, and are judged when the hand comes to them.
    """

    __slots__ = ("_ahead", "_is_passed_next", "_passed")

    def __init__(self) -> None:
        self._ahead = Recency()
        self._passed = Recency()
        self._is_passed_next = False

    def __iter__(self) -> Iterator[Entry]:
        yield from self._passed
        yield from self._ahead

    def __bool__(self) -> bool:
        return bool(self._ahead or self._passed)

    def push(self, entry: Entry) -> None:
        """Add the most recent one."""
        if not self._ahead:
            self._begin_anew()
        self._ahead.push(entry)

    def spare(self, entry: Entry) -> None:
        """Put back the one that was taken last, where it was: behind the hand."""
        self._passed.push(entry)

    def pop(self) -> Entry:
        """Remove and return the one at the hand; raises `IndexError` if there is none."""
        if not self._ahead:
            self._begin_anew()
        return self._ahead.pop()

    def sift(self, keep: Callable[[Iterable[Entry]], list[Entry]]) -> bool:
        """Replace the next chunk, of what the hand has passed once the others had their turn."""
        if self._is_passed_next:
            self._is_passed_next = not self._passed.sift(keep)
            return not self._is_passed_next
        self._is_passed_next = self._ahead.sift(keep)
        return False

    def _begin_anew(self) -> None:
        self._ahead, self._passed = self._passed, self._ahead


RECENCIES: Final[dict[str, type[Recency]]] = {"lru": Recency, "sieve": Sieve}
