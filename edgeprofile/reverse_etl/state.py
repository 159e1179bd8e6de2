"""What runs leave in the warehouse: snapshots, failed keys, the sync log, the table of runs; and how long it stays."""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import ibis
import msgspec
import sqlglot.expressions as sge

from edgeprofile.reverse_etl.expressions import FAILED_COLUMNS, OPERATION
from edgeprofile.reverse_etl.plan import DELIVERED, Kind, LastRun, Mode, Operation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import ibis.expr.types as ir

    from edgeprofile.reverse_etl.plan import Plan
    from edgeprofile.reverse_etl.project import Source
    from edgeprofile.reverse_etl.warehouse import Session

__all__ = ["RUNNING", "Failure", "Prepared", "Run", "State"]

RUNS, LOG = "SYNC_RUNS", "SYNC_LOG"
RUNNING = ("preparing", "delivering")
_ROWS_PER_INSERT = 500
_RUN_COLUMNS = {
    "connection_id": "string",
    "sync_run_id": "string",
    "entity": "string",
    "id_type": "string",
    "view_name": "string",
    "sync_mode": "string",
    "sync_kind": "string",
    "reason": "string",
    "status": "string",
    "columns_json": "string",
    "fingerprint_json": "string",
    "cursor_checkpoint": "string",
    "renewed_at": "float64",
    "inserted": "int64",
    "updated": "int64",
    "deleted": "int64",
    "unchanged": "int64",
    "invalid": "int64",
    "delivered": "int64",
    "failed": "int64",
    "error": "string",
    "started_at": "timestamp('UTC')",
    "prepared_at": "timestamp('UTC')",
    "finished_at": "timestamp('UTC')",
}
_LOG_COLUMNS = {
    "connection_id": "string",
    "sync_run_id": "string",
    "primary_key": "string",
    "operation": "string",
    "status": "string",
    "error_reason": "string",
    "sync_started_at": "timestamp('UTC')",
    "sync_finished_at": "timestamp('UTC')",
}


class Failure(msgspec.Struct, frozen=True):
    """A row that Redis would not take."""

    key: str
    operation: Operation
    reason: str


class Run(msgspec.Struct, frozen=True):
    """One run, as its row in the table of runs begins."""

    connection_id: str
    run_id: str
    started_at: datetime

    @property
    def snapshot(self) -> str:
        """The table of its snapshot."""
        return f"SNAPSHOT_{self.connection_id}_{self.run_id}"

    @property
    def failed_keys(self) -> str:
        """The table of its failed keys."""
        return f"FAILED_KEYS_{self.connection_id}_{self.run_id}"

    def is_in(self, tables: Collection[str]) -> bool:
        """Whether what the run left for the next one is among some tables."""
        return self.snapshot in tables and self.failed_keys in tables


class Prepared(msgspec.Struct, frozen=True):
    """A run whose data was prepared; ``sent``: the rows that it was to deliver, but those that were refused."""

    run: Run
    last: LastRun
    is_full: bool
    sent: int

    @property
    def has_cursor(self) -> bool:
        """Whether a cursor column chose its rows, so that its snapshot has only these."""
        return bool(self.last.fingerprint.get("cursorColumn"))


