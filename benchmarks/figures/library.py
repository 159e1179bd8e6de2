"""The library alone, by pytest-benchmark, in one process (`benchmarks.in_process`): each way to read a cached profile.

Each way is compared with `get`. What `get` costs beside a bare dict is the figure `hit`'s to say: it lets both take turns.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.children import ROOT, ContenderFailed
from benchmarks.rows import times_the_cost

SUITE = Path(__file__).parent.parent / "in_process.py"
GET = "get"
FLOOR = "dict_get"
PASS = 100  # lookups in one measured pass
RUNS = 5  # of the whole suite: its ways are measured one after the other, while the machine changes


def measure(bench: Bench) -> None:
    runs = [_run(0.1 if bench.settings.mode == "quick" else 0.5) for _ in range(RUNS)]
    medians = {name: [found[name]["median"] / PASS for found in runs] for name in runs[0]}
    for name, values in medians.items():
        bench.keep(f"{name} (pytest-benchmark)", values)
        if name not in {GET, FLOOR}:
            bench.add(times_the_cost(f"cached: {name}", values, medians[GET], None, "one get"))


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
        found = json.loads(report.read_text())["benchmarks"]
        return {one["name"].removeprefix("test_"): one["stats"] for one in found}
