"""What goes wrong in a cluster during the soak: primaries die and stand still, slots move, roles change."""

import time
from collections.abc import Iterator
from contextlib import suppress

import redis

from edgeprofile.core.slots import slot
from tests.soak.chaos import Chaos, Fault
from tests.soak.load import HOT, KEYS, Load, key_of
from tests.soak.window import Window
from tests.support.cluster import Cluster
from tests.support.history import ABSENT
from tests.support.servers import Server
from tests.support.wait import until

_STANDSTILL = 0.3  # seconds, well below the timeout after which the others elect another primary
_BETWEEN_ELECTIONS = 6.0  # seconds for which votes are remembered, and a bit


class ClusterChaos(Chaos):
    """One fault of the cluster at a time. No acknowledged write is lost by it, or it would be no fault of ours."""

    def __init__(self, cluster: Cluster, history: Window, load: Load, seed: int) -> None:
        super().__init__(history, load, seed)
        self._cluster = cluster
        self._next_election = 0.0

    def _next(self) -> None:
        name, fault = self._random.choice(list(self._faults()))
        begin = time.monotonic()
        with suppress(redis.ConnectionError, redis.TimeoutError):
            fault()
        self._happened(begin, name)

    def _faults(self) -> Iterator[tuple[str, Fault]]:
        yield "slot moved", self._moved
        if self._cluster.nodes[0].flavour == "valkey":
            yield "slots moved at once", self._moved_at_once
        yield "primary paused", self._paused
        yield "primary flushed", self._flushed
        yield "data clients killed", lambda: _done(self._any().kill_clients())
        yield "feed clients killed", lambda: _done(self._any().kill_listeners())
        yield "replica killed, back", self._replica_killed
        if time.monotonic() > self._next_election:
            yield "primary killed, replica promoted", self._killed
            yield "roles changed", self._changed_roles

    def _any(self) -> Server:
        return self._random.choice(self._cluster.primaries)

    def _moved(self) -> None:
        number, target = self._way()
        self._cluster.move(number, target)

    def _moved_at_once(self) -> None:
        number, target = self._way()
        self._cluster.move_atomically(range(number, number + 1), target)

    def _way(self) -> tuple[int, Server]:
        """A slot that is read and written much, and a primary that does not have it."""
        number = slot(key_of(self._random.choice(HOT)).encode())
        owner = self._cluster.slot_owner(number)
        return number, self._random.choice([node for node in self._cluster.primaries if node is not owner])

    def _paused(self) -> None:
        with self._any().paused():
            self._load.stop.wait(self._random.uniform(0.05, _STANDSTILL))

    def _flushed(self) -> None:
        node = self._any()
        slots = _slots(node)
        keys = [key for key in KEYS if slot(key.encode()) in slots]
        with self._history.becoming(ABSENT, keys):
            node.flushall()

    def _killed(self) -> None:
        primary = self._any()
        replicas = self._cluster.replicas_of(primary)
        with self._history.quiet():
            _caught_up(primary, replicas)
            primary.kill()
        self._cluster.wait_promoted(*replicas)
        self._breathe()
        primary.restart()
        self._cluster.wait_settled()
        self._next_election = time.monotonic() + _BETWEEN_ELECTIONS

    def _changed_roles(self) -> None:
        self._cluster.failover(self._random.choice(self._cluster.replicas))
        self._next_election = time.monotonic() + _BETWEEN_ELECTIONS

    def _replica_killed(self) -> None:
        replica = self._random.choice(self._cluster.replicas)
        replica.kill()
        self._breathe()
        replica.restart()
        self._cluster.wait_settled()


def _slots(node: Server) -> set[int]:
    me = node.command("CLUSTER", "MYID")
    return {
        number
        for first, last, (_, _, name, *_), *_ in node.command("CLUSTER", "SLOTS")
        if name == me
        for number in range(first, last + 1)
    }


def _caught_up(primary: Server, replicas: list[Server]) -> None:
    """What was acknowledged is on the replicas."""
    goal = int(primary.info("replication")["master_repl_offset"])
    until(
        lambda: all(int(each.info("replication")["slave_repl_offset"]) >= goal for each in replicas),
        10,
        "the replicas have caught up",
    )


def _done(_: object) -> None:
    return
