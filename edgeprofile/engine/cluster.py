"""A Redis Cluster at run time: a keeper, a feed and a lease for each primary, and a map that follows the slots.

The map may be wrong at any time; that costs a redirection and no more, because a node answers only for slots it owns.
What must not be wrong is a lease: events of a slot that has moved come from another node. So each primary is asked for
its own slots before each heartbeat, and the heartbeat counts from before the question (`ownership`).
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.core.backoff import Backoff
from edgeprofile.core.slots import SlotMap, slot
from edgeprofile.engine.ownership import Ownership
from edgeprofile.engine.states import for_operators
from edgeprofile.errors import (
    CircuitOpen,
    ConfigurationError,
    EdgeProfileError,
    ProtocolViolation,
    RedisUnavailable,
    ServerRefused,
)
from edgeprofile.store.refusals import Redirected, cluster_refusal
from edgeprofile.store.resp import ErrorReply, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeprofile.config import RedisConfig
    from edgeprofile.core.slots import Address
    from edgeprofile.engine.node import Node
    from edgeprofile.engine.target import Target
    from edgeprofile.engine.upstream import NodeMaker, Sessions
    from edgeprofile.store.streaming import AsyncWire

__all__ = ["Cluster"]

_RETRY_AFTER: Final = 0.02
"""Seconds before a lookup tries again what the cluster may have settled meanwhile."""
_AT_ONCE: Final = 3
"""Nodes that are asked for the map at the same time."""
_HEDGE: Final = 0.3
"""Seconds after which nodes that have not told are joined by as many others."""
_GIVEN_UP: Final = 5.0
"""Seconds after which nobody is waited for any longer."""
_OUTDATED: Final = 30.0
"""Seconds without a word of the newest epoch after which an older one is believed: the cluster was made anew."""
_STAY: Final = 10.0
"""Seconds that a connection to a node without a slot of its own is kept without use."""
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
        self._seeds = {seed: make.at(seed) for seed in seeds}
        self._nodes: dict[Address, Node] = {}
        self._guests: dict[Address, tuple[Node, float]] = {}
        self._at_door = threading.Lock()
        self._table: tuple[Node | None, ...] = ()
        self._map: SlotMap | None = None
        self._epoch, self._heard = -1, 0.0
        self._backoff = Backoff(cap=2.0)
        self._due: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.trouble: EdgeProfileError | None = None
        self._shut: set[Address] = set()

    @property
    def hopeless(self) -> EdgeProfileError | None:
        """Part of `Upstream`: no seed tells anything, each for such a reason."""
        return self.trouble if self._map is None and self._shut >= self._seeds.keys() else None

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All primaries known now."""
        return (*self._nodes.values(), *(node for node, _ in list(self._guests.values())))

    def node(self, key: bytes) -> Node:
        """The primary that has the key's slot. Raises `RedisUnavailable` while that is not known."""
        table = self._table
        node = table[slot(key)] if table else None
        if node is None:
            why = f": {self.trouble}" if self.trouble is not None else ""
            raise NoOwner(f"no node of the cluster is known to serve this profile's slot{why}") from self.trouble
        return node

    def at(self, address: Address) -> Node:
        """The node at an address, also one that has no slot yet: a slot on its way has its new keys there."""
        node = self._nodes.get(address)
        if node is None:
            with self._at_door:
                node, _ = self._guests.get(address) or (self._make.at(address), 0.0)
                self._guests[address] = node, time.monotonic()
        return node

    def amend(self, error: EdgeProfileError) -> float | None:
        """A redirection corrects the map at once; trouble of a node has the whole map asked for again.

        Raises what only an operator can mend.
        """
        if isinstance(error, Redirected):
            if error.ask:
                return _RETRY_AFTER
            self._call(lambda: self._moved(error.slot, error.address))
            return 0.0 if error.address in self._nodes else _RETRY_AFTER
        if isinstance(error, NoOwner) and (hopeless := self.hopeless) is not None:
            raise hopeless.with_traceback(None)
        if isinstance(error, RedisUnavailable) or (isinstance(error, ServerRefused) and error.code in _PASSING):
            self.ask_again()
            return None if isinstance(error, CircuitOpen) else _RETRY_AFTER
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
            self._see_off()
            if self._map is None:  # whoever asks for it is told by the retries, and does not hurry them
                await asyncio.sleep(self._backoff.next(random.random()))  # noqa: S311 (jitter)
                continue
            await asyncio.sleep(_REFRESH_GAP)
            with suppress(TimeoutError):
                async with asyncio.timeout(_REFRESH_EVERY):
                    await self._due.wait()

    async def _refresh(self) -> None:
        """Ask nodes, known ones first and in no fixed order, until some tell; keep the old map if none does."""
        known = list(self._nodes)
        random.shuffle(known)
        waiting = deque(dict.fromkeys([*known, *self._seeds]))
        asked: set[asyncio.Task[tuple[SlotMap, int] | None]] = set()
        ends = time.monotonic() + _GIVEN_UP
        try:
            while waiting or any(not task.done() for task in asked):
                for _ in range(min(_AT_ONCE, len(waiting))):
                    asked.add(asyncio.create_task(self._ask(waiting.popleft()), name="edgeprofile-map"))
                await asyncio.wait(asked, timeout=_HEDGE)
                found = [told for task in asked if task.done() and (told := task.result()) is not None]
                if found:
                    self._learn(*max(found, key=_age))
                    return
                if time.monotonic() > ends:
                    return
        finally:
            for task in asked:
                task.cancel()

    async def _ask(self, address: Address) -> tuple[SlotMap, int] | None:
        """The map as one node sees it, and the epoch of that; `None` where it does not tell."""
        node = self._nodes.get(address)
        try:
            found = await (_ask_slots(node, await node.attach()) if node is not None else self._ask_seed(address))
        except EdgeProfileError as error:
            self.trouble = error
            (self._shut.add if for_operators(error) else self._shut.discard)(address)
            self._sessions.tell()
            return None
        self._shut.discard(address)
        return found

    async def _ask_seed(self, address: Address) -> tuple[SlotMap, int] | None:
        """As a seed sees it, over a connection that ends with the answer. What the seed refused of us is remembered."""
        seed = self._seeds.get(address)
        if seed is None:  # a node that has left since it was chosen
            return None
        wire = seed.spare()
        try:
            return await _ask_slots(seed, wire)
        finally:
            wire.close()

    def _learn(self, found: SlotMap, epoch: int) -> None:
        """Believe a node, unless it was left behind: who knows only an older epoch knows nothing new."""
        now = time.monotonic()
        if epoch < self._epoch and now - self._heard < _OUTDATED:
            return
        self._epoch, self._heard = epoch, now
        self.trouble = None
        self._adopt(found)

    def _see_off(self) -> None:
        """Close the connections to guests that came to stay, and to those that nobody asks any more."""
        now = time.monotonic()
        with self._at_door:
            gone = [at for at, (_, used) in self._guests.items() if at in self._nodes or now - used > _STAY]
            nodes = [self._guests.pop(address)[0] for address in gone]
        for node in nodes:
            node.close()

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
        node.ownership = Ownership(node, self.targets, self._lock, self.ask_again)
        self._nodes[address] = node
        self._sessions.open(self, node)

    def _moved(self, number: int, address: Address) -> None:
        if self._map is not None and self._map.owners[number] != address:
            self._adopt(self._map.with_owner(number, address))
        self.ask_again()

    def _call(self, function: Callable[[], object]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)


class NoOwner(RedisUnavailable):
    """No node is known for a slot."""


async def _ask_slots(node: Node, wire: AsyncWire) -> tuple[SlotMap, int]:
    """The slot map as a node sees it, and the cluster's epoch as far as it knows."""
    slots, info = await wire.ask(_SLOTS, 2)
    for reply in (slots, info):
        if isinstance(reply, ErrorReply):
            raise cluster_refusal(reply, node.name, "CLUSTER SLOTS")
    try:
        found, epoch = SlotMap.parse(slots, _address(node)), _current_epoch(info)
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise ProtocolViolation(f"{node.name} answered CLUSTER SLOTS with something else", node=node.name) from error
    if not found.addresses:
        message = f"{node.name} knows of no node that has slots: is the cluster made?"
        raise ServerRefused(message, code="CLUSTERDOWN", node=node.name)
    return found, epoch


def _current_epoch(info: bytes) -> int:
    return int(info.partition(b"cluster_current_epoch:")[2].partition(b"\r\n")[0])


def _age(told: tuple[SlotMap, int]) -> int:
    return told[1]


def _address(node: Node) -> Address:
    address = node.endpoint.address
    assert isinstance(address, tuple)  # noqa: S101 (nodes of a cluster have host and port)
    return address
