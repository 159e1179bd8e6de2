"""The sidecar's process: what it prints, how it ends, and what it logs."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgeprofile_sidecar.tokens import dump
from tests.support.servers import Flavour, Server
from tests.support.sidecar import Answers, connect, request, token
from tests.support.wait import until

TOKEN = "ep_process"
VALUE = "ada@example.com"
ASKED = json.dumps({"entity": "user", "destinationId": "2Dest", "id": {"type": "email", "value": VALUE}}).encode()
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
PATIENCE = 60.0


@pytest.fixture(scope="session")
def flavour() -> Flavour:
    """One flavour is enough: what is tested here does not ask Redis much."""
    return "valkey"


@dataclass
class Process:
    """A sidecar as the command starts it."""

    child: subprocess.Popen[bytes]
    log: Path
    listen: str
    admin: str

    def ask(self, body: bytes = ASKED) -> int:
        return request(self.listen, "POST", "/v1/activation", body, HEADERS).status

    def readiness(self) -> int:
        return request(self.admin, "GET", "/readyz").status

    def end(self, *signals: signal.Signals) -> int:
        for number in signals:
            self.child.send_signal(number)
        return self.child.wait(PATIENCE)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def written(home: Path, address: str, *sidecar: str) -> Path:
    """A configuration file; `sidecar` are lines of its section."""
    (home / "tokens.json").write_bytes(dump([token(TOKEN)]))
    file = home / "edgeprofile.toml"
    file.write_text(
        "\n".join(
            (
                '[[destinations]]\nid = "2Dest"\nworkspaceId = "1Wsp"',
                f'config = {{ address = "{address}", clusterMode = false }}',
                '[limits]\ntimeout = "30s"',
                '[sidecar]\ntokensFile = "tokens.json"',
                *sidecar,
            )
        )
    )
    return file


def command(file: Path, *more: str) -> list[str]:
    listen = ("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
    return [sys.executable, "-m", "edgeprofile", "sidecar", "--config", str(file), *listen, *more]


@contextmanager
def started(home: Path, address: str, *sidecar: str) -> Iterator[Process]:
    log = home / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            command(written(home, address, *sidecar), "--print-addresses"), stdout=subprocess.PIPE, stderr=errors
        ) as child,
    ):
        try:
            assert child.stdout is not None
            addresses = json.loads(child.stdout.readline() or log.read_text())
            yield Process(child, log, addresses["listen"][0], addresses["admin"])
        finally:
            child.kill()


@pytest.fixture
def process(redis_db: Server, tmp_path: Path) -> Iterator[Process]:
    with started(tmp_path, redis_db.address) as running:
        until(lambda: running.readiness() == 200, message="ready")
        yield running


def send(connection: socket.socket, body: bytes = ASKED) -> Answers:
    connection.sendall(
        f"POST /v1/activation HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    return Answers(connection)


def asking(value: str) -> bytes:
    return ASKED.replace(VALUE.encode(), value.encode())


def in_flight(process: Process) -> bool:
    metrics = request(process.admin, "GET", "/metrics").body.decode()
    return re.search(r"^edgeprofile_http_requests_in_flight(\{.*\})? 1\.0$", metrics, re.MULTILINE) is not None


# How it ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_ends_with_0(process, number):
    assert process.ask() == 200
    assert process.end(number) == 0
    assert [record["message"] for record in process.records][-1] == "stopped"
    with pytest.raises(ConnectionRefusedError):
        connect(process.listen)


def test_a_request_in_flight_is_answered_before_the_end(process, redis_db):
    with connect(process.listen) as waiting, connect(process.listen) as idle:
        with redis_db.paused():
            answers = send(waiting, asking("slow"))
            until(lambda: in_flight(process), message="the request is under way")
            process.child.send_signal(signal.SIGTERM)
            until(lambda: process.readiness() == 503, message="unready")
            assert process.child.poll() is None
        status, headers, body = answers.next()
        assert (status, headers["Connection"]) == (200, "close")
        assert body["id"]["value"] == "slow"
        assert answers.ended()
        assert Answers(idle).ended()
    assert process.child.wait(PATIENCE) == 0


def test_nobody_new_is_served_while_the_last_are_answered(process, redis_db):
    with connect(process.listen) as waiting, redis_db.paused():
        send(waiting, asking("slow"))
        until(lambda: in_flight(process), message="the request is under way")
        process.child.send_signal(signal.SIGTERM)
        until(lambda: process.readiness() == 503, message="unready")

        def refused() -> bool:
            try:
                connect(process.listen).close()
            except ConnectionRefusedError:
                return True
            return False

        until(refused, message="new connections are refused")


def test_a_second_signal_ends_it_at_once_with_1(process, redis_db):
    with connect(process.listen) as waiting, redis_db.paused():
        send(waiting, asking("slow"))
        until(lambda: in_flight(process), message="the request is under way")
        process.child.send_signal(signal.SIGTERM)
        until(lambda: process.readiness() == 503, message="unready")
        told = time.monotonic()
        assert process.end(signal.SIGTERM) == 1
        assert time.monotonic() - told < 5.0


@pytest.mark.parametrize("workers", [1, 2])
def test_the_drain_has_a_deadline_and_what_that_cuts_is_said(redis_db, tmp_path, workers):
    with started(tmp_path, redis_db.address, 'drainTimeout = "200ms"', f"workers = {workers}") as process:
        until(lambda: process.readiness() == 200, message="ready")
        with connect(process.listen) as waiting, redis_db.paused():
            send(waiting, asking("slow"))
            until(lambda: in_flight(process), message="the request is under way")
            told = time.monotonic()
            assert process.end(signal.SIGTERM) == 1
            assert time.monotonic() - told < 5.0
        assert cut_short(process) == [1]


@pytest.mark.parametrize(("reads", "code"), [(False, 1), (True, 0)])
def test_an_answer_that_is_not_read_in_time_is_cut_short(redis_db, tmp_path, reads, code):
    size = 12_000_000  # more than the system takes for a reader who does not read
    redis_db.command("HSET", f"1Wsp:2Dest:user:email:{VALUE}", "m", json.dumps({"t": "x" * size}))
    with started(tmp_path, redis_db.address, f'drainTimeout = "{10 if reads else 1}s"') as process:
        until(lambda: process.readiness() == 200, message="ready")
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            host, _, port = process.listen.rpartition(":")
            slow.connect((host, int(port)))
            slow.settimeout(PATIENCE)
            answers = send(slow)
            assert slow.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
            process.child.send_signal(signal.SIGTERM)
            until(lambda: process.readiness() == 503, message="unready")
            if reads:
                assert answers.next()[0] == 200
            assert process.child.wait(PATIENCE) == code
        assert cut_short(process) == [1] * code


def cut_short(process: Process) -> list[int]:
    return [record["answers"] for record in process.records if record["message"] == "answers are cut short"]


def test_before_the_drain_it_serves_on_unready_for_the_delay(redis_db, tmp_path):
    with started(tmp_path, redis_db.address, 'drainDelay = "2s"') as process:
        until(lambda: process.readiness() == 200, message="ready")
        told = time.monotonic()
        process.child.send_signal(signal.SIGTERM)
        until(lambda: process.readiness() == 503, message="unready")
        answer = request(process.listen, "POST", "/v1/activation", ASKED, HEADERS)
        assert (answer.status, answer.header("Connection")) == (200, "close")
        assert process.child.wait(PATIENCE) == 0
        assert time.monotonic() - told >= 2.0


def test_it_ends_at_once_while_redis_is_away(tmp_path):
    with started(tmp_path, "127.0.0.1:1") as process:
        assert process.readiness() == 503
        told = time.monotonic()
        assert process.end(signal.SIGTERM) == 0
        assert time.monotonic() - told < 5.0


# What it says


def test_the_log_is_json_and_holds_neither_ids_nor_secrets(process):
    process.ask()
    process.ask(b"no json")
    process.end(signal.SIGTERM)
    assert [record["message"] for record in process.records if record["logger"].startswith("edgeprofile_sidecar")] == [
        "listening",
        "draining",
        "stopped",
    ]
    text = process.log.read_text()
    assert VALUE not in text
    assert TOKEN not in text


def test_the_access_log_tells_everything_but_who(redis_db, tmp_path):
    with started(tmp_path, redis_db.address, "accessLog = true") as process:
        until(lambda: process.readiness() == 200, message="ready")
        process.ask()
        request(process.listen, "GET", f"/v1/{VALUE}")
        process.end(signal.SIGTERM)
        first, second = (record for record in process.records if record["logger"] == "edgeprofile_sidecar.access")
        assert 0 < first.pop("seconds") < 5
        assert first["bytes"] > 0
        assert (first["route"], first["method"], first["status"]) == ("/v1/activation", "POST", 200)
        assert (second["route"], second["method"], second["status"]) == ("other", "GET", 404)
        assert VALUE not in process.log.read_text()
        assert TOKEN not in process.log.read_text()


def failed(*arguments: str) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_a_missing_tokens_file_is_said_with_what_to_do(tmp_path):
    file = written(tmp_path, "127.0.0.1:1")
    (tmp_path / "tokens.json").unlink()
    said = failed(*command(file))
    assert "tokens.json" in said
    assert "edgeprofile token create" in said


def test_no_tokens_file_is_said(tmp_path):
    file = written(tmp_path, "127.0.0.1:1")
    file.write_text(file.read_text().replace('tokensFile = "tokens.json"', ""))
    assert "sidecar.tokensFile: is not set" in failed(*command(file))


def test_an_address_in_use_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = failed(*command(written(tmp_path, "127.0.0.1:1"), "--listen", address))
    assert f'sidecar.listen[1]: "{address}" cannot be listened at: Address already in use' in said


def test_an_address_that_is_none_is_said(tmp_path):
    assert "sidecar.adminListen" in failed(*command(written(tmp_path, "127.0.0.1:1"), "--admin-listen", "everywhere"))
