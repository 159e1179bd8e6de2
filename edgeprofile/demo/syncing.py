"""A process that has the warehouse: it makes it, syncs it, and whenever it is told who orders, syncs it again.

``python -m edgeprofile.demo.syncing CONFIGURATION USERS`` reads lists of emails from its standard input and tells what
it did on its standard output, both as lines of JSON. What it runs is `edgeprofile sync`, as ``--watch`` does, without
starting anew each time.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgeprofile.demo import people
from edgeprofile.demo.errors import DemoError
from edgeprofile.demo.settings import WAREHOUSE
from edgeprofile.errors import EdgeProfileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprofile.demo.processes import Child, Household
    from edgeprofile.reverse_etl.command import Sync
    from edgeprofile.reverse_etl.sync import Report

__all__ = ["Built", "Synced", "Syncs", "start"]

_PATIENCE = 120.0
_WATCHED = f"{people.ENTITY} by {people.ID_TYPE}"


class Built(msgspec.Struct, frozen=True):
    """The warehouse is there, with so many rows of each kind."""

    users: int
    orders: int


class Synced(msgspec.Struct, frozen=True):
    """A sync has ended; ``seconds`` for the whole of it."""

    kind: str
    """``"full"`` or ``"incremental"``."""
    views: int
    users: int
    """How many users had changed."""
    rows: int
    """How many rows were sent, of all views."""
    seconds: float
    acknowledged_at: int
    """When Redis had the last row by email: nanoseconds of the monotonic clock."""


class Syncs:
    """The process as its parent sees it."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def built(self) -> Built:
        """Wait until the warehouse is there. Raises `DemoError`."""
        return msgspec.json.decode(self._expected(), type=Built)

    def first(self) -> Synced:
        """Wait until the first sync, which sends everything, has ended. Raises `DemoError`."""
        return msgspec.json.decode(self._expected(), type=Synced)

    def order(self, emails: Sequence[str]) -> None:
        """Let these users order something, and sync. Raises `DemoError`."""
        self._child.ask(msgspec.json.encode(emails))

    def news(self) -> Synced | None:
        """What was asked for, if it is done; never waits. Raises `DemoError`."""
        line = self._child.line(0.0)
        return None if line is None else msgspec.json.decode(line, type=Synced)

    def _expected(self) -> bytes:
        line = self._child.line(_PATIENCE)
        if line is None:
            raise DemoError(f"{self._child.name} says nothing for {_PATIENCE:g} s: {self._child.last_words()}")
        return line


def start(house: Household, config: Path, users: int) -> Syncs:
    """Start the process."""
    command: list[str | Path] = [sys.executable, "-m", __name__, config, str(users)]
    return Syncs(house.spawn("the warehouse", command, asked=True))


class _Observed:
    """What the runs of one sync report, and when Redis had what."""

    def __init__(self) -> None:
        self.acknowledged_at = 0
        self._reports: dict[str, Report] = {}

    def __call__(self, report: Report, phase: str) -> None:
        self._reports[report.source] = report
        if phase == "delivering" and report.delivered and report.source == _WATCHED:
            self.acknowledged_at = time.monotonic_ns()

    def synced(self, seconds: float) -> Synced:
        watched, reports = self._reports[_WATCHED], self._reports.values()
        return Synced(
            kind=watched.kind,
            views=len(reports),
            users=watched.inserted + watched.updated,
            rows=sum(report.delivered for report in reports),
            seconds=seconds,
            acknowledged_at=self.acknowledged_at,
        )


def _synced(sync: Sync) -> Synced:
    observed, began = _Observed(), time.monotonic()
    try:
        code = sync.once(observe=observed)
    except EdgeProfileError as error:
        sys.exit(f"edgeprofile: {error}")
    if code:
        sys.exit(code)  # it has said why
    return observed.synced(time.monotonic() - began)


def _work(config: Path, users: int) -> None:
    from edgeprofile.demo import warehouse  # noqa: PLC0415 -- its parent has no need of DuckDB

    file = config.with_name(WAREHOUSE)
    with ThreadPoolExecutor(1) as beside:
        imported = beside.submit(import_module, "edgeprofile.reverse_etl.command")  # takes as long as the warehouse
        warehouse.build(file, users)
    imported.result()
    _tell(Built(users, warehouse.ORDERS_EACH * users))
    from edgeprofile.config import load  # noqa: PLC0415 -- see above
    from edgeprofile.reverse_etl.command import Sync  # noqa: PLC0415

    sync = Sync.of(load(str(config)))
    _tell(_synced(sync))
    os.nice(10)  # elsewhere the warehouse is not on the machine of those who look users up
    for line in sys.stdin.buffer:
        warehouse.order(file, msgspec.json.decode(line, type=list[str]))
        _tell(_synced(sync))


def _tell(what: msgspec.Struct) -> None:
    os.write(1, msgspec.json.encode(what) + b"\n")


if __name__ == "__main__":
    _work(Path(sys.argv[1]), int(sys.argv[2]))
