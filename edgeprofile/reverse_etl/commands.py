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
    """Where a source's rows go: keys are ``prefix`` + id value, the field is the ``model``; ``ttl`` in seconds or 0."""

    prefix: str
    model: str
    ttl: int = 0


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
    """The commands of some rows: for each row one command of each of ``columns``, in that order.

    ``rows`` says which; ``columns`` are ``pa.string()`` arrays of packed commands.
    """

    __slots__ = ("__dict__", "columns", "rows")

    def __init__(self, rows: Rows, columns: tuple[pa.Array, ...]) -> None:
        self.rows = rows
        self.columns = columns

    @classmethod
    def of(cls, rows: Rows) -> Self:
        """``HSET key model document`` for each row, and ``EXPIRE key ttl`` where there is a ttl.

        Rows without documents are deletions: ``HDEL key model``; the key goes with its last field.
        """
        target, ids = rows.target, rows.ids
        if rows.documents is None:
            return cls(rows, (_packed(target, ids, "HDEL", target.model),))
        write = _packed(target, ids, "HSET", target.model, rows.documents)
        return cls(rows, (write, *_expiry(target, ids)))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def replies_per_row(self) -> int:
        """How many replies each row gets."""
        return len(self.columns)

    @cached_property
    def _wire(self) -> pa.Array:
        return self.columns[0] if len(self.columns) == 1 else pc.binary_join_element_wise(*self.columns, "")

    @cached_property
    def _ends(self) -> memoryview:
        wire = self._wire
        offsets = memoryview(wire.buffers()[1]).cast("i")
        return offsets[wire.offset : wire.offset + len(wire) + 1]

    def payload(self) -> memoryview:
        """The bytes of all commands, without a copy."""
        return self._bytes(0, len(self))

    def keys(self) -> list[bytes]:
        """The key of each row."""
        return self.rows.keys()

    def row(self, index: int) -> list[bytes]:
        """The commands of one row, one by one."""
        return [column[index].as_py().encode() for column in self.columns]

    def take(self, rows: Sequence[int]) -> Commands:
        """The commands of some of the rows."""
        chosen = pa.array(rows, pa.int32())
        return Commands(self.rows.take(rows), tuple(column.take(chosen) for column in self.columns))

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
        piece = Commands(self.rows.slice(start, stop), tuple(column[start:stop] for column in self.columns))
        piece.__dict__["_wire"] = self._wire[start:stop]
        return piece

    def _bytes(self, start: int, stop: int) -> memoryview:
        data = self._wire.buffers()[2]
        return memoryview(data)[self._ends[start] : self._ends[stop]] if data else memoryview(b"")


def _expiry(target: Target, ids: pa.Array) -> tuple[pa.Array, ...]:
    return (_packed(target, ids, "EXPIRE", str(target.ttl)),) if target.ttl else ()


def _packed(target: Target, ids: pa.Array, name: str, argument: str, values: pa.Array | None = None) -> pa.Array:
    """``name prefix+id argument [value]`` in the Redis protocol, for each row."""
    count = 3 if values is None else 4
    key_bytes = pc.add(pc.binary_length(ids), len(target.prefix.encode())).cast(pa.string())
    middle = f"{_CRLF}${len(argument.encode())}{_CRLF}{argument}{_CRLF}"
    parts: list[Any] = [f"*{count}{_CRLF}${len(name)}{_CRLF}{name}{_CRLF}$", key_bytes, _CRLF + target.prefix, ids]
    if values is None:
        parts.append(middle)
    else:
        parts += [f"{middle}$", pc.binary_length(values).cast(pa.string()), _CRLF, values, _CRLF]
    return pc.binary_join_element_wise(*parts, "")
