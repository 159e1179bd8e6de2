"""A process of its own that reads profiles and tells what it saw: for faults that befall whole processes.

`python -m tests.support.reading_process '<configuration as JSON>'` starts reading, says "ready" when it is live, and then
obeys one word a line: `counts` (what its client has counted), `fork` (let a child read, too; its exit status), `end`
(everything that was read, and the end). Each answer is one line of JSON. Its clock is the system's monotonic one, so its
records and those of its parent belong to one history.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from edgeprofile import AsyncClient, Client
from tests.support.history import Read
from tests.support.recorder import History, Reader
from tests.support.rig import DESTINATION, Rig, key_of, reading
from tests.support.wait import until

_ROOT = Path(__file__).parents[2]


class ReadingProcess:
    """The parent's side; a context manager that ends the process and adds what it read to the rig's history."""

    def __init__(self, rig: Rig) -> None:
        """Start it and return when it is live."""
        self._rig = rig
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", __name__, json.dumps(rig.configuration())],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._hear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()
        else:
            self.end()
        self._process.communicate()

    def ask(self, word: str) -> Any:
        """Say a word, and return the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self._hear()

    def end(self) -> None:
        """End it, and check what it read."""
        files = self.ask("end")
        out, errors = self._process.communicate(timeout=20)
        assert (self._process.returncode, out, errors) == (0, "", ""), errors
        for file in files:
            reads = msgspec.json.decode(Path(file).read_bytes(), type=list[Read])
            assert reads, "it has read nothing"
            self._rig.history.include(reads)
            Path(file).unlink()

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the process has ended: {self._process.communicate()[1]}")
        return json.loads(line)


def main() -> None:
    logging.getLogger("edgeprofile").addHandler(logging.NullHandler())
    history = History()
    readers = [history.reader() for _ in range(3)]
    files: list[str] = []
    with Client(json.loads(sys.argv[1])) as client:
        client.start()
        twin = AsyncClient(client._engine)
        with reading(client, twin, readers[:2], readers[2:]):
            until(lambda: all(reader.lookups > 20 for reader in readers))
            answer("ready")
            for line in sys.stdin:
                if line == "end\n":
                    break
                answer(counts(client) if line == "counts\n" else fork(client, files))
    files.append(dump(readers, unused_file()))
    answer(files)


def counts(client: Client) -> dict[str, Any]:
    stats = client.stats()
    return {"hits": stats.hits, "losses": stats.feed_losses, "state": stats.destinations[DESTINATION].state}


def fork(client: Client, files: list[str]) -> int:
    """Let a child read with the client that it inherited, for a while and some hits; its exit status."""
    files.append(unused_file())
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    reader = History().reader()
    before, end = client.stats().hits, time.monotonic() + 1
    while time.monotonic() < end or client.stats().hits < before + 100:
        reader.read(key_of("ada"), lambda: client.get("user", "email", "ada"))
    dump([reader], files[-1])
    os._exit(0)


def unused_file() -> str:
    with tempfile.NamedTemporaryFile(prefix="reads-", delete=False) as made:
        return made.name


def dump(readers: list[Reader], file: str) -> str:
    Path(file).write_bytes(msgspec.json.encode([read for reader in readers for read in reader.take()]))
    return file


def answer(what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
