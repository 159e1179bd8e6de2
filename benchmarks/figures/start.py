"""How fast it starts, and what a cached profile weighs."""

import json
import subprocess
import sys

from benchmarks import data, servers
from benchmarks.bench import Bench, server_spec, title
from benchmarks.children import ROOT, Child
from benchmarks.rows import at_most, quantity

OURS = "edgeprofile"
HEAVY = ("aiohttp", "ibis", "rich")
_IMPORT = """
import json, sys, time
start = time.perf_counter()
import edgeprofile
seconds = time.perf_counter() - start
print(json.dumps([seconds, sorted(set(sys.argv[1:]) & set(sys.modules))]))
"""


def imports(bench: Bench) -> None:
    """`import edgeprofile` in a fresh interpreter."""
    found = [_import() for _ in range(bench.settings.rounds)]
    heavy = found[0][1]
    bench.keep("import edgeprofile, ms", [seconds * 1e3 for seconds, _ in found])
    bench.add(
        quantity("import edgeprofile", [seconds * 1e3 for seconds, _ in found], "ms", at_most(60)),
        quantity("heavy modules imported with it", [len(heavy)], "modules", at_most(0), ", ".join(heavy)),
    )


def _import() -> tuple[float, list[str]]:
    command = [sys.executable, "-c", _IMPORT, *HEAVY]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    seconds, heavy = json.loads(done.stdout)
    return seconds, heavy


def memory(bench: Bench) -> None:
    """Profiles cached and never decoded, and the time that it takes to warm them."""
    entries = bench.settings.entries
    with servers.valkey() as server:
        servers.fill(server, entries)
        spec = {**server_spec(server), "entries": entries}
        with bench.contenders([f"{OURS}:memory"], "memory", **spec) as present:
            for name, child in present.items():
                _weigh(bench, name, child, entries)


def _weigh(bench: Bench, name: str, child: Child, entries: int) -> None:
    found = child.ask({})
    encoded = sum(len(data.text(index)) for index in range(entries)) / entries
    each = found["bytes"] / entries
    note = f"{title(name)}: {each:,.0f} bytes each, {encoded:,.0f} of them the profile's JSON; its own count {found['counted']}"
    bench.add(
        quantity("memory beyond the encoded profile, 20 traits", [each - encoded], "bytes", at_most(300), note),
        quantity(f"warming {entries:,} profiles", [found["seconds"]], "s", at_most(5)),
    )
