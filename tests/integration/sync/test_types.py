"""The documented table of types, in real warehouses: the same value is the same text in all of them."""

import json

import pytest

from edgeprofile.reverse_etl.errors import WarehouseError

# As both warehouses spell it: the value, and its JSON.
SHARED = {
    "yes": ("true", "true"),
    "small": ("CAST(-7 AS SMALLINT)", "-7"),
    "large": ("CAST(9007199254740993 AS BIGINT)", "9007199254740993"),
    "money": ("CAST(1.50 AS DECIMAL(10, 2))", "1.5"),
    "hundred": ("CAST(100 AS DECIMAL(10, 2))", "100"),
    "tiny": ("CAST('0.0000000001' AS DECIMAL(38, 10))", "0.0000000001"),
    "real": ("CAST(0.1 AS DOUBLE PRECISION)", "0.1"),
    "whole": ("CAST(1 AS DOUBLE PRECISION)", "1"),
    "single": ("CAST(0.1 AS REAL)", "0.1"),
    "nan": ("CAST('NaN' AS DOUBLE PRECISION)", "null"),
    "infinite": ("CAST('-Infinity' AS DOUBLE PRECISION)", "null"),
    "word": ("'say \"hi\" \\ Zoë'", '"say \\"hi\\" \\\\ Zoë"'),
    "day": ("DATE '2026-03-01'", '"2026-03-01"'),
    "clock": ("TIME '12:30:00.5'", '"12:30:00.5"'),
    "moment": ("TIMESTAMP '2026-03-01 12:30:00'", '"2026-03-01T12:30:00"'),
    "exact": ("TIMESTAMP '2026-03-01 12:30:00.123450'", '"2026-03-01T12:30:00.12345"'),
    "zoned": ("TIMESTAMPTZ '2026-03-01 12:30:00+02'", '"2026-03-01T10:30:00Z"'),
    "span": ("INTERVAL '1 year 2 days 3 hours 4 minutes 5.5 seconds'", '"P1Y2DT3H4M5.5S"'),
    "nothing": ("INTERVAL '0 seconds'", '"PT0S"'),
    "unique": ("CAST('c1f8a5b0-0000-4000-8000-000000000000' AS UUID)", '"c1f8a5b0-0000-4000-8000-000000000000"'),
    "document": ('CAST(\'{"b": 1.50, "a": [1, 2]}\' AS JSON)', '{"b":1.50,"a":[1,2]}'),
    "list": ("ARRAY[1, NULL, 3]", "[1,null,3]"),
    "words": ("ARRAY['a', 'b\"']", '["a","b\\""]'),
    "empty": ("CAST(ARRAY[] AS INTEGER[])", "[]"),
    "moments": ("ARRAY[TIMESTAMPTZ '2026-03-01 12:30:00+00']", '["2026-03-01T12:30:00Z"]'),
}

OF_DUCKDB = {
    "huge": ("170141183460469231731687303715884105727::HUGEINT", "1" + "70141183460469231731687303715884105727"),
    "unsigned": ("18446744073709551615::UBIGINT", "18446744073709551615"),
    "struct": ("{'x': 1, 'y': NULL::VARCHAR, 'z': ['a']}", '{"x":1,"y":null,"z":["a"]}'),
    "map": ("MAP {'k': 1.5, 'l': NULL}", '{"k":1.5,"l":null}'),
    "nested": ("[[1, 2], []]", "[[1,2],[]]"),
    "enum": ("'ok'::ENUM ('ok', 'sad')", '"ok"'),
    "bytes": ("'\\xAB\\x00'::BLOB", '"qwA="'),
    "bits": ("'101'::BIT", '"101"'),
    "nanos": ("TIMESTAMP_NS '2026-03-01 12:30:00.123456789'", '"2026-03-01T12:30:00.123456789"'),
    "documents": ("['{\"a\": 1}'::JSON]", '[{"a":1}]'),
    "everafter": ("'infinity'::DATE", "null"),
    "neverbefore": ("'-infinity'::DATE", "null"),
    "forever": ("'infinity'::TIMESTAMP", "null"),
    "nonanos": ("'infinity'::TIMESTAMP_NS", "null"),
    "never": ("'-infinity'::TIMESTAMPTZ", "null"),
    "endless": ("['infinity'::TIMESTAMP, TIMESTAMP '2026-03-01 12:30:00.5']", '[null,"2026-03-01T12:30:00.5"]'),
    "farfuture": ("DATE '40000-03-01'", '"40000-03-01"'),
    "farmoment": ("TIMESTAMP '40000-03-01 12:30:00'", '"40000-03-01T12:30:00"'),
    "zonedclock": ("TIMETZ '12:30:00.50+02'", '"12:30:00.5+02"'),
    "clocks": ("[TIMETZ '12:30:00-05:30']", '["12:30:00-05:30"]'),
}

