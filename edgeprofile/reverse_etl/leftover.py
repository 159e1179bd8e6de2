"""Views that were synced and are no longer in the project: what they sent stays in Redis until somebody has it removed.

The table of runs knows them, and what their runs left knows their keys. To remove one is a run like any other, whose
snapshot has nothing but deletions.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from edgeprofile.reverse_etl.errors import WarehouseError
from edgeprofile.reverse_etl.jobs import Job, connection_id_of, fingerprint_of, target_of
from edgeprofile.reverse_etl.known_keys import known_keys
from edgeprofile.reverse_etl.plan import Mode
from edgeprofile.reverse_etl.project import Source
from edgeprofile.reverse_etl.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from edgeprofile.config import Destination
    from edgeprofile.reverse_etl.warehouse import Session

__all__ = ["Leftover", "leftovers", "removal"]


class Leftover(Struct, frozen=True):
    """What a view left: under ``keys`` keys, all below ``prefix``; ``None``: nobody can say any more, and ``why``.

    ``may_be_more``: than these.
    """

    source: Source
    connection_id: str
    prefix: str
    keys: int | None
    may_be_more: bool
    why: str

    @property
    def view(self) -> str:
        """The view, which is the field as well."""
        return self.source.views[0]

    def __str__(self) -> str:
        told = f"{self.view} ({self.source.name}) is no longer in the project, but what it sent stays in Redis"
        if self.keys is None:
            return (
                f"{told}, and under which keys is not known any more, because {self.why}: put it back and sync it with "
                f"--full before it is removed, or delete it yourself from the keys {self.prefix}*"
            )
        more = ", and maybe those of rows that left it before its last full run" if self.may_be_more else ""
        return f"{told}, under {self.keys:,} keys{more}: put it back, or delete that with --remove {self.view}"


def leftovers(session: Session, sources: Iterable[Source], destination: Destination) -> list[Leftover]:
    """The views whose fields are in the destination though they are none of the ``sources``."""
    found = (_leftover(session, one, destination) for one in _former(session, tuple(sources), destination))
    return [one for one in found if one.keys != 0]


def _former(session: Session, sources: tuple[Source, ...], destination: Destination) -> Iterator[tuple[str, Source]]:
    rows = State(session).connections()
    current = [(one.entity, one.id_type, _is_view_of(session, one)) for one in sources] if rows else []
    for row in rows:
        entity, id_type, view = row["entity"], row["id_type"], row["view_name"]
        is_ours = row["connection_id"] == connection_id_of(destination, entity, id_type, view)
        if is_ours and not any((entity, id_type) == one[:2] and one[2](view) for one in current):
            yield row["connection_id"], Source(entity, id_type, (view,), id_type, "")


def _is_view_of(session: Session, source: Source) -> Callable[[str], bool]:
    """Tells the view that a source is; where the warehouse has none at the moment, any that it may be, in either case."""
    found = None
    with suppress(WarehouseError):
        found = session.find_view(source.views)
    if found:
        name, _ = found
        return lambda view: view == name
    names = {name.casefold() for name in source.views}
    return lambda view: view.casefold() in names


def _leftover(session: Session, former: tuple[str, Source], destination: Destination) -> Leftover:
    connection_id, source = former
    known = known_keys(session, connection_id)
    keys = None if known.table is None else session.count(known.table)
    prefix = target_of(destination, source, source.views[0]).prefix
    return Leftover(source, connection_id, prefix, keys, known.may_be_more, known.why)


def removal(session: Session, leftover: Leftover, destination: Destination) -> Job:
    """The job that takes out of Redis what a view left. Raises ``WarehouseError`` where nothing tells the keys."""
    known = known_keys(session, leftover.connection_id)
    if known.table is None:
        raise WarehouseError(f"{leftover}; to have it forgotten, delete {leftover.connection_id} from SYNC_RUNS")
    source = leftover.source
    id_column = known.last.fingerprint["id column"]
    ttl = int(known.last.fingerprint["ttl"])  # which the keys keep that have other fields
    target = target_of(destination, source, leftover.view)
    changed = fingerprint_of(destination, mode=Mode.MIRROR, ttl=ttl, cursor="", id_column=id_column)
    before, now = known.last.fingerprint["destination"], changed["destination"]
    moved = f"{leftover.view} was last sent to {before}; it is removed from {now}, where the destination is now"
    return Job(
        source=source,
        view=None,
        id_column=id_column,
        traits={},
        mode=Mode.MIRROR,
        cursor="",
        target=target,
        json_mode=destination.config.use_json_module,
        fingerprint={**known.last.fingerprint, **changed},
        connection_id=leftover.connection_id,
        max_deleted_share=1.0,
        notices=(moved,) if before != now else (),
    )
