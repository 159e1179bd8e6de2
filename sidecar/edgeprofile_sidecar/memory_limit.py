"""The memory that the container may take, and whether the cache leaves room in it for the rest of the process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgeprofile.config import format_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeprofile import Config

__all__ = ["doubt", "limit"]

_FILES: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_UNLIMITED: Final = 1 << 60  # the first version of control groups writes a large number where there is no limit

_PROCESS: Final = 64 << 20
"""Bytes that a process takes beside its cache, with few connections."""


def limit(files: Iterable[Path] = _FILES) -> int | None:
    """The limit of this container in bytes, `None` if there is none or it is not told."""
    for file in files:
        try:
            found = int(file.read_text())
        except (OSError, ValueError):  # absent, or "max"
            continue
        return found if found < _UNLIMITED else None
    return None


def doubt(config: Config, limit: int | None) -> str:
    """Why the limit of memory may be reached, or an empty text."""
    needed = (config.cache.max_bytes + _PROCESS) * config.sidecar.workers
    if limit is None or needed <= limit:
        return ""
    workers = f" for each of {config.sidecar.workers} workers" if config.sidecar.workers > 1 else ""
    return (
        f"cache.maxBytes ({format_size(config.cache.max_bytes)}) and {format_size(_PROCESS)} beside it{workers} are more "
        f"than the memory limit of {format_size(limit)}: once the cache is full, the system may end the process"
    )
