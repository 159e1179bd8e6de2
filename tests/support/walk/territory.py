"""A process and a small cluster: two profiles in two slots, three nodes, and slots that move in every way by chance.

Two nodes are primaries at first, the third is a replica of one of them. Each node has a keeper, a feed and a heartbeat
of its own, over one cache; the keepers, the authorities and the tenures are the real ones. The nodes agree with each
other at once: a primary that does not know yet that it was replaced is an exception that the promise states.

Nothing but bounded staleness is checked: the visible value of a profile is what its slot's owner answers, or, where it
is on its way and absent there, the node that it goes to.
"""

import random
from collections import deque
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Any, Final

from edgeprofile.core.cache import ProfileCache
from edgeprofile.core.coherence import Phase
from edgeprofile.core.keeper import Identity, Keeper, Policy
from edgeprofile.core.slots import Claims, slot
from edgeprofile.core.tenure import Departed, Tenure
from tests.support.walk.nodes import SLOTS, Ask, Beat, Fetch, Node
from tests.support.walk.oracle import Broken
from tests.support.walk.world import Source

__all__ = ["Land", "Territory"]

_STEPS: Final = {
    "look_up": 26, "execute": 14, "receive": 14, "deliver": 10, "beat": 12, "connect": 4, "flow": 14, "tick": 14,
    "write": 4, "remove": 2,
}  # fmt: skip
_TROUBLES: Final = {
    "begin_move": 4, "move_key": 3, "end_move": 2, "call_off": 1, "waver": 4, "move_at_once": 3, "seize": 2,
    "there_and_back": 4, "replicate": 3, "fail_over": 1, "cut_feed": 1, "lose_wire": 1, "jump": 1,
}  # fmt: skip
_MOVING: Final = frozenset(("begin_move", "move_key", "end_move", "waver"))
_PLACES: Final = 160


class Land:
    """The machine under test; a mutant replaces one of its parts.

    ``drops``: what the tenure says is to be dropped is. ``heeds``: the heartbeat waits until its claims were heeded.
    """

    keeper: type[Keeper] = Keeper
    tenure: type[Tenure] = Tenure
    drops = True
    heeds = True