OF_POSTGRES = {
    "free": ("1.500::NUMERIC", "1.5"),
    "exactly": ("0.1234567890123456789012345::NUMERIC", "0.1234567890123456789012345"),
    "notanumber": ("'NaN'::NUMERIC", "null"),
    "cash": ("'$1.50'::MONEY", '"$1.50"'),
    "jsonb": ('\'{"b": 1, "a": "x"}\'::JSONB', '{"a":"x","b":1}'),
    "documents": ("ARRAY['{\"a\": 1}'::JSON]", '[{"a":1}]'),
    "numbers": ("ARRAY[1.50, 2]::NUMERIC[]", "[1.5,2]"),
    "enum": ("'ok'::mood", '"ok"'),
    "bytes": ("'\\xAB00'::BYTEA", '"qwA="'),
    "address": ("'10.0.0.1'::INET", '"10.0.0.1/32"'),
    "forever": ("'infinity'::TIMESTAMPTZ", "null"),
    "everafter": ("'infinity'::DATE", "null"),
    "farfuture": ("TIMESTAMP '12026-03-01 12:30:00'", '"12026-03-01T12:30:00"'),
    "zonedclock": ("TIMETZ '12:30:00+02'", '"12:30:00+02"'),
    "negative": ("INTERVAL '-1 month -1.5 seconds'", '"P-1MT-1.5S"'),
    "markup": ("'<a/>'::XML", '"<a/>"'),
    "range": ("'[1,5)'::INT4RANGE", '"[1,5)"'),
    "padded": ("'ab'::CHAR(4)", '"ab  "'),
}


def written(syncing, values):
    columns = ", ".join(f'{value} AS "{name}"' for name, (value, _) in values.items())
    nulls = ", ".join(f'NULL AS "{name}"' for name in values)
    syncing.execute(f"CREATE TABLE features_by_email AS SELECT 'full' AS email, {columns}")
    syncing.execute(f"INSERT INTO features_by_email SELECT 'empty' AS email, {nulls}")
    syncing.sync()
    return syncing.server.command("HGET", "1Wsp:2Dest:user:email:full", "features_by_email").decode()


def expected(values):
    return "{" + ",".join(f'"{name}":{text}' for name, (_, text) in values.items()) + "}"


def test_types_that_both_have(syncing):
    assert written(syncing, SHARED) == expected(SHARED)
    assert set(syncing.traits()["empty"].values()) == {None}
    assert json.loads(expected(SHARED)) == syncing.traits()["full"]


def test_types_of_duckdb(embedded):
    assert written(embedded, OF_DUCKDB) == expected(OF_DUCKDB)
    assert set(embedded.traits()["empty"].values()) == {None}


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
def test_types_of_postgres(syncing):
    syncing.execute("CREATE TYPE mood AS ENUM ('ok', 'sad')")
    assert written(syncing, OF_POSTGRES) == expected(OF_POSTGRES)
    assert set(syncing.traits()["empty"].values()) == {None}


