"""A Redis Cluster at run time: a keeper, a feed and a lease for each primary, and a map that follows the slots.

The map may be wrong at any time; that costs a redirection and no more, because a node answers only for slots it owns.
What must not be wrong is a lease: events of a slot that has moved come from another node. So each primary is asked for
its own slots before each heartbeat, and the heartbeat counts from before the question. What it has lost is dropped
before the lease is extended.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.core.slots import SlotMap, slot, tag_in
from edgeprofile.errors import ConfigurationError, EdgeProfileError, ProtocolViolation, RedisUnavailable, ServerRefused
from edgeprofile.store.refusals import Redirected, refusal
from edgeprofile.store.resp import ErrorReply, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edgeprofile.config import RedisConfig
    from edgeprofile.core.entries import Entry
    from edgeprofile.core.pool import Tree
    from edgeprofile.core.slots import Address
    from edgeprofile.engine.node import Node
    from edgeprofile.engine.target import Target
    from edgeprofile.engine.upstream import NodeMaker, Sessions

__all__ = ["Cluster", "Ownership"]

_RETRY_AFTER: Final = 0.02
"""Seconds before a lookup tries again what the cluster may have settled meanwhile."""
_CHUNK: Final = 2_000
"""Entries looked through without a pause for others."""
_REFRESH_EVERY: Final = 5.0
_REFRESH_GAP: Final = 0.05
_PASSING: Final = frozenset({"CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "LOADING", "READONLY"})
_SLOTS: Final = pack((b"CLUSTER", b"SLOTS"), (b"CLUSTER", b"INFO"))


class Cluster:
    """A deployment of many primaries; ``lock`` is the engine's."""

    def __init__(self, config: RedisConfig, targets: Sequence[Target], make: NodeMaker, lock: Any) -> None:
        seeds = [seed for seed in config.seeds if isinstance(seed, tuple)]
        if len(seeds) != len(config.seeds):
            raise ConfigurationError(
                "the nodes of a cluster refer to each other by host and port: a Unix socket cannot be a seed",
                option="destinations.config.address",
            )
        if any(target.legacy for target in targets):
            raise ConfigurationError(
                "a profile's two keys lie on different nodes of a cluster: legacyKeys needs a single server",
                option="destinations.legacyKeys",
            )
        self.targets = targets
        self._make = make
        self._lock = lock
        self._seeds = seeds
        self._nodes: dict[Address, Node] = {}
        self._guests: dict[Address, Node] = {}
        self._table: tuple[Node | None, ...] = ()
        self._map: SlotMap | None = None
        self._due: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.trouble: EdgeProfileError | None = None

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All primaries known now."""
        return (*self._nodes.values(), *self._guests.values())

    def node(self, key: bytes) -> Node:
        """The primary that has the key's slot. Raises `RedisUnavailable` while that is not known."""
        table = self._table
        node = table[slot(key)] if table else None
        if node is None:
            raise NoOwner("no node of the cluster is known to serve this profile's slot") from self.trouble
        return node

    def at(self, address: Address) -> Node:
        """The node at an address, also one that has no slot yet: a slot on its way has its new keys there."""
        node = self._nodes.get(address) or self._guests.get(address)
        return node or self._guests.setdefault(address, self._make.at(address))

    def amend(self, error: EdgeProfileError) -> float | None:
        """A redirection corrects the map at once; trouble of a node has the whole map asked for again."""
        if isinstance(error, Redirected):
            self._call(lambda: self._moved(error.slot, error.address))
            return 0.0 if error.address in self._nodes else _RETRY_AFTER
        if isinstance(error, RedisUnavailable) or (isinstance(error, ServerRefused) and error.code in _PASSING):
            self.ask_again()
            return _RETRY_AFTER
        return None

    def ask_again(self) -> None:
        """Have the map fetched anew, soon."""
        self._call(lambda: self._due.set() if self._due is not None else None)

    async def follow(self, sessions: Sessions) -> None:
        """Fetch the map whenever there is reason to, and now and then without one."""
        self._loop = asyncio.get_running_loop()
        self._due = asyncio.Event()
        self._sessions = sessions
        while True:
            self._due.clear()
            await self._refresh()
            await asyncio.sleep(_REFRESH_GAP)
            try:
                async with asyncio.timeout(_REFRESH_EVERY if self._map is not None else _REFRESH_GAP):
                    await self._due.wait()
            except TimeoutError:
                continue

    async def _refresh(self) -> None:
        """Ask the nodes, known ones first and in no fixed order, until one tells; keep the old map if none does."""
        known = list(self._nodes)
        random.shuffle(known)
        for address in dict.fromkeys([*known, *self._seeds]):
            node = self._nodes.get(address) or self._make.at(address)
            try:
                found = (await ask_slots(node))[0]
            except EdgeProfileError as error:
                self.trouble = error
                continue
            finally:
                if address not in self._nodes:
                    node.close()
            if found.addresses:
                self.trouble = None
                self._adopt(found)
                return

    def _adopt(self, found: SlotMap) -> None:
        """Make this the map: nodes that are new are listened to, nodes that have no slot are let go."""
        if found == self._map:
            return
        for address in found.addresses:
            if address not in self._nodes:
                self._join(address)
        self._map = found
        self._table = tuple(self._nodes[owner] if owner is not None else None for owner in found.owners)
        for address in set(self._nodes) - set(found.addresses):
            self._sessions.shut(self._nodes.pop(address))

    def _join(self, address: Address) -> None:
        node = self._make.at(address)
        node.ownership = Ownership(node, self)
        self._nodes[address] = node
        self._sessions.open(self, node)

    def _moved(self, number: int, address: Address) -> None:
        if self._map is not None and self._map.owners[number] != address:
            self._adopt(self._map.with_owner(number, address))
        self.ask_again()

    def _call(self, function: Callable[[], object]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)

    async def drop_slots(self, node: Node, lost: frozenset[int]) -> None:
        """Drop what was read from a node of slots that it has lost, its fetches under way first."""
        keeper = node.keeper
        with self._lock:
            for fill in list(keeper.fills):
                if slot(fill.keys[0]) in lost:
                    keeper.fills.poison(fill.keys[0])
            entries = [entry for target in self.targets for entry in _entries(keeper.cache.tree(target.id))]
        layouts = {target.id: target.layout for target in self.targets}
        for start in range(0, len(entries), _CHUNK):
            doomed = [
                entry
                for entry in entries[start : start + _CHUNK]
                if slot(layouts[entry.home[0]].key(*entry.home[1:], entry.value)) in lost
            ]
            with self._lock:
                for entry in doomed:
                    keeper.cache.drop_identity(*entry.home, entry.value)
            await asyncio.sleep(0)


