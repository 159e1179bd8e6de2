"""The sync's rules as ibis expressions, so that the warehouse applies them to rows that never leave it.

A snapshot has the id column first, as text, then the traits, then ``RUDDER_OPERATION_TYPE``. The two tables of rules
in ``plan`` are turned into conditions by asking them every question once.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis

from edgeprofile.reverse_etl.plan import DELIVERED, Operation, Standing, operation_for, standing_after

if TYPE_CHECKING:
    from collections.abc import Iterable

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir

    from edgeprofile.reverse_etl.dialects import Dialect
    from edgeprofile.reverse_etl.plan import Kind, Mode

__all__ = [
    "FAILED_COLUMNS",
    "OPERATION",
    "Baseline",
    "baseline",
    "beyond",
    "beyond_cursor",
    "deliverable",
    "full_snapshot",
    "highest",
    "invalid_keys",
    "next_snapshot",
    "travelling",
    "unfinished_keys",
]

OPERATION = "RUDDER_OPERATION_TYPE"
FAILED_COLUMNS = {
    "PRIMARY_KEY": "string",
    "RUDDER_OPERATION": "string",
    "RUDDER_INVALID": "boolean",
    "ERROR_REASON": "string",
    "ROW_COUNT": "int64",
}
_KEY, _KNOWN = "_key", "_known"
_TEXT = ibis.dtype("string")


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is left of the last run: its snapshot, the keys that failed in it (if any), and how it ended."""

    snapshot: ir.Table
    failed: ir.Table | None
    mode: Mode
    completed: bool


def _all(conditions: Iterable[ir.BooleanValue]) -> ir.BooleanValue:
    return functools.reduce(operator.and_, tuple(conditions) or (ibis.literal(True),))


def _one_of(column: ir.Value, operations: Iterable[Operation]) -> ir.BooleanValue:
    values = [one.value for one in operations]
    return column.isin(values) if values else ibis.literal(False)


def full_snapshot(view: ir.Table, id_column: str, traits: tuple[str, ...]) -> ir.Table:
    """The first snapshot: every row is an insert."""
    return _current(view, id_column, traits).mutate(**{OPERATION: ibis.literal(Operation.INSERT.value)})


def next_snapshot(
    view: ir.Table,
    id_column: str,
    traits: tuple[str, ...],
    *,
    base: ir.Table,
    compared: tuple[str, ...],
    kind: Kind,
    dialect: Dialect,
) -> ir.Table:
    """Every row of the view, and every key that is in Redis without being in the view, with its operation."""
    now = _current(view, id_column, traits).mutate(_in_view=ibis.literal(True))
    both = now.outer_join(base, now[id_column] == base[_KEY])
    # The literal's nullability is lost on the outer side of the join, so the test must not be folded away.
    in_view = both["_in_view"].fill_null(False)
    standing_known, standing_unknown = both[_KNOWN].fill_null(False), both[_KEY].notnull()
    equal = _all(_same(both[name], both[f"_{name}"], dialect) for name in compared)
    operation = _operation(in_view, standing_known, standing_unknown, equal, kind)
    key = ibis.coalesce(both[id_column], both[_KEY])
    return both.select(**{id_column: key, **{name: both[name] for name in traits}, OPERATION: operation})


def beyond_cursor(
    view: ir.Table,
    id_column: str,
    traits: tuple[str, ...],
    *,
    cursor: str,
    checkpoint: str | None,
    unfinished: ir.Table | None,
) -> ir.Table:
    """The rows whose cursor is beyond the checkpoint, and those whose key (``_key``) an earlier run left unfinished."""
    now = _current(view, id_column, traits)
    operation = {OPERATION: ibis.literal((Operation.UPDATE if checkpoint else Operation.INSERT).value)}
    if checkpoint is None:
        return now.mutate(**operation)
    wanted = now[cursor] > ibis.literal(checkpoint).cast(now[cursor].type())
    if unfinished is not None:
        wanted |= now[id_column].isin(unfinished[_KEY])
    return now.filter(wanted).mutate(**operation)


