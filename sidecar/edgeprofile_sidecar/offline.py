"""Profiles from a file instead of Redis: for development and tests, where there is no Redis to be had."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from edgeprofile import ConfigurationError
from edgeprofile.testing import MemoryProfiles
from edgeprofile_sidecar.tokens import Tokens, anybody

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprofile import AsyncClient, Config

__all__ = ["Everybody", "OfflineFile"]

_log = logging.getLogger(__name__)


class OfflineFile:
    """Profiles of a JSON file; ``client`` reads them. Raises `ConfigurationError` for a file of another form."""

    def __init__(self, config: Config, path: Path) -> None:
        self._path = path
        self._seen = _state(path)
        self._profiles = MemoryProfiles(path, config=config)

    @property
    def client(self) -> AsyncClient:
        """What serves the profiles."""
        return self._profiles.async_client

    def refresh(self) -> None:
        """Read the file again if it has changed; one that cannot be used leaves everything as it is."""
        state = _state(self._path)
        if state == self._seen:
            return
        self._seen = state
        try:
            self._profiles.reload()
        except ConfigurationError as reason:
            _log.error("the profiles read before stay in force: %s", reason)
        else:
            _log.info("profiles read again")


class Everybody:
    """In place of a tokens file: any token may do everything."""

    def __init__(self) -> None:
        self.current = Tokens(everybody=anybody())
        self.good = True
        self.loaded_at = time.time()
        self.failures = 0

    def refresh(self) -> bool:
        """Nothing changes."""
        return False


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