class State:
    """The state tables of one warehouse, through one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._fold = session.dialect.fold

    def ensure(self) -> None:
        """Make schema and tables where they do not exist."""
        self._session.ensure_schema()
        for name, columns in ((RUNS, _RUN_COLUMNS), (LOG, _LOG_COLUMNS)):
            self._session.ensure(name, {self._fold(column): kind for column, kind in columns.items()})

    # Runs

    def runs(self, connection_id: str | None = None, limit: int = 20) -> list[dict[str, Any]]:
        """The last runs, newest first, as dicts with the columns' lower-case names."""
        if RUNS not in self._session.tables():
            return []
        table = self._runs()
        if connection_id is not None:
            table = table.filter(table["connection_id"] == connection_id)
        newest = table.order_by(ibis.desc("started_at"), ibis.desc("sync_run_id")).limit(limit)
        return self._session.rows(newest)

    def last_run(self, connection_id: str) -> tuple[LastRun, Run] | None:
        """The last run of a connection whose data was prepared."""
        found = self.prepared(connection_id, limit=1)
        return (found[0].last, found[0].run) if found else None

    def prepared(self, connection_id: str, limit: int | None = None) -> list[Prepared]:
        """The runs of a connection whose data was prepared, the last one first."""
        if RUNS not in self._session.tables():
            return []
        table = self._runs()
        prepared = table.filter(table["connection_id"] == connection_id, table["prepared_at"].notnull())
        return [_prepared(row) for row in self._session.rows(prepared.order_by(ibis.desc("sync_run_id")).limit(limit))]

    def connections(self) -> list[dict[str, Any]]:
        """The connections that ever had data prepared: id, entity, id type, name of the view."""
        if RUNS not in self._session.tables():
            return []
        table = self._runs()
        prepared = table.filter(table["prepared_at"].notnull())
        named = prepared.group_by("connection_id", "entity", "id_type", "view_name").agg(runs=prepared.count())
        return self._session.rows(named.order_by("entity", "id_type", "view_name"))

    def has_left(self, run: Run) -> bool:
        """Whether what a run left for the next one is still there."""
        return run.is_in(self._session.tables())

    def bury(self, connection_id: str) -> None:
        """Mark what a run left as running that died; called by the only one alive."""
        running = [sge.column(self._fold("status"), quoted=True).eq(status) for status in RUNNING]
        dead = sge.and_(self._of(connection_id), sge.or_(*running))
        self._update(dead, {"status": "died", "finished_at": datetime.now(UTC)})

    def begin(self, source: Source, view: str, connection_id: str, mode: Mode) -> Run:
        """Enter a new run; its id is the next number of this connection."""
        table = self._runs()
        mine = table.filter(table["connection_id"] == connection_id)
        last = self._session.rows(mine.agg(last=mine["sync_run_id"].max()))[0]["last"]
        run = Run(connection_id, f"{int(last or 0) + 1:08d}", datetime.now(UTC))
        row = {
            "connection_id": connection_id,
            "sync_run_id": run.run_id,
            "entity": source.entity,
            "id_type": source.id_type,
            "view_name": view,
            "sync_mode": mode.value,
            "status": "preparing",
            "started_at": run.started_at,
        }
        self._insert(RUNS, [row])
        return run

    def planned(self, run: Run, plan: Plan, columns: dict[str, str], fingerprint: dict[str, str]) -> None:
        """Note what the run is going to do."""
        values = {
            "sync_kind": plan.kind.value,
            "reason": plan.why,
            "columns_json": json.dumps(columns),
            "fingerprint_json": json.dumps(fingerprint),
            "cursor_checkpoint": plan.checkpoint,
        }
        self.note(run, values)

    def note(self, run: Run, values: dict[str, Any]) -> None:
        """Set columns of the run's row."""
        self._update(self._this(run), values)

    # Failed keys and the log

    def make_failed_keys(self, run: Run) -> None:
        """An empty table for the run's failed keys."""
        self._session.create(run.failed_keys, FAILED_COLUMNS)

    def add_failures(self, run: Run, failures: Iterable[Failure]) -> None:
        """Append failed rows."""
        rows = [
            {
                "PRIMARY_KEY": failure.key,
                "RUDDER_OPERATION": failure.operation.value,
                "RUDDER_INVALID": False,
                "ERROR_REASON": failure.reason,
                "ROW_COUNT": 1,
            }
            for failure in failures
        ]
        self._insert(run.failed_keys, rows, fold=False)

    def write_log(self, run: Run, mode: Mode, finished_at: datetime, *, others: str | None, reason: str = "") -> None:
        """One line for each failed row, and one with the status ``others`` for the rest; made by the warehouse."""
        failed = self._session.table(run.failed_keys)
        lines = failed.select(
            primary_key=failed["PRIMARY_KEY"],
            operation=failed["RUDDER_OPERATION"],
            status=ibis.literal("failed"),
            error_reason=failed["ERROR_REASON"],
        )
        self._session.insert_from(LOG, self._dated(lines, run, finished_at))
        if others is not None:
            rest = self._others(run, mode, failed).mutate(
                status=ibis.literal(others), error_reason=ibis.literal(reason) if reason else ibis.null("string")
            )
            self._session.insert_from(LOG, self._dated(rest, run, finished_at))

    def _others(self, run: Run, mode: Mode, failed: ir.Table) -> ir.Table:
        snapshot = self._session.table(run.snapshot)
        key = snapshot.columns[0]
        sent = snapshot.filter(
            snapshot[OPERATION].isin([one.value for one in DELIVERED[mode]]), snapshot[key].notnull()
        )
        good = sent.anti_join(failed, sent[key] == failed["PRIMARY_KEY"])
        return good.select(primary_key=good[key], operation=good[OPERATION])

    def _dated(self, lines: ir.Table, run: Run, finished_at: datetime) -> ir.Table:
        dated = lines.mutate(
            connection_id=ibis.literal(run.connection_id),
            sync_run_id=ibis.literal(run.run_id),
            sync_started_at=_instant(run.started_at),
            sync_finished_at=_instant(finished_at),
        )
        return dated.rename({self._fold(column): column for column in _LOG_COLUMNS})

    def logged_rows(self, connection_id: str) -> dict[str, int]:
        """How many rows of each run the log has, but those that were refused."""
        mine = self._logged(connection_id)
        counted = mine.group_by("sync_run_id").agg(n=mine.count())
        return {row["sync_run_id"]: row["n"] for row in self._session.rows(counted)}

    def logged_keys(self, connection_id: str, *, since: str) -> ir.Table:
        """The keys that a run and all later ones wrote, or did not get deleted, as far as the log tells."""
        mine = self._logged(connection_id)
        may_be_there = (mine["operation"] != Operation.DELETE.value) | (mine["status"] != "succeeded")
        return mine.filter(mine["sync_run_id"] >= since, may_be_there).select("primary_key").distinct()

    def _logged(self, connection_id: str) -> ir.Table:
        table = self._session.table(LOG).rename({column: self._fold(column) for column in _LOG_COLUMNS})
        return table.filter(table["connection_id"] == connection_id, table["status"] != "failed")

    # Retention

    def sweep(self, connection_id: str, *, snapshots: int, log_seconds: float) -> None:
        """Drop what is older than its retention, and what runs left that were never prepared."""
        table = self._runs()
        mine = table.filter(table["connection_id"] == connection_id)
        rows = self._session.rows(mine.select("sync_run_id", "prepared_at").order_by(ibis.desc("sync_run_id")))
        prepared = [row["sync_run_id"] for row in rows if row["prepared_at"] is not None]
        kept = set(prepared[:snapshots])
        for name in sorted(self._session.tables()):
            if (run_id := _run_of(name, connection_id)) and run_id not in kept:
                self._session.drop(name)
        self._forget(connection_id, kept, datetime.now(UTC) - timedelta(seconds=log_seconds))

    def _forget(self, connection_id: str, kept: set[str], before: datetime) -> None:
        finished = sge.column(self._fold("sync_finished_at"), quoted=True) < sge.convert(before)
        self._session.run(sge.delete(self._table(LOG), sge.and_(self._of(connection_id), finished)))
        started = sge.column(self._fold("started_at"), quoted=True) < sge.convert(before)
        others = sge.not_(sge.column(self._fold("sync_run_id"), quoted=True).isin(*sorted(kept) or [""]))
        self._session.run(sge.delete(self._table(RUNS), sge.and_(self._of(connection_id), started, others)))

    # Statements

    def _runs(self) -> ir.Table:
        table = self._session.table(RUNS)
        return table.rename({column: self._fold(column) for column in _RUN_COLUMNS})

    def _table(self, name: str) -> sge.Table:
        return sge.table_(name, db=self._session.warehouse.state_schema, quoted=True)

    def _of(self, connection_id: str) -> sge.Expr:
        return sge.column(self._fold("connection_id"), quoted=True).eq(connection_id)

    def _this(self, run: Run) -> sge.Expr:
        return sge.and_(self._of(run.connection_id), sge.column(self._fold("sync_run_id"), quoted=True).eq(run.run_id))

    def _update(self, where: sge.Expr, values: dict[str, Any]) -> None:
        settings = [
            sge.EQ(this=sge.column(self._fold(name), quoted=True), expression=_spelled(value))
            for name, value in values.items()
        ]
        self._session.run(sge.Update(this=self._table(RUNS), expressions=settings, where=sge.Where(this=where)))

    def _insert(self, name: str, rows: list[dict[str, Any]], *, fold: bool = True) -> None:
        for start in range(0, len(rows), _ROWS_PER_INSERT):
            chunk = rows[start : start + _ROWS_PER_INSERT]
            columns = [sge.to_identifier(self._fold(one) if fold else one, quoted=True) for one in chunk[0]]
            values = sge.values([tuple(_spelled(value) for value in row.values()) for row in chunk])
            self._session.run(sge.insert(values, into=self._table(name), columns=columns))