class Territory:
    """One seed's world. `walk` takes steps in it and raises `Broken` when a promise is broken."""

    def __init__(self, seed: int, land: type[Land] = Land) -> None:
        rng = random.Random(seed)
        self.rng, self.chance, self.land = rng, rng.random, land
        self.now = 0.0
        self.bound = float(rng.choice((2, 3, 4)))
        self.policy = Policy(self.bound * 20, self.bound * rng.choice((2, 20)), self.bound)
        self.cache = ProfileCache(1 << 20, clock=lambda: self.now)
        self.source, self.identities = _SOURCE, _PROFILES
        self.names = [identity.keys[0] for identity in self.identities]
        self.nodes = [Node(number, self) for number in range(3)]
        self.nodes[0].owned, self.nodes[1].owned = rng.choice((({0}, {1}), ({0, 1}, set()), (set(), {0, 1})))
        self.nodes[2].primary = rng.choice((0, 1))
        self.steps = self.hits = self.leased = self.moved = self._versions = 0
        self._visible_until: dict[bytes | None, float] = {}
        self._absent_until = [inf, inf]
        self._shown: list[bytes | None] = [None, None]
        self.deaf = rng.choice((None, None, 0, 1, 2))
        self.slow = rng.choice((None, 0, 1))
        self.table = self._moods()

    def walk(self, steps: int) -> None:
        """Take so many steps."""
        chance, table = self.chance, self.table
        size = len(table)
        for self.steps in range(1, steps + 1):
            table[int(chance() * size)]()

    def judge(self, key: int, raw: bytes | None, at: float, what: str) -> None:
        """Was this the profile's visible value at some instant from the bound before then on?"""
        until = self._absent_until[key] if raw is None else self._visible_until.get(raw, -inf)
        if until < at - self.bound:
            raise Broken("bounded staleness", f"{what} {raw!r} of {key}, at {at:g} not visible since {until:g}")

    # What the process does.

    def look_up(self) -> None:
        key = int(self.chance() * 2)
        node = self._owner(key)
        identity = self.identities[key]
        entry = node.keeper.find(identity, self.now)
        if entry is not None:
            self.hits += 1
            self.leased += entry.lease is node.keeper.authority.lease
            self.judge(key, entry.raw, self.now, "hit")
            return
        fill = node.keeper.join(identity, self.now)
        if fill is None:
            fill = node.keeper.begin(identity, self.now)
            node.wires[1].sent.append(Fetch(key, fill))
        waiters: list[Any] = fill.waiters  # the engine's are callables
        waiters.append(self.now)

    def beat(self) -> None:
        self.beat_at(self._any())

    def beat_at(self, node: Node) -> None:
        """A heartbeat, if none is out: first the node is asked what it owns."""
        authority = node.keeper.authority
        if node.asking or authority.outstanding is not None or authority.phase not in {Phase.PROVING, Phase.LIVE}:
            return
        node.asking = True
        node.wires[0].sent.append(Ask(authority.epoch, self.now))

    def confirmed(self, node: Node, claims: Claims, begun: float) -> None:
        """The node has said what it owns; now the heartbeat is sent."""
        authority = node.keeper.authority
        if not self.land.heeds:
            claims, node.told = node.told or claims, claims
        try:
            lost = node.tenure.confirmed(claims)
        except Departed:
            self.end(node)
            return
        if self.land.drops:
            for identity, name in zip(self.identities, self.names, strict=True):
                entry = self.cache.find(*identity[:4])
                if entry is not None and entry.lease is authority.lease and slot(name) in lost:
                    self.cache.drop_identity(*identity[:4])
        authority.beat(begun)
        node.wires[0].sent.append(Beat(authority.epoch))

    def connect(self) -> None:
        """A new epoch of a node's feed, if the last one is over."""
        node = self._any()
        authority = node.keeper.authority
        if authority.phase is Phase.DOWN and node.primary is None:
            node.tenure.begin()
            node.tenure.confirmed(node.claims)
            authority.connected()
            authority.subscribed()
            node.feed = node.heard = deque()

    def end(self, node: Node) -> None:
        """A node's epoch is over."""
        node.keeper.lost()
        node.feed = node.heard = None

    def deliver(self) -> None:
        self.deliver_from(self._any())

    def deliver_from(self, node: Node) -> None:
        """Events of a node are read, a few or many; of one that this seed is deaf for, none."""
        while node.heard and node.number != self.deaf:
            key = node.heard.popleft().key
            if key >= 0:
                node.keeper.touched(self.source, [self.names[key]])
            elif not node.keeper.authority.beat_seen():
                self.end(node)
            if self.chance() < 0.3:
                return

    def execute(self) -> None:
        node = self._any()
        wire = node.wires[self.chance() < 0.5]
        while wire.sent:
            wire.step(node)
            if self.chance() < 0.3:
                return

    def receive(self) -> None:
        node = self._any()
        wire = node.wires[self.chance() < 0.5]
        while wire.executed:
            wire.executed.popleft().answer(self, node)
            if self.chance() < 0.3:
                return

    def flow(self) -> None:
        """For a moment nearly all goes well with a node."""
        node = self._any()
        self.beat_at(node)
        for _ in range(2):
            for index, wire in enumerate(node.wires):
                while wire.sent:
                    wire.step(node)
                while wire.executed and self.chance() < (0.02 if index == self.slow else 0.9):
                    wire.executed.popleft().answer(self, node)
        self.deliver_from(node)

    # What happens to the data, the slots and the nodes.

    def tick(self) -> None:
        self.now += 0.25 * (1 + int(self.chance() * 4))

    def jump(self) -> None:
        """The process is stopped for a while."""
        self.now += self.bound * (0.5 + self.chance())

    def write(self) -> None:
        """By somebody who follows redirections."""
        key = int(self.chance() * 2)
        self._versions += 1
        self._place(key).show(key, b'{"k%d":%d}' % (key, self._versions))
        self._look(key)

    def remove(self) -> None:
        key = int(self.chance() * 2)
        self._place(key).show(key, None)
        self._look(key)

    def begin_move(self) -> None:
        key, node, other = self._some_slot()
        if key not in node.leaving and other.primary is None:
            node.leaving[key] = other.number

    def move_key(self) -> None:
        """The key itself leaves, with its events at both nodes."""
        key, node, _ = self._some_slot()
        if key in node.leaving and node.values[key] is not None:
            self.nodes[node.leaving[key]].show(key, node.values[key])
            node.show(key, None)
            self._look(key)

    def end_move(self) -> None:
        key, node, _ = self._some_slot()
        if key in node.leaving and node.values[key] is None:
            self._give(key, node, self.nodes[node.leaving[key]])

    def call_off(self) -> None:
        """The slot stays; what was made at the other node is nobody's."""
        key, node, _ = self._some_slot()
        if key in node.leaving:
            self.nodes[node.leaving.pop(key)].values[key] = None
            self._look(key)

    def waver(self) -> None:
        """A move is called off, somebody looks, and it is begun again, all between two heartbeats perhaps."""
        key, node, _ = self._some_slot()
        to = node.leaving.get(key)
        if to is None:
            return
        self.nodes[to].values[key] = None
        del node.leaving[key]
        self._look(key)
        for _ in range(int(self.chance() * 8)):
            self.chance_of_data(node)
        node.leaving[key] = to

    def chance_of_data(self, node: Node) -> None:
        """Lookups go on."""
        self.look_up()
        wire = node.wires[1]
        while wire.sent:
            wire.step(node)
        while wire.executed:
            wire.executed.popleft().answer(self, node)

    def move_at_once(self) -> None:
        """As Valkey 9 does: nobody is told of anything."""
        key, node, other = self._some_slot()
        if other.primary is None and key not in node.leaving:
            other.values[key], node.values[key] = node.values[key], None
            self._give(key, node, other)

    def seize(self) -> None:
        """Another primary claims the slot; the key is lost with it."""
        key, node, other = self._some_slot()
        if other.primary is None and key not in node.leaving:
            node.values[key] = None
            self._give(key, node, other)

    def there_and_back(self) -> None:
        """A slot leaves, its key is written elsewhere, and it comes back, all between two heartbeats perhaps."""
        key, node, other = self._some_slot()
        if other.primary is None and key not in node.leaving:
            self.move_at_once_of(key, node, other)
            if self.chance() < 0.7:
                self._versions += 1
                other.show(key, b'{"k%d":%d}' % (key, self._versions))
                self._look(key)
            self.move_at_once_of(key, other, node)

    def move_at_once_of(self, key: int, node: Node, other: Node) -> None:
        """As `move_at_once`, of this slot."""
        other.values[key], node.values[key] = node.values[key], None
        self._give(key, node, other)

    def replicate(self) -> None:
        """A replica catches up, and tells of it, as replicas do."""
        for node in self.nodes:
            if node.primary is not None:
                primary = self.nodes[node.primary]
                for key in primary.owned:
                    node.show(key, primary.values[key])
                node.canaries = dict(primary.canaries)

    def fail_over(self) -> None:
        """A replica takes over, with what it had; the old primary becomes its replica, and all connections stay."""
        heir = next(node for node in self.nodes if node.primary is not None)
        old = self.nodes[heir.primary or 0]
        for key, to in old.leaving.items():
            self.nodes[to].values[key] = None
        old.leaving.clear()
        heir.owned, old.owned = old.owned, set()
        for node in self.nodes:
            for key in [key for key, to in node.leaving.items() if to == old.number]:
                del node.leaving[key]
        heir.primary, old.primary = None, heir.number
        self._claim(heir)
        old.values, old.canaries = list(heir.values), dict(heir.canaries)
        for key in (0, 1):
            self._look(key)

    # What goes wrong.

    def cut_feed(self) -> None:
        """The connection ends, and its end is heard of at once."""
        self.end(self._any())

    def lose_wire(self) -> None:
        node = self._any()
        wire = node.wires[self.chance() < 0.5]
        lost = [*wire.executed, *wire.sent]
        wire.executed.clear()
        wire.sent.clear()
        for command in lost:
            command.lose(self, node)

    # How it is put together.

    def _any(self) -> Node:
        return self.nodes[int(self.chance() * 3)]

    def _owner(self, key: int) -> Node:
        return next(node for node in self.nodes if key in node.owned)

    def _some_slot(self) -> tuple[int, Node, Node]:
        """A slot, its node, and another one."""
        key = int(self.chance() * 2)
        node = self._owner(key)
        return key, node, self.nodes[(node.number + 1 + int(self.chance() * 2)) % 3]

    def _place(self, key: int) -> Node:
        """Where a command on the key is executed in the end."""
        node = self._owner(key)
        return self.nodes[node.leaving[key]] if node.values[key] is None and key in node.leaving else node

    def _give(self, key: int, node: Node, other: Node) -> None:
        node.owned.discard(key)
        node.leaving.pop(key, None)
        other.owned.add(key)
        self._claim(other)
        self.moved += 1
        self._look(key)

    def _claim(self, node: Node) -> None:
        """By an epoch above all others, which it may have already."""
        highest = max(each.epoch for each in self.nodes)
        if node.epoch < highest or [each.epoch for each in self.nodes].count(highest) > 1:
            node.epoch = highest + 1

    def _look(self, key: int) -> None:
        """Note when which value was visible."""
        raw, old = self._place(key).values[key], self._shown[key]
        if raw == old:
            return
        if old is None:
            self._absent_until[key] = self.now
        else:
            self._visible_until[old] = self.now
        if raw is None:
            self._absent_until[key] = inf
        else:
            self._visible_until[raw] = inf
        self._shown[key] = raw

    def _moods(self) -> list[Callable[[], None]]:
        """The steps, each as often as this seed wants it; of the troubles, a few."""
        rng = self.rng
        weights = {name: weight * rng.choice((0.5, 1, 2)) for name, weight in _STEPS.items()}
        chosen = rng.choices(list(_TROUBLES), k=rng.choice((1, 2, 3, 8)))
        if _MOVING.intersection(chosen):
            chosen += _MOVING
        weights |= {name: _TROUBLES[name] * rng.choice((0.3, 1)) for name in chosen}
        return [getattr(self, name) for name in rng.choices(list(weights), list(weights.values()), k=_PLACES)]


def _profiles() -> list[Identity]:
    """Two, whose keys lie in the slots of the model."""
    found: dict[int, Identity] = {}
    for number in count():
        identity = _SOURCE.identity("user", "id", str(number))
        found.setdefault(slot(identity.keys[0]), identity)
        if found.keys() >= set(SLOTS):
            break
    return [found[number] for number in SLOTS]


_SOURCE: Final = Source(legacy=False)
_PROFILES: Final = _profiles()
