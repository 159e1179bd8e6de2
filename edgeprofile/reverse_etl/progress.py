"""How a sync gets on, for people: a bar on a terminal, plain lines elsewhere, nothing beside ``--json``."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.progress import TaskID

    from edgeprofile.reverse_etl.sync import Observer, Report

__all__ = ["Bars", "Lines", "ended_line", "progress_for"]

_LINE_EVERY = 5.0


def ended_line(report: Report) -> str:
    """A run in one line."""
    done = _counted(inserted=report.inserted, updated=report.updated, deleted=report.deleted)
    if done and report.delivered < report.to_deliver:
        done = [f"{report.delivered:,} of {report.to_deliver:,} delivered (planned: {', '.join(done)})"]
    rest = _counted(set_aside=report.invalid, failed=report.failed)
    told = ", ".join([*done, f"{report.unchanged:,} unchanged", *rest])
    rate = f", {report.delivered / report.delivery_seconds:,.0f} rows/s" if report.delivery_seconds > 0 else ""
    error = f": {report.error}" if report.error else ""
    return f"{report.source}: {report.status}, {report.kind}: {told}; {report.seconds:.1f} s{rate}{error}"


def _counted(**counts: int) -> list[str]:
    return [f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count]


class Lines(AbstractContextManager["Lines"]):
    """Plain lines: one for each phase, and one now and then while rows go out."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._said: tuple[str, str] | None = None
        self._due = 0.0

    def __call__(self, report: Report, phase: str) -> None:
        """Part of ``Observer``."""
        now = self._clock()
        changed = (report.source, phase) != self._said
        if not changed and (phase != "delivering" or now < self._due):
            return
        self._said, self._due = (report.source, phase), now + _LINE_EVERY
        self._out.write(f"{_line(report, phase)}\n")
        self._out.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to clean up."""


def _line(report: Report, phase: str) -> str:
    if phase == "preparing":
        return f"{report.source}: taking a snapshot of {report.view}"
    if phase == "delivering":
        return f"{report.source}: {report.kind} ({report.reason}), {report.delivered:,} of {report.to_deliver:,} rows"
    return ended_line(report)


class Bars(AbstractContextManager["Bars"]):
    """A bar for each source, with rows and rate."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, report: Report, phase: str) -> None:
        """Part of ``Observer``."""
        if phase == "ended":
            if (task := self._tasks.pop(report.source, None)) is not None:
                self._progress.remove_task(task)
            self._console.print(ended_line(report), highlight=False, markup=False)
            return
        if report.source not in self._tasks:
            self._tasks[report.source] = self._progress.add_task(report.source, total=None, rate="")
        self._update(self._tasks[report.source], report, phase)

    def _update(self, task: TaskID, report: Report, phase: str) -> None:
        if phase == "preparing":
            self._progress.update(task, description=f"{report.source}: snapshot", total=None)
            return
        speed = self._progress.tasks[self._progress.task_ids.index(task)].speed
        self._progress.update(
            task,
            description=f"{report.source}: {report.kind}",
            total=report.to_deliver,
            completed=report.delivered + report.failed,
            rate=f"{speed:,.0f} rows/s" if speed else "",
        )


class _Silent(AbstractContextManager["_Silent"]):
    def __call__(self, report: Report, phase: str) -> None:
        """Part of ``Observer``."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to clean up."""


def progress_for(*, as_json: bool) -> AbstractContextManager[Observer]:
    """What suits the output: bars on a terminal, lines elsewhere, silence beside ``--json``. Writes to stderr."""
    if as_json:
        return _Silent()
    if sys.stderr.isatty():
        return Bars(Console(stderr=True))
    return Lines(sys.stderr)
