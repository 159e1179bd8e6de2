"""Warm starts: which profiles are in use, by their ids alone, and reading them all before anybody asks."""

from __future__ import annotations

import asyncio
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, TypeAlias

from edgeprofile.errors import EdgeProfileError, InvalidIdentity, LookupTimeout, UnknownDestination

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edgeprofile.core.fills import Fill
    from edgeprofile.core.keeper import Identity
    from edgeprofile.engine.engine import Engine

__all__ = ["Known", "hot", "warm"]

Known: TypeAlias = tuple[str, str, str, str]
"""Destination, entity, id type and id value."""

_CHUNK: Final = 500
"""Profiles that are asked for in one round trip."""
_FULL: Final = 0.95
"""Share of the budget from which on a further profile would push out one that has just been read."""


def hot(engine: Engine, most: int) -> list[Known]:
    """The cached profiles that were used lately, then those that were not; absent ones are left out."""
    with engine.lock:
        branches = chain.from_iterable(tree.values() for tree in engine.trees().values())
        spaces = [list(entries.values()) for branch in branches for entries in branch.values()]
    present = [entry for entries in spaces for entry in entries if entry.data is not None]
    used = (entry for entry in present if entry.used)
    rest = (entry for entry in present if not entry.used)
    return [(*entry.home, entry.value) for entry in islice(chain(used, rest), most)]


async def warm(engine: Engine, profiles: Iterable[Known], seconds: float) -> int:
    """Read profiles that are not cached, until the cache is full; how many were read.

    What names no profile, or none of a configured destination, is passed over. Raises what Redis did, and
    `LookupTimeout` when it has taken ``seconds``.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _warm(engine, _identities(engine, profiles))
    except TimeoutError:
        raise LookupTimeout(f"the profiles in use were not read within {seconds:g} s") from None


async def _warm(engine: Engine, identities: Iterator[Identity]) -> int:
    read = 0
    while engine.cache.size < _FULL * engine.cache.maxsize and (chunk := list(islice(identities, _CHUNK))):
        fills = engine.begin(chunk, refresh=False)
        if fills:
            await _carried_out(engine, fills)
        read += len(fills)
    return read


def _identities(engine: Engine, profiles: Iterable[Known]) -> Iterator[Identity]:
    for destination, entity, id_type, value in profiles:
        try:
            yield engine.target(destination).identity(entity, id_type, value)
        except (UnknownDestination, InvalidIdentity):
            continue


async def _carried_out(engine: Engine, fills: list[Fill]) -> None:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    left = fills.copy()

    def settled() -> None:
        left.pop()
        if not left:
            loop.call_soon_threadsafe(done.set)

    for fill in fills:
        fill.waiters.append(settled)
    engine.send(engine.batches(fills))
    await done.wait()
    for fill in fills:
        if isinstance(fill.outcome, EdgeProfileError):
            raise fill.outcome.with_traceback(None)