def _entries(tree: Tree) -> Iterator[Entry]:
    for branches in tree.values():
        for entries in branches.values():
            yield from entries.values()


class NoOwner(RedisUnavailable):
    """No node is known for a slot."""


class Ownership:
    """What one primary says it owns, confirmed before each heartbeat."""

    def __init__(self, node: Node, cluster: Cluster) -> None:
        self._node = node
        self._cluster = cluster
        self._slots: frozenset[int] | None = None
        self._epoch = -1

    async def confirm(self) -> None:
        """Ask the node for its slots, and drop what it has lost. Raises when the node cannot vouch for its slots."""
        found, epoch = await ask_slots(self._node)
        mine = found.of(_address(self._node))
        if not mine:
            self._cluster.ask_again()
            raise ServerRefused(f"{self._node.name} serves no slot any more", code="MOVED", node=self._node.name)
        before, self._slots = self._slots, mine
        if before is None:
            self._epoch = epoch
            return
        if mine != before:
            self._cluster.ask_again()
        # A new epoch of claims means that slots came; one that left and came back between two beats looks untouched.
        lost = before if epoch != self._epoch else before - mine
        self._epoch = epoch
        if lost:
            await self._cluster.drop_slots(self._node, lost)

    def begin(self) -> None:
        """An epoch of the feed begins: nothing is owed to what was owned before."""
        self._slots = None

    @property
    def tag(self) -> str:
        """A hash tag that leads to this node. Raises `LookupError` before the first `confirm`."""
        return tag_in(self._slots or frozenset())


async def ask_slots(node: Node) -> tuple[SlotMap, int]:
    """The slot map as a node sees it, and the epoch of the node's own claims."""
    wire = await node.attach()
    slots, info = await wire.ask(_SLOTS, 2)
    for reply in (slots, info):
        if isinstance(reply, ErrorReply):
            raise _not_a_cluster(reply, node)
    try:
        return SlotMap.parse(slots, _address(node)), _own_epoch(info)
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise ProtocolViolation(f"{node.name} answered CLUSTER SLOTS with something else", node=node.name) from error


def _not_a_cluster(reply: ErrorReply, node: Node) -> EdgeProfileError:
    if "cluster support disabled" in reply.text:
        return ConfigurationError(
            f"{node.name} is no cluster: set clusterMode = false", option="destinations.config.clusterMode"
        )
    return refusal(reply, node.name, doing="CLUSTER SLOTS")


def _own_epoch(info: bytes) -> int:
    return int(info.partition(b"cluster_my_epoch:")[2].partition(b"\r\n")[0])


def _address(node: Node) -> Address:
    address = node.endpoint.address
    assert isinstance(address, tuple)  # noqa: S101 (nodes of a cluster have host and port)
    return address
