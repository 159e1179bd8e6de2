"""The documented table of types, row by row, and the same text for the same value whatever Arrow type it comes in."""

import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.reverse_etl.json_text import json_column, json_objects

UTC = dt.UTC
NOON = dt.datetime(2026, 3, 1, 12, 30, tzinfo=UTC).replace(tzinfo=None)


def texts(values: list[Any], kind: pa.DataType, meant: str | None = None) -> list[str]:
    return json_column(pa.array(values, kind), None if meant is None else ibis.dtype(meant)).to_pylist()


def text(value: Any, kind: pa.DataType, meant: str | None = None) -> str:
    (found,) = texts([value], kind, meant)
    return found


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (True, pa.bool_(), "true"),
        (False, pa.bool_(), "false"),
        (-7, pa.int8(), "-7"),
        (2**64 - 1, pa.uint64(), "18446744073709551615"),
        (1.0, pa.float64(), "1"),
        (0.1, pa.float64(), "0.1"),
        (-0.0, pa.float64(), "0"),
        (1e300, pa.float64(), "1e+300"),
        (5e-324, pa.float64(), "5e-324"),
        (0.1, pa.float32(), "0.1"),
        (1.5, pa.float16(), "1.5"),
        (math.nan, pa.float64(), "null"),
        (math.inf, pa.float32(), "null"),
        (-math.inf, pa.float64(), "null"),
        (Decimal("1.50"), pa.decimal128(10, 2), "1.5"),
        (Decimal("-0.00"), pa.decimal128(10, 2), "0"),
        (Decimal(100), pa.decimal128(10, 0), "100"),
        (Decimal(100), pa.decimal128(10, 2), "100"),
        (Decimal("0.0000000001"), pa.decimal128(38, 10), "0.0000000001"),
        (Decimal(10) ** 37, pa.decimal128(38, 0), "1" + "0" * 37),
        ("plain", pa.string(), '"plain"'),
        ("", pa.string(), '""'),
        ('say "hi"\\\n\t\x00\x1f', pa.string(), '"say \\"hi\\"\\\\\\n\\t\\u0000\\u001f"'),
        ("Zoë 🦊 \u2028", pa.large_string(), '"Zoë 🦊 \u2028"'),
        (dt.date(2026, 3, 1), pa.date32(), '"2026-03-01"'),
        (dt.date(99, 1, 2), pa.date32(), '"0099-01-02"'),
        (NOON, pa.date64(), '"2026-03-01"'),
        (dt.time(12, 30), pa.time64("us"), '"12:30:00"'),
        (dt.time(12, 30, 0, 500_000), pa.time64("us"), '"12:30:00.5"'),
        (NOON, pa.timestamp("us"), '"2026-03-01T12:30:00"'),
        (NOON.replace(microsecond=120_000), pa.timestamp("ns"), '"2026-03-01T12:30:00.12"'),
        (NOON.replace(second=10), pa.timestamp("s"), '"2026-03-01T12:30:10"'),
        (NOON.replace(tzinfo=UTC), pa.timestamp("us", "UTC"), '"2026-03-01T12:30:00Z"'),
        (NOON.replace(tzinfo=UTC), pa.timestamp("us", "Europe/Berlin"), '"2026-03-01T12:30:00Z"'),
        (dt.timedelta(hours=25, microseconds=1), pa.duration("us"), '"PT25H0.000001S"'),
        (pa.MonthDayNano([1, 2, 3 * 10**9]), pa.month_day_nano_interval(), '"P1M2DT3S"'),
        (b"\x00\xff", pa.binary(), '"AP8="'),
        (b"ab", pa.large_binary(), '"YWI="'),
        ([1, None, 3], pa.list_(pa.int64()), "[1,null,3]"),
        ([], pa.list_(pa.string()), "[]"),
        ([["a"], [], None], pa.list_(pa.list_(pa.string())), '[["a"],[],null]'),
        ([1, 2], pa.list_(pa.int8(), 2), "[1,2]"),
        ({"x": 1, "y": None}, pa.struct({"x": pa.int64(), "y": pa.string()}), '{"x":1,"y":null}'),
        ({'"': 1}, pa.struct({'"': pa.int64()}), '{"\\"":1}'),
        ([("k", 1), ("l", None)], pa.map_(pa.string(), pa.int64()), '{"k":1,"l":null}'),
        ([(1, "a")], pa.map_(pa.int64(), pa.string()), '{"1":"a"}'),
        ([], pa.map_(pa.string(), pa.int64()), "{}"),
        ([{"tags": ["a", "b"]}], pa.list_(pa.struct({"tags": pa.list_(pa.string())})), '[{"tags":["a","b"]}]'),
    ],
)
def test_every_type(value, kind, expected):
    assert text(value, kind) == expected
    assert texts([None, value, None], kind) == ["null", expected, "null"]


def test_the_null_type():
    assert texts([None, None], pa.null()) == ["null", "null"]


def test_enums_travel_as_dictionaries():
    values = pa.array(["ok", None, "sad"]).dictionary_encode()
    assert json_column(values, ibis.dtype("string")).to_pylist() == ['"ok"', "null", '"sad"']


