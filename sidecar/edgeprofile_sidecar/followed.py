"""Files that may change while the sidecar runs: read again when they do, kept as they were when they turn bad."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from edgeprofile import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["Followed"]

_log = logging.getLogger(__name__)

_AGAIN = 5.0  # seconds until files that could not be read are tried again, changed or not

T = TypeVar("T")

_State = tuple[int, int, int, int, int]


class Followed(Generic[T]):
    """What some files say, together; ``name`` is what they are, in a log and in metrics.

    ``current`` is what the last good reading gave. ``good`` says whether the last reading was good, ``loaded_at`` when
    one last was (seconds since 1970), ``failures`` how many were not. ``read`` raises `ConfigurationError`.
    """

    def __init__(self, name: str, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self.name = name
        self._paths = paths
        self._read = read
        self._seen = self._states()
        self.current = read()
        self.failures = 0
        self._again_at = math.inf
        self._said = ""
        self.accepted()

    def refresh(self, *, force: bool = False) -> bool:
        """Read the files again if they have changed, or in any case; whether something else is now in force.

        What could not be read is tried again, since it may be the system that failed and not the file; that it still
        cannot be is said once.
        Their state is taken before they are read, so that a change in between is found the next time. It is that of the
        files behind all links: a mounted secret is changed by turning a link to another directory.
        """
        states = self._states()
        asked = force or states != self._seen
        if not asked and time.monotonic() < self._again_at:
            return False
        self._seen = states
        try:
            self.current = self._read()
        except (ConfigurationError, RecursionError, MemoryError) as reason:
            self._again_at = time.monotonic() + _AGAIN
            if asked or _text(reason) != self._said:
                self._said = _text(reason)
                self.refused(reason)
            return False
        self._again_at = math.inf
        self.accepted()
        _log.info("%s read again", self.name)
        return True

    def accepted(self) -> None:
        """What was read is in force."""
        self.good = True
        self.loaded_at = time.time()

    def refused(self, reason: Exception) -> None:
        """What was read cannot be used."""
        self.good = False
        self.failures += 1
        _log.error("%s cannot be used, what was read before stays in force: %s", self.name, _text(reason))

    def _states(self) -> list[_State | None]:
        return [_state(path) for path in self._paths]


def _text(reason: Exception) -> str:
    return str(reason) or type(reason).__name__


def _state(path: Path) -> _State | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size
