"""What goes wrong during the soak: a fault of the server and some of the network at a time, then a recovery."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from random import Random

import redis

from edgeprofile import AsyncClient, Client
from tests.soak.load import KEYS, Load
from tests.soak.window import Window
from tests.support.clients import DESTINATION
from tests.support.faults import TO_CLIENT, TO_SERVER
from tests.support.history import ABSENT
from tests.support.pipe import Ending
from tests.support.proxy import Proxy
from tests.support.servers import Server
from tests.support.wait import until

Fault = Callable[[], None]
FLAGS_OFF, FLICKER = "flags off", "flags off and on again at once"
_SPIN = "for i = 1, tonumber(ARGV[1]) do end"
_ALONE = {FLAGS_OFF, FLICKER}  # on a held connection no heartbeat could tell the first from the second
_PATIENCE = 30.0  # seconds until both clients must be live again
_NONSENSE = b"?what no Redis says\r\n"


class Chaos:
    """Faults, one round after the other; of what, its kinds know.

    Attributes:
        kinds: How often each fault happened.
        rounds: Begin, end and faults of each round.
        recoveries: Seconds from the end of each round until both clients were live.
    """

    def __init__(self, history: Window, load: Load, seed: int) -> None:
        self.kinds: Counter[str] = Counter()
        self.rounds: list[tuple[float, float, tuple[str, ...]]] = []
        self.recoveries: list[float] = []
        self._history, self._load = history, load
        self._random = Random(seed)

    def close(self) -> None:
        """Let go of what it does its faults with."""

    def run(self, until_: float, clients: Sequence[Client | AsyncClient], bound: float) -> None:
        """Faults until that time.

        Raises:
            AssertionError: A client was not live again in time; says where it stands.
        """
        while time.monotonic() < until_:
            self._next()
            self._recover(clients, bound)

    def during(self, instant: float) -> str:
        """What had happened within the twenty seconds before an instant."""
        near = [(begin, end, names) for begin, end, names in self.rounds if begin <= instant <= end + 20.0]
        return "; ".join(
            f"{', '.join(names)} {begin - instant:+.2f} to {end - instant:+.2f} s" for begin, end, names in near
        )

    def _next(self) -> None:
        """One round."""
        raise NotImplementedError

    def _happened(self, begin: float, *names: str) -> None:
        self.kinds.update(names)
        self.rounds.append((begin, time.monotonic(), names))

    def _recover(self, clients: Sequence[Client | AsyncClient], bound: float) -> None:
        begin = time.monotonic()
        for client in clients:
            until(partial(_proved, client, begin, bound), _PATIENCE, partial(_unproved, client))
        self.recoveries.append(time.monotonic() - begin)
        self._load.stop.wait(self._random.uniform(0.5, 2.0))

    def _breathe(self) -> None:
        self._load.stop.wait(self._random.choice((0.1, 0.5, 2.0, 4.0)) * self._random.random())


class ServerChaos(Chaos):
    """A server, and the network to it. `flags`: whether notifications may be switched off."""

    def __init__(
        self, server: Server, proxy: Proxy, history: Window, load: Load, seed: int, *, bound: float, flags: bool
    ) -> None:
        super().__init__(history, load, seed)
        self._server, self._proxy = server, proxy
        self._direct = server.client()
        self._server_faults = self._of_server(bound, flags=flags)
        self._network_faults = self._of_network()

    def close(self) -> None:
        self._direct.close()

    def _next(self) -> None:
        chosen = self._random.sample(sorted(self._network_faults), self._random.choice((0, 0, 1, 1, 2)))
        name = self._random.choice([*self._server_faults, *["nothing"] * len(chosen) * 8])
        if name in _ALONE:
            chosen = []
        network = {key: self._network_faults[key] for key in chosen}
        self._round(name, self._server_faults.get(name, self._breathe), network)

    def _round(self, name: str, fault: Fault, network: dict[str, Fault]) -> None:
        begin = time.monotonic()
        for break_network in network.values():
            break_network()
        with suppress(redis.ConnectionError, redis.TimeoutError):  # our own commands may be hit as well
            fault()
        self._proxy.heal()
        self._happened(begin, *network, *([name] if name != "nothing" else ()))
        self._proxy.run(self._forget_connections)

    def _forget_connections(self) -> None:
        """The proxy remembers what passed; a soak must not."""
        self._proxy.accepted[:] = [connection for connection in self._proxy.accepted if connection.is_open]
        for connection in self._proxy.accepted:
            connection.commands.clear()

    # The network

    def _of_network(self) -> dict[str, Fault]:
        feed, data, every = self._proxy.feed, self._proxy.data, self._proxy.all
        random = self._random
        return {
            "feed held": lambda: feed.hold(random.choice((TO_CLIENT, TO_SERVER, None))),
            "feed reset": lambda: _done(feed.reset()),
            "feed closed": lambda: _done(feed.finish()),
            "feed delayed": lambda: feed.delay(random.uniform(0.01, 1.5)),
            "feed cut in a frame": lambda: feed.cut(random.randrange(1, 400), TO_CLIENT),
            "feed in single bytes": lambda: feed.split(1),
            "feed talks nonsense": lambda: _done(feed.inject(_NONSENSE, TO_CLIENT)),
            "data held": lambda: data.hold(random.choice((TO_CLIENT, TO_SERVER, None))),
            "data reset": lambda: _done(data.reset()),
            "data delayed": lambda: data.delay(random.uniform(0.01, 1.5)),
            "data cut in a reply": lambda: data.cut(random.randrange(1, 4000), TO_CLIENT, Ending.RST),
            "data throttled": lambda: data.throttle(random.uniform(2_000, 50_000)),
            "everything held": every.hold,
            "everything reset": lambda: _done(every.reset()),
            "connections refused": self._refused,
        }

    def _refused(self) -> None:
        self._proxy.refuse()
        self._proxy.all.reset()

    # The server

    def _of_server(self, bound: float, *, flags: bool) -> dict[str, Fault]:
        always: dict[str, Fault] = {
            "server paused": self._paused,
            "server killed, back empty": self._back_empty,
            "server killed, back with a snapshot": self._back_with_a_snapshot,
            "flushed": lambda: self._history.flush(self._direct),
            "swapped": self._swapped,
            "reloaded": lambda: _done(self._server.command("DEBUG", "RELOAD")),
            "data clients killed": lambda: _done(self._server.kill_clients("normal")),
            "feed clients killed": lambda: _done(self._server.kill_listeners()),
            "script that blocks": self._script,
        }
        switched = {
            FLAGS_OFF: lambda: self._flags_off(bound),
            FLICKER: lambda: self._flicker(bound),
        }
        return always | switched if flags else always

    def _paused(self) -> None:
        with self._server.paused():
            self._breathe()

    def _back_empty(self) -> None:
        self._server.kill()
        self._breathe()
        with self._history.quiet(), self._history.becoming(ABSENT, KEYS):
            (self._server.directory / "dump.rdb").unlink(missing_ok=True)
            self._server.restart()

    def _back_with_a_snapshot(self) -> None:
        with self._history.quiet():
            stored = self._history.stored(self._direct, KEYS)
            self._server.snapshot()
        self._breathe()
        self._server.kill()
        with self._history.quiet(), ExitStack() as stack:
            for version, keys in stored.items():
                stack.enter_context(self._history.becoming(version, keys))
            self._server.restart()

    def _swapped(self) -> None:
        with self._history.becoming(ABSENT, KEYS):
            self._server.command("SWAPDB", 0, 1)
        with self._server.client(db=1) as other:
            other.flushdb()

    def _script(self) -> None:
        self._direct.eval(_SPIN, 0, str(self._random.randrange(20_000_000, 150_000_000)))

    def _flags_off(self, bound: float) -> None:
        with self._switched_off():
            self._load.stop.wait(bound * self._random.uniform(3.0, 6.0))

    def _flicker(self, bound: float) -> None:
        """Within a heartbeat nobody can notice: the declared exception, until every key has been written again."""
        with self._history.excusing():
            with self._switched_off():
                self._load.stop.wait(bound / 4 * self._random.random())
            with self._history.quiet():
                self._history.write_all(self._direct, KEYS)
            self._load.stop.wait(2 * bound)

    @contextmanager
    def _switched_off(self) -> Iterator[None]:
        self._server.notify("")
        try:
            yield
        finally:
            self._server.notify("KA")


def _proved(client: Client | AsyncClient, since: float, bound: float) -> bool:
    """Whether a heartbeat that was sent since then came back."""
    status = client.status()[DESTINATION]
    return (
        status.ready
        and status.watermark_age is not None
        and status.watermark_age < min(bound, time.monotonic() - since)
    )


def _unproved(client: Client | AsyncClient) -> str:
    return f"live again: {client.status()[DESTINATION]}"


def _done(_: object) -> None:
    return
