"""The demo's processes: started, answering, and gone afterwards however the demo ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from redis import Redis

from edgeprofile.demo import calls, changes, people, server, settings, sidecar, syncing
from edgeprofile.demo.errors import DemoError
from edgeprofile.demo.processes import Household
from edgeprofile.demo.wire import Wire
from tests.support.processes import halt
from tests.support.wait import until

LASTING = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(3600)"]
USERS = 50


@pytest.fixture
def house():
    with Household() as made:
        yield made
    assert not made.directory.exists()


@pytest.fixture
def valkey(house):
    return server.start(house)


@pytest.fixture
def config(house, valkey):
    return settings.write(house, valkey)


def command(server, *words):
    with Redis(port=server.port, decode_responses=True) as client:
        return client.execute_command(*words)


def test_children_end_with_the_household():
    with Household() as house:
        children = [house.spawn(name, LASTING) for name in ("one", "two")]
        house.check()
        (house.directory / "left").write_text("over")
    assert [child.process.returncode for child in children] == [-signal.SIGTERM] * 2
    assert not house.directory.exists()


def test_a_child_that_does_not_listen_is_killed(house, monkeypatch):
    monkeypatch.setattr("edgeprofile.demo.processes._PATIENCE", 0.0)
    child = house.spawn("deaf", LASTING)
    halt(child.process.pid)
    house.end(child)
    assert child.process.returncode == -signal.SIGKILL


def test_the_end_of_a_child_is_an_error_with_its_last_words(house):
    child = house.spawn("brief", [sys.executable, "-c", "import sys; sys.exit('first\\nthe reason\\n')"])
    child.process.wait(10)
    with pytest.raises(DemoError, match=r"^brief has ended with code 1: the reason$"):
        house.check()


def test_the_end_of_a_silent_child_is_told_by_its_exit_code(house):
    house.spawn("silent", [sys.executable, "-I", "-S", "-c", "import os; os._exit(7)"]).process.wait(10)
    with pytest.raises(DemoError, match=r"^silent has ended with code 7: it said nothing$"):
        house.check()


def test_everything_is_gone_after_sigkill(tmp_path):
    """The guardian sees that its owner is gone."""
    program = (
        "import os, signal; from edgeprofile.demo.processes import Household; house = Household();"
        f"child = house.spawn('lasting', {LASTING!r});"
        "print(child.process.pid, house.directory, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    owner = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert owner.returncode == -signal.SIGKILL
    pid, directory = owner.stdout.split()
    assert Path(directory).parent == tmp_path
    until(lambda: not Path(directory).exists(), message="the directory is removed")
    until(lambda: not Path(f"/proc/{pid}/stat").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text())


def test_the_server_tells_of_changes_and_keeps_nothing(valkey):
    assert valkey.version.startswith("9.")
    assert set(command(valkey, "CONFIG", "GET", "notify-keyspace-events")["notify-keyspace-events"]) == {"A", "K"}
    assert command(valkey, "CONFIG", "GET", "save") == {"save": ""}


def test_what_is_written_is_there(valkey):
    row = people.change(1, USERS)
    with Wire(valkey.port) as wire:
        wire.write(row)
    assert command(valkey, "HGET", row.key.decode(), people.CHANGING) == row.traits.decode()


def test_a_child_that_is_asked_answers_in_lines(house):
    child = house.spawn(
        "echo", [sys.executable, "-c", "for line in open(0): print(line * 2, end='', flush=True)"], asked=True
    )
    assert child.line(0.0) is None
    child.ask(b"once")
    assert [child.line(10.0) for _ in range(2)] == [b"once"] * 2
    child.process.kill()
    with pytest.raises(DemoError, match=r"^echo has ended by signal 9: it said nothing$"):
        child.line(10.0)
    with pytest.raises(DemoError, match=r"^echo has ended by signal 9: it said nothing$"):
        child.ask(b"again")


def test_the_warehouse_is_made_and_synced_and_synced_again(house, valkey, config):
    syncs = syncing.start(house, config, USERS)
    assert syncs.built() == syncing.Built(USERS, 6 * USERS)
    first = syncs.first()
    assert (first.kind, first.views, first.users, first.rows) == ("full", 3, USERS, 3 * USERS)
    assert command(valkey, "DBSIZE") == 3 * USERS

    def orders():
        text = command(valkey, "HGET", f"1Demo:2Demo:user:email:{people.FEATURED}", people.SYNCED)
        return msgspec.json.decode(text)["orders"]

    before, began = orders(), time.monotonic_ns()
    assert syncs.news() is None
    syncs.order([people.FEATURED, people.email(7)])
    second = until(syncs.news, message="the second sync")
    assert (second.kind, second.views, second.users, second.rows) == ("incremental", 3, 2, 6)
    assert began < second.acknowledged_at < time.monotonic_ns()
    assert orders() == before + 1


def test_a_sync_that_fails_ends_with_the_reason(house, valkey, config):
    command(valkey, "CONFIG", "SET", "requirepass", "secret")
    syncs = syncing.start(house, config, USERS)
    syncs.built()
    with pytest.raises(DemoError, match=r"^the warehouse has ended with code 1: 127\.0\.0\.1.* asks for a password"):
        syncs.first()


def test_a_port_that_is_taken_is_no_obstacle(house, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([taken.getsockname()[1], server._free_port()])
        monkeypatch.setattr(server, "_free_port", lambda: next(ports))
        running = server.start(house)
        assert running.port != taken.getsockname()[1]


def test_a_server_that_cannot_start_is_one_error(house, monkeypatch):
    monkeypatch.setattr(server, "_command", lambda *_: [sys.executable, "-c", "import sys; sys.exit('no room')"])
    with pytest.raises(DemoError, match=r"^Valkey did not start: no room$"):
        server.start(house)


def test_a_refused_write_is_an_error(valkey):
    with Wire(valkey.port) as wire:
        row = people.Row(b"text", b"model", b"{}")
        wire.write(row)
        wire.write(row._replace(key=b"1Demo:2Demo:user:email:" + people.FEATURED.encode()))
        with pytest.raises(DemoError, match="ERR wrong number of arguments"):
            wire._send(b"*1\r\n$4\r\nHSET\r\n", 1)


def test_changes_are_told_in_order_when_they_are_acknowledged(house, valkey):
    told = changes.start(house, valkey, USERS, 1_000)
    heard = []
    until(lambda: heard.extend(told.news()) or len(heard) >= 200, message="200 changes")
    assert [change.number for change in heard] == list(range(1, len(heard) + 1))
    times = [change.at for change in heard]
    assert times == sorted(times)


def test_a_writer_without_a_server_ends_with_the_reason(house, valkey):
    told = changes.start(house, valkey, USERS, 1_000)
    until(lambda: list(told.news()), message="the first change")
    house.end(house._children[0])
    with pytest.raises(
        DemoError, match=r"^the writer has ended with code 1: .*(the server closed the connection|refused|reset)"
    ):
        until(house.check)


def test_the_sidecar_answers_the_caller(house, valkey, config):
    with Wire(valkey.port) as wire:
        for number in range(1, 2 * USERS):
            wire.write(people.change(number, USERS))
    aside = sidecar.start(house, config).listening()
    assert aside.token.startswith("ep_")
    assert aside.token_file.read_text() == aside.token
    told = calls.start(house, aside, USERS, 500)
    totals = until(lambda: (found := told.totals()).requests >= 100 and found, message="100 requests")
    assert totals.failed == 0
    assert sum(totals.latencies.values()) == totals.requests


def test_a_caller_with_the_wrong_token_counts_failures(house, config):
    aside = sidecar.start(house, config).listening()
    aside.token_file.write_text("ep_wrong")
    told = calls.start(house, aside, USERS, 500)
    totals = until(lambda: (found := told.totals()).requests >= 20 and found, message="20 requests")
    assert totals.failed == totals.requests


def test_a_request_is_one_of_http():
    head, _, body = sidecar.request("127.0.0.1:8080", "ep_x", people.FEATURED).partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert msgspec.json.decode(body) == {
        "entity": "user",
        "destinationId": "2Demo",
        "id": {"type": "email", "value": "ada@example.com"},
    }


def test_a_sidecar_that_cannot_start_is_one_error(house, config):
    config.write_text(config.read_text().replace("127.0.0.1:0", "nowhere"))
    with pytest.raises(DemoError, match=r"^the sidecar did not start: .*nowhere"):
        sidecar.start(house, config).listening()
