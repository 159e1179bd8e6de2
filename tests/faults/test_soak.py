"""The soak, short, and what it adds to histories."""

import json
import subprocess
import sys
import threading

import pytest

from tests.soak.window import Window
from tests.support.servers import Server

KEY = "1Wsp:2Dest:user:email:ada"
BOUND = 0.5


class Clock:
    now = 100.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def window(clock: Clock) -> Window:
    return Window(clock)


class Accepting:
    """A server that accepts every write, or ends the connection."""

    def __init__(self) -> None:
        self.broken = False

    def execute_command(self, *_: object) -> None:
        if self.broken:
            raise ConnectionResetError


def shows(window: Window, clock: Clock, version: int) -> list[str]:
    """The kinds of violations if a lookup shows that version now."""
    value = {model: {"key": KEY, "version": version, "again": version} for model in ("model_a", "model_b")}
    window.readers[0].saw(KEY, value if version else None, clock(), clock())
    return [violation.kind for violation in window.check(BOUND).violations]


@pytest.fixture
def written(window: Window) -> Window:
    window.reader()
    for _ in range(3):
        window.write(Accepting(), KEY)
    return window


def test_a_value_that_was_replaced_may_be_shown_for_as_long_as_the_bound(written: Window, clock: Clock) -> None:
    assert not shows(written, clock, 3)
    assert not shows(written, clock, 2)
    clock.now += BOUND + 0.1
    assert shows(written, clock, 2) == ["stale"]


def test_a_forgotten_write_is_still_no_excuse(written: Window, clock: Clock) -> None:
    clock.now += 60.0
    written.check(BOUND)
    assert [write.version for write in written.writes()] == [3]
    assert not shows(written, clock, 3)
    assert shows(written, clock, 2) == ["unwritten"]
    clock.now += 60.0
    written.check(BOUND)
    assert shows(written, clock, 0) == ["stale"]


def test_a_write_without_an_outcome_is_remembered_until_it_was_decided_and_replaced(
    written: Window, clock: Clock
) -> None:
    with pytest.raises(ConnectionResetError):
        written.write(_broken(), KEY)
    clock.now += 60.0
    written.check(BOUND)
    assert [write.version for write in written.writes()] == [3, 4]
    with written.quiet():
        written.write(Accepting(), KEY)
    clock.now += 60.0
    written.check(BOUND)
    assert [write.version for write in written.writes()] == [5]


def test_an_excuse_counts_before_its_end_and_not_after(written: Window, clock: Clock) -> None:
    clock.now += BOUND + 0.1
    with written.excusing():
        assert not shows(written, clock, 2)
    clock.now += 1.0
    assert shows(written, clock, 2) == ["stale"]


def test_what_was_read_is_forgotten(written: Window, clock: Clock) -> None:
    for _ in range(5):
        clock.now += 60.0
        assert not shows(written, clock, 3)
    clock.now += 60.0
    assert written.check(BOUND).reads
    assert not written.check(BOUND).reads


def test_nobody_writes_while_it_is_quiet(window: Window) -> None:
    turn, wrote = window.turn(), threading.Event()

    def write() -> None:
        with turn:
            wrote.set()

    writer = threading.Thread(target=write)
    with window.quiet():
        writer.start()
        assert not wrote.wait(0.05)
    assert wrote.wait(10)
    writer.join()


def test_batches_are_versions_of_their_own_and_the_server_tells_which(redis_db: Server) -> None:
    window, keys = Window(), [f"{KEY}{number}" for number in range(450)]
    with redis_db.client() as client:
        assert window.write_all(client, keys) == 450
        assert window.write_all(client, keys[:3]) == 3
        window.delete(client, keys[9])
        assert {version: len(found) for version, found in window.stored(client, keys).items()} == {2: 3, 1: 446, 0: 1}


@pytest.mark.parametrize("how", [("keyspace",), ("tracking",), ("tracking", "--cluster")], ids=" ".join)
def test_a_short_soak_finds_nothing(how: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "tests.soak", "--seconds", "10", "--json", "--mode", *how]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr + run.stdout
    summary = json.loads(run.stdout)
    assert summary["lookups"] > 1_000
    assert summary["checked"]
    assert summary["faults"]
    assert summary["memory"]["most"]


def _broken() -> Accepting:
    server = Accepting()
    server.broken = True
    return server
