"""Our own process is stopped, blocked, put to sleep, forked or ended."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager

import pytest

from edgeprofile.engine import inspector
from tests.support.faults import TO_CLIENT
from tests.support.processes import halt
from tests.support.reading_process import ReadingProcess
from tests.support.rig import NAMES, QUIET, Rig, key_of, sized
from tests.support.wait import until


@contextmanager
def stopped(process: ReadingProcess):
    """SIGSTOP: nothing of ours runs, and the clock goes on."""
    halt(process.pid)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def rewritten(rig: Rig) -> None:
    """Every profile is written, and more than the bound has passed since."""
    for name in NAMES:
        rig.write(name)
    passes(sized(2 * rig.bound, 10.0))


def passes(seconds: float) -> None:
    begun = time.monotonic()
    until(lambda: time.monotonic() - begun > seconds, seconds + 10, f"{seconds} s have passed")


def test_fault_08_a_process_that_was_stopped_serves_nothing_old(rig: Rig):
    for name in (*NAMES, QUIET):
        rig.write(name)
    with ReadingProcess(rig) as process:
        for _ in range(3):
            with stopped(process):
                rewritten(rig)
            hits = process.ask("counts")["hits"]
            until(lambda: process.ask("counts")["hits"] > hits + 100, 5, "it hits again")  # noqa: B023


def test_fault_08_a_stopped_process_that_finds_its_feed_silent_does_not_hit(rig: Rig):
    """It has everything cached, and nothing that proves it."""
    for name in (*NAMES, QUIET):
        rig.write(name)
    with ReadingProcess(rig) as process:
        with stopped(process):
            rig.proxy.feed.hold(TO_CLIENT)
            rewritten(rig)
        until(lambda: process.ask("counts")["state"] != "live", 10, "it finds out")
        rig.proxy.heal()
        until(lambda: process.ask("counts")["state"] == "live", 10, "it listens again")


@contextmanager
def blocked(rig: Rig):
    """The engine's event loop does nothing else any more."""
    gate, entered = threading.Event(), threading.Event()

    def block() -> None:
        entered.set()
        gate.wait(30)

    rig.client._engine._thread.call(block)
    assert entered.wait(5)
    try:
        yield
    finally:
        gate.set()


def test_fault_09_hits_in_other_threads_keep_the_bound_while_our_loop_is_blocked(live: Rig):
    with live.traffic() as traffic:
        with blocked(live):
            assert live.stops_hitting() <= live.bound
            passes(sized(0.0, 5.0 - live.bound))
            traffic.goes_on(200)
        live.recovers()
    assert live.losses == 0, live.stats.feed_losses
    assert not traffic.errors


def test_fault_09_a_blocked_loop_that_leads_a_fetch_does_not_hold_up_threads(live: Rig):
    """The application's own loop began to read a profile, and now computes something for a while."""
    tasks, threads = live.caller("tasks"), live.caller("threads")
    live.write("cold")
    tasks.call("get", "user", "email", "warm")
    gate = threading.Event()
    connection = live.carrier("warm")
    connection.hold(TO_CLIENT)
    leader = tasks.ask("get", "user", "email", "cold", timeout=20)
    until(lambda: connection.pipes[TO_CLIENT].waiting, 5, "the server has answered")
    tasks.loop.call(lambda: gate.wait(30))
    connection.release()
    try:
        waiter = threads.ask("get", "user", "email", "cold", timeout=2)
        assert waiter.result(10)["model_a"]["version"] == 1
    finally:
        gate.set()
    assert leader.result(10)["model_a"]["version"] == 1


@pytest.mark.parametrize("days", [1, -1, 10_000])
def test_fault_27_the_wall_clock_is_not_looked_at(live: Rig, monkeypatch, days):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 86_400 * days)
    misses = live.stats.misses
    with live.traffic() as traffic:
        traffic.goes_on(100)
        until(live.hit, 5, "it hits")
        live.recovers()
    assert live.losses == 0
    assert live.stats.misses > misses


def test_fault_27_leases_are_void_after_the_machine_slept(live: Rig, monkeypatch):
    """A machine cannot be suspended by a test: the difference between the two clocks, which betrays it, is made up."""
    real = inspector._slept
    monkeypatch.setattr(inspector, "_slept", lambda: real() + 3600)
    assert live.stops_hitting() <= live.bound
    until(lambda: live.losses == 1, 5, "the epoch ends with the next heartbeat")
    live.recovers()
    assert live.losses == 1


def test_fault_28_a_forked_child_has_an_epoch_of_its_own_and_its_parent_goes_on(rig: Rig):
    for name in NAMES:
        rig.write(name)
    stop = threading.Event()
    with ReadingProcess(rig) as process:
        writer = threading.Thread(target=write_on, args=(rig, stop))
        writer.start()
        for _ in range(2):
            assert process.ask("fork") == 0
        stop.set()
        writer.join()
        assert process.ask("counts")["losses"] == {}


def write_on(rig: Rig, stop: threading.Event) -> None:
    while not stop.wait(0.01):
        for name in NAMES:
            rig.write(name)


PRELUDE = """
import asyncio, os, signal, sys, threading
import edgeprofile
edgeprofile.configure(address={address!r}, cluster_mode=False, workspace_id="1Wsp", destination_id="2Dest")
def ready():
    print("ready", flush=True)
    sys.stdin.readline()
edgeprofile.get("user", "email", "warm")
"""

ENDINGS = {
    "Ctrl-C in a thread's miss": """
        try:
            ready()
            edgeprofile.get("user", "email", "slow", timeout=60)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """,
    "Ctrl-C in a task's miss": """
        async def main():
            ready()
            await edgeprofile.aget("user", "email", "slow", timeout=60)
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """,
    "Ctrl-C beside other threads": """
        def read():
            try:
                edgeprofile.get("user", "email", "slow", timeout=60)
            except edgeprofile.EdgeProfileError:
                pass
        try:
            ready()
            for _ in range(5):
                threading.Thread(target=read, daemon=True).start()
            edgeprofile.get_many("user", "email", ["slow", "slower"], timeout=60)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """,
    "exit with a thread in a miss": """
        try:
            ready()
            look = lambda: edgeprofile.get("user", "email", "slow", timeout=60)
            threading.Thread(target=look, daemon=True).start()
            while True:
                threading.Event().wait(0.05)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """,
}


@pytest.mark.parametrize("body", ENDINGS.values(), ids=ENDINGS)
def test_fault_29_a_process_that_ends_in_a_miss_ends_at_once_and_silently(rig: Rig, body):
    program = PRELUDE.format(address=rig.proxy.address) + textwrap.dedent(body)
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        rig.proxy.data.hold(TO_CLIENT)
        process.stdin.write("\n")
        process.stdin.flush()
        until(lambda: rig.proxy.data.seen("HGETALL", key_of("slow")), 10, "the lookup is on its way")
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=20)
        assert (process.returncode, out, errors) == (0, "interrupted\n", ""), errors
        assert time.monotonic() - begun < 5
    finally:
        process.kill()
        process.communicate()
