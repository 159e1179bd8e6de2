"""A cluster of real servers, and what happens to clusters: failover, moved slots, nodes that die, come and go.

with Cluster(primaries=3, replicas=1) as cluster:
    cluster.move(cluster.slot("key"), cluster.primaries[1])
    cluster.owner("key").kill()
"""

import dataclasses
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import redis

from tests.support.servers import ADMIN, ADMIN_SECRET, Options, Server
from tests.support.wait import until

SLOTS = 16_384
_VOTES_KEPT = 5.0
"""Seconds for which a replica counts its votes. One that is demoted and called upon again within them would promote
itself by the votes of its last election, under an epoch that the dead primary's outranks: its slots stay nobody's."""
_SETTLED = 30.0  # seconds; a young cluster refuses work for two, an election takes a few more


class Cluster:
    """Primaries that share the slots evenly, each with its replicas; a context manager that ends them all.

    Attributes:
        nodes: Every server that was started and not removed, dead ones included.
    """

    def __init__(self, options: Options | None = None, *, primaries: int = 3, replicas: int = 0) -> None:
        """Start the servers, join them, and return when each knows all and serves.

        Raises:
            FileNotFoundError: The server program is not installed.
            AssertionError: The cluster does not form within half a minute.
        """
        self.nodes: list[Server] = []
        self._votes_forgotten = 0.0
        self._options = dataclasses.replace(options or Options(), cluster=True)
        self._ids: dict[str, Server] = {}
        with ExitStack() as undo:
            undo.callback(self.close)
            first = [self._start() for _ in range(primaries)]
            for epoch, (node, slots) in enumerate(zip(first, _shares(primaries), strict=True), 1):
                node.command("CLUSTER", "SET-CONFIG-EPOCH", epoch)
                node.command("CLUSTER", "ADDSLOTSRANGE", slots.start, slots.stop - 1)
            followers = [(self._start(), primary) for primary in first for _ in range(replicas)]
            self._join(self.nodes[1:])
            for follower, primary in followers:
                self._replicate(follower, primary)
            self.wait_settled()
            undo.pop_all()

    def __repr__(self) -> str:
        return f"<Cluster {self._options.flavour} {self.address}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    # Who is who

    @property
    def address(self) -> str:
        """A seed list: `host:port,host:port`."""
        return ",".join(node.address for node in self.nodes)

    @property
    def living(self) -> list[Server]:
        """Those that are neither dead nor paused."""
        return [node for node in self.nodes if node.responsive]

    @property
    def primaries(self) -> list[Server]:
        """The living nodes that are primaries now."""
        return [node for node in self.living if node.command("ROLE")[0] == b"master"]

    @property
    def replicas(self) -> list[Server]:
        """The living nodes that are replicas now."""
        return [node for node in self.living if node.command("ROLE")[0] == b"slave"]

    def replicas_of(self, primary: Server) -> list[Server]:
        name = self.node_id(primary)
        return [node for node in self.replicas if _view(node)[self.node_id(node)].primary == name]

    def node_id(self, node: Server) -> str:
        return next(name for name, server in self._ids.items() if server is node)

    def slot(self, key: str | bytes) -> int:
        return int(self.living[0].command("CLUSTER", "KEYSLOT", key))

    def owner(self, key: str | bytes) -> Server:
        """The primary that serves the key, as the majority's gossip has it."""
        return self.slot_owner(self.slot(key))

    def slot_owner(self, slot: int) -> Server:
        for first, last, (_, _, name, *_), *_ in self.primaries[0].command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return self._ids[name.decode()]
        raise LookupError(f"nobody serves slot {slot}")

    # Commands

    def command(self, name: str, key: str | bytes, *args: str | bytes | float) -> Any:
        """A command with a key, as the administrator, at the key's owner."""
        return self.owner(key).command(name, key, *args)

    def client(self, **options: Any) -> redis.RedisCluster:
        """A redis-py client of the cluster, which follows slots; the caller closes it."""
        if self._options.requirepass:
            options = {"password": self._options.requirepass, **options}
        if self._options.tls:
            options = {"ssl": True, "ssl_ca_certs": str(self._options.tls.authority), **options}
        seed = self.living[0]
        return redis.RedisCluster(host=seed.host, port=seed.port, **options)

    def reset(self) -> None:
        """Every node alive and as started, no data; slots and roles stay where they came to be."""
        for node in self.nodes:
            node.reset()
        until(lambda: time.monotonic() >= self._votes_forgotten, 2 * _VOTES_KEPT, "votes are forgotten")
        self.wait_settled()

    # What happens to clusters

    def failover(self, replica: Server, how: Literal["", "FORCE", "TAKEOVER"] = "") -> None:
        """Make a replica the primary and return when it is: agreed with the old one, without it, or without anybody."""
        replica.command("CLUSTER", "FAILOVER", *how.split())
        self.wait_promoted(replica)
        self._votes_forgotten = time.monotonic() + _VOTES_KEPT

    def wait_promoted(self, *candidates: Server) -> Server:
        """Return the first of some replicas to become a primary, when all living nodes agree about the cluster."""
        until(lambda: set(candidates) & set(self.primaries), _SETTLED, lambda: f"one of {candidates} is promoted")
        self.wait_settled()
        return next(node for node in self.primaries if node in candidates)

    def move(self, slot: int, target: Server) -> None:
        """Move a slot the classic way, key by key."""
        source = self.slot_owner(slot)
        self._begin_migration(slot, source, target)
        while keys := source.command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            self._move_keys(source, target, keys)
        for node in [target, source, *self.primaries]:
            node.command("CLUSTER", "SETSLOT", slot, "NODE", self.node_id(target))
        self._wait_moved(slot, target)

    @contextmanager
    def migrating(self, slot: int, target: Server) -> Iterator[None]:
        """Within the block the slot is on its way: absent keys are answered with ASK, half-moved sets with TRYAGAIN."""
        source = self.slot_owner(slot)
        self._begin_migration(slot, source, target)
        try:
            yield
        finally:
            for node in (source, target):
                node.command("CLUSTER", "SETSLOT", slot, "STABLE")

    def move_key(self, key: str | bytes, target: Server) -> None:
        """Move one key of a slot that is `migrating`."""
        self._move_keys(self.owner(key), target, [key])

    def move_atomically(self, slots: range, target: Server) -> None:
        """Move slots of one owner as Valkey 9 does, all at one instant."""
        source = self.slot_owner(slots.start)
        name = self.node_id(target)
        source.command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slots.start, slots.stop - 1, "NODE", name)
        self._wait_moved(slots.start, target)

    def seize(self, slot: int, target: Server) -> None:
        """Let a primary claim a slot without asking its owner, whose keys in it are lost."""
        target.command("CLUSTER", "SETSLOT", slot, "NODE", self.node_id(target))
        target.command("CLUSTER", "BUMPEPOCH")
        self._wait_moved(slot, target)

    def add(self, *, replica_of: Server | None = None) -> Server:
        """Start one more node and return when all know it: a primary without slots, or a replica."""
        self._join([node := self._start()])
        if replica_of:
            self._replicate(node, replica_of)
        self.wait_settled()
        return node

    def remove(self, node: Server) -> None:
        """Take a node without slots and replicas out of the cluster and end it."""
        name = self.node_id(node)
        node.close()
        self.nodes.remove(node)
        del self._ids[name]
        for other in self.living:
            other.command("CLUSTER", "FORGET", name)
        self.wait_settled()

    def wait_settled(self) -> None:
        """Return when every living node serves, and all agree who owns what.

        Raises:
            AssertionError: They do not within half a minute; shows how each sees the cluster.
        """
        until(self._is_settled, _SETTLED, self._describe, ignoring=(redis.ConnectionError,))

    def _start(self) -> Server:
        node = Server(self._options)
        self.nodes.append(node)
        self._ids[node.command("CLUSTER", "MYID").decode()] = node
        return node

    def _join(self, nodes: Iterable[Server]) -> None:
        """Introduce nodes to the first one, and wait until everybody knows everybody."""
        for node in nodes:
            node.command("CLUSTER", "MEET", self.nodes[0].host, self.nodes[0].port, self.nodes[0].bus_port)
        until(lambda: all(_view(node).keys() == self._ids.keys() for node in self.living), _SETTLED, self._describe)

    def _replicate(self, follower: Server, primary: Server) -> None:
        follower.command("CLUSTER", "REPLICATE", self.node_id(primary))
        until(lambda: follower.command("ROLE")[3:4] == [b"connected"], _SETTLED, lambda: f"{follower!r} follows")

    def _begin_migration(self, slot: int, source: Server, target: Server) -> None:
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.node_id(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.node_id(target))

    def _move_keys(self, source: Server, target: Server, keys: Iterable[str | bytes]) -> None:
        place = (target.host, target.port, "", 0, 10_000)
        source.command("MIGRATE", *place, "REPLACE", "AUTH2", ADMIN, ADMIN_SECRET, "KEYS", *keys)

    def _wait_moved(self, slot: int, target: Server) -> None:
        until(lambda: self.slot_owner(slot) is target, _SETTLED, lambda: f"slot {slot} moves to {target!r}")
        self.wait_settled()

    def _is_settled(self) -> bool:
        failed = {name for name, node in self._ids.items() if node not in self.living}
        views = [_view(node) for node in self.living]
        return all(map(_serves, self.living)) and all(
            view == views[0] and {name for name, seen in view.items() if "fail" in seen.flags} == failed
            for view in views
        )

    def _describe(self) -> str:
        views = (f"{node!r}:\n{node.command('CLUSTER', 'NODES').decode()}" for node in self.living)
        return "the nodes agree about the cluster\n" + "\n".join(views)


class _Seen(NamedTuple):
    """What a node believes about a node."""

    flags: frozenset[str]
    primary: str
    slots: tuple[str, ...]


def _view(node: Server) -> dict[str, _Seen]:
    """What a node believes about all nodes that it knows well, itself included, by their names."""
    view = {}
    for line in node.command("CLUSTER", "NODES").decode().splitlines():
        name, _, flags, primary, _, _, _, _, *slots = line.split()
        if "handshake" not in flags:
            settled = tuple(part for part in slots if not part.startswith("["))  # not those on their way
            view[name] = _Seen(frozenset(flags.split(",")) - {"myself"}, primary, settled)
    return view


def _serves(node: Server) -> bool:
    role = node.command("ROLE")
    return b"cluster_state:ok" in node.command("CLUSTER", "INFO") and role[3:4] in ([], [b"connected"])


def _shares(count: int) -> list[range]:
    bounds = [SLOTS * number // count for number in range(count + 1)]
    return [range(first, last) for first, last in pairwise(bounds)]
