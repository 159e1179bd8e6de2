"""Several processes behind one address: started, watched, reloaded, drained."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgeprofile.config import load
from edgeprofile_sidecar.assembly import merged
from edgeprofile_sidecar.supervisor import Supervisor
from edgeprofile_sidecar.tokens import dump
from tests.support.servers import Flavour, Server
from tests.support.sidecar import request, token
from tests.support.wait import until

TOKEN = "ep_workers"
ASKED = json.dumps({"entity": "user", "destinationId": "2Dest", "id": {"type": "email", "value": "ada"}}).encode()
PATIENCE = 60.0


@pytest.fixture(scope="session")
def flavour() -> Flavour:
    """One flavour is enough: what is tested here does not ask Redis much."""
    return "valkey"


@dataclass
class Workers:
    child: subprocess.Popen[bytes]
    log: Path
    listen: list[str]
    admin: str

    def ask(self, address: str | None = None) -> int:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        where = (address or self.listen[0]).removeprefix("unix:")
        return request(where, "POST", "/v2/activation", ASKED, headers).status

    def readiness(self) -> tuple[int, Any]:
        answer = request(self.admin, "GET", "/readyz")
        return answer.status, answer.json

    def pids(self) -> list[int]:
        found = [request(self.admin, "GET", f"/statusz/data?worker={index}") for index in (0, 1)]
        return [answer.json["pid"] for answer in found if answer.status == 200]

    def records(self, message: str) -> list[Any]:
        return [line for line in map(json.loads, self.log.read_text().splitlines()) if line["message"] == message]


def written(home: Path, address: str) -> Path:
    (home / "tokens.json").write_bytes(dump([token(TOKEN)]))
    (home / "c.toml").write_text(
        f'[[destinations]]\nid = "2Dest"\nworkspaceId = "1Wsp"\nconfig = {{ address = "{address}", clusterMode = false }}\n'
        f'[sidecar]\ntokensFile = "tokens.json"\nlisten = ["127.0.0.1:0", "unix:{home}/s"]\nadminListen = "127.0.0.1:0"\n'
        "workers = 2\n"
    )
    return home / "c.toml"


@contextmanager
def started(home: Path, address: str, *early: signal.Signals) -> Iterator[Workers]:
    """Workers that are ready; meanwhile, they are sent the ``early`` signals again and again."""
    file = written(home, address)
    command = [sys.executable, "-m", "edgeprofile", "sidecar", "--config", str(file), "--print-addresses"]
    log = home / "log"
    with log.open("wb") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as child:
        try:
            assert child.stdout is not None
            addresses = json.loads(child.stdout.readline() or log.read_text())
            workers = Workers(child, log, addresses["listen"], addresses["admin"])

            def ready() -> bool:
                for number in early:
                    child.send_signal(number)
                return workers.readiness()[0] == 200

            until(ready, PATIENCE, lambda: f"ready: {log.read_text()}")
            yield workers
        finally:
            child.terminate()
            child.wait(PATIENCE)


@pytest.fixture
def workers(redis_db: Server, tmp_path: Path) -> Iterator[Workers]:
    with started(tmp_path, redis_db.address) as running:
        yield running


def served(workers: Workers) -> list[int]:
    """How many requests each worker has answered."""
    text = request(workers.admin, "GET", "/metrics").body.decode()
    rows = [line for line in text.splitlines() if line.startswith("edgeprofile_http_requests_total{")]
    return [sum(float(row.rpartition(" ")[2]) for row in rows if f'worker="{index}"' in row) for index in (0, 1)]


def test_they_share_the_port_and_the_socket(workers):
    assert {workers.ask() for _ in range(60)} == {200}
    assert {workers.ask(workers.listen[1]) for _ in range(20)} == {200}
    assert sum(served(workers)) == 80
    assert all(served(workers)), "the system deals the connections out"
    assert len(set(workers.pids())) == 2
    assert request(workers.admin, "GET", "/livez").status == 200
    assert request(workers.admin, "GET", "/startupz").json["started"]
    assert request(workers.admin, "GET", "/statusz").body.startswith(b"<!doctype html>")


def test_one_that_dies_is_started_again(workers):
    dead = workers.pids()[1]
    os.kill(dead, signal.SIGKILL)
    reasons = until(lambda: workers.readiness()[1]["reasons"], PATIENCE, "its end is seen")
    assert reasons[0].startswith("worker 1: ")
    assert request(workers.admin, "GET", "/livez").status == 200
    until(lambda: workers.readiness()[0] == 200, PATIENCE, "all are ready again")
    assert dead not in workers.pids()
    (record,) = workers.records("a worker ended")
    assert (record["worker"], record["code"]) == (1, -signal.SIGKILL)
    assert {workers.ask() for _ in range(40)} == {200}


def test_a_signal_to_stop_ends_them_all_with_0(workers):
    pids = workers.pids()
    workers.child.send_signal(signal.SIGTERM)
    assert workers.child.wait(PATIENCE) == 0
    assert [record["worker"] for record in workers.records("stopped") if "worker" in record] in ([0, 1], [1, 0])
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not Path(workers.listen[1].removeprefix("unix:")).exists()


def test_a_hangup_reaches_them_all(workers):
    workers.child.send_signal(signal.SIGHUP)
    until(lambda: len(workers.records("tokens read again")) == 2, PATIENCE, "both read again")


def test_a_hangup_waits_for_those_that_are_starting(redis_db, tmp_path):
    with started(tmp_path, redis_db.address, signal.SIGHUP) as workers:
        assert workers.records("a worker ended") == []
        assert {workers.ask() for _ in range(20)} == {200}


def supervisor(file: Path) -> Supervisor:
    return Supervisor(load(file, env={}).sidecar, 2, ["--config", str(file)])


def test_those_that_are_being_started_end_as_well(redis_db, tmp_path):
    file = written(tmp_path, redis_db.address)

    async def drained() -> None:
        async with supervisor(file) as begun:
            await asyncio.wait_for(begun.drain(), PATIENCE / 2)

    asyncio.run(drained())


def test_nobody_waits_for_the_next_start_of_one_that_ended(redis_db, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("edgeprofile_sidecar.supervisor._SHORTEST", 2 * PATIENCE)
    monkeypatch.setattr("edgeprofile_sidecar.supervisor._LONGEST", 2 * PATIENCE)
    file = written(tmp_path, redis_db.address)

    async def drained() -> None:
        async with supervisor(file) as begun:
            file.write_text("no toml")
            ended = [record for record in caplog.records if record.message == "a worker ended"]
            while len(ended) < 2:
                await asyncio.sleep(0.05)
                ended = [record for record in caplog.records if record.message == "a worker ended"]
            await asyncio.wait_for(begun.drain(), PATIENCE / 2)

    asyncio.run(drained())


def test_one_that_is_silent_for_long_is_started_again(redis_db, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("edgeprofile_sidecar.supervisor._ASKING", 0.2)
    file = written(tmp_path, redis_db.address)

    async def scenario() -> None:
        async with supervisor(file) as begun:
            assert begun.addresses.admin is not None
            address = begun.addresses.admin

            def ready() -> bool:
                return request(address, "GET", "/readyz").status == 200

            await asyncio.to_thread(until, ready, PATIENCE, "ready")
            stopped = begun._children[1]
            monkeypatch.setattr("edgeprofile_sidecar.supervisor._SILENT", 0.5)
            stopped.send_signal(signal.SIGSTOP)
            assert await asyncio.wait_for(stopped.wait(), PATIENCE) == -signal.SIGKILL
            monkeypatch.setattr("edgeprofile_sidecar.supervisor._SILENT", PATIENCE)
            await asyncio.to_thread(until, ready, PATIENCE, "ready again")
            assert begun._children[1] is not stopped
            await begun.drain()

    asyncio.run(scenario())
    assert [record.worker for record in caplog.records if record.message == "a worker is silent"] == [1]


def test_one_that_hangs_is_ended_when_its_time_to_drain_is_over(redis_db, tmp_path, caplog):
    file = written(tmp_path, redis_db.address)
    file.write_text(file.read_text() + 'drainTimeout = "3s"\n')

    async def scenario() -> list[int | None]:
        async with supervisor(file) as begun:
            address = begun.addresses.admin

            def ready() -> bool:
                return request(address, "GET", "/readyz").status == 200

            await asyncio.to_thread(until, ready, PATIENCE, "ready")
            begun._children[1].send_signal(signal.SIGSTOP)
            assert not await asyncio.wait_for(begun.drain(), PATIENCE / 2)
            return [begun._children[index].returncode for index in (0, 1)]

    assert asyncio.run(scenario()) == [0, -signal.SIGKILL]
    assert [record.workers for record in caplog.records if record.message == "workers do not end"] == [[1]]


@pytest.mark.parametrize("missing", ["tokens.json", "profiles.json"])
def test_a_file_that_none_of_them_could_use_is_said_once_and_ends_it(tmp_path, missing):
    command = [sys.executable, "-m", "edgeprofile", "sidecar", "--config", str(written(tmp_path, "127.0.0.1:1"))]
    if missing == "tokens.json":
        (tmp_path / missing).unlink()
    else:
        command += ["--offline", str(tmp_path / missing)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (2, "")
    assert missing in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_supervisor_they_end(workers):
    pids = workers.pids()
    workers.child.kill()

    def gone() -> bool:
        return not any(Path(f"/proc/{pid}/cmdline").exists() and running(pid) for pid in pids)

    until(gone, PATIENCE, "they end")


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_metrics_of_all_are_told_apart():
    text = '# HELP a_total A\n# TYPE a_total counter\na_total{x="1"} 2.0\n# HELP g G\n# TYPE g gauge\ng 1.0\n'
    registry = merged([text, text.replace("2.0", "5.0"), ""])
    assert registry.get_sample_value("a_total", {"x": "1", "worker": "0"}) == 2.0
    assert registry.get_sample_value("a_total", {"x": "1", "worker": "1"}) == 5.0
    assert registry.get_sample_value("g", {"worker": "1"}) == 1.0
