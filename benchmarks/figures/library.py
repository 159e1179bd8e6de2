"""The library alone, by pytest-benchmark, in one process (`benchmarks.in_process`): each way to read a cached profile."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.children import ROOT, ContenderFailed
from benchmarks.rounds import Spread
from benchmarks.rows import Row

SUITE = Path(__file__).parent.parent / "in_process.py"
FLOOR = "dict_get"
PASS = 100  # lookups in one measured pass


def measure(bench: Bench) -> None:
    found = _run(0.2 if bench.settings.mode == "quick" else 1.0)
    floor = found[FLOOR]["median"]
    for name, stats in found.items():
        bench.result.samples[f"{name} (pytest-benchmark)"] = stats
        if name != FLOOR:
            bench.add(_row(name, stats, floor))


def _row(name: str, stats: dict[str, float], floor: float) -> Row:
    value = Spread(stats["median"] / floor, stats["q1"] / floor, stats["q3"] / floor)
    ours, peer = stats["median"] / PASS, floor / PASS
    return Row(name=f"cached: {name}", value=value, ours=ours, peer=peer, peer_name="one dict.get", measure="s")


def _run(seconds: float) -> dict[str, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "benchmark.json")
        options = ["-o", "addopts=", "-p", "no:cacheprovider", "-q", f"--benchmark-max-time={seconds}"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, f"--benchmark-json={report}", str(SUITE)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ContenderFailed(f"the pytest-benchmark suite failed:\n{done.stdout[-2000:]}")
        return {
            one["name"].removeprefix("test_"): _kept(one["stats"])
            for one in json.loads(report.read_text())["benchmarks"]
        }


def _kept(stats: dict[str, Any]) -> dict[str, Any]:
    return {name: stats[name] for name in ("min", "q1", "median", "q3", "max", "mean", "stddev", "rounds")}
