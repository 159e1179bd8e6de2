"""The sync's rules as ibis expressions, so that the warehouse applies them to rows that never leave it.

A snapshot has the id column first, as text, then the traits, then ``RUDDER_OPERATION_TYPE``. The two tables of rules
in ``plan`` are turned into conditions by asking them every question once.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis

from edgeprofile.reverse_etl.plan import DELIVERED, NOT_FINITE, Operation, Standing, operation_for, standing_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir

    from edgeprofile.reverse_etl.dialects import Dialect
    from edgeprofile.reverse_etl.plan import Kind, Mode

__all__ = [
    "FAILED_COLUMNS",
    "OPERATION",
    "Baseline",
    "all_keys",
    "baseline",
    "beyond",
    "beyond_cursor",
    "deletions",
    "deletions_of_both",
    "deliverable",
    "full_snapshot",
    "highest",
    "invalid_keys",
    "next_snapshot",
    "travelling",
]

OPERATION = "RUDDER_OPERATION_TYPE"
FAILED_COLUMNS = {
    "PRIMARY_KEY": "string",
    "RUDDER_OPERATION": "string",
    "RUDDER_INVALID": "boolean",
    "ERROR_REASON": "string",
    "ROW_COUNT": "int64",
}
_KEY, _KNOWN = "rudder__key", "rudder__known"
_ID, _IN_VIEW, _THEN_OPERATION = "rudder__id", "rudder__in_view", "rudder__then_operation"
_FAILED, _INVALID, _NUMBER, _CHOSEN = "rudder__failed", "rudder__invalid", "rudder__number", "rudder__chosen"
_TEXT, _BYTES = ibis.dtype("string"), ibis.dtype("binary")


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
    return _snapshot(_current(view, id_column, traits), id_column, traits, ibis.literal(Operation.INSERT.value))


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
    now = _current(view, id_column, traits).mutate(ibis.literal(True).name(_IN_VIEW))
    both = now.outer_join(base, now[_ID] == base[_KEY])
    # The literal's nullability is lost on the outer side of the join, so the test must not be folded away.
    in_view = both[_IN_VIEW].fill_null(False)
    standing_known, standing_unknown = both[_KNOWN].fill_null(False), both[_KEY].notnull()
    equal = _equal(both, traits, compared, dialect)
    operation = _operation(in_view, standing_known, standing_unknown, equal, kind)
    return _snapshot(both, id_column, traits, operation, key=ibis.coalesce(both[_ID], both[_KEY]))


def beyond_cursor(
    view: ir.Table,
    id_column: str,
    traits: tuple[str, ...],
    *,
    cursor: str,
    checkpoint: str,
    base: ir.Table,
    compared: tuple[str, ...],
    dialect: Dialect,
) -> ir.Table:
    """The rows whose cursor is at or beyond the checkpoint, those whose key an earlier run left unfinished, and theirs.

    What stands at the checkpoint may have been sent before, and another row may have come to stand there since: of
    these, only what differs from the last snapshot is sent again. All rows of a chosen id come with it, so that an id
    that several rows have is seen. An unfinished key that has left the view is kept, for when it comes back.
    """
    now = _current(view, id_column, traits).mutate(ibis.literal(True).name(_IN_VIEW))
    then = base[_then(compared.index(cursor))]
    left = base.filter(_reaches(then, checkpoint) | ~base[_KNOWN])
    both = now.outer_join(left, now[_ID] == left[_KEY])
    unfinished = both[_KEY].notnull() & ~both[_KNOWN].fill_null(False)
    chosen = both.filter(_reaches(both[_now(traits.index(cursor))], checkpoint) | unfinished)
    ids = chosen.filter(chosen[_ID].notnull()).select(chosen[_ID].name(_CHOSEN)).distinct()
    rows = both.semi_join(ids, both[_ID] == ids[_CHOSEN]).union(chosen.filter(chosen[_ID].isnull()))
    sent = rows[_KNOWN].fill_null(False) & _equal(rows, traits, compared, dialect)
    operation = ibis.cases(
        (~rows[_IN_VIEW].fill_null(False), Operation.DELETE.value),
        (sent, Operation.UNCHANGED.value),
        else_=Operation.UPDATE.value,
    )
    return _snapshot(rows, id_column, traits, operation, key=ibis.coalesce(rows[_ID], rows[_KEY]))


def _reaches(column: ir.Value, checkpoint: str) -> ir.BooleanValue:
    reached: ir.BooleanValue = column >= _constant(checkpoint).cast(column.type())
    return reached.fill_null(False)


def beyond(prepared: ir.Table, cursor: str, checkpoint: str | None) -> ir.Table:
    """The rows whose cursor is beyond the checkpoint; all of them where there is none."""
    if checkpoint is None:
        return prepared
    return prepared.filter(prepared[cursor] > _constant(checkpoint).cast(prepared[cursor].type()))


def _constant(text: str) -> ir.StringValue:
    """A text as an expression; its NULs, at which some parsers take the statement to end, are spelled as calls."""
    first, *others = text.split("\0")
    constant: ir.StringValue = ibis.literal(first)
    for part in others:
        constant = constant.concat(_function("chr", ibis.dtype("int64"), _TEXT)(0), part)
    return constant


def highest(prepared: ir.Table, cursor: str) -> ir.Table:
    """The highest value of the cursor but infinity, as text, in one row and one column ``highest``."""
    column = prepared[cursor]
    kind = column.type()
    if kind.is_floating() or kind.is_decimal() or kind.is_date() or kind.is_timestamp():
        prepared = prepared.filter(column.cast(_TEXT).lower().notin(NOT_FINITE))
    return prepared.agg(highest=prepared[cursor].max().cast("string"))


def _now(index: int) -> str:
    """The alias of a trait's value in the view: no name of the view's own takes part in a join."""
    return f"rudder__now_{index}"


def _then(index: int) -> str:
    """The alias of a compared column's value in the last snapshot."""
    return f"rudder__then_{index}"


