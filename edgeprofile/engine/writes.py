"""Deletes of our own: nothing older may be served from before they are sent, whatever becomes of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from edgeprofile.errors import LookupTimeout
from edgeprofile.store.refusals import refusal
from edgeprofile.store.resp import ErrorReply, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprofile.core.keeper import Identity
    from edgeprofile.engine.engine import Engine
    from edgeprofile.engine.node import Node
    from edgeprofile.errors import ServiceError

__all__ = ["Writes"]


class Writes:
    """Deletes profiles for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def delete(self, identities: Sequence[Identity], deadline: float) -> int:
        """Delete the keys of these profiles, for a thread; how many there were. Raises the `ServiceError` family."""
        self._overwrite(identities)
        try:
            return sum(
                _removed(node.blocking.call(_command(keys), len(keys), deadline), node)
                for node, keys in self._by_node(identities).items()
            )
        finally:
            self._overwrite(identities)

    async def adelete(self, identities: Sequence[Identity], deadline: float) -> int:
        """As `delete`, for a task; the nodes work at the same time."""
        self._overwrite(identities)
        try:
            async with asyncio.timeout(deadline - self._engine.clock()):
                counts = [self._adelete(node, keys) for node, keys in self._by_node(identities).items()]
                return sum(await asyncio.gather(*counts))
        except TimeoutError as error:
            raise LookupTimeout("Redis did not confirm the delete before its deadline; it may have happened") from error
        finally:
            self._overwrite(identities)

    async def _adelete(self, node: Node, keys: list[bytes]) -> int:
        wire = await node.attach()
        return _removed(await wire.ask(_command(keys), len(keys)), node)

    def _overwrite(self, identities: Sequence[Identity]) -> None:
        engine = self._engine
        with engine.lock:
            for identity in identities:
                engine.node(identity).keeper.overwrite(identity)

    def _by_node(self, identities: Sequence[Identity]) -> dict[Node, list[bytes]]:
        keys: dict[Node, list[bytes]] = {}
        for identity in identities:
            keys.setdefault(self._engine.node(identity), []).extend(identity.keys)
        return keys


def _command(keys: Sequence[bytes]) -> bytes:
    return pack(*((b"DEL", key) for key in keys))


def _removed(replies: list[Any], node: Node) -> int:
    errors: list[ServiceError] = [
        refusal(reply, node.name, doing="DEL") for reply in replies if isinstance(reply, ErrorReply)
    ]
    if errors:
        raise errors[0]
    return sum(replies)
