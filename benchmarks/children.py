"""The parent's side of a contender: its process, its virtual environment, its lines of JSON."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
SETUP_SECONDS = 180.0
ROUND_SECONDS = 120.0
_READ = 1 << 20


class ContenderFailed(Exception):
    """The process broke the protocol, took too long or reported an error."""


class Absent(Exception):
    """The contender cannot take part; the message says why."""


class Child:
    """A started contender. A context manager: it ends the process, however the measurement ends."""

    def __init__(self, module: str, spec: Mapping[str, Any], python: str = sys.executable) -> None:
        self.module = module
        self.versions: dict[str, str] = {}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(
            [python, "-m", module],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
        )
        self._lines = self._read_lines()
        self.tell(spec)

    def wait_ready(self) -> Self:
        """Wait until the contender is set up.

        Raises:
            Absent: It cannot do this here, and says why.
            ContenderFailed: It failed.
        """
        ready = self.answer(SETUP_SECONDS)
        if "absent" in ready:
            raise Absent(ready["absent"])
        self.versions = ready["versions"]
        return self

    def ask(self, request: Mapping[str, Any], timeout: float = ROUND_SECONDS) -> dict[str, Any]:
        """Send one request and return its result."""
        self.tell(request)
        return self.answer(timeout)

    def tell(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # `answer` tells what the process said before it ended
            self._process.stdin.write(json.dumps(message).encode() + b"\n")

    def answer(self, timeout: float = ROUND_SECONDS) -> dict[str, Any]:
        """Return the contender's next message; `timeout` in seconds.

        Raises:
            ContenderFailed: No message within that time, or an error instead.
        """
        self._deadline = time.monotonic() + timeout
        message: dict[str, Any] = json.loads(next(self._lines))
        if "error" in message:
            raise ContenderFailed(f"{self.module}: {message['error']}\n{message['traceback']}")
        return message

    def freeze(self) -> None:
        """Stop the process where it stands; what is sent to it piles up."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.thaw()
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _read_lines(self) -> Iterator[bytes]:
        assert self._process.stdout is not None
        pending = b""
        while True:
            while b"\n" not in pending:
                pending += self._read_some(self._process.stdout.fileno())
            line, _, pending = pending.partition(b"\n")
            yield line

    def _read_some(self, descriptor: int) -> bytes:
        left = max(0.0, self._deadline - time.monotonic())
        if not select.select([descriptor], [], [], left)[0]:
            raise ContenderFailed(f"{self.module}: no answer in time\n{self._last_words()}")
        if not (received := os.read(descriptor, _READ)):
            raise ContenderFailed(f"{self.module}: ended\n{self._last_words()}")
        return received

    def _last_words(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-2000:]