def _current(view: ir.Table, id_column: str, traits: tuple[str, ...]) -> ir.Table:
    key = view[id_column]
    is_bounded = key.type().is_string() and key.type().length is not None  # VARCHAR(n), never an enum of PostgreSQL
    text = key if is_bounded else _as_varchar(key)
    return view.select(text.name(_ID), *(_storable(view[name]).name(_now(at)) for at, name in enumerate(traits)))


def _snapshot(
    rows: ir.Table, id_column: str, traits: tuple[str, ...], operation: ir.Value, key: ir.Value | None = None
) -> ir.Table:
    """Rows of ``_current`` as a snapshot, under the view's own names."""
    identity = rows[_ID] if key is None else key
    values = (rows[_now(at)].name(name) for at, name in enumerate(traits))
    return rows.select(identity.name(id_column), *values, operation.name(OPERATION))


def _equal(both: ir.Table, traits: tuple[str, ...], compared: tuple[str, ...], dialect: Dialect) -> ir.BooleanValue:
    at = {name: both[_now(index)] for index, name in enumerate(traits)}
    return _all(_same(at[name], both[_then(index)], dialect) for index, name in enumerate(compared))


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
    kind = now.type().copy(nullable=True)
    if kind != then.type().copy(nullable=True) or _is_loose(kind, dialect):
        now, then = now.cast(_TEXT), then.cast(_TEXT)
    now, then = _exactly(now, dialect), _exactly(then, dialect)
    if dialect.null_safe:
        return now.identical_to(then)
    return ((now == then) | (now.isnull() & then.isnull())).fill_null(False)


def _is_loose(kind: dt.DataType, dialect: Dialect) -> bool:
    """Whether values of a type cannot be compared, or are equal though their text differs: 30 days and 1 month, say."""
    parts = (getattr(kind, "value_type", None), *getattr(kind, "types", ()))
    is_loose = kind.is_interval() or (kind.is_json() and not dialect.json_equality)
    return is_loose or any(_is_loose(part, dialect) for part in parts if part is not None)


def _exactly(value: ir.Value, dialect: Dialect) -> ir.Value:
    """What is equal only where the text is, whatever its collation."""
    kind = value.type()
    if kind.is_string() and "string" in dialect.bytes_of:
        return _function(dialect.bytes_of["string"], _TEXT, _BYTES)(_as_varchar(value))
    if kind.is_array() and kind.value_type.is_string() and "array<string>" in dialect.bytes_of:
        return _function(dialect.bytes_of["array<string>"], ibis.dtype("array<string>"), _BYTES)(value)
    return value


@functools.cache
def _function(name: str, taken: dt.DataType, given: dt.DataType) -> Callable[[Any], ir.Value]:
    def declared(value: Any) -> Any: ...

    found: Callable[[Any], ir.Value] = ibis.udf.scalar.builtin(declared, name=name, signature=((taken,), given))
    return found


def _as_varchar(value: ir.Value) -> ir.Value:
    """As text even where ibis takes it for text: it does so with an enum of PostgreSQL, which is none."""
    cast: ir.Value = ibis.expr.operations.Cast(value, _TEXT).to_expr()
    return cast


