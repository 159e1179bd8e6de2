"""Signals that come before the process has opened anything."""

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
        pass

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
