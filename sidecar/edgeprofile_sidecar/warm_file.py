"""The file that names the profiles in use from one start to the next: their ids, and nothing of what they hold."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from edgeprofile import ServiceError
from edgeprofile_sidecar.files import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from edgeprofile_sidecar.clients import Clients

    Known = tuple[str, str, str, str]

__all__ = ["WarmFile", "dump", "parse"]

_log = logging.getLogger(__name__)

_READY_WITHIN = 30.0  # seconds in which Redis must be there for a warm start to make sense


class _Group(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    destination: str
    entity: str
    id_type: str
    values: list[str]


class WarmFile:
    """Reads the file at the start, writes it now and then; what is wrong with it is logged and keeps nobody waiting."""

    def __init__(self, path: Path, clients: Clients, most: int) -> None:
        self._path = path
        self._clients = clients
        self._most = most
        self.done = asyncio.Event()

    async def read(self) -> None:
        """Fetch the profiles that the file names, once Redis is there; ``done`` is set whatever comes of it."""
        try:
            known = await asyncio.to_thread(self._known)
            if known:
                await self._clients.ready(_READY_WITHIN)
                count = await self._clients.warm(known)
                _log.info("started warm", extra={"profiles": count})
        except (OSError, msgspec.MsgspecError, ServiceError) as reason:
            _log.warning("the start is cold: %s", reason)
        finally:
            self.done.set()

    async def write(self) -> None:
        """Replace the file by what is in use now, unless nothing is: then the cache is younger than the file."""
        if not self.done.is_set():
            return
        known = self._clients.hot(self._most)
        if known:
            await asyncio.to_thread(self._replace, known)

    def _known(self) -> list[Known]:
        if self._path.exists():
            return list(parse(self._path.read_bytes()))
        if not os.access(self._path.parent, os.W_OK):
            raise OSError(f"sidecar.warmFile: nothing can be written to {self._path.parent}")
        return []

    def _replace(self, known: list[Known]) -> None:
        try:
            replace(self._path, dump(known))
        except OSError as reason:
            _log.warning("the profiles in use cannot be written down: %s", reason)


def dump(known: Iterable[Known]) -> bytes:
    """The text of the file: JSON, the ids of one kind together."""
    groups = defaultdict[tuple[str, str, str], list[str]](list)
    for destination, entity, id_type, value in known:
        groups[destination, entity, id_type].append(value)
    return msgspec.json.encode([_Group(*home, values) for home, values in groups.items()])


def parse(text: bytes) -> Iterator[Known]:
    """The profiles that a text of that form names; raises `msgspec.MsgspecError`."""
    for group in msgspec.json.decode(text, type=list[_Group]):
        for value in group.values:
            yield group.destination, group.entity, group.id_type, value