def _prepared(row: dict[str, Any]) -> Prepared:
    last = LastRun(
        run_id=row["sync_run_id"],
        mode=Mode(row["sync_mode"]),
        completed=row["status"] in {"succeeded", "partial"},
        columns=json.loads(row["columns_json"]),
        fingerprint=json.loads(row["fingerprint_json"]),
        checkpoint=row["cursor_checkpoint"],
        renewed_at=row["renewed_at"] or 0.0,
    )
    sent = row["inserted"] + row["updated"] + row["deleted"] - row["failed"]
    run = Run(row["connection_id"], last.run_id, row["started_at"])
    return Prepared(run, last, row["sync_kind"] == Kind.FULL.value, sent)


def _spelled(value: Any) -> sge.Expr:
    """A value as a literal; text without its NULs, at which some parsers take the statement to end."""
    if not isinstance(value, str) or "\0" not in value:
        return sge.convert(value)
    first, *others = (sge.convert(part) for part in value.split("\0"))
    return functools.reduce(_joined_by_nul, others, first)


def _joined_by_nul(text: sge.Expr, part: sge.Expr) -> sge.Expr:
    nul = sge.Chr(expressions=[sge.convert(0)])
    return sge.DPipe(this=sge.DPipe(this=text, expression=nul), expression=part)


def _instant(when: datetime) -> ir.TimestampScalar:
    return ibis.literal(when.astimezone(UTC), type="timestamp('UTC')")


def _run_of(table: str, connection_id: str) -> str | None:
    """The run that a table belongs to, if it is one of a connection's."""
    for kind in ("SNAPSHOT", "FAILED_KEYS", "SYNC_DATA"):
        prefix = f"{kind}_{connection_id}_"
        if table.startswith(prefix):
            return table.removeprefix(prefix)
    return None
