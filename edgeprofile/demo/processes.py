"""A directory and child processes that are gone afterwards, however the demo ends.

A guardian, a process in a session of its own, reads the children's numbers from a pipe. When the pipe closes, which the
kernel does also after a SIGKILL, it kills those that are left and removes the directory.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from edgeprofile.demo.ending import undisturbed
from edgeprofile.demo.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

__all__ = ["Child", "Household"]

_PATIENCE = 5.0
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
import shutil
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


class Child:
    """A process of the demo: what it is called, and where its complaints go."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log
        self._unread = b""

    @property
    def output(self) -> IO[bytes]:
        """Its standard output, without a buffer."""
        assert self.process.stdout is not None  # noqa: S101 -- every child is started with a pipe
        return self.process.stdout

    def ask(self, line: bytes) -> None:
        """Write a line to its standard input; it was spawned with one. Raises `DemoError` when nobody reads there."""
        assert self.process.stdin is not None  # noqa: S101 -- see above
        try:
            self.process.stdin.write(line + b"\n")
        except BrokenPipeError:
            self.process.wait()
            self.check()

    def line(self, timeout: float) -> bytes | None:
        """The next line of its output, ``None`` if none comes in so many seconds. Raises `DemoError` when it has ended."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._unread:
            readable, _, _ = select.select([self.output], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                return None
            piece = os.read(self.output.fileno(), 1 << 16)
            if not piece:
                self.process.wait()
                self.check()
            self._unread += piece
        found, _, self._unread = self._unread.partition(b"\n")
        return found

    def check(self) -> None:
        """Raise `DemoError` with its last words if it has ended."""
        code = self.process.poll()
        if code is not None:
            how = f"by signal {-code}" if code < 0 else f"with code {code}"
            raise DemoError(f"{self.name} has ended {how}: {self.last_words()}")

    def last_words(self) -> str:
        """The last line that it logged."""
        lines = self.log.read_text(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it said nothing").removeprefix("edgeprofile: ")

    def end(self) -> None:
        """Ask it to end, and make it after some seconds."""
        self.process.terminate()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.output.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


class Household:
    """The directory and the children; a context manager that ends them, the last one first."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="edgeprofile-demo-"))
        self._children: list[Child] = []
        command = [sys.executable, "-I", "-S", "-c", _GUARDIAN, str(self.directory)]
        self._guardian = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True)  # noqa: S603 -- our own program

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._children:
            self.end(self._children[-1])
        shutil.rmtree(self.directory, ignore_errors=True)
        assert self._guardian.stdin is not None  # noqa: S101 -- it was started with a pipe
        self._guardian.stdin.close()
        self._guardian.wait()

    def spawn(self, name: str, command: Sequence[str | Path], *, asked: bool = False) -> Child:
        """Start a child out of reach of the terminal's Ctrl-C; it complains to ``{name}.log`` in the directory.

        If it is ``asked`` things, it has a standard input.
        """
        log = self.directory / f"{name.replace(' ', '-')}.log"
        # An interrupt in between would leave a child that nobody knows.
        with undisturbed(), log.open("ab") as complaints:
            process = subprocess.Popen(  # noqa: S603 -- commands of the demo's own
                command,
                bufsize=0,
                stdin=subprocess.PIPE if asked else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,
            )
            child = Child(name, process, log)
            self._children.append(child)
            self._tell("+", child)
        return child

    def end(self, child: Child) -> None:
        """End one child."""
        child.end()
        self._tell("-", child)
        self._children.remove(child)

    def check(self) -> None:
        """Raise `DemoError` if a child has ended."""
        for child in self._children:
            child.check()

    def _tell(self, sign: str, child: Child) -> None:
        assert self._guardian.stdin is not None  # noqa: S101 -- it was started with a pipe
        self._guardian.stdin.write(f"{sign}{child.process.pid}\n".encode())
