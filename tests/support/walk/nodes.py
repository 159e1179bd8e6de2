"""The nodes of the small cluster, as they are and as the process sees them, and what travels between the two."""

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from edgeprofile.core.coherence import Authority, Phase
from edgeprofile.core.fills import Fill
from edgeprofile.core.keeper import Found
from edgeprofile.core.slots import Claims

if TYPE_CHECKING:
    from tests.support.walk.territory import Territory

__all__ = ["SLOTS", "Ask", "Beat", "Fetch", "Node"]

SLOTS: Final = (10, 20)
"""One for each of two profiles."""
_OWN: Final = 30
"""The first of the slots that hold nothing but a node's canary, one for each."""


class Event(NamedTuple):
    """What a node says on its feed: a key that changed, or (-1) a heartbeat."""

    key: int


class Node:
    """A node of the cluster, as it is, and as the process sees it."""

    def __init__(self, number: int, world: "Territory") -> None:
        self.number = number
        self.name = b"node%d" % number
        self.epoch = number + 1
        self.owned: set[int] = set()
        self.primary: int | None = None
        self.values: list[bytes | None] = [None, None]
        self.canaries: dict[int, int] = {}
        self.leaving: dict[int, int] = {}
        # The process' side.
        authority = Authority(world.bound)
        self.keeper = world.land.keeper(world.cache, world.policy, authority)
        self.tenure = world.land.tenure(self.keeper)
        self.feed: deque[Event] | None = None
        self.heard: deque[Event] | None = None
        self.wires = Wire(), Wire()
        self.asking = False
        self.told: Claims | None = None

    @property
    def claims(self) -> Claims:
        flags = b"myself,master" if self.primary is None else b"myself,slave"
        slots = [b"%d" % SLOTS[key] for key in sorted(self.owned)]
        moves = [b"[%d->-node%d]" % (SLOTS[key], to) for key, to in sorted(self.leaving.items())]
        own = [b"%d" % (_OWN + self.number)] if self.primary is None else []
        return Claims((self.name, flags, b"%d" % self.epoch, *slots, *own, *moves))

    def show(self, key: int, raw: bytes | None) -> None:
        """Have the key hold this, and say so."""
        if self.values[key] is not None or raw is not None:
            self.values[key] = raw
            if self.feed is not None:
                self.feed.append(Event(key))


class Wire:
    """A connection: what was sent, and what was executed and not yet answered. Heartbeats have the first of two."""

    def __init__(self) -> None:
        self.sent: deque[Any] = deque()
        self.executed: deque[Any] = deque()

    def step(self, node: Node) -> None:
        command = self.sent.popleft()
        command.execute(node)
        self.executed.append(command)


class Ask:
    """The question for a node's claims, with which a heartbeat begins."""

    def __init__(self, epoch: int, begun: float) -> None:
        self.epoch, self.begun = epoch, begun
        self.claims: Claims | None = None

    def execute(self, node: Node) -> None:
        self.claims = node.claims

    def answer(self, world: "Territory", node: Node) -> None:
        node.asking = False
        if self.epoch == node.keeper.authority.epoch and node.keeper.authority.phase is not Phase.DOWN:
            assert self.claims is not None
            world.confirmed(node, self.claims, self.begun)

    def lose(self, _world: "Territory", node: Node) -> None:
        node.asking = False


class Beat:
    """A heartbeat."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.value = 0

    def execute(self, node: Node) -> None:
        if node.primary is None:
            self.value = node.canaries[self.epoch] = node.canaries.get(self.epoch, 0) + 1
            if node.feed is not None:
                node.feed.append(Event(-1))

    def answer(self, world: "Territory", node: Node) -> None:
        if self.epoch == node.keeper.authority.epoch and not node.keeper.authority.beat_answered(self.value):
            world.end(node)

    def lose(self, world: "Territory", node: Node) -> None:
        if self.epoch == node.keeper.authority.epoch:
            world.end(node)


class Fetch:
    """A fetch of one profile; the answer is a value, or where else it may be."""

    def __init__(self, key: int, fill: Fill | None) -> None:
        self.key, self.fill = key, fill
        self.found: Found | None = None

    def execute(self, node: Node) -> None:
        here = self.key in node.owned
        if here and not (node.values[self.key] is None and self.key in node.leaving):
            self.found = Found(node.values[self.key])

    def answer(self, world: "Territory", node: Node) -> None:
        fill = self.fill
        assert fill is not None
        if self.found is None:
            node.keeper.fail(fill)
            return
        for since in fill.waiters:
            world.judge(self.key, self.found.raw, since, "answer")  # type: ignore[arg-type]  # the engine's are callables
        node.keeper.store(fill, self.found, world.now, world.chance())

    def lose(self, _world: "Territory", node: Node) -> None:
        if self.fill is not None:
            node.keeper.fail(self.fill)