def unfinished_keys(failed: ir.Table | None, prepared: ir.Table | None) -> ir.Table | None:
    """The keys that a run with a cursor failed to deliver, or (``prepared``) may not have come to: one column ``_key``."""
    tables = [failed.select(_key=failed["PRIMARY_KEY"].cast(_TEXT))] if failed is not None else []
    if prepared is not None:
        tables.append(prepared.select(_key=prepared[prepared.columns[0]].cast(_TEXT)))
    return ibis.union(*tables) if tables else None


def beyond(prepared: ir.Table, cursor: str, checkpoint: str | None) -> ir.Table:
    """The rows whose cursor is beyond the checkpoint; all of them where there is none."""
    if checkpoint is None:
        return prepared
    return prepared.filter(prepared[cursor] > ibis.literal(checkpoint).cast(prepared[cursor].type()))


def highest(prepared: ir.Table, cursor: str) -> ir.Table:
    """The highest value of the cursor, as text, in one row and one column ``highest``."""
    return prepared.agg(highest=prepared[cursor].max().cast("string"))


def _current(view: ir.Table, id_column: str, traits: tuple[str, ...]) -> ir.Table:
    key = view[id_column]
    text = key if key.type().is_string() else key.cast(_TEXT)
    return view.select(**{id_column: text, **{name: _storable(view[name]) for name in traits}})


def _storable(column: ir.Column) -> ir.Column:
    return column.cast(_TEXT) if column.type().is_unknown() else column


def _operation(
    in_view: ir.BooleanValue,
    known: ir.BooleanValue,
    present: ir.BooleanValue,
    equal: ir.BooleanValue,
    kind: Kind,
) -> ir.Value:
    """``operation_for``, asked about every case; where equality does not matter, nobody computes it."""
    standing = {Standing.KNOWN: known, Standing.UNKNOWN: present & ~known, Standing.ABSENT: ~present}
    branches = []
    for case, holds in standing.items():
        for is_in_view in (True, False):
            answers = [operation_for(case, in_view=is_in_view, equal=one, kind=kind) for one in (True, False)]
            condition = holds & (in_view if is_in_view else ~in_view)
            if answers[0] is not answers[1] and answers[0]:
                branches.append((condition & equal, answers[0]))
            if answers[1]:
                branches.append((condition, answers[1]))
    return ibis.cases(*((condition, ibis.literal(answer.value)) for condition, answer in branches))


def _same(now: ir.Value, then: ir.Value, dialect: Dialect) -> ir.BooleanValue:
    """A snapshot may hold a column as text that the view has as JSON: ibis writes it so in some warehouses."""
    if now.type().copy(nullable=True) != then.type().copy(nullable=True) or (
        not dialect.json_equality and _holds_json(now.type())
    ):
        now, then = now.cast(_TEXT), then.cast(_TEXT)
    if dialect.null_safe:
        return now.identical_to(then)
    return ((now == then) | (now.isnull() & then.isnull())).fill_null(False)


def _holds_json(kind: dt.DataType) -> bool:
    parts = (getattr(kind, "value_type", None), *getattr(kind, "types", ()))
    return kind.is_json() or any(_holds_json(part) for part in parts if part is not None)


def baseline(last: Baseline, compared: tuple[str, ...]) -> ir.Table:
    """The keys that may be in Redis, each once: ``_key``, ``_known``, and its compared values as ``_{column}``.

    A key that was invalid in the last run (several rows had it) is kept without values.
    """
    snapshot = last.snapshot
    id_column = snapshot.columns[0]
    rows = snapshot.filter(snapshot[id_column].notnull(), snapshot[id_column] != "")
    operation, key = rows[OPERATION], rows[id_column]
    known, kept = _standing(operation, last, failed=False)
    if last.failed is None:
        return rows.filter(kept).select(_values(rows, key, known, compared))
    failed = _failed_once(last.failed)
    joined = rows.left_join(failed, key == failed["_failed"])
    has_failed = joined["_failed"].notnull()
    known_if_failed, kept_if_failed = _standing(joined[OPERATION], last, failed=True)
    known, kept = _standing(joined[OPERATION], last, failed=False)
    known, kept = has_failed.ifelse(known_if_failed, known), has_failed.ifelse(kept_if_failed, kept)
    valid = joined.filter(~joined["_invalid"].fill_null(False), kept)
    regular = valid.select(_values(valid, valid[id_column], known, compared))
    several = rows.semi_join(failed.filter(failed["_invalid"]), key == failed["_failed"])
    numbered = several.mutate(_number=ibis.row_number().over(group_by=id_column))
    invalid = numbered.filter(numbered["_number"] == 0)
    # A null of the column's own type, which ibis cannot always spell (an enum of PostgreSQL, say).
    nothing = {f"_{name}": ibis.cases((ibis.literal(False), invalid[name])) for name in compared}
    return regular.union(invalid.select(**{_KEY: invalid[id_column], _KNOWN: ibis.literal(False), **nothing}))


