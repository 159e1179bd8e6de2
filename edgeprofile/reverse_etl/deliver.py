"""From a snapshot to Redis: rows out of the warehouse, into JSON and commands, and into the sockets, all at once."""

from __future__ import annotations

import queue
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec
import pyarrow as pa

from edgeprofile.reverse_etl.commands import Commands, Rows
from edgeprofile.reverse_etl.expressions import OPERATION, travelling
from edgeprofile.reverse_etl.json_text import json_objects
from edgeprofile.reverse_etl.plan import Operation
from edgeprofile.reverse_etl.state import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir

    from edgeprofile.reverse_etl.commands import Target
    from edgeprofile.reverse_etl.warehouse import Session
    from edgeprofile.store.writer import Settled

__all__ = ["Delivered", "Documents", "Shipment", "Writer", "deliver", "prefetched"]

T = TypeVar("T")
_ENCODED_AT_ONCE = 32 << 20
_AROUND_A_VALUE = 6  # colon, comma, and the text of a small value, which has more digits than bytes
_AHEAD = 2


class Writer(Protocol):
    """Takes batches, tells what became of them: ``BulkWriter`` or ``DocumentWriter``."""

    def deliver(self, batches: Iterable[Any]) -> Iterator[Settled]:
        """Send all batches; yields as their rows get in."""


class Documents:
    """Rows for a ``DocumentWriter``."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.model = rows.target.model
        self.ttl = rows.target.ttl
        self.persist = rows.target.persist

    def __len__(self) -> int:
        return len(self.rows)

    def keys(self) -> list[bytes]:
        """The key of each row."""
        return self.rows.keys()

    def texts(self) -> list[str | None]:
        """The JSON of each row's member; ``None`` where it is to go."""
        documents = self.rows.documents
        return [None] * len(self) if documents is None else documents.to_pylist()

    def take(self, rows: Sequence[int]) -> Documents:
        """Some of the rows."""
        return Documents(self.rows.take(rows))


@dataclass(frozen=True, slots=True)
class Shipment:
    """What to deliver and how.

    ``rows`` are the deliverable rows of a snapshot, ``kinds`` the traits and their types in the warehouse.
    ``batch_rows`` are read at a time; a piece to Redis has at most ``batch_bytes`` and ``most_rows``.
    """

    rows: ir.Table
    kinds: dict[str, dt.DataType]
    target: Target
    json_mode: bool
    batch_rows: int
    batch_bytes: int
    most_rows: int


class Delivered(msgspec.Struct):
    """How many rows got in, so far."""

    delivered: int = 0
    failed: int = 0


def deliver(
    session: Session,
    shipment: Shipment,
    writer: Writer,
    failed: Callable[[list[Failure]], None],
    may_write: Callable[[], None],
) -> Generator[Delivered, None, None]:
    """Deliver a shipment; yields the running counts. ``failed`` is told of rows that Redis would not take.

    ``may_write`` is called before each piece and after each answer, and raises where nothing more may be sent.

    The warehouse is read, and its rows encoded, in a thread ahead of the writes; ``session`` is used there alone.
    """
    counts = Delivered()
    with prefetched(lambda: shipped_rows(session, shipment), _AHEAD) as rows:
        for settled in writer.deliver(_allowed(_pieces(rows, shipment), may_write)):
            may_write()
            failures = [_failure(settled, row, reason) for row, reason in settled.refused]
            if failures:
                failed(failures)
            counts.delivered += settled.delivered
            counts.failed += len(failures)
            yield counts


def _allowed(pieces: Iterable[T], may_write: Callable[[], None]) -> Iterator[T]:
    for piece in pieces:
        may_write()
        yield piece


def shipped_rows(session: Session, shipment: Shipment) -> Iterator[Rows]:
    """The rows of a shipment, encoded: first the deletions, then the writes."""
    operation = shipment.rows[OPERATION]
    gone = shipment.rows.filter(operation == Operation.DELETE.value)
    for batch in session.stream(travelling(gone, (), session.dialect), shipment.batch_rows):
        yield Rows(shipment.target, _text(batch, 0), _text(batch, 1), None)
    present = shipment.rows.filter(operation != Operation.DELETE.value)
    labels = sum(len(msgspec.json.encode(name)) + _AROUND_A_VALUE for name in shipment.kinds)
    moving = travelling(present, tuple(shipment.kinds), session.dialect)
    for batch in session.stream(moving, shipment.batch_rows):
        for part in _bounded(batch, labels):
            yield Rows(shipment.target, _text(part, 0), _text(part, 1), json_objects(part, shipment.kinds))


def _text(batch: pa.RecordBatch, column: int) -> pa.Array:
    return batch.column(column).cast(pa.string())


def _bounded(batch: pa.RecordBatch, labels: int) -> Iterator[pa.RecordBatch]:
    """Parts of a batch whose encoded form is small; ``labels``: the bytes that each row has beside its values."""
    count = max(1, -(-(batch.nbytes + len(batch) * labels) // _ENCODED_AT_ONCE))
    rows = -(-len(batch) // count)
    for start in range(0, len(batch), max(rows, 1)):
        yield batch.slice(start, rows)


def _pieces(batches: Iterable[Rows], shipment: Shipment) -> Iterator[Commands | Documents]:
    for rows in batches:
        if shipment.json_mode:
            yield Documents(rows)
        else:
            yield from Commands.of(rows).pieces(shipment.batch_bytes, shipment.most_rows)


def _failure(settled: Settled, row: int, reason: str) -> Failure:
    batch: Any = settled.batch
    rows: Rows = batch.rows
    return Failure(rows.ids[row].as_py(), Operation(rows.operations[row].as_py()), reason)


@contextmanager
def prefetched(source: Callable[[], Iterator[T]], ahead: int) -> Iterator[Iterator[T]]:
    """Run an iterator in a thread, at most ``ahead`` items before its reader; its error is raised to the reader."""
    items: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(ahead)
    stopped = threading.Event()

    def produce() -> None:
        try:
            for item in source():
                if stopped.is_set():
                    return
                items.put((item, None))
            items.put((None, None))
        except BaseException as error:  # noqa: BLE001  # raised again where it can be handled
            items.put((None, error))

    def read() -> Iterator[T]:
        while True:
            item, error = items.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item

    thread = threading.Thread(target=produce, name="edgeprofile-sync-reader", daemon=True)
    thread.start()
    try:
        yield read()
    finally:
        stopped.set()
        while thread.is_alive():
            with items.mutex:
                items.queue.clear()
                items.not_full.notify_all()
            thread.join(0.05)
