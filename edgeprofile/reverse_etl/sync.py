"""One run of one source, from snapshot to log.

Every step leaves the warehouse such that a run killed after it is followed by one that ends with the right data: until
``prepared_at`` is set the run counts for nothing; from then on its snapshot says of every key that may have been
touched that it is to be sent again.
"""

from __future__ import annotations

import json
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from edgeprofile.errors import EdgeProfileError
from edgeprofile.reverse_etl import expressions
from edgeprofile.reverse_etl.deliver import Shipment, deliver
from edgeprofile.reverse_etl.errors import (
    DeletionsRefused,
    DeliveryStopped,
    LockLost,
    SyncCancelled,
    WarehouseError,
)
from edgeprofile.reverse_etl.expressions import OPERATION
from edgeprofile.reverse_etl.guard import refuse_deletions
from edgeprofile.reverse_etl.known_keys import keys_to_remove, left_by
from edgeprofile.reverse_etl.lock import Lock
from edgeprofile.reverse_etl.plan import Kind, Mode, Operation
from edgeprofile.reverse_etl.state import State
from edgeprofile.store.documents import DocumentWriter
from edgeprofile.store.patience import Pace
from edgeprofile.store.writer import BulkWriter
from edgeprofile.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import ibis.expr.types as ir

    from edgeprofile.config import RedisConfig
    from edgeprofile.reverse_etl.deliver import Delivered
    from edgeprofile.reverse_etl.jobs import Job
    from edgeprofile.reverse_etl.lock import Claim
    from edgeprofile.reverse_etl.plan import LastRun, Plan
    from edgeprofile.reverse_etl.settings import SyncConfig
    from edgeprofile.reverse_etl.state import Failure, Run
    from edgeprofile.reverse_etl.warehouse import Session

__all__ = ["Observer", "Report", "SourceSync", "check_deletions", "known_rows", "planned_snapshot"]

_PIECES_PER_SECOND = 10
_INTERRUPTED = "the connection to Redis broke during delivery: what this run sent is sent again by the next"
_UNFINISHED = "the run ended before all its rows were sent: this one may be in, and the next run sends it again"


class Report(msgspec.Struct, kw_only=True, rename="camel"):
    """How a run ended. Counts are rows; ``status`` is that of the table of runs; ``seconds`` the whole run's.

    ``inserted``, ``updated`` and ``deleted`` are planned, ``delivered`` is what Redis has acknowledged of them.
    """

    source: str
    view: str
    connection_id: str
    sync_run_id: str = ""
    kind: str = ""
    reason: str = ""
    status: str = "preparing"
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    invalid: int = 0
    delivered: int = 0
    failed: int = 0
    seconds: float = 0.0
    delivery_seconds: float = 0.0
    error: str | None = None

    @property
    def to_deliver(self) -> int:
        """How many rows the run has to send."""
        return self.inserted + self.updated + self.deleted

    def row(self) -> dict[str, Any]:
        """The counts, as columns of the table of runs."""
        names = ("inserted", "updated", "deleted", "unchanged", "invalid", "delivered", "failed")
        return {name: getattr(self, name) for name in names}


class Observer(Protocol):
    """Is told how a run gets on."""

    def __call__(self, report: Report, phase: str) -> None:
        """``phase`` is ``"preparing"``, ``"delivering"`` or ``"ended"``; ``report`` goes on changing."""


