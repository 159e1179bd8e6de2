"""What a sync would do, without doing it: nothing is written, neither to Redis nor to the warehouse."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from edgeprofile.reverse_etl import expressions
from edgeprofile.reverse_etl.deliver import Shipment, shipped_rows
from edgeprofile.reverse_etl.errors import DeletionsRefused
from edgeprofile.reverse_etl.expressions import OPERATION
from edgeprofile.reverse_etl.plan import Mode, Operation
from edgeprofile.reverse_etl.state import State
from edgeprofile.reverse_etl.sync import check_deletions, known_rows, planned_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprofile.reverse_etl.commands import Rows
    from edgeprofile.reverse_etl.jobs import Job
    from edgeprofile.reverse_etl.plan import Plan
    from edgeprofile.reverse_etl.state import Run
    from edgeprofile.reverse_etl.warehouse import Session

__all__ = ["Preview", "dry_run", "preview"]

_BATCH_ROWS = 1_000
_BATCH_BYTES = 1 << 20


class Preview(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the next run of one source would do.

    ``columns`` map traits to their types in the warehouse. ``deletes`` is how many of the ``known`` rows a mirror would
    delete; ``refused``: why it would not run.
    """

    source: str
    view: str
    id_column: str
    key: str
    columns: dict[str, str]
    mode: str
    kind: str
    reason: str
    removed: tuple[str, ...]
    notices: tuple[str, ...]
    deletes: int = 0
    known: int = 0
    refused: str | None = None


def preview(session: Session, job: Job, *, full: bool, allow_deletions: bool = False) -> Preview:
    """Plan the next run of a job."""
    plan, before = _planned(session, job, full=full)
    deletes, known, refused = _deletions(session, job, plan, before)
    return Preview(
        source=job.source.name,
        view=job.target.model,
        id_column=job.id_column,
        key=f"{job.target.prefix}{{{job.id_column}}}",
        columns=job.columns,
        mode=job.mode.value,
        kind=plan.kind.value,
        reason=plan.why,
        removed=plan.removed,
        notices=job.notices,
        deletes=deletes,
        known=known,
        refused=None if allow_deletions else refused,
    )


def _deletions(session: Session, job: Job, plan: Plan, before: Run | None) -> tuple[int, int, str | None]:
    """How many rows a mirror would delete, and of how many; why it would not."""
    if job.mode is not Mode.MIRROR or not (known := known_rows(session, plan, before)):
        return 0, 0, None
    bare = replace(job, traits={})
    snapshot = planned_snapshot(session, bare, msgspec.structs.replace(plan, compared=()), before)
    gone = snapshot.filter(snapshot[OPERATION] == Operation.DELETE.value)
    deletes = session.count(gone)
    try:
        check_deletions(session, job, plan, before, snapshot, deletes)
    except DeletionsRefused as error:
        return deletes, known, str(error)
    return deletes, known, None


def _planned(session: Session, job: Job, *, full: bool) -> tuple[Plan, Run | None]:
    state = State(session)
    last, before = state.last_run(job.connection_id) or (None, None)
    has_snapshot = before is None or state.has_left(before)
    return job.plan(last, full_asked=full, now=time.time(), has_snapshot=has_snapshot), before


def dry_run(session: Session, job: Job, *, full: bool, rows: int) -> Iterator[str]:
    """The commands for the first rows that the next run would send, as one would type them into redis-cli."""
    plan, before = _planned(session, job, full=full)
    job = job.under(plan)
    snapshot = planned_snapshot(session, job, plan, before)
    wanted = expressions.deliverable(snapshot, job.mode, expressions.invalid_keys(snapshot))
    wanted = wanted.order_by(wanted.columns[0]).limit(rows)
    shipment = Shipment(
        rows=wanted,
        kinds=job.traits,
        target=job.target,
        json_mode=job.json_mode,
        batch_rows=_BATCH_ROWS,
        batch_bytes=_BATCH_BYTES,
        most_rows=_BATCH_ROWS,
    )
    for batch in shipped_rows(session, shipment):
        yield from _lines(batch, json_mode=job.json_mode)


def _lines(rows: Rows, *, json_mode: bool) -> Iterator[str]:
    documents = [None] * len(rows) if rows.documents is None else rows.documents.to_pylist()
    model = rows.target.model
    for key, document in zip(rows.keys(), documents, strict=True):
        name = key.decode()
        if json_mode:
            yield f"JSON member {json.dumps(model)} of {json.dumps(name)}: {document or 'removed'}"
        elif document is None:
            yield _line("HDEL", name, model)
        else:
            yield _line("HSET", name, model, document)
            if rows.target.ttl:
                yield _line("EXPIRE", name, str(rows.target.ttl))
            elif rows.target.persist:
                yield _line("PERSIST", name)


def _line(name: str, *arguments: str) -> str:
    return " ".join((name, *(json.dumps(one, ensure_ascii=False) for one in arguments)))