@pytest.mark.parametrize("values", [SHARED, OF_DUCKDB], ids=["shared", "duckdb"])
def test_a_second_run_finds_no_difference(embedded, values):
    written(embedded, values)
    report = embedded.sync()
    assert (report.kind, report.unchanged, report.delivered) == ("incremental", 2, 0)


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
@pytest.mark.parametrize("values", [SHARED, OF_POSTGRES], ids=["shared", "postgres"])
def test_a_second_run_on_postgres_finds_no_difference(syncing, values):
    syncing.execute("CREATE TYPE mood AS ENUM ('ok', 'sad')")
    written(syncing, values)
    report = syncing.sync()
    assert (report.kind, report.unchanged, report.delivered) == ("incremental", 2, 0)
    syncing.execute("INSERT INTO features_by_email (email) VALUES ('double'), ('double')")
    assert syncing.sync().invalid == 2
    assert syncing.sync().unchanged == 2


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
def test_geometry_is_refused_by_name(syncing):
    syncing.execute("CREATE TABLE features_by_email AS SELECT 'a' AS email, POINT(1, 2) AS place")
    with pytest.raises(WarehouseError, match=r"has geometry.*: place \(point"):
        syncing.sync()


def sent_after(syncing, statement):
    """Whether a change is one."""
    syncing.execute(statement)
    report = syncing.sync()
    return (report.updated, report.unchanged) == (1, 0)


def test_an_interval_that_is_equal_and_not_the_same_is_sent(syncing):
    def view(spend, several):  # a view, since an UPDATE of DuckDB leaves what is equal as it was
        values = f"'a' AS email, INTERVAL '{spend}' AS x, ARRAY[INTERVAL '{several}'] AS y"
        return f"DROP VIEW IF EXISTS features_by_email; CREATE VIEW features_by_email AS SELECT {values}"

    syncing.execute(view("30 days", "24 hours"))
    syncing.sync()
    assert sent_after(syncing, view("1 month", "24 hours"))
    assert sent_after(syncing, view("1 month", "1 day"))
    assert syncing.sync().unchanged == 1


def test_text_that_its_collation_calls_equal_is_sent(syncing):
    syncing.execute("CREATE TYPE mood AS ENUM ('ok', 'sad')")
    table = "CREATE TABLE features_by_email (email TEXT, x TEXT COLLATE NOCASE, y TEXT[], z mood)"
    if not syncing.store.url.startswith("duckdb"):
        syncing.execute("CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        table = table.replace("NOCASE", "folding").replace("TEXT[]", "TEXT[] COLLATE folding")
    syncing.execute(table)
    syncing.execute("INSERT INTO features_by_email VALUES ('a', 'x', ARRAY['y', NULL], 'ok')")
    syncing.sync()
    assert sent_after(syncing, "UPDATE features_by_email SET x = 'X'")
    assert sent_after(syncing, "UPDATE features_by_email SET y = ARRAY['Y', NULL]")
    assert sent_after(syncing, "UPDATE features_by_email SET z = 'sad'")
    assert sent_after(syncing, "UPDATE features_by_email SET x = NULL, y = NULL")
    assert syncing.sync().unchanged == 1
    assert syncing.traits() == {"a": {"x": None, "y": None, "z": "sad"}}


def test_an_enum_may_be_the_id(syncing):
    syncing.execute("CREATE TYPE mood AS ENUM ('ok', 'sad', '')")
    syncing.execute("CREATE TABLE features_by_email (email mood, x INTEGER)")
    syncing.execute("INSERT INTO features_by_email VALUES ('ok', 1), ('sad', 2), ('', 3)")
    report = syncing.sync()
    assert (report.delivered, report.invalid) == (2, 1)
    assert syncing.traits() == {"ok": {"x": 1}, "sad": {"x": 2}}
    syncing.execute("UPDATE features_by_email SET x = 3 WHERE email = 'ok'")
    assert syncing.sync().updated == 1
    assert syncing.traits()["ok"] == {"x": 3}
    assert syncing.sync().unchanged == 2
