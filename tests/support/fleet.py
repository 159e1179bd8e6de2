"""A cluster with a fault-injecting proxy before each node, and the rig of a fault test around it.

with Fleet(Cluster(primaries=3, replicas=1)) as fleet, ClusterRig(fleet, mode="keyspace") as rig:
    rig.begin()
    with rig.traffic():
        fleet.proxy(fleet.cluster.owner(key_of("ada"))).feed.hold()
The nodes announce the proxies' ports, so that clients and replicas are led through them; who writes for a test is not.
"""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from types import TracebackType
from typing import Any, Self

import redis

from edgeprofile import EdgeProfileError
from edgeprofile.core.slots import slot
from tests.support.clients import hears
from tests.support.cluster import Cluster
from tests.support.proxy import Proxy
from tests.support.recorder import Writer
from tests.support.rig import NAMES, QUIET, Mode, Rig, Traffic, key_of, reading
from tests.support.servers import Server
from tests.support.wait import until

__all__ = ["ClusterRig", "Fleet"]

_REDIRECTIONS = 16
_SETTLED = 30.0


class Fleet:
    """A cluster and its proxies; a context manager that ends the proxies."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._proxies: dict[Server, Proxy] = {}
        for node in cluster.nodes:
            self._announce(node)
        self._wait_announced()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for proxy in self._proxies.values():
            proxy.close()

    @property
    def address(self) -> str:
        """A seed list."""
        return ",".join(self._proxies[node].address for node in self.cluster.nodes)

    def proxy(self, node: Server) -> Proxy:
        return self._proxies[node]

    def client(self) -> "Direct":
        """A client that goes around the proxies and tries once; the caller closes it."""
        return Direct(self)

    def behind(self, port: int) -> Server:
        """The node that announces this port."""
        return next(node for node, proxy in self._proxies.copy().items() if proxy.port == port)

    def add(self) -> Server:
        """One more primary, without slots, behind a proxy of its own."""
        node = self.cluster.add()
        self._announce(node)
        self._wait_announced()
        return node

    def remove(self, node: Server) -> None:
        """Take a node out; its proxy stays, and refuses."""
        self.cluster.remove(node)
        self._proxies.pop(node).close()

    def heal(self) -> None:
        for node, proxy in self._proxies.items():
            proxy.retarget(node.host, node.port)
            proxy.heal()

    def _announce(self, node: Server) -> None:
        proxy = self._proxies[node] = Proxy(node.host, node.port)
        setting = {"cluster-announce-port": str(proxy.port)}
        node.command("CONFIG", "SET", *next(iter(setting.items())))
        node.options = dataclasses.replace(node.options, config={**node.options.config, **setting})

    def _wait_announced(self) -> None:
        until(self._announced, _SETTLED, "every node knows the proxies")

    def _announced(self) -> bool:
        ports = {proxy.port for proxy in self._proxies.values()}
        lines = (node.command("CLUSTER", "NODES").decode().splitlines() for node in self.cluster.living)
        return all({int(line.split()[1].split("@")[0].rpartition(":")[2]) for line in told} == ports for told in lines)


class Direct:
    """Commands with a key, for one thread: redirections are followed, what goes wrong is raised."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._clients: dict[Server, redis.Redis] = {}
        self._owners: dict[int, Server] = {}

    def execute_command(self, *args: Any, **options: Any) -> Any:
        number = slot(str(args[1]).encode())
        node = self._owners.get(number) or self._fleet.cluster.slot_owner(number)
        asking = False
        for _ in range(_REDIRECTIONS):
            client = self._client(node)
            try:
                if asking:
                    client.execute_command("ASKING")
                answer = client.execute_command(*args, **options)
            except redis.exceptions.AskError as error:  # a MovedError is one, too
                asking = not isinstance(error, redis.exceptions.MovedError)
                node = self._fleet.behind(error.port)
            except redis.ConnectionError:
                self._owners.pop(number, None)
                raise
            else:
                if not asking:
                    self._owners[number] = node
                return answer
        raise redis.RedisError("redirected again and again")

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def _client(self, node: Server) -> redis.Redis:
        if node not in self._clients:
            self._clients[node] = node.client(single_connection_client=True, socket_timeout=2)
        return self._clients[node]