@pytest.mark.parametrize(
    ("value", "meant", "expected"),
    [
        ('{"a": 1.50, "b": [1, 2]}', "json", '{"a":1.50,"b":[1,2]}'),
        ("null", "json", "null"),
        ("not json", "json", '"not json"'),
        ("1.50", "decimal", "1.5"),
        ("100", "decimal", "100"),
        ("-0.0", "decimal", "0"),
        ("NaN", "decimal", "null"),
        ("-Infinity", "decimal", "null"),
        ("$1.50", "decimal", '"$1.50"'),
        ("P1M", "interval('s')", '"P1M"'),
        ("2026-03-01 12:30:00.5+00", "timestamp('UTC')", '"2026-03-01T12:30:00.5Z"'),
        ("2026-03-01 12:30:00", "timestamp", '"2026-03-01T12:30:00"'),
        ("12026-03-01 12:30:00", "timestamp", '"12026-03-01T12:30:00"'),
        ("0044-03-15 12:00:00 BC", "timestamp", '"0044-03-15T12:00:00 BC"'),
        ("infinity", "timestamp", "null"),
        ("-infinity", "date", "null"),
        ("0044-03-15 BC", "date", '"0044-03-15 BC"'),
        ('[{"a": 1}]', "array<json>", '[{"a":1}]'),
        ("c1f8a5b0-0000-0000-0000-000000000000", "uuid", '"c1f8a5b0-0000-0000-0000-000000000000"'),
    ],
)
def test_what_travels_as_text_is_written_as_what_it_means(value, meant, expected):
    assert text(value, pa.string(), meant) == expected


def test_the_meaning_reaches_into_arrays_and_structs():
    kind = pa.list_(pa.struct({"n": pa.string(), "j": pa.string()}))
    value = [{"n": "2.50", "j": '{"a": 1}'}]
    assert text(value, kind, "array<struct<n: decimal, j: json>>") == '[{"n":2.5,"j":{"a":1}}]'


def test_the_same_decimal_is_the_same_text_in_every_form():
    forms = [
        text(Decimal("12.500"), pa.decimal128(10, 3)),
        text(Decimal("12.5"), pa.decimal256(60, 20)),
        text("12.50", pa.string(), "decimal"),
        text(12.5, pa.float64()),
    ]
    assert set(forms) == {"12.5"}


def test_the_same_instant_is_the_same_text_in_every_unit():
    forms = [text(NOON, pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")]
    assert set(forms) == {text("2026-03-01 12:30:00", pa.string(), "timestamp")}


def test_slices_are_read_where_they_lie():
    for values in (pa.array(["a", 'b"', "c", None]), pa.array([[1], [2, 3], [], None]), pa.array([{"x": 1}] * 4)):
        whole = json_column(values, None).to_pylist()
        assert json_column(values.slice(1, 2), None).to_pylist() == whole[1:3]


class TestObjects:
    def test_members_stand_in_the_order_of_the_columns(self):
        batch = pa.record_batch({"id": ["u1"], "b": [1], "a": ["x"]})
        kinds = {"b": ibis.dtype("int64"), "a": ibis.dtype("string")}
        assert json_objects(batch, kinds).to_pylist() == ['{"b":1,"a":"x"}']

    def test_names_are_escaped(self):
        batch = pa.record_batch({'say "hi"': [1]})
        assert json_objects(batch, {'say "hi"': ibis.dtype("int64")}).to_pylist() == ['{"say \\"hi\\"":1}']

    def test_without_traits_it_is_the_empty_object(self):
        assert json_objects(pa.record_batch({"id": ["u1", "u2"]}), {}).to_pylist() == ["{}", "{}"]


scalars = st.one_of(
    st.tuples(st.just(pa.string()), st.text()),
    st.tuples(st.just(pa.int64()), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(pa.float64()), st.floats(allow_nan=False, allow_infinity=False)),
    st.tuples(st.just(pa.bool_()), st.booleans()),
)


@given(st.lists(st.none() | st.text(), max_size=20))
def test_any_text_reads_back(values):
    assert [json.loads(one) for one in texts(values, pa.string())] == values


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_any_finite_float_reads_back(values):
    assert [json.loads(one) for one in texts(values, pa.float64())] == values


@given(
    st.lists(st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-1e12, max_value=1e12))
)
def test_any_decimal_reads_back_in_plain_digits(values):
    found = texts(values, pa.decimal128(38, 6))
    assert [json.loads(one, parse_float=Decimal, parse_int=Decimal) for one in found] == values
    assert not any("E" in one or "e" in one for one in found)


@given(
    st.lists(
        st.none() | st.lists(st.none() | st.lists(st.none() | st.text(max_size=3), max_size=3), max_size=3), max_size=8
    )
)
def test_any_nesting_reads_back(values):
    kind = pa.list_(pa.list_(pa.string()))
    assert [json.loads(one) for one in texts(values, kind)] == values


@given(
    st.lists(
        st.none() | st.fixed_dictionaries({"x": st.none() | st.integers(0, 9), "y": st.lists(st.text(max_size=2))})
    )
)
def test_any_struct_reads_back(values):
    kind = pa.struct({"x": pa.int64(), "y": pa.list_(pa.string())})
    assert [json.loads(one) for one in texts(values, kind)] == values


def test_a_type_without_a_meaning_is_refused():
    with pytest.raises(NotImplementedError, match="Arrow type"):
        json_column(pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16], pa.binary(16))), None)
