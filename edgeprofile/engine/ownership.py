"""What one primary of a cluster says it owns, confirmed before each heartbeat.

Events of a slot come from the node that has it. So what was read of a slot has no lease beyond the last heartbeat
before which its node still had it, and had it for itself: of a slot on its way to another node, key by key, the first
knows only the keys that have not left yet, and tells nobody of those that are made at the other.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.core.slots import Claims, slot, tag_in
from edgeprofile.errors import ConfigurationError, ProtocolViolation, ServerRefused, ServiceError
from edgeprofile.store.refusals import refusal
from edgeprofile.store.resp import ErrorReply, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edgeprofile.core.entries import Entry
    from edgeprofile.core.pool import Tree
    from edgeprofile.engine.node import Node
    from edgeprofile.engine.target import Target
    from edgeprofile.errors import EdgeProfileError

__all__ = ["Ownership", "cluster_refusal"]

_CHUNK: Final = 2_000
"""Entries looked through without a pause for others."""
_NODES: Final = pack((b"CLUSTER", b"NODES"))


class Ownership:
    """The slots of one primary. ``changed`` is called when they are others than before; the lock is the engine's."""

    def __init__(self, node: Node, targets: Sequence[Target], lock: Any, changed: Callable[[], None]) -> None:
        self._node = node
        self._targets = targets
        self._lock = lock
        self._changed = changed
        self._claims: Claims | None = None
        self._slots: frozenset[int] = frozenset()
        self._leaving: frozenset[int] = frozenset()

    def begin(self) -> None:
        """An epoch of the feed begins: nothing is owed to what was owned before."""
        self._claims = None
        self._slots = frozenset()
        self._leaving = frozenset()

    async def confirm(self) -> None:
        """Ask the node for its slots, and drop what it has lost. Raises when the node cannot vouch for its slots."""
        claims = await _ask(self._node)
        before, self._claims = self._claims, claims
        if claims == before:
            return
        slots, leaving = claims.slots, claims.leaving
        if not slots:
            self._changed()
            raise ServerRefused(f"{self._node.name} serves no slot any more", code="MOVED", node=self._node.name)
        lost = (self._slots - slots) | (leaving - self._leaving)
        self._slots, self._leaving = slots, leaving
        if before is None:
            with self._lock:
                self._node.keeper.leaving = leaving
            return
        self._changed()
        if before.name != claims.name:
            name = self._node.name
            raise ServiceError(f"{name} leads to another node of the cluster now than before", node=name)
        if self._withdraw(lost, came=before.epoch != claims.epoch):
            await self._drop(lost)

    def _withdraw(self, lost: frozenset[int], *, came: bool) -> bool:
        """Nothing of these slots may be stored from now on; whether there is something to be dropped.

        A new epoch of claims means that slots came. One that left and came back between two heartbeats looks untouched.
        """
        keeper = self._node.keeper
        with self._lock:
            keeper.leaving = self._leaving
            if came:
                keeper.renounce()
            else:
                keeper.moved(lost)
        return bool(lost) and not came

    async def _drop(self, lost: frozenset[int]) -> None:
        """Drop what lives by this node's lease and is of these slots; a few at a time, so that nobody waits long."""
        keeper = self._node.keeper
        lease = keeper.authority.lease
        for target in self._targets:
            key = target.layout.key
            for entries in self._spaces(keeper.cache.tree(target.id)):
                for start in range(0, len(entries), _CHUNK):
                    doomed = [
                        entry
                        for entry in entries[start : start + _CHUNK]
                        if entry.lease is lease and slot(key(*entry.home[1:], entry.value)) in lost
                    ]
                    with self._lock:
                        for entry in doomed:
                            keeper.cache.drop_identity(*entry.home, entry.value)
                    await asyncio.sleep(0)

    def _spaces(self, tree: Tree) -> Iterator[list[Entry]]:
        """The entries of each id type, as they are when their turn comes."""
        with self._lock:
            spaces = [entries for branches in tree.values() for entries in branches.values()]
        for entries in spaces:
            with self._lock:
                found = list(entries.values())
            yield found

    @property
    def tag(self) -> str:
        """A hash tag that leads to this node, and will for a while. Raises `LookupError` before the first `confirm`."""
        return tag_in(self._slots - self._leaving or self._slots)


async def _ask(node: Node) -> Claims:
    wire = await node.attach()
    (reply,) = await wire.ask(_NODES, 1)
    if isinstance(reply, ErrorReply):
        raise cluster_refusal(reply, node, "CLUSTER NODES")
    try:
        return Claims.parse(reply)
    except (ValueError, TypeError, AttributeError) as error:
        raise ProtocolViolation(f"{node.name} answered CLUSTER NODES with something else", node=node.name) from error


def cluster_refusal(reply: ErrorReply, node: Node, doing: str) -> EdgeProfileError:
    """The exception for an error reply to a question about the cluster."""
    if "cluster support disabled" in reply.text:
        return ConfigurationError(
            f"{node.name} is no cluster: set clusterMode = false", option="destinations.config.clusterMode"
        )
    return refusal(reply, node.name, doing=doing)
