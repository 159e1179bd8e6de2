"""Views that were synced and are no longer in the project: what they sent stays in Redis until somebody has it removed.

The table of runs knows them, and their last snapshots know their keys. To remove one is a run like any other: a mirror
of a view that has no rows.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import ibis
from msgspec import Struct

from edgeprofile.reverse_etl.errors import WarehouseError
from edgeprofile.reverse_etl.jobs import Job, connection_id_of, fingerprint_of, target_of
from edgeprofile.reverse_etl.plan import Mode
from edgeprofile.reverse_etl.project import Source
from edgeprofile.reverse_etl.state import State
from edgeprofile.reverse_etl.sync import keys_left_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edgeprofile.config import Destination
    from edgeprofile.reverse_etl.warehouse import Session

__all__ = ["Leftover", "leftovers", "removal"]


class Leftover(Struct, frozen=True):
    """What a view left: under ``keys`` keys, where a snapshot still tells; ``has_cursor``: there may be more."""

    source: Source
    connection_id: str
    keys: int | None
    has_cursor: bool

    @property
    def view(self) -> str:
        """The view, which is the field as well."""
        return self.source.views[0]

    def __str__(self) -> str:
        told = f"{self.view} ({self.source.name}) is no longer in the project, but what it sent stays in Redis"
        if self.keys is None:
            return f"{told}; its last snapshot is gone, and with it under which keys"
        more = ", and under those that its last run did not look at" if self.has_cursor else ""
        return f"{told}, under {self.keys:,} keys{more}: put it back, or delete that with --remove {self.view}"


def leftovers(session: Session, sources: Iterable[Source], destination: Destination) -> list[Leftover]:
    """The views whose fields are in the destination though they are none of the ``sources``."""
    found = (_leftover(session, one) for one in _former(session, tuple(sources), destination))
    return [one for one in found if one.keys != 0]


def _former(session: Session, sources: tuple[Source, ...], destination: Destination) -> Iterator[tuple[str, Source]]:
    rows = State(session).connections()
    current = [(source, _names(session, source)) for source in sources] if rows else []
    for row in rows:
        entity, id_type, view = row["entity"], row["id_type"], row["view_name"]
        names = {name for one, found in current if (one.entity, one.id_type) == (entity, id_type) for name in found}
        is_ours = row["connection_id"] == connection_id_of(destination, entity, id_type, view)
        if is_ours and view not in names and view.casefold() not in names:
            yield row["connection_id"], Source(entity, id_type, (view,), id_type, "")


def _names(session: Session, source: Source) -> set[str]:
    """The view that a source is; where the warehouse has none at the moment, any that it may be, in lower case."""
    found = None
    with suppress(WarehouseError):
        found = session.find_view(source.views)
    return {found[0]} if found else {name.casefold() for name in source.views}


def _leftover(session: Session, former: tuple[str, Source]) -> Leftover:
    connection_id, source = former
    state = State(session)
    last, run = state.last_run(connection_id) or (None, None)
    if last is None or run is None or not state.has_left(run):
        return Leftover(source, connection_id, None, has_cursor=False)
    has_cursor = bool(last.fingerprint.get("cursorColumn"))
    return Leftover(source, connection_id, keys_left_by(session, last, run), has_cursor)


def removal(session: Session, leftover: Leftover, destination: Destination) -> Job:
    """The job that takes out of Redis what a view left. Raises ``WarehouseError`` where nothing tells the keys."""
    _, run = State(session).last_run(leftover.connection_id) or (None, None)
    if run is None or leftover.keys is None:
        raise WarehouseError(f"{leftover}; to have it forgotten, delete {leftover.connection_id} from SYNC_RUNS")
    snapshot = session.table(run.snapshot)
    id_column = snapshot.columns[0]
    source = leftover.source
    target = target_of(destination, source, leftover.view)
    return Job(
        source=source,
        view=snapshot.select(id_column).filter(ibis.literal(False)),
        id_column=id_column,
        traits={},
        mode=Mode.MIRROR,
        cursor="",
        target=target,
        json_mode=destination.config.use_json_module,
        fingerprint=fingerprint_of(destination, mode=Mode.MIRROR, ttl=target.ttl, cursor="", id_column=id_column),
        connection_id=leftover.connection_id,
        max_deleted_share=1.0,
        notices=(),
    )