def baseline(last: Baseline, compared: tuple[str, ...]) -> ir.Table:
    """The keys that may be in Redis, each once, whether they are known, and their compared values, all under aliases.

    A key that was invalid in the last run (several rows had it) is kept without values.
    """
    rows = _left(last.snapshot, compared)
    values = [_then(index) for index in range(len(compared))]
    known, kept = _standing(rows[_THEN_OPERATION], last, failed=False)
    if last.failed is None:
        return rows.filter(kept).select(_KEY, known.name(_KNOWN), *values)
    failed = _failed_once(last.failed)
    joined = rows.left_join(failed, rows[_KEY] == failed[_FAILED])
    has_failed = joined[_FAILED].notnull()
    known_if_failed, kept_if_failed = _standing(joined[_THEN_OPERATION], last, failed=True)
    known, kept = _standing(joined[_THEN_OPERATION], last, failed=False)
    known, kept = has_failed.ifelse(known_if_failed, known), has_failed.ifelse(kept_if_failed, kept)
    valid = joined.filter(~joined[_INVALID].fill_null(False), kept)
    regular = valid.select(_KEY, known.name(_KNOWN), *values)
    several = rows.semi_join(failed.filter(failed[_INVALID]), rows[_KEY] == failed[_FAILED])
    numbered = several.mutate(ibis.row_number().over(group_by=_KEY).name(_NUMBER))
    invalid = numbered.filter(numbered[_NUMBER] == 0)
    # A null of the column's own type, which ibis cannot always spell (an enum of PostgreSQL, say).
    nothing = [ibis.cases((ibis.literal(False), invalid[name])).name(name) for name in values]
    return regular.union(invalid.select(_KEY, ibis.literal(False).name(_KNOWN), *nothing))


def all_keys(parts: Iterable[ir.Table]) -> ir.Table:
    """The keys of some tables, which are their first columns, each once."""
    keys = (_as_varchar(part[part.columns[0]]).name(_KEY) for part in parts)
    return ibis.union(*(key.as_table() for key in keys), distinct=True)


def deletions(keys: ir.Table, id_column: str) -> ir.Table:
    """The snapshot of a run that takes some keys, and does nothing else."""
    return keys.select(keys[_KEY].name(id_column), ibis.literal(Operation.DELETE.value).name(OPERATION))


def _left(snapshot: ir.Table, compared: tuple[str, ...]) -> ir.Table:
    key = snapshot.columns[0]
    rows = snapshot.filter(snapshot[key].notnull(), snapshot[key] != "")
    values = (rows[name].name(_then(index)) for index, name in enumerate(compared))
    return rows.select(rows[key].name(_KEY), rows[OPERATION].name(_THEN_OPERATION), *values)


def _failed_once(failed: ir.Table) -> ir.Table:
    named = failed.filter(failed["PRIMARY_KEY"].notnull(), failed["PRIMARY_KEY"] != "")
    return named.group_by(named["PRIMARY_KEY"].name(_FAILED)).agg(named["RUDDER_INVALID"].any().name(_INVALID))


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
    keys = invalid.filter(invalid["RUDDER_INVALID"]).select(invalid["PRIMARY_KEY"].name(_INVALID))
    id_column = snapshot.columns[0]
    named = rows.filter(rows[id_column].notnull(), rows[id_column] != "")
    return named.anti_join(keys, named[id_column] == keys[_INVALID])


def deletions_of_both(snapshot: ir.Table, last: ir.Table) -> ir.Table:
    """The rows that are to be deleted by one snapshot and by the last."""
    then = last.filter(last[OPERATION] == Operation.DELETE.value)
    return deletions_among(snapshot, then.select(then[then.columns[0]].name(_KEY)))


def set_aside(failed: ir.Table) -> ir.Table:
    """The ids that a run set aside because several rows had them."""
    named = _failed_once(failed)
    return named.filter(named[_INVALID]).select(named[_FAILED].name(_KEY))


def deletions_among(snapshot: ir.Table, keys: ir.Table) -> ir.Table:
    """The rows that a snapshot deletes, of some keys."""
    gone = snapshot.filter(snapshot[OPERATION] == Operation.DELETE.value)
    return gone.semi_join(keys, gone[gone.columns[0]] == keys[_KEY])


def travelling(rows: ir.Table, traits: tuple[str, ...], dialect: Dialect) -> ir.Table:
    """The id, the operation, and the traits in the types in which they leave the warehouse."""
    moved = (_as_text(rows[name], dialect).name(name) for name in traits)
    return rows.select(rows.columns[0], OPERATION, *moved)


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
