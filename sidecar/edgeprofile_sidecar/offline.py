"""Profiles from a file instead of Redis: for development and tests, where there is no Redis to be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprofile.testing import MemoryProfiles
from edgeprofile_sidecar.followed import Followed
from edgeprofile_sidecar.tokens import Tokens, anybody

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprofile import AsyncClient, Config

__all__ = ["Everybody", "OfflineFile"]


class OfflineFile(Followed[None]):
    """Profiles of a JSON file; ``client`` reads them. Raises `ConfigurationError` for a file of another form."""

    def __init__(self, config: Config, path: Path) -> None:
        self._profiles = MemoryProfiles(path, config=config)
        super().__init__("profiles", [path], self._profiles.reload)

    @property
    def client(self) -> AsyncClient:
        """What serves the profiles."""
        return self._profiles.async_client


class Everybody:
    """In place of a tokens file: any token may do everything."""

    def __init__(self) -> None:
        self.current = Tokens(everybody=anybody())
