"""`edgeprofile sync`: delivery against ``redis-benchmark``, runs of many rows of which few changed, and their memory.

``redis-benchmark`` gets keys and values of the same sizes and a pipeline as deep as ours, over one connection as ours and
over fifty, which suits it better; the better of the two counts. Its keys are drawn at random, so a third of its writes
replace a value, which is no dearer than ours.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from benchmarks.bench import Bench
from benchmarks.rounds import ratio
from benchmarks.rows import Row, at_least, at_most, quantity, times_the_rate
from benchmarks.warehouse import KEY, MODEL, Sync, warehouse

ROWS = {"full": 1_000_000, "quick": 300_000}
MANY = 5_000_000
ROUNDS = {"full": 3, "quick": 2}
PIECE = 1 << 20  # bytes that ours sends at once: the default of `batchBytes`
MIB = 1 << 20
CONNECTIONS = (1, 50)
TEMPLATE = KEY.format("__rand_int__")
OVERHEAD = 60  # bytes of a packed HSET beside key and value
PEER = "redis-benchmark"


def delivery(bench: Bench) -> None:
    """All rows of twenty traits, from DuckDB to Redis."""
    rows = ROWS[bench.settings.mode]
    program = _peer(bench)
    ours, theirs = [], []
    with warehouse(rows) as sync:
        for _ in range(ROUNDS[bench.settings.mode]):
            sync.empty()
            run = sync.run("--full")
            ours.append(run["delivered"] / run["deliverySeconds"])
            if program:
                theirs.append(_rate(program, sync, rows))
    bench.keep("edgeprofile sync, rows a second", ours)
    name = f"sync, delivery of {rows:,} rows of 20 traits"
    if not program:
        bench.add(quantity(name, ours, "/s"))
        return
    bench.keep(f"{PEER} HSET, a second", theirs)
    bench.add(times_the_rate(name, ours, theirs, at_least(0.6), peer_name=f"{PEER} HSET, same sizes and pipeline"))


def many_rows(bench: Bench) -> None:
    """Many rows: all of them, then one in a hundred changed, then nothing.

    Memory is compared with that of half as many rows, with which DuckDB's cache is full as well (``warehouseMemory``).
    """
    rows = MANY
    _versions(bench)
    half, many = (_Runs.of(count) for count in (rows // 2, rows))
    share = many.changed["deliverySeconds"] / many.changed["seconds"]
    note = f"{many.changed['seconds']:.1f} s in all, {many.changed['deliverySeconds']:.2f} s of it delivery"
    bench.add(
        quantity(f"sync, all of {rows:,} rows", [many.full["seconds"]], "s"),
        quantity(
            f"sync, 1% of {rows:,} rows changed: rows moved", [many.changed["delivered"]], "rows", at_most(rows // 100)
        ),
        quantity(f"sync, 1% of {rows:,} rows changed: share of delivery", [share], "of the time", at_most(0.5), note),
        quantity(f"sync, nothing of {rows:,} rows changed", [many.same["seconds"]], "s"),
        quantity("sync, nothing changed: writes to Redis", [many.written], "writes", at_most(0)),
        *_memory(f"sync, all of {rows:,} rows: memory", many.full, half.full),
        *_memory(f"sync, 1% of {rows:,} rows changed: memory", many.changed, half.changed),
    )


def _memory(name: str, many: dict[str, Any], half: dict[str, Any]) -> Iterator[Row]:
    """Within a gigabyte, and no more for twice as many rows."""
    ours, peer = many["memory"] / MIB, half["memory"] / MIB
    yield quantity(name, [ours], "MiB", at_most(1024))
    yield Row(
        name=f"{name}, growth",
        value=ratio([ours], [peer]),
        ours=ours,
        peer=peer,
        peer_name="half as many rows",
        measure="MiB",
        target=at_most(1.1),
    )


class _Runs:
    """Three runs one after the other, and what the last of them wrote."""

    def __init__(self, full: dict[str, Any], changed: dict[str, Any], same: dict[str, Any], written: int) -> None:
        self.full = full
        self.changed = changed
        self.same = same
        self.written = written

    @classmethod
    def of(cls, rows: int) -> "_Runs":
        with warehouse(rows) as sync:
            full = sync.run()
            sync.change_some(100)
            changed = sync.run()
            before = sync.writes()
            same = sync.run()
            written = sync.writes() - before
        assert (changed["updated"], changed["unchanged"]) == (rows // 100, rows - rows // 100)
        assert same["unchanged"] == rows
        return cls(full, changed, same, written)


def _peer(bench: Bench) -> str | None:
    """The program, or None after it was noted as missing."""
    _versions(bench)
    program = shutil.which(PEER) or shutil.which("valkey-benchmark")
    if program is None:
        bench.miss(PEER, "it is not installed; it comes with redis-tools")
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()
    bench.result.versions[PEER] = {said[0]: said[1]}
    return program


def _versions(bench: Bench) -> None:
    packages = ("duckdb", "ibis-framework", "pyarrow")
    bench.result.versions["edgeprofile sync"] = {package: metadata.version(package) for package in packages}


def _rate(program: str, sync: Sync, rows: int) -> float:
    """Writes a second, after a run of ours, whose values set the size."""
    value = sync.typical_value()
    return max(_rate_over(program, sync, rows, value, connections) for connections in CONNECTIONS)


def _rate_over(program: str, sync: Sync, rows: int, value: bytes, connections: int) -> float:
    sync.empty()
    depth = max(64, PIECE // (len(value) + len(TEMPLATE) + OVERHEAD) // connections)
    command = [
        program,
        "-p",
        str(sync.port),
        "-n",
        str(rows),
        "-r",
        str(rows),
        "-c",
        str(connections),
        "-P",
        str(depth),
    ]
    done = subprocess.run([*command, "HSET", TEMPLATE, MODEL, value], capture_output=True, text=True, check=True)
    return float(re.findall(r"([0-9.]+) requests per second", done.stdout)[-1])
