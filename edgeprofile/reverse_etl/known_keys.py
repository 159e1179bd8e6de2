"""Which keys the runs of a connection left in Redis, as far as the warehouse still tells.

The last snapshot knows them all, unless a cursor column chose its rows, or it is gone. Then each run since the last full
one has to be known, by its snapshot or by its lines in the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprofile.reverse_etl import expressions
from edgeprofile.reverse_etl.errors import WarehouseError
from edgeprofile.reverse_etl.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import ibis.expr.types as ir

    from edgeprofile.reverse_etl.plan import LastRun
    from edgeprofile.reverse_etl.state import Prepared, Run
    from edgeprofile.reverse_etl.warehouse import Session

__all__ = ["KnownKeys", "keys_to_remove", "known_keys", "left_by"]


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """The keys as a table of one column; ``None`` where some are missing, and ``why``. ``last`` is the last run.

    ``may_be_more``: a cursor column chose rows of some runs, of which none saw the rows that left before a full one.
    """

    table: ir.Table | None
    last: LastRun
    may_be_more: bool
    why: str = ""


def known_keys(session: Session, connection_id: str) -> KnownKeys:
    """What is known of a connection that had data prepared."""
    runs = State(session).prepared(connection_id)
    tables = session.tables()
    kept = [one for one in runs if one.run.is_in(tables)]
    whole = next((one for one in kept if not one.has_cursor), None)
    last = runs[0].last
    if whole is runs[0]:
        had_cursor = any(one.has_cursor for one in runs)
        return KnownKeys(expressions.all_keys([_by_snapshot(session, whole)]), last, may_be_more=had_cursor)
    since = runs[: runs.index(whole) + 1] if whole else runs
    pieces, why = _pieces(session, connection_id, since, kept)
    if not why and not whole and not any(one.is_full for one in runs):
        why = "its last full run is no longer in SYNC_RUNS"
    return KnownKeys(None if why else expressions.all_keys(pieces), last, may_be_more=True, why=why)


def keys_to_remove(session: Session, connection_id: str) -> ir.Table:
    """The keys of a connection. Raises ``WarehouseError`` where nothing tells them."""
    known = known_keys(session, connection_id)
    if known.table is None:
        raise WarehouseError(f"under which keys something is left is not known, because {known.why}")
    return known.table


def _pieces(
    session: Session, connection_id: str, since: list[Prepared], kept: list[Prepared]
) -> tuple[list[ir.Table], str]:
    """What snapshots and log tell of some runs, the last one first, and why that is not all, where it is not."""
    state = State(session)
    logged = state.logged_rows(connection_id)
    for at, one in enumerate(_back_to_full(since)):
        is_repeated = at > 0 and not one.last.completed  # what a run that broke off had sent, the next one sent again
        if not (one in kept or logged.get(one.run.run_id, 0) >= one.sent or is_repeated):
            return [], f"neither the snapshot of its run {one.run.run_id} is left nor all of its log"
    snapshots = [_by_snapshot(session, one) for one in since if one in kept]
    return [*snapshots, state.logged_keys(connection_id, since=since[-1].run.run_id)], ""


def left_by(session: Session, last: LastRun, run: Run) -> expressions.Baseline:
    """What a run left for the next one."""
    snapshot, failed = session.table(run.snapshot), session.table(run.failed_keys)
    return expressions.Baseline(snapshot, failed, last.mode, last.completed)


def _by_snapshot(session: Session, one: Prepared) -> ir.Table:
    return expressions.baseline(left_by(session, one.last, one.run), ())


def _back_to_full(since: Iterable[Prepared]) -> Iterator[Prepared]:
    for one in since:
        yield one
        if one.is_full:
            return
