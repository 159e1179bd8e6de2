"""How much of a batch is encoded at a time."""

import pyarrow as pa

from edgeprofile.reverse_etl.deliver import _bounded


def batch(rows, columns):
    return pa.RecordBatch.from_pydict({f"c{n}": pa.array([1] * rows, pa.int8()) for n in range(columns)})


def test_a_narrow_batch_stays_whole():
    assert [len(part) for part in _bounded(batch(16_384, 20), 20 * 30)] == [16_384]


def test_a_wide_one_is_cut_by_its_json_and_not_by_its_arrow_form():
    """250 columns of one byte each, under names of 48 characters."""
    labels = 250 * 56
    parts = [len(part) for part in _bounded(batch(16_384, 250), labels)]
    assert sum(parts) == 16_384
    assert max(parts) * labels <= 32 << 20


def test_no_rows():
    assert list(_bounded(batch(0, 3), 30)) == []
