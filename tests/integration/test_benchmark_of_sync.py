"""The benchmark of the sync works: few rows, real servers, no judgement of speed."""

import shutil

import pytest

from benchmarks.bench import QUICK, Bench
from benchmarks.figures import FIGURES, MAIN, sync
from benchmarks.rows import Result

ROWS = 500


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.setattr(sync, "ROWS", {"quick": ROWS})
    monkeypatch.setattr(sync, "ROUNDS", {"quick": 1})
    return Bench(QUICK, Result(figure="sync", title="sync"))


def test_the_figures_are_run():
    assert "sync" in MAIN
    assert "sync-many" in FIGURES


@pytest.mark.skipif(shutil.which(sync.PEER) is None, reason="redis-benchmark is not installed")
def test_delivery_is_compared_with_redis_benchmark(bench):
    sync.delivery(bench)
    (row,) = bench.result.rows
    assert row.ours > 0
    assert row.peer > 0
    assert row.target.bound == 0.6
    assert bench.result.versions.keys() == {"edgeprofile sync", sync.PEER}


def test_without_the_peer_it_is_named_as_missing(bench, monkeypatch):
    monkeypatch.setattr(sync.shutil, "which", lambda _name: None)
    sync.delivery(bench)
    assert [missing.contender for missing in bench.result.missing] == [sync.PEER]
    assert bench.result.rows[0].value.median > 0


def test_only_what_changed_moves_and_nothing_when_nothing_did():
    runs = sync._Runs.of(ROWS)
    assert runs.full["delivered"] == ROWS
    assert runs.changed["delivered"] == ROWS // 100
    assert runs.written == 0
    assert 0 < runs.full["memory"] < 1 << 30
