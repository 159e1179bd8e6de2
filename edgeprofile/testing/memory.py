"""Profiles in memory, and the clients that read them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from edgeprofile import default
from edgeprofile.client import AsyncClient, Client
from edgeprofile.config import Config, from_mapping
from edgeprofile.testing import source
from edgeprofile.testing.engine import MemoryEngine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from edgeprofile.errors import EdgeProfileError

__all__ = ["MemoryProfiles", "serving"]

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})
_DESTINATION = {"id": "memory", "workspaceId": "memory", "config": {"address": "localhost", "clusterMode": False}}


class MemoryProfiles:
    """Profiles in memory: ``client`` and ``async_client`` read them, and nothing else.

    Args:
        profiles: ``{entity: {id type: {id value: {model: traits}}}}``, or the path of a JSON file of that form. They
            are served for every destination.
        config: A configuration, or a mapping in the form of its file, for its destinations, bundles and limits; without
            one there is a single destination.

    Raises:
        ConfigurationError: The profiles or the configuration have another form.
    """

    def __init__(
        self, profiles: Mapping[str, Any] | str | Path = _NONE, *, config: Config | Mapping[str, Any] | None = None
    ) -> None:
        self._path = profiles if isinstance(profiles, (str, Path)) else None
        found = source.read_file(profiles) if isinstance(profiles, (str, Path)) else source.read(profiles)
        given = {"destinations": [_DESTINATION]} if config is None else config
        self.engine = MemoryEngine(given if isinstance(given, Config) else from_mapping(given), found)
        self.client = Client(self.engine)
        self.async_client = AsyncClient(self.engine)

    def put(self, entity: str, id_type: str, value: str, models: Mapping[str, Any]) -> None:
        """Have a profile hold these models from now on, as if somebody had written it to Redis."""
        self.engine.profiles[entity, id_type, value] = source.encode(models)
        self.engine.changed((entity, id_type, value))

    def remove(self, entity: str, id_type: str, value: str) -> None:
        """Have no such profile from now on."""
        self.engine.profiles.pop((entity, id_type, value), None)
        self.engine.changed((entity, id_type, value))

    def failing(self, error: EdgeProfileError) -> AbstractContextManager[None]:
        """A block in which every lookup and delete raises this error, as when Redis is in trouble."""
        return self.engine.failing(error)

    def reload(self) -> None:
        """Read the file again. Raises `ConfigurationError`, and keeps what was read before."""
        if self._path is not None:
            self.engine.replace(source.read_file(self._path))


@contextlib.contextmanager
def serving(
    profiles: Mapping[str, Any] | str | Path = _NONE, *, config: Config | Mapping[str, Any] | None = None
) -> Iterator[MemoryProfiles]:
    """A block in which `edgeprofile.get` and the other functions of the module read these profiles.

    Arguments and errors are those of `MemoryProfiles`. A default client that was there before is closed; after the block
    the next use makes a new one.
    """
    memory = MemoryProfiles(profiles, config=config)
    default.use(memory.engine)
    try:
        yield memory
    finally:
        default.close()