@dataclass
class SourceSync:
    """Runs one job.

    ``clock`` gives seconds since the epoch, ``step`` is called after every step that is kept, ``tell`` is given what
    somebody who waits for the run should know, once.
    """

    session: Session
    config: SyncConfig
    redis: RedisConfig
    observe: Observer
    clock: Callable[[], float] = time.time
    step: Callable[[str], None] = lambda _name: None
    tell: Callable[[str], None] = lambda _what: None
    _is_delivering: bool = field(default=False, init=False)
    _is_interrupted: bool = field(default=False, init=False)

    def run(self, job: Job, *, full: bool = False, allow_deletions: bool = False) -> Report:
        """Sync one source.

        Raises ``SyncRefused`` where another run of it is alive, ``DeletionsRefused`` unless ``allow_deletions``,
        ``WarehouseError``, and ``DeliveryStopped`` when Redis would not go on; whatever was not delivered then is
        delivered by the next run.
        """
        state, lock = State(self.session), Lock(self.session)
        state.ensure()
        lock.ensure()
        report = Report(source=job.source.name, view=job.target.model, connection_id=job.connection_id)
        with lock.held(job.connection_id) as claim:
            state.bury(job.connection_id)
            run = state.begin(job.source, job.target.model, job.connection_id, job.mode)
            report.sync_run_id = run.run_id
            self.step("begun")
            with self._recorded(state, run, job, report):
                self._run(state, run, job, report, claim, full=full, allow_deletions=allow_deletions)
        return report

    def _run(
        self, state: State, run: Run, job: Job, report: Report, claim: Claim, *, full: bool, allow_deletions: bool
    ) -> None:
        self.observe(report, "preparing")
        self._is_delivering = self._is_interrupted = False
        last, before = state.last_run(job.connection_id) or (None, None)
        now = self.clock()
        plan = job.plan(last, full_asked=full, now=now, has_snapshot=before is None or state.has_left(before))
        report.kind, report.reason = plan.kind.value, plan.why
        job = job.under(plan)
        state.planned(run, plan, job.columns, _fingerprint(job, plan, last))
        self._prepare(state, run, job, plan, before, report)
        if report.deleted and not (allow_deletions or plan.kind is Kind.REMOVAL):
            check_deletions(self.session, job, plan, before, self.session.table(run.snapshot), report.deleted)
        claim.check()
        renewed = now if plan.kind is Kind.FULL or plan.baseline is None else plan.baseline.renewed_at
        prepared = {"status": "delivering", "prepared_at": datetime.now(UTC), "renewed_at": renewed}
        state.note(run, {**prepared, **report.row()})
        self._is_delivering = True
        self.step("prepared")
        self._sweep(state, job)
        self._deliver(state, run, job, report, claim)
        claim.check()
        self._finish(state, run, job, plan, report)

    # Preparation

    def _prepare(self, state: State, run: Run, job: Job, plan: Plan, before: Run | None, report: Report) -> None:
        session = self.session
        session.make_room(len(job.traits))
        session.drop(run.snapshot)
        session.drop(run.failed_keys)
        session.create_as(run.snapshot, planned_snapshot(session, job, plan, before))
        self.step("snapshot")
        state.make_failed_keys(run)
        snapshot = session.table(run.snapshot)
        session.insert_from(run.failed_keys, expressions.invalid_keys(snapshot))
        self._count(run, job, report)

    def _count(self, run: Run, job: Job, report: Report) -> None:
        """Count the rows by operation; the warehouse counts."""
        session = self.session
        failed = session.table(run.failed_keys)
        report.invalid = session.rows(failed.agg(n=failed["ROW_COUNT"].sum()))[0]["n"] or 0
        report.unchanged = self._by_operation(session.table(run.snapshot)).get(Operation.UNCHANGED, 0)
        counts = self._by_operation(self._deliverable(run, job, report))
        report.inserted = counts.get(Operation.INSERT, 0)
        report.updated = counts.get(Operation.UPDATE, 0)
        report.deleted = counts.get(Operation.DELETE, 0)

    def _by_operation(self, rows: ir.Table) -> dict[str, int]:
        return {row[OPERATION]: row["n"] for row in self.session.rows(rows.group_by(OPERATION).agg(n=rows.count()))}

    def _deliverable(self, run: Run, job: Job, report: Report) -> ir.Table:
        invalid = self.session.table(run.failed_keys) if report.invalid else None
        return expressions.deliverable(self.session.table(run.snapshot), job.mode, invalid)

    # Delivery

    def _deliver(self, state: State, run: Run, job: Job, report: Report, claim: Claim) -> None:
        self.observe(report, "delivering")
        if not report.to_deliver:
            return
        began = time.monotonic()
        config = self.config
        limit = config.max_writes_per_second
        shipment = Shipment(
            rows=self._deliverable(run, job, report),
            kinds=job.traits,
            target=job.target,
            json_mode=job.json_mode,
            batch_rows=config.batch_rows,
            batch_bytes=config.batch_bytes,
            most_rows=max(1, limit // _PIECES_PER_SECOND) if limit else config.batch_rows,
        )
        try:
            with self.session.sibling() as reading, self._writer(job, claim) as writer:
                kept = partial(self._failures, state, run)
                going = deliver(reading, shipment, writer, kept, claim.check)
                with closing(going):  # the thread that reads must end before its session does
                    for counts in going:
                        self._advance(report, counts)
                self._is_interrupted = writer.interrupted
        finally:
            report.delivery_seconds = time.monotonic() - began

    def _advance(self, report: Report, counts: Delivered) -> None:
        report.delivered, report.failed = counts.delivered, counts.failed
        self.observe(report, "delivering")
        self.step("delivered")

    def _failures(self, state: State, run: Run, failures: list[Failure]) -> None:
        self.session.revive()
        state.add_failures(run, failures)
        self.step("failures")

    @contextmanager
    def _writer(self, job: Job, claim: Claim) -> Iterator[BulkWriter | DocumentWriter]:
        def sleep(seconds: float) -> None:
            time.sleep(seconds)
            claim.check()

        kind = DocumentWriter if job.json_mode else BulkWriter
        config = self.config
        pace = Pace(config.max_writes_per_second, sleep=sleep, waiting=self._waiting())
        writer = kind(self.redis, timeout=config.timeout, retry_for=config.retry_for, pace=pace)
        try:
            yield writer
        finally:
            writer.close()

    def _waiting(self) -> Callable[[Exception], None]:
        said: set[str] = set()

        def tell(why: Exception) -> None:
            if str(why) not in said:
                said.add(str(why))
                longest = format_duration(self.config.retry_for)
                self.tell(f"waits for Redis, and tries again for up to {longest} (sync.retryFor): {why}")

        return tell

    # The end

    def _finish(self, state: State, run: Run, job: Job, plan: Plan, report: Report) -> None:
        self.session.revive()  # it was idle for as long as the delivery took
        ended = datetime.now(UTC)
        self._is_delivering = False
        self._judge(report)
        if self.config.sync_log != "off":
            others, reason = ("unfinished", _INTERRUPTED) if self._is_interrupted else ("succeeded", "")
            state.write_log(
                run, job.mode, ended, others=others if self.config.sync_log == "all" else None, reason=reason
            )
            self.step("logged")
        values = {"status": report.status, "error": report.error, "finished_at": ended, **report.row()}
        if not self._is_interrupted:
            values["fingerprint_json"] = json.dumps(job.fingerprint)
            if job.cursor:
                values["cursor_checkpoint"] = self._checkpoint(run, job, plan)
        state.note(run, values)
        self.step("finished")
        self._sweep(state, job)

    def _judge(self, report: Report) -> None:
        """Rows that a server acknowledged are gone where it came back empty, so a broken connection leaves none sure."""
        if self._is_interrupted:
            report.status, report.error = "interrupted", _INTERRUPTED
        else:
            report.status = "partial" if report.failed else "succeeded"

    def _sweep(self, state: State, job: Job) -> None:
        """The newest prepared run is what the next one starts from, and always stays."""
        state.sweep(job.connection_id, snapshots=self.config.snapshot_retention, log_seconds=self.config.log_retention)

    def _checkpoint(self, run: Run, job: Job, plan: Plan) -> str | None:
        prepared = self.session.table(run.snapshot)
        beyond = expressions.beyond(prepared, job.cursor, plan.checkpoint)
        found: str | None = self.session.rows(expressions.highest(beyond, job.cursor))[0]["highest"]
        return found or plan.checkpoint

    @contextmanager
    def _recorded(self, state: State, run: Run, job: Job, report: Report) -> Iterator[None]:
        """Note how the run ended, whatever it ended with."""
        began = time.monotonic()
        is_ours = True
        try:
            yield
        except SyncCancelled:
            report.status = "cancelled"
            self.session.recover()
            raise
        except DeletionsRefused as error:
            report.status, report.error = "refused", str(error)
            raise
        except WarehouseError as error:
            report.status, report.error = "failed", str(error)
            raise
        except EdgeProfileError as error:
            report.status, report.error = "failed", str(error)
            is_ours = not isinstance(error, LockLost)
            raise DeliveryStopped(str(error)) from error
        except Exception as error:
            report.status, report.error = "failed", f"{type(error).__name__}: {error}"
            raise
        finally:
            report.seconds = time.monotonic() - began
            if report.status in {"cancelled", "failed", "refused"}:
                self._note_end(state, run, job, report, is_ours=is_ours)
            self.observe(report, "ended")

    def _note_end(self, state: State, run: Run, job: Job, report: Report, *, is_ours: bool) -> None:
        """If even this fails, the next run finds a run that died, and goes on from there just as well."""
        ended = datetime.now(UTC)
        values = {"status": report.status, "error": report.error, "finished_at": ended, **report.row()}
        try:
            self.session.revive()
            state.note(run, values)
            if not is_ours:
                return
            if self._is_delivering and self.config.sync_log != "off":
                others = "unfinished" if self.config.sync_log == "all" else None
                state.write_log(run, job.mode, ended, others=others, reason=_UNFINISHED)
            self._sweep(state, job)
        except WarehouseError:
            report.error = report.error or "the warehouse was lost"


def _fingerprint(job: Job, plan: Plan, last: LastRun | None) -> dict[str, str]:
    """Until the run has taken their time to live from all keys, the old ttl stands, so that the next run does it."""
    return {**job.fingerprint, "ttl": last.fingerprint["ttl"]} if plan.expiring_until and last else job.fingerprint


def planned_snapshot(session: Session, job: Job, plan: Plan, before: Run | None) -> ir.Table:
    """The snapshot that a plan asks for, as an expression; ``before`` is the run of its baseline."""
    if job.view is None:
        return expressions.deletions(keys_to_remove(session, job.connection_id), job.id_column)
    traits = tuple(job.traits)
    last = plan.baseline
    if last is None or before is None or (job.cursor and plan.checkpoint is None):
        return expressions.full_snapshot(job.view, job.id_column, traits)
    base = expressions.baseline(left_by(session, last, before), plan.compared)
    if plan.checkpoint is not None:
        return expressions.beyond_cursor(
            job.view,
            job.id_column,
            traits,
            cursor=job.cursor,
            checkpoint=plan.checkpoint,
            base=base,
            compared=plan.compared,
            dialect=session.dialect,
        )
    return expressions.next_snapshot(
        job.view, job.id_column, traits, base=base, compared=plan.compared, kind=plan.kind, dialect=session.dialect
    )


def known_rows(session: Session, plan: Plan, before: Run | None) -> int:
    """How many rows may be in Redis, as far as the baseline of a plan tells."""
    if plan.baseline is None or before is None:
        return 0
    return session.count(expressions.baseline(left_by(session, plan.baseline, before), ()))


def check_deletions(
    session: Session, job: Job, plan: Plan, before: Run | None, snapshot: ir.Table, deleted: int
) -> None:
    """Raise ``DeletionsRefused`` where a snapshot deletes too many rows; those that the last run was let delete may go."""
    owed = _owed_deletions(session, plan, before, snapshot) if deleted else 0
    known = known_rows(session, plan, before)
    aside = partial(_set_aside, session, plan, before, snapshot)
    refuse_deletions(deleted - owed, known - owed, job.max_deleted_share, aside=aside)


def _set_aside(session: Session, plan: Plan, before: Run | None, snapshot: ir.Table) -> tuple[int, int]:
    """How many of a snapshot's deletions, and of all known rows, the last run set aside for their ids."""
    if plan.baseline is None or before is None:
        return 0, 0
    keys = expressions.set_aside(session.table(before.failed_keys))
    gone = expressions.deletions_among(snapshot, keys)
    return session.count(gone), session.count(keys)


def _owed_deletions(session: Session, plan: Plan, before: Run | None, snapshot: ir.Table) -> int:
    """How many of a snapshot's deletions are those of the last run, which did not get them done."""
    if plan.baseline is None or before is None or plan.baseline.mode is not Mode.MIRROR:
        return 0
    both = expressions.deletions_of_both(snapshot, session.table(before.snapshot))
    return session.count(both)
