"""Signals that come before the process has opened anything, and those that come in a storm."""

import subprocess
import sys

SERVED = """
import asyncio, contextlib, os, signal
from edgeprofile_sidecar.serving import serve
from edgeprofile_sidecar.sidecar import Addresses

class Served:
    addresses = Addresses((), None)

    async def reload(self):
        print("reloaded", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

    async def drain(self):
        return True

@contextlib.asynccontextmanager
async def opening():
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.sleep(0)
    print("opened", flush=True)
    yield Served()

raise SystemExit(serve(opening()))
"""


def test_a_hangup_that_comes_too_early_is_done_once_all_is_open():
    ended = subprocess.run([sys.executable, "-c", SERVED], capture_output=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (0, b"opened\nreloaded\n"), ended.stderr


STORM = """
import asyncio, contextlib, os, signal, time
from edgeprofile_sidecar.serving import serve
from edgeprofile_sidecar.sidecar import Addresses

class Served:
    addresses = Addresses((), None)
    word = "first"

    async def reload(self):
        print(self.word, flush=True)

    async def drain(self):
        return True

async def storm(served):
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.002)
        served.word = "later"
    served.word = "last"
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.sleep(1.2)
    os.kill(os.getpid(), signal.SIGTERM)

@contextlib.asynccontextmanager
async def opening():
    served = Served()
    task = asyncio.create_task(storm(served))
    yield served
    await task

raise SystemExit(serve(opening()))
"""


def test_a_storm_of_hangups_is_heeded_now_and_then_and_the_last_of_them_always():
    ended = subprocess.run([sys.executable, "-c", STORM], capture_output=True, timeout=30, check=False)
    heeded = ended.stdout.split()
    assert heeded[0] == b"first", ended.stderr
    assert heeded[-1] == b"last"
    assert len(heeded) <= 5