class ClusterRig(Rig):
    """A rig around a fleet. What is said of one server there is said of the nodes here."""

    def __init__(self, fleet: Fleet, *, mode: Mode = "keyspace", bound: float = 0.3) -> None:
        self.fleet = fleet
        self.cluster = fleet.cluster
        some = fleet.cluster.primaries[0]
        super().__init__(some, fleet.proxy(some), mode=mode, bound=bound)
        self._direct.close()
        self._direct = fleet.client()  # type: ignore[assignment]  # has the one method that is used
        self._undo.callback(self._direct.close)

    def configuration(self, **changes: Any) -> dict[str, Any]:
        """As `Rig.configuration`, for the whole cluster."""
        limits = {"timeout": "2s", **changes.pop("limits", {})}
        whole = super().configuration(limits=limits, **changes)
        whole["destinations"][0]["config"] |= {"address": self.fleet.address, "clusterMode": True}
        return whole

    def owner(self, name: str) -> Server:
        return self.cluster.owner(key_of(name))

    def other(self, *others: Server) -> Server:
        """A primary that is none of these."""
        return next(node for node in self.cluster.primaries if node not in others)

    def on(self, node: Server) -> str:
        """The name of a profile of its own on a node, which nobody writes but `write`."""
        for number in count():
            name = f"{QUIET}{number}"
            if self.owner(name) is node:
                return name
        raise AssertionError

    def slot(self, name: str) -> int:
        return slot(key_of(name).encode())

    def lease(self, name: str) -> Any:
        """The lease of the node that the client believes to have the profile."""
        upstream = self.client._engine.upstreams[0]
        return upstream.node(key_of(name).encode()).keeper.authority.lease

    def kept(self, name: str = QUIET) -> bool:
        """Whether the profile is cached under the lease of its node's present epoch."""
        entry = self._entry(name)
        return entry is not None and entry.lease is self.lease(name) and entry.lease.until > time.monotonic()

    def recovers(self, patience: float = 30.0) -> None:
        """Wait until every node is live and what is read of each is kept."""
        until(lambda: self.live, patience, lambda: f"the feeds are live: {self.status}, {self.stats.feed_losses}")
        for name in (*NAMES, QUIET):
            self.keeps(name, patience)

    def keeps(self, name: str, patience: float = 10.0) -> None:
        """Wait until a profile, or its absence, is kept under its node's lease."""
        until(
            lambda: self.cached(name) and self.kept(name),
            patience,
            lambda: f"{name} is kept: {self.status}",
            ignoring=(EdgeProfileError,),  # the map may lack the slot
        )

    def settles(self, name: str) -> None:
        """Wait until a profile is kept, and every event of its writes has been heard of."""
        hears(self.client)
        self.keeps(name)

    def shows(self, name: str, version: int, patience: float) -> None:
        """Wait until lookups show a version."""
        until(lambda: self.version(name) == version, patience, f"{name} shows {version}", ignoring=(EdgeProfileError,))

    @contextmanager
    def traffic(
        self,
        *,
        rate: float = 200.0,
        threads: int = 2,
        tasks: int = 2,
        delete_every: int = 0,
        written: Sequence[str] = NAMES,
    ) -> Iterator[Traffic]:
        """As `Rig.traffic`; `written` are the names that change meanwhile."""
        readers = [self.history.reader() for _ in range(threads + tasks)]
        with ExitStack() as stack:
            direct = self.fleet.client()
            stack.callback(direct.close)
            keys = [key_of(name) for name in written]
            writer = Writer(self.history, direct, keys, rate=rate, delete_every=delete_every)
            stack.enter_context(reading(self.client, self.twin, readers[:threads], readers[threads:]))
            yield Traffic(readers, stack.enter_context(writer) if written else writer)
        self.check()
