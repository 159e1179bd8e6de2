"""Bundles in the library: what an application wants of a profile, written once in the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeprofile.errors import UnknownBundle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeprofile.client import AsyncClient, Client
    from edgeprofile.config import Config
    from edgeprofile.projection import Projection

__all__ = ["AsyncBundle", "Bundle", "projection"]


class Bundle:
    """Lookups of a `Client`, projected; made by `Client.bundle`, to be kept and shared. Errors are those of the client.

    The dicts that it returns are the caller's own, the values in them are read-only. A profile that is not there holds
    the defaults.
    """

    def __init__(self, client: Client, projection: Projection) -> None:
        self._client = client
        self._projection = projection

    def get(
        self, entity: str, id_type: str, value: str, *, destination: str | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """The profile that is stored under this id, projected."""
        return self._projection.decoded(
            self._client.get(entity, id_type, value, destination=destination, timeout=timeout)
        )

    def get_many(
        self,
        entity: str,
        id_type: str,
        values: Iterable[str],
        *,
        destination: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Profiles of several ids, by id, in the order given, projected."""
        found = self._client.get_many(entity, id_type, values, destination=destination, timeout=timeout)
        return {value: self._projection.decoded(profile) for value, profile in found.items()}


class AsyncBundle:
    """The same of an `AsyncClient`."""

    def __init__(self, client: AsyncClient, projection: Projection) -> None:
        self._client = client
        self._projection = projection

    async def get(
        self, entity: str, id_type: str, value: str, *, destination: str | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """The profile that is stored under this id, projected."""
        return self._projection.decoded(
            await self._client.get(entity, id_type, value, destination=destination, timeout=timeout)
        )

    async def get_many(
        self,
        entity: str,
        id_type: str,
        values: Iterable[str],
        *,
        destination: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Profiles of several ids, by id, in the order given, projected."""
        found = await self._client.get_many(entity, id_type, values, destination=destination, timeout=timeout)
        return {value: self._projection.decoded(profile) for value, profile in found.items()}


def projection(config: Config, bundle: str) -> Projection:
    """What the configuration says of the bundle; raises `UnknownBundle`."""
    try:
        return config.bundles[bundle].projection()
    except (KeyError, TypeError):
        raise UnknownBundle(bundle, tuple(config.bundles)) from None
