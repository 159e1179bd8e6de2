"""The rules as SQL: every warehouse's dialect can say them, and says them as the tables of `plan` do."""

import itertools

import ibis
import pyarrow as pa
import pytest
import sqlglot
from ibis.backends.sql.compilers import bigquery, databricks, duckdb, postgres, snowflake

from edgeprofile.reverse_etl import expressions
from edgeprofile.reverse_etl.dialects import DIALECTS
from edgeprofile.reverse_etl.expressions import FAILED_COLUMNS, OPERATION, Baseline
from edgeprofile.reverse_etl.plan import Kind, Mode, Operation, Standing, operation_for, standing_after

COMPILERS = {
    "duckdb": duckdb,
    "postgres": postgres,
    "redshift": postgres,
    "snowflake": snowflake,
    "bigquery": bigquery,
    "databricks": databricks,
}
TRAITS = ("country", "spend", "seen", "profile")
COLUMNS = {
    "email": "string",
    "country": "string",
    "spend": "decimal(12, 2)",
    "seen": "timestamp('UTC')",
    "profile": "json",
}
VIEW = ibis.table(COLUMNS, name="features_by_email")
SNAPSHOT = ibis.table({**COLUMNS, OPERATION: "string"}, name="SNAPSHOT_c_1")
FAILED = ibis.table(FAILED_COLUMNS, name="FAILED_KEYS_c_1")


def statements(dialect):
    left = Baseline(SNAPSHOT, FAILED, Mode.UPSERT, completed=True)
    base = expressions.baseline(left, TRAITS)
    yield expressions.full_snapshot(VIEW, "email", TRAITS)
    for kind in Kind:
        compared = TRAITS if kind is Kind.INCREMENTAL else ()
        yield expressions.next_snapshot(VIEW, "email", TRAITS, base=base, compared=compared, kind=kind, dialect=dialect)
    yield expressions.invalid_keys(SNAPSHOT)
    rows = expressions.deliverable(SNAPSHOT, Mode.MIRROR, FAILED)
    yield expressions.travelling(rows, TRAITS, dialect)
    yield expressions.beyond_cursor(
        VIEW,
        "email",
        TRAITS,
        cursor="seen",
        checkpoint="2026-03-01 12:30:00+00",
        base=base,
        compared=TRAITS,
        dialect=dialect,
    )
    yield expressions.highest(expressions.beyond(SNAPSHOT, "seen", "2026-03-01 12:30:00+00"), "seen")


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_can_say_them(name):
    dialect, compiler = DIALECTS[name], COMPILERS[name].compiler
    for expression in statements(dialect):
        text = compiler.to_sqlglot(expression).sql(dialect=compiler.dialect)
        assert sqlglot.parse_one(text, read=compiler.dialect).key == "select"
        if not dialect.null_safe:
            assert "DISTINCT FROM" not in text


@pytest.mark.parametrize("name", DIALECTS)
def test_what_loses_something_as_arrow_travels_as_text(name):
    dialect = DIALECTS[name]
    moved = expressions.travelling(SNAPSHOT, TRAITS, dialect).schema()
    assert moved["profile"].is_string()
    assert moved["spend"].is_string() == ("decimal" in dialect.text_for)


def test_text_reaches_into_arrays_structs_and_maps():
    rows = ibis.table(
        {"id": "string", "deep": "array<struct<j: json, n: int64>>", "m": "map<string, uuid>", OPERATION: "string"}
    )
    moved = expressions.travelling(rows, ("deep", "m"), DIALECTS["duckdb"]).schema()
    assert str(moved["deep"]) == "array<struct<j: string, n: int64>>"
    assert str(moved["m"]) == "map<string, string>"


@pytest.fixture(scope="module")
def backend():
    connection = ibis.duckdb.connect()
    yield connection
    connection.disconnect()


def rows_of(backend, expression):
    return backend.to_pyarrow(expression).to_pylist()


def table(rows, columns):
    return ibis.memtable(pa.Table.from_pylist(rows, ibis.schema(columns).to_pyarrow()))


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("completed", [True, False])
def test_the_warehouse_decides_as_the_plan_does(backend, kind, mode, completed):
    """Every combination of what was, what is and what failed, as one row each."""
    cases = [
        (f"{operation or 'new'} {failed} {in_view} {equal}", operation, failed, in_view, equal)
        for operation, failed, in_view, equal in itertools.product(
            [*Operation, None], (True, False), (True, False), (True, False)
        )
        if operation is not None or (not failed and not equal)
    ]
    before = [{"id": key, "x": 1, OPERATION: operation.value} for key, operation, *_ in cases if operation]
    refused = [
        {"PRIMARY_KEY": key, "RUDDER_OPERATION": "x", "RUDDER_INVALID": False, "ERROR_REASON": "", "ROW_COUNT": 1}
        for key, operation, failed, *_ in cases
        if operation and failed
    ]
    now = [{"id": key, "x": 1 if equal else 2} for key, *_, in_view, equal in cases if in_view]
    left = Baseline(
        table(before, {"id": "string", "x": "int64", OPERATION: "string"}),
        table(refused, FAILED_COLUMNS),
        mode,
        completed,
    )
    compared = ("x",) if kind is Kind.INCREMENTAL else ()
    snapshot = expressions.next_snapshot(
        table(now, {"id": "string", "x": "int64"}),
        "id",
        ("x",),
        base=expressions.baseline(left, compared),
        compared=compared,
        kind=kind,
        dialect=DIALECTS["duckdb"],
    )
    found = {row["id"]: row[OPERATION] for row in rows_of(backend, snapshot)}
    wanted = {}
    for key, operation, failed, in_view, equal in cases:
        standing = standing_after(operation, mode, completed=completed, failed=failed) if operation else Standing.ABSENT
        answer = operation_for(standing, in_view=in_view, equal=equal, kind=kind)
        if answer is not None:
            wanted[key] = answer.value
    assert found == wanted
