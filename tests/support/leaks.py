"""What a test must not leave behind: threads and child processes."""

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import guarded
from tests.support.wait import until

_OURS = "edgeprofile"  # the engine's threads are daemons and still must end with their client


def threads() -> set[threading.Thread]:
    """The living threads that a test must end: those that would hold up the interpreter, and the product's own."""
    return {t for t in threading.enumerate() if not t.daemon or t.name.startswith(_OURS)}


def children() -> set[int]:
    """This process' children where the system tells, elsewhere those of multiprocessing.

    Guarded children do not count: they belong to a `Server`, which warns when it is not closed.
    """
    lists = list(Path("/proc/self/task").glob("*/children"))
    if not lists:
        return {child.pid for child in multiprocessing.active_children() if child.pid is not None}
    return {int(pid) for file in lists for pid in _text(file).split()} - guarded()


@contextmanager
def none_left(patience: float = 5.0) -> Iterator[None]:
    """Fail if the block leaves more threads or children than it found, some seconds after its end.

    Raises:
        AssertionError: Names the threads and processes that are left.
    """
    threads_before, children_before = threads(), children()
    yield
    until(lambda: threads() <= threads_before, patience, lambda: f"left threads {threads() - threads_before} end")
    until(lambda: children() <= children_before, patience, lambda: f"left processes {_names(children_before)} end")


def _names(known: set[int]) -> dict[int, str]:
    return {pid: _text(Path(f"/proc/{pid}/cmdline")).replace("\0", " ").strip() for pid in children() - known}


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:  # it ended meanwhile
        return ""
