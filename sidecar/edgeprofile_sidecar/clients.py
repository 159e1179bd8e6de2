"""The client in use: replaced in one step when its destinations change, and never by one that does not work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from edgeprofile import AsyncClient, LookupTimeout, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edgeprofile import Config, DestinationStatus, Stats
    from edgeprofile_sidecar.service import Changes

    Known = tuple[str, str, str, str]

__all__ = ["Clients", "differs"]

_log = logging.getLogger(__name__)

_WARMED = 100_000  # profiles that move from the old client to the new one
_WARMING = 5.0  # seconds in which they have to
_PARTS = ("destinations", "cache", "feed", "limits")


class _Reads:
    """The encoded lookups of whichever client is in use."""

    def __init__(self, client: AsyncClient) -> None:
        self.turn_to(client)

    def turn_to(self, client: AsyncClient) -> None:
        self.peek = client.encoded.peek  # attributes of their own: a method that passes on would cost every hit
        self.hold = client.encoded.hold
        self.get = client.encoded.get
        self.get_many = client.encoded.get_many


class Clients:
    """The profiles of a configuration that may change; also the collection of its destinations' ids."""

    def __init__(self, client: AsyncClient) -> None:
        self._closing = set[asyncio.Task[None]]()
        self._turn_to(client)
        self.encoded = _Reads(self._client)

    def __contains__(self, destination: object) -> bool:
        return destination in self._destinations

    def __iter__(self) -> Iterator[str]:
        return iter(self._destinations)

    def __len__(self) -> int:
        return len(self._destinations)

    async def delete(self, entity: str, ids: Iterable[tuple[str, str]], *, destination: str) -> int:
        """Delete profiles, as `AsyncClient.delete`."""
        return await self._client.delete(entity, ids, destination=destination)

    def changes(self, entity: str, ids: Iterable[tuple[str, str]], *, destination: str) -> Changes:
        """Changes of profiles, as `AsyncClient.changes`; they end with the client that is in use now."""
        return self._client.changes(entity, ids, destination=destination)

    def max_stale(self) -> float:
        """How old, in seconds, the latest proof may be while something can still be served."""
        cache = self._client.config.cache
        return cache.max_staleness + cache.stale_if_error

    def stats(self) -> Stats:
        """The figures of the client in use; they begin anew with a new one."""
        return self._client.stats()

    def status(self) -> dict[str, DestinationStatus]:
        """Where each destination stands."""
        return self._client.status()

    def hot(self, most: int) -> list[Known]:
        """The profiles in use."""
        return self._client.hot(most)

    async def warm(self, profiles: Iterable[Known]) -> int:
        """Read profiles before anybody asks, as `AsyncClient.warm`."""
        return await self._client.warm(profiles)

    async def begin(self) -> None:
        """Have the client connect, without waiting: it goes on by itself, and its status says how far it is."""
        with contextlib.suppress(ServiceError):
            await self._client.start(0.0)

    async def ready(self, seconds: float) -> None:
        """Until the client is ready; raises what stands in the way, or that it took too long."""
        await self._client.start(seconds)

    async def replace(self, config: Config, seconds: float) -> bool:
        """Use other destinations, once they are ready; whether anything had to be replaced.

        A client that is not ready within ``seconds`` takes no place, unless the one in use is not ready either. Then
        the error says why not. The new one knows the profiles of the old one before it is asked for them.
        """
        if not differs(config, self._client.config):
            return False
        new = AsyncClient(config)
        try:
            await self._begin(new, seconds)
        except BaseException:
            await new.close()
            raise
        old = self._client
        self._turn_to(new)
        self.encoded.turn_to(new)
        old.encoded.release()
        self._close_later(old)
        return True

    async def close(self) -> None:
        """End all connections."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._client.close()

    def _turn_to(self, client: AsyncClient) -> None:
        self._client = client
        self._destinations = frozenset(destination.id for destination in client.config.destinations)

    async def _begin(self, new: AsyncClient, seconds: float) -> None:
        try:
            await new.start(seconds)
            await new.warm(self._client.hot(_WARMED), timeout=_WARMING)
        except LookupTimeout:
            _log.info("the new destinations begin with a part of the profiles in use")
        except ServiceError:
            if all(status.ready for status in self._client.status().values()):
                raise

    def _close_later(self, old: AsyncClient) -> None:
        """Every lookup ends within its deadline, so none is under way on the old client after that."""

        async def close() -> None:
            try:
                await asyncio.sleep(old.config.limits.timeout)
            finally:
                await old.close()

        task = asyncio.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def differs(one: Config, other: Config) -> bool:
    """Whether two configurations need clients of their own."""
    return any(getattr(one, part) != getattr(other, part) for part in _PARTS)
