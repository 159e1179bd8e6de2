"""Rows as Redis commands, already packed: a batch of writes is an Arrow column whose bytes go to the socket as they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Commands", "Rows", "Target"]

_CRLF = "\r\n"


class Target(msgspec.Struct, frozen=True):
    """Where a source's rows go: keys are ``prefix`` + id value, the field is the ``model``; ``ttl`` in seconds or 0.

    ``persist``: the keys have a time to live from earlier, and are to lose it.
    """

    prefix: str
    model: str
    ttl: int = 0
    persist: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows on their way: ``pa.string()`` arrays of id values, operations, and JSON documents (none: deletions)."""

    target: Target
    ids: pa.Array
    operations: pa.Array
    documents: pa.Array | None

    def __len__(self) -> int:
        return len(self.ids)

    def keys(self) -> list[bytes]:
        """The key of each row."""
        prefix = self.target.prefix.encode()
        return [prefix + identity.encode() for identity in self.ids.to_pylist()]

    def slice(self, start: int, stop: int) -> Rows:
        """Consecutive rows."""
        documents = None if self.documents is None else self.documents[start:stop]
        return Rows(self.target, self.ids[start:stop], self.operations[start:stop], documents)

    def take(self, rows: Sequence[int]) -> Rows:
        """Some of the rows."""
        chosen = pa.array(rows, pa.int32())
        documents = None if self.documents is None else self.documents.take(chosen)
        return Rows(self.target, self.ids.take(chosen), self.operations.take(chosen), documents)


class Commands:
    """One command for each row: ``rows`` says which, ``column`` is a ``pa.string()`` array of packed commands."""

    __slots__ = ("__dict__", "column", "is_last", "rows")

    replies_per_row = 1

    def __init__(self, rows: Rows, column: pa.Array, *, is_last: bool) -> None:
        self.rows = rows
        self.column = column
        self.is_last = is_last

    @classmethod
    def of(cls, rows: Rows) -> Self:
        """``HSET key model document`` for each row; the ``EXPIRE`` of a ttl, or ``PERSIST``, is ``following``.

        Rows without documents are deletions: ``HDEL key model``; the key goes with its last field.
        """
        target, ids = rows.target, rows.ids
        if rows.documents is None:
            return cls(rows, _packed(target, ids, "HDEL", target.model), is_last=True)
        is_last = not (target.ttl or target.persist)
        return cls(rows, _packed(target, ids, "HSET", target.model, rows.documents), is_last=is_last)

    def __len__(self) -> int:
        return len(self.rows)

    def following(self, rows: Sequence[int]) -> Commands | None:
        """What is to be sent for rows that are in, and for no others: a key that refused its field is not ours."""
        if self.is_last or not rows:
            return None
        written = self.rows.take(rows)
        target = written.target
        name, argument = ("EXPIRE", str(target.ttl)) if target.ttl else ("PERSIST", None)
        return Commands(written, _packed(target, written.ids, name, argument), is_last=True)

    @cached_property
    def _ends(self) -> memoryview:
        column = self.column
        offsets = memoryview(column.buffers()[1]).cast("i")
        return offsets[column.offset : column.offset + len(column) + 1]

    def payload(self) -> memoryview:
        """The bytes of all commands, without a copy."""
        return self._bytes(0, len(self))

    def keys(self) -> list[bytes]:
        """The key of each row."""
        return self.rows.keys()

    def row(self, index: int) -> list[bytes]:
        """The commands of one row, one by one."""
        return [self.column[index].as_py().encode()]

    def take(self, rows: Sequence[int]) -> Commands:
        """The commands of some of the rows."""
        return Commands(self.rows.take(rows), self.column.take(pa.array(rows, pa.int32())), is_last=self.is_last)

    def pieces(self, most_bytes: int, most_rows: int) -> Iterator[Commands]:
        """Consecutive rows of at most so many bytes (one row may have more) and so many rows."""
        start = 0
        while start < len(self):
            stop = self._stop(start, most_bytes, most_rows)
            yield self._slice(start, stop)
            start = stop

    def _stop(self, start: int, most_bytes: int, most_rows: int) -> int:
        ends = self._ends
        limit = ends[start] + most_bytes
        low, high = start + 1, min(start + most_rows, len(self))
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if ends[middle] <= limit else (low, middle - 1)
        return low

    def _slice(self, start: int, stop: int) -> Commands:
        return Commands(self.rows.slice(start, stop), self.column[start:stop], is_last=self.is_last)

    def _bytes(self, start: int, stop: int) -> memoryview:
        data = self.column.buffers()[2]
        return memoryview(data)[self._ends[start] : self._ends[stop]] if data else memoryview(b"")


def _packed(target: Target, ids: pa.Array, name: str, argument: str | None, values: pa.Array | None = None) -> pa.Array:
    """``name prefix+id [argument [value]]`` in the Redis protocol, for each row."""
    count = 2 + (argument is not None) + (values is not None)
    key_bytes = pc.add(pc.binary_length(ids), len(target.prefix.encode())).cast(pa.string())
    middle = _CRLF if argument is None else f"{_CRLF}${len(argument.encode())}{_CRLF}{argument}{_CRLF}"
    parts: list[Any] = [f"*{count}{_CRLF}${len(name)}{_CRLF}{name}{_CRLF}$", key_bytes, _CRLF + target.prefix, ids]
    if values is None:
        parts.append(middle)
    else:
        parts += [f"{middle}$", pc.binary_length(values).cast(pa.string()), _CRLF, values, _CRLF]
    return pc.binary_join_element_wise(*parts, "")
