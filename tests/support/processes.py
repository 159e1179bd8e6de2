"""Child processes that die with the tests, however the tests end.

A guardian process in a session of its own reads the numbers of our children from a pipe. When the pipe closes, which
the kernel does also after a SIGKILL, it kills those that are left. (PR_SET_PDEATHSIG would need code between fork and
exec, which deadlocks in threaded programs, and fires already when the starting *thread* ends.)
"""

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

_GUARDIAN = """
import os, signal, sys
children = set()
for line in sys.stdin.buffer:
    (children.add if line[:1] == b"+" else children.discard)(int(line[1:]))
for child in children:
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


class _Guardian:
    def __init__(self) -> None:
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARDIAN], stdin=subprocess.PIPE, bufsize=0, start_new_session=True
        )
        atexit.register(self.close)

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")

    def close(self) -> None:
        if os.getpid() == self.owner and self.process.stdin is not None:
            self.process.stdin.close()
            self.process.wait()


_lock = threading.Lock()
_guardian: _Guardian | None = None
_guarded: set[int] = set()


def _watch() -> _Guardian:
    global _guardian  # noqa: PLW0603  # one guardian serves the whole process, and none where no child is started
    with _lock:
        if _guardian is None or _guardian.owner != os.getpid():
            _guardian = _Guardian()
        return _guardian


def guarded() -> set[int]:
    """The process numbers of the living guarded children and of the guardian."""
    return _guarded | ({_guardian.process.pid} if _guardian else set())


def spawn(command: Sequence[str | Path], *, cwd: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a guarded child outside the terminal's process group, its output appended to `log`.

    Raises:
        OSError: The program cannot be run.
    """
    guardian = _watch()
    with log.open("ab") as output:
        child = subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    guardian.tell(f"+{child.pid}")
    _guarded.add(child.pid)
    return child


def reap(child: subprocess.Popen[bytes]) -> int:
    """Kill the child if it still runs, and return its exit code (negative: the signal that ended it)."""
    child.kill()
    code = child.wait()
    _watch().tell(f"-{child.pid}")
    _guarded.discard(child.pid)
    return code


def halt(pid: int) -> None:
    """SIGSTOP a child and wait until it has stopped: the signal alone overtakes nothing that it is just doing."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)
