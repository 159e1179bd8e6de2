"""Hot reload: what is done when a file that is followed has changed, or when a SIGHUP asks for it."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING

from edgeprofile import EdgeProfileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from edgeprofile import Config
    from edgeprofile_sidecar.clients import Clients
    from edgeprofile_sidecar.followed import Followed

__all__ = ["Reloads"]

_log = logging.getLogger(__name__)

_RETRY = 15.0  # seconds until destinations that were not ready are tried again


class Reloads:
    """Follows ``settings``, the configuration as a file (or `None`), and ``others``, which take effect by themselves."""

    def __init__(self, clients: Clients, settings: Followed[Config] | None, others: Sequence[Followed[Any]]) -> None:
        self._clients = clients
        self._settings = settings
        self._others = others
        self._began_with = _fixed(settings.current) if settings else None
        self._turn, self._reading = asyncio.Lock(), asyncio.Lock()
        self._retry_at: float | None = None

    @property
    def files(self) -> list[Followed[Any]]:
        """All that is followed."""
        return [*self._others, *([self._settings] if self._settings else [])]

    async def follow_others(self, *, force: bool = False) -> None:
        """Read the other files again if they have changed, or in any case; in a thread, since a file system may hang.

        One after the other, so that what was read first never takes the place of what was read later.
        """
        async with self._reading:
            for file in self._others:
                await asyncio.to_thread(file.refresh, force=force)

    async def follow_settings(self, *, force: bool = False) -> None:
        """The same for the configuration; new destinations are in use when this returns, or refused."""
        if self._settings is None:
            return
        async with self._turn:
            failures = self._settings.failures
            changed = await asyncio.to_thread(self._settings.refresh, force=force)
            if self._settings.failures > failures:
                self._retry_at = None  # what waited for its turn is no longer what the file says
            due = self._retry_at is not None and monotonic() >= self._retry_at
            if changed or due:
                await self._apply(self._settings)

    async def all(self) -> None:
        """Read everything again, changed or not."""
        await self.follow_others(force=True)
        await self.follow_settings(force=True)

    async def _apply(self, settings: Followed[Config]) -> None:
        config = settings.current
        self._retry_at = None
        try:
            replaced = await self._clients.replace(config, config.sidecar.reload_timeout)
        except EdgeProfileError as reason:
            self._retry_at = monotonic() + _RETRY
            settings.refused(reason)
            return
        settings.accepted()
        if replaced:
            _log.info("destinations replaced", extra={"destinations": [each.id for each in config.destinations]})
        if _fixed(config) != self._began_with:
            _log.warning("what changed in the sections sidecar and bundles takes effect at the next start")


def _fixed(config: Config) -> object:
    return config.sidecar, config.bundles
