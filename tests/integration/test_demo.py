"""The whole demo, as a user starts it: in a pipe, on a terminal, and ended in every way."""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

import pytest

from tests.support.wait import until

DEMO = [sys.executable, "-m", "edgeprofile", "demo"]
COLUMNS, ROWS = 80, 24


@contextmanager
def demo(tmp_path, *arguments, terminal=None, **variables):
    """The demo as a child process whose own children are known by their environment."""
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}}
    stream = {"stdout": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    if terminal is not None:
        stream = {"stdout": terminal, "stdin": terminal}
    process = subprocess.Popen(
        [*DEMO, *arguments],
        **stream,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**kept, "TMPDIR": str(tmp_path), "TERM": "xterm-256color", **variables},
    )
    try:
        yield process
        nothing_left(tmp_path)
    finally:
        process.kill()
        if process.stderr and not process.stderr.closed and (complaints := process.stderr.read()):
            print(complaints.decode())  # what a failed test shows
        process.communicate()


def descendants(tmp_path):
    """The demo's processes by their numbers, with their command lines.

    They inherit a variable, or work in the directory that it names: Valkey's title takes the place of its environment.
    """
    marker, found = f"TMPDIR={tmp_path}".encode(), {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes().split(b"\0")
            if marker in environment or str(tmp_path) in str((process / "cwd").readlink()):
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


def nothing_left(tmp_path):
    until(lambda: not descendants(tmp_path), message=lambda: f"{descendants(tmp_path)} end")
    assert list(tmp_path.iterdir()) == []


def read_until(stream, text):
    """What a stream says up to a text, which must come."""
    said = ""
    while text not in said:
        piece = os.read(stream.fileno(), 1 << 16)
        assert piece, f"{text!r} is not in:\n{said}"
        said += piece.decode()
    return said


def figures(said):
    """The rows of the summary: label, value and detail."""
    summary = said.rpartition(" CPUs, Python ")[2]
    rows = re.findall(r"^  ([\w ]{12,13}?)  +(\S.*?)(?:  +(\S.*))?$", summary, re.MULTILINE)
    return {label.strip(): (value, detail) for label, value, detail in rows}


def number(text):
    """`p50 1.62 million /s` as 1,620,000."""
    value, unit = re.search(r"([\d,.]+) ?(million)?", text).groups()
    return float(value.replace(",", "")) * (1e6 if unit else 1)


def nanoseconds(text):
    value, unit = re.search(r"([\d,.]+) (ns|µs|ms|s)\b", text).groups()
    return float(value.replace(",", "")) * {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}[unit]


def check(said, synced=True):
    """A summary without nonsense, on a machine however busy; whether it lasted long enough to see a sync."""
    rows = figures(said)
    arrived = ["arrived"] if rows["syncs"][0] != "0" else []
    assert arrived or not synced
    assert list(rows) == [
        "lookups", "hit latency", "a miss costs", "hit ratio", "changes", "seen after", "oldest value", "syncs", *arrived,
        "over HTTP",
    ]  # fmt: skip
    assert number(rows["lookups"][0]) > 10_000
    assert number(rows["lookups"][1]) > number(rows["lookups"][0])
    p50, p99 = map(nanoseconds, rows["hit latency"])
    assert 50 < p50 <= p99 < 10_000_000
    assert nanoseconds(rows["a miss costs"][0]) > 10 * p50
    assert 95 < number(rows["hit ratio"][0]) <= 100
    assert re.match(r"(9,\d{3}|10,000) users in \d\d\.\d MiB", rows["hit ratio"][1])
    assert 100 < number(rows["changes"][0]) < 1_100
    # Beside the changes there are the canary's events, and those of changes before the first figure.
    assert number(rows["changes"][1]) == pytest.approx(number(rows["changes"][0]), rel=0.1)
    assert nanoseconds(rows["seen after"][0]) <= nanoseconds(rows["seen after"][1])
    assert nanoseconds(rows["oldest value"][0]) <= 1e9
    assert rows["oldest value"][1] == "✓ promised: at most 1 s"
    assert 10 < number(rows["over HTTP"][0]) < 600
    many = int(rows["syncs"][0])
    assert rows["syncs"][1] == f"{25 * many:,} users, {75 * many:,} rows"
    assert not many or nanoseconds(rows["arrived"][0]) <= 1e9


def test_it_ends_by_itself_with_a_summary(tmp_path):
    with demo(tmp_path, "--seconds", "5") as process:
        out, err = process.communicate(timeout=100)
    assert process.returncode == 0
    assert err == b""
    said = out.decode()
    assert "\x1b" not in said
    assert len(re.findall(r"^0:0\d  .* lookups/s  hits ", said, re.MULTILINE)) >= 1
    assert re.search(r"^[56]\.\d s on ", said, re.MULTILINE)
    check(said, synced=False)


def example(said, where):
    """The lines to copy, without their answer."""
    lines = said.partition(f"{where}, to copy while this runs\n")[2].splitlines()
    return "\n".join(takewhile(lambda line: not line.startswith(("{'", '{"')), lines))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_lines_to_copy_work_while_it_runs(tmp_path):
    with demo(tmp_path) as process:
        said = read_until(process.stdout, "sync 2: ")
        shell, python = example(said, "Over HTTP"), example(said, "In Python")
        answer = json.loads(subprocess.check_output(["bash", "-c", shell]))
        printing = python.replace("edgeprofile.get(", "print(edgeprofile.get(") + ".json.decode())"
        profile = json.loads(subprocess.check_output([sys.executable, "-c", printing]))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    check(out.decode())
    assert re.search(
        r"sync 2: 25 users changed in the warehouse, 75 rows sent, \d+\.\d s in all; "
        r"seen in this process [\d.]+ .?s after Redis had them: ada has \d+ orders, had \d+\n",
        said + out.decode(),
    )
    assert max(map(len, f"{shell}\n{python}".splitlines())) <= 60
    assert answer["id"] == {"type": "email", "value": "ada@example.com"}
    assert answer["data"].keys() == {"features_by_email", "live_activity"}
    assert 0 < answer["data"]["live_activity"]["revision"] <= profile["live_activity"]["revision"]
    before = int(re.search(r"'orders': (\d+)", said)[1])
    assert before < answer["data"]["features_by_email"]["orders"] <= profile["features_by_email"]["orders"]


def test_ctrl_c_on_a_terminal_without_colour(tmp_path):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    with demo(tmp_path, terminal=theirs, NO_COLOR="1") as process, os.fdopen(ours, "rb", buffering=0) as screen:
        os.close(theirs)
        live = read_until(screen, "Ctrl-C ends it")
        read_until(screen, "ada has ")
        process.send_signal(signal.SIGINT)
        rest = read_until(screen, "the last lookup that")
        assert process.wait(60) == 0
        assert process.stderr.read() == b""
    assert "lookups  " in live
    assert not re.search(r"\x1b\[[\d;]*3[0-7]m", live)
    assert "\x1b[?25h" in rest  # the cursor is back
    check(re.sub(r"\x1b\[[\d;?]*\w|\r", "", rest))


def test_a_terminal_that_goes_ends_it(tmp_path):
    ours, theirs = pty.openpty()
    with demo(tmp_path, terminal=theirs) as process:
        os.close(theirs)
        with os.fdopen(ours, "rb", buffering=0) as screen:
            read_until(screen, "Ctrl-C ends it")
        assert process.wait(60) == 2
        assert process.stderr.read() == b""


def test_ctrl_c_before_the_first_figure(tmp_path):
    with demo(tmp_path) as process:
        read_until(process.stdout, "Valkey")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"")
    assert "lookups" not in out.decode()


def test_nothing_is_left_after_sigkill(tmp_path):
    with demo(tmp_path) as process:
        read_until(process.stdout, " lookups/s ")
        assert len(descendants(tmp_path)) == 7
        process.kill()
        process.wait(60)


@pytest.mark.parametrize("part", ["valkey-server", "demo.calls", "demo.syncing"])
def test_the_end_of_a_part_is_one_line(tmp_path, part):
    with demo(tmp_path) as process:
        read_until(process.stdout, " lookups/s ")
        (pid,) = (pid for pid, command in descendants(tmp_path).items() if part in command)
        os.kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert re.fullmatch(r"edgeprofile: [\w ]+ has ended by signal 9: .*\n", err.decode())


def test_a_reader_that_leaves_ends_it(tmp_path):
    with demo(tmp_path) as process:
        read_until(process.stdout, "Valkey")
        process.stdout.close()
        assert process.wait(60) == 2
        assert process.stderr.read() == b""
        process.stdout = None
