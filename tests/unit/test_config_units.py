"""Durations and sizes: what is read, what is refused and how, and that what is written can be read."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.errors import ConfigurationError
from edgeprofile.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0.0),
        ("1us", 1e-6),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("90d", 7_776_000.0),
        (" 2 h ", 7200.0),
        ("1m 30s", 90.0),
    ],
)
def test_reads_durations(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0B", 0),
        ("1B", 1),
        ("64KiB", 65_536),
        ("64MiB", 67_108_864),
        ("1.5GB", 1_500_000_000),
        ("2 TiB", 2 << 40),
        ("10kB", 10_000),
        ("0.5B", 0),
    ],
)
def test_reads_sizes(text, count):
    assert parse_size(text) == count


@pytest.mark.parametrize("value", ["300", " 300 ", 300, "1.5", 1.5, 0, "0"])
@pytest.mark.parametrize(("parse", "unit"), [(parse_duration, "s"), (parse_size, "B")])
def test_refuses_a_bare_number_and_shows_how_to_write_it(parse, unit, value):
    written = str(value).strip()
    with pytest.raises(ConfigurationError, match=f'{written} has no unit: write "{written}{unit}"'):
        parse(value)


@pytest.mark.parametrize("value", [True, None, [], {}, b"5s"])
def test_refuses_what_is_no_text(value):
    with pytest.raises(ConfigurationError, match=r'this is no duration: write text .* such as "5s"'):
        parse_duration(value)


@pytest.mark.parametrize(
    "text", ["", "s", "-5s", "5s!", "5ss s", "1e3s", "\uff15s", "5s\x00", "fast", "9" * 400 + "s", "1.s"]
)
def test_refuses_what_is_no_duration(text):
    with pytest.raises(ConfigurationError, match=r"no duration|unknown unit"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "unit"), [("5min", "min"), ("5S", "S"), ("1h5", ""), ("5MS", "MS")])
def test_names_the_unknown_unit_and_the_known_ones(text, unit):
    with pytest.raises(ConfigurationError, match=rf'"{unit}".*us, ms, s, m, h, d|no duration.*us, ms, s, m, h, d'):
        parse_duration(text)


@pytest.mark.parametrize("text", ["5K", "5mib", "64M", "1kb", "9" * 400 + "B"])
def test_refuses_ambiguous_sizes(text):
    with pytest.raises(ConfigurationError, match="B, kB, MB, GB, TB, KiB, MiB, GiB, TiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (0.5, "500ms"), (1.0, "1s"), (90.0, "90s"), (300.0, "5m"), (86_400.0, "1d"), (1e-6, "1us")],
)
def test_writes_durations(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0B"), (1 << 20, "1MiB"), (1500, "1500B"), (10_000, "10kB"), (3 << 30, "3GiB")]
)
def test_writes_sizes(count, text):
    assert format_size(count) == text


@given(st.integers(min_value=0, max_value=10**15))
def test_a_written_duration_reads_the_same(micros):
    assert parse_duration(format_duration(micros / 1e6)) == pytest.approx(micros / 1e6, rel=1e-12)


@given(st.integers(min_value=0, max_value=10**15 - 1))
def test_a_written_size_reads_the_same(count):
    assert parse_size(format_size(count)) == count


@given(st.text())
def test_any_text_is_read_or_refused_by_name(text):
    for parse in (parse_duration, parse_size):
        with contextlib.suppress(ConfigurationError):
            assert parse(text) >= 0
