"""What becomes of engines when the process forks, and when the interpreter exits."""

from __future__ import annotations

import atexit
import os
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeprofile.engine.engine import Engine

__all__ = ["ENGINES", "PARENTS"]

ENGINES: weakref.WeakSet[Engine] = weakref.WeakSet()

PARENTS: list[Any] = []
"""What forked children inherited and must not touch, not even to free it."""


def _after_fork() -> None:
    for engine in list(ENGINES):
        engine.after_fork()


@atexit.register
def _retire_all() -> None:
    for engine in list(ENGINES):
        engine.retire()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
