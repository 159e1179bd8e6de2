"""What one primary of a cluster owns: asked for before each heartbeat, and heeded as `core.tenure` says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.core.slots import Claims, slots_after, tag_in
from edgeprofile.core.tenure import Departed, Tenure
from edgeprofile.errors import ProtocolViolation, ServerRefused
from edgeprofile.store.refusals import cluster_refusal
from edgeprofile.store.resp import ErrorReply, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edgeprofile.core.entries import Entry
    from edgeprofile.core.pool import Tree
    from edgeprofile.engine.node import Node
    from edgeprofile.engine.target import Target

__all__ = ["Ownership"]

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
        self._tenure = Tenure(node.keeper)

    def begin(self) -> None:
        """An epoch of the feed begins."""
        self._tenure.begin()

    async def confirm(self) -> None:
        """Ask the node for its slots, and drop what it has lost. Raises when the node cannot vouch for its slots."""
        claims = await _ask(self._node)
        if not self._tenure.is_new(claims):
            return
        self._changed()
        try:
            with self._lock:
                lost = self._tenure.confirmed(claims)
        except Departed as departed:
            name = self._node.name
            raise ServerRefused(f"{name} {departed}", code="MOVED", node=name) from None
        if lost:
            await self._drop(lost)

    async def _drop(self, lost: frozenset[int]) -> None:
        """Drop what lives by this node's lease and is of these slots; a few at a time, so that nobody waits long."""
        keeper = self._node.keeper
        lease = keeper.authority.lease
        for target in self._targets:
            for entries in self._spaces(keeper.cache.tree(target.id)):
                slot_of = slots_after(target.layout.key(*entries[0].home[1:], "?")[:-1])
                for start in range(0, len(entries), _CHUNK):
                    doomed = [
                        entry
                        for entry in entries[start : start + _CHUNK]
                        if entry.lease is lease and slot_of(entry.value.encode()) in lost
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
            if found:
                yield found

    @property
    def tag(self) -> str:
        """A hash tag that leads to this node, and will for a while. Raises `LookupError` before the first `confirm`."""
        return tag_in(self._tenure.slots - self._tenure.leaving or self._tenure.slots)


async def _ask(node: Node) -> Claims:
    wire = await node.attach()
    (reply,) = await wire.ask(_NODES, 1)
    if isinstance(reply, ErrorReply):
        raise cluster_refusal(reply, node.name, "CLUSTER NODES")
    try:
        return Claims.parse(reply)
    except (ValueError, TypeError, AttributeError) as error:
        raise ProtocolViolation(f"{node.name} answered CLUSTER NODES with something else", node=node.name) from error