def _values(rows: ir.Table, key: ir.Column, known: ir.BooleanValue, compared: tuple[str, ...]) -> dict[str, ir.Value]:
    return {_KEY: key, _KNOWN: known, **{f"_{name}": rows[name] for name in compared}}


def _failed_once(failed: ir.Table) -> ir.Table:
    named = failed.filter(failed["PRIMARY_KEY"].notnull(), failed["PRIMARY_KEY"] != "")
    return named.group_by(_failed=named["PRIMARY_KEY"]).agg(_invalid=named["RUDDER_INVALID"].any())


def _standing(operation: ir.StringColumn, last: Baseline, *, failed: bool) -> tuple[ir.BooleanValue, ir.BooleanValue]:
    """``standing_after``, asked about every operation: which rows are known, and which are not absent."""
    answers = {one: standing_after(one, last.mode, completed=last.completed, failed=failed) for one in Operation}
    known = [one for one, standing in answers.items() if standing is Standing.KNOWN]
    present = [one for one, standing in answers.items() if standing is not Standing.ABSENT]
    return _one_of(operation, known), _one_of(operation, present)


def invalid_keys(snapshot: ir.Table) -> ir.Table:
    """The rows that cannot be delivered, as rows of ``FAILED_KEYS``: no id, or an id that several rows have."""
    id_column = snapshot.columns[0]
    rows = snapshot.filter(snapshot[OPERATION] != Operation.DELETE.value)
    counted = rows.group_by(PRIMARY_KEY=rows[id_column]).agg(
        RUDDER_OPERATION=rows[OPERATION].max(), ROW_COUNT=rows.count()
    )
    missing = counted["PRIMARY_KEY"].isnull() | (counted["PRIMARY_KEY"] == "")
    reason = missing.ifelse("null or empty primary key", "duplicate primary key")
    found = counted.filter(missing | (counted["ROW_COUNT"] > 1))
    return found.select(
        "PRIMARY_KEY",
        "RUDDER_OPERATION",
        RUDDER_INVALID=ibis.literal(True),
        ERROR_REASON=reason,
        ROW_COUNT=found["ROW_COUNT"],
    )


def deliverable(snapshot: ir.Table, mode: Mode, invalid: ir.Table | None) -> ir.Table:
    """The rows of a snapshot that are to be sent; ``invalid``: its failed keys, where there are invalid ones."""
    rows = snapshot.filter(_one_of(snapshot[OPERATION], DELIVERED[mode]))
    if invalid is None:
        return rows
    keys = invalid.filter(invalid["RUDDER_INVALID"]).select(_invalid="PRIMARY_KEY")
    id_column = snapshot.columns[0]
    named = rows.filter(rows[id_column].notnull(), rows[id_column] != "")
    return named.anti_join(keys, named[id_column] == keys["_invalid"])


def travelling(rows: ir.Table, traits: tuple[str, ...], dialect: Dialect) -> ir.Table:
    """The id, the operation, and the traits in the types in which they leave the warehouse."""
    moved = {name: _as_text(rows[name], dialect) for name in traits}
    return rows.select(rows.columns[0], OPERATION, **moved)


def _as_text(column: ir.Column, dialect: Dialect) -> ir.Column:
    target = _transport(column.type(), dialect)
    return column if target == column.type() else column.cast(target)


def _transport(kind: dt.DataType, dialect: Dialect) -> dt.DataType:
    if type(kind).__name__.lower() in dialect.text_for:
        return _TEXT
    if kind.is_array():
        return ibis.expr.datatypes.Array(_transport(kind.value_type, dialect))
    if kind.is_struct():
        return ibis.expr.datatypes.Struct({name: _transport(part, dialect) for name, part in kind.items()})
    if kind.is_map():
        return ibis.expr.datatypes.Map(kind.key_type, _transport(kind.value_type, dialect))
    return kind
