"""How fast it starts, and what a cached profile weighs."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from benchmarks import data, servers
from benchmarks.bench import Bench, server_spec
from benchmarks.children import ROOT
from benchmarks.rows import Row, at_most, quantity, times_the_cost

ENCODED = "edgeprofile:memory"
HELD = {
    ENCODED: "edgeprofile, never decoded",
    "edgeprofile:memory_read": "edgeprofile, all of them read",
    "dictionary": "a dict, decoded",
    "cachebox": "cachebox, decoded",
    "cachetools": "cachetools, decoded",
    "theine": "theine, decoded",
    "cashews": "cashews, decoded",
    "redis_py": "redis-py, replies",
    "coredis": "coredis, replies",
}
WEIGHED = {"full": 100_000, "quick": 50_000}  # so many that what a process weighs at its start is lost among them
HEAVY = ("aiohttp", "asyncio", "edgeprofile.engine", "ibis", "redis", "rich")
_IMPORT = """
import json, sys, time
start = time.perf_counter()
import edgeprofile
seconds = time.perf_counter() - start
print(json.dumps([seconds, sorted(set(sys.argv[1:]) & set(sys.modules))]))
"""


def imports(bench: Bench) -> None:
    """`import edgeprofile` in a fresh interpreter, from compiled modules, as once it is installed."""
    with tempfile.TemporaryDirectory() as compiled:
        _run(compiled, _IMPORT, *HEAVY)
        found, whole, bare = [], [], []
        for _ in range(bench.settings.rounds):
            bare.append(_run(compiled, "")[0])
            seconds, told = _run(compiled, _IMPORT, *HEAVY)
            whole.append(seconds)
            found.append(json.loads(told))
    heavy = found[0][1]
    bench.keep("import edgeprofile, ms", [seconds * 1e3 for seconds, _ in found])
    bench.add(
        quantity("import edgeprofile", [seconds * 1e3 for seconds, _ in found], "ms", at_most(60)),
        quantity("heavy modules imported with it", [len(heavy)], "modules", at_most(0), ", ".join(heavy)),
        times_the_cost("an interpreter that imports edgeprofile", whole, bare, None, "one that imports nothing"),
    )


def _run(compiled: str, program: str, *arguments: str) -> tuple[float, str]:
    """Seconds that an interpreter took from its start to its end, and what it said."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", program, *arguments]
    start = time.perf_counter()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**environment, "PYTHONPYCACHEPREFIX": compiled},
    )
    return time.perf_counter() - start, done.stdout


def memory(bench: Bench) -> None:
    """What a cached profile weighs, each contender in a process of its own; ours also as a sidecar holds it: never decoded."""
    entries = WEIGHED[bench.settings.mode]
    encoded = sum(len(data.document(index)) for index in range(entries)) / entries
    bench.result.settings |= {"profiles": entries, "encoded bytes": encoded}
    bench.keep("the profile's JSON itself, bytes", [encoded])
    with servers.valkey() as server:
        servers.fill(server, entries)
        for name, label in HELD.items():
            with bench.contenders([name], "memory", **server_spec(server), entries=entries) as present:
                for child in present.values():
                    found = child.ask({})
                    bench.keep(f"{label}, bytes", [found["bytes"] / entries])
                    if name == ENCODED:
                        bench.add(*_bounded(found, entries, encoded))


def _bounded(found: Mapping[str, Any], entries: int, encoded: float) -> list[Row]:
    each = found["bytes"] / entries
    note = f"{each:,.0f} bytes each, {encoded:,.0f} of them the profile's JSON; its own count {found['counted'] / entries:,.0f}"
    return [
        quantity("memory beyond the encoded profile, 20 traits", [each - encoded], "bytes", at_most(300), note),
        quantity(f"warming {entries:,} profiles", [found["seconds"]], "s", at_most(5)),
    ]
