"""A process, a Redis node, and all that can happen between them, one step after the other by chance.

Each seed makes a world of its own: one profile or two, a small bound, and a mood that makes some steps frequent and
rules others out. Everything in it is simulated but the machine under test, and nothing depends on anything but the seed.

Excluded, because the promise excludes it: a silent change of the data set that leaves the canary just where the process
expects it; notifications switched off and on again with no heartbeat between; where the heartbeat is a PING, every
silent change; and other people's heartbeats on our canary together with silent changes, or while one of ours is out.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator
from math import inf
from typing import Any, Final

from edgeprofile.core.cache import ProfileCache
from edgeprofile.core.coherence import Authority, Proof
from edgeprofile.core.fills import Fill, Fills
from edgeprofile.core.keeper import Found, Identity, Keeper, Policy
from edgeprofile.keys import Layout
from tests.support.walk.oracle import Broken, Oracle
from tests.support.walk.server import BEAT, EVENT, EXPIRE, EXPIRED, HDEL, HINCRBY, HSET, JUNK, Dump, Frame, Server
from tests.support.walk.session import Session
from tests.support.walk.wires import Beat, Command, Delete, Fetch, Wire

__all__ = ["FAULTS", "Rules", "Source", "World"]

_ONE: Final = (("user", "id", "0"),)
_TWO: Final = (("user", "id", "0"), ("user", "id", "1"))
_TWINS: Final = (("user", "id:x", "0"), ("user:id", "x", "0"))
"""Two names of one key."""

_ALWAYS: Final = {
    "look_up": 24, "execute": 10, "receive": 10, "deliver": 10, "serve_feed": 7, "connect": 5, "beat": 9, "flow": 14,
}  # fmt: skip
_USUALLY: Final = {
    "write": 6, "remove": 1, "expire": 0.5, "touch": 0.5, "refresh": 1, "own_delete": 0.5, "sweep": 0.5,
    "execute_late": 0.7, "expired_late": 0.7,
}  # fmt: skip
FAULTS: Final = (
    "lose_wire", "give_up_fetch", "cut_feed", "reset_feed", "end_epoch", "junk", "jump", "spoof",
    "flush", "swap", "save", "roll_back", "restart", "notifications", "busy", "foreign_beat",
    "spoof_beat",
)  # fmt: skip
_SILENT: Final = frozenset(("flush", "swap", "roll_back", "restart", "notifications"))
_FOREIGN: Final = frozenset(("foreign_beat", "spoof_beat"))
_EVENTS: Final = (HSET, HSET, HDEL, "set", "del", "rename_to", "restore", "copy_to", "frobnicate")
_TELLING: Final = frozenset((EVENT, BEAT))
_PLACES: Final = 192


class Rules:
    """The machine under test; a mutant replaces one of its parts."""

    authority: Callable[[float, Proof], Authority] = Authority
    fills: Callable[[], Fills] = Fills
    keeper: Callable[[ProfileCache, Policy, Authority], Keeper] = Keeper
    session: Callable[["World"], Session] = Session


class Source:
    """The one destination."""

    id = "d"

    def __init__(self, *, legacy: bool) -> None:
        self.legacy = legacy
        self.layout = Layout("w", self.id, legacy=legacy)

    def identity(self, entity: str, id_type: str, value: str) -> Identity:
        return Identity(self.id, entity, id_type, value, self.layout.keys(entity, id_type, value))

    def identities(self, key: bytes) -> Iterator[tuple[str, str, str, str]]:
        for names in self.layout.identities(key):
            yield self.id, *names


class World:
    """One seed's world. `walk` takes steps in it and raises `Broken` when a promise is broken."""

    def __init__(self, seed: int, rules: type[Rules] = Rules, *, strict: bool = True) -> None:
        rng = random.Random(seed)
        self.rng = rng
        self.chance = rng.random
        self.source = Source(legacy=rng.random() < 0.2)
        self.identities = [self.source.identity(*names) for names in rng.choice((_ONE, _ONE, _TWO, _TWINS))]
        self.index_of = {identity[1:4]: index for index, identity in enumerate(self.identities)}
        self.names = list(dict.fromkeys(key for identity in self.identities for key in identity.keys))
        self.keys_of = [tuple(self.names.index(key) for key in identity.keys) for identity in self.identities]
        self.server = Server(len(self.names))
        self.elsewhere, self.saved = self.server.empty(), self.server.empty()
        self.off = (0, 0)
        bound = float(rng.choice((2, 3, 4)))
        policy = Policy(bound * rng.choice((2, 6, 20)), bound * rng.choice((0.5, 2, 6)), bound)
        authority = rules.authority(bound, rng.choice((Proof.CANARY,) * 4 + (Proof.PONG,)))
        cache = ProfileCache(rng.choice((1 << 20, 1600)), clock=lambda: self.server.now)
        self.keeper = rules.keeper(cache, policy, authority)
        self.keeper.fills = rules.fills()
        self.oracle = Oracle(self.server, self.keys_of, bound, strict=strict)
        self.wires = [Wire() for _ in range(rng.choice((1, 2)))]
        self.limbo: deque[int] = deque()
        self.due: deque[int] = deque()
        self.steps = 0
        self.session = rules.session(self)
        self.table = self._moods()
        self._faults = self._troubles()
        self._moves = self._habits()

    def __str__(self) -> str:
        authority, feed = self.keeper.authority, self.session.feed
        fills = ",".join("refresh" if fill.refresh else "fetch" for fill in self.keeper.fills)
        frames = " ".join(f"{frame.kind}:{frame.number}" for frame in feed.frames) if feed is not None else "none"
        wires = " | ".join(f"{_names(wire.sent)} / {_names(wire.executed)}" for wire in self.wires)
        return (
            f"t={self.server.now:g} {authority.phase.value}#{authority.epoch} until={authority.lease.until:g} "
            f"data={self.server.values} canaries={self.server.canaries} fills=[{fills}] feed=[{frames}] wires=[{wires}]"
        )

    def walk(self, steps: int) -> None:
        """Take so many steps, then see that nothing is left behind."""
        chance, table = self.chance, self.table
        size = len(table)
        for self.steps in range(1, steps + 1):
            table[int(chance() * size)]()
        self._finish()

    # What the process does.

    def look_up(self) -> None:
        """A caller asks for a profile: a hit, or a fetch joined, or a fetch begun."""
        index = int(self.chance() * len(self.identities))
        identity, now = self.identities[index], self.server.now
        entry = self.keeper.find(identity, now)
        if entry is not None:
            self.oracle.hit(index, entry, entry.raw, now)
            entry.used = True
            return
        fill = self.keeper.join(identity, now)
        if fill is None:
            fill = self._begin(index, self._any_wire(), refresh=False)
        else:
            self.oracle.joined(fill.outcome)
        waiters: list[Any] = fill.waiters  # the engine's are callables
        waiters.append((index, now))

    def refresh(self) -> None:
        """The engine reads a changed profile again, of its own accord."""
        if not self.due:
            return
        index = self.due.popleft()
        identity, now = self.identities[index], self.server.now
        if self.keeper.join(identity, now) is None and self.keeper.find(identity, now) is None:
            self._begin(index, self.wires[0], refresh=True)

    def own_delete(self) -> None:
        """A delete of our own is sent."""
        index = int(self.chance() * len(self.identities))
        self.overwrite(index)
        self._any_wire().sent.append(Delete(index, self.keys_of[index]))

    def overwrite(self, index: int) -> None:
        """Nothing older may be served of this profile from now on."""
        self.keeper.overwrite(self.identities[index])
        self.oracle.overwritten(index)

    def fetched(self, fetch: Fetch, found: Found) -> None:
        """A fetch was answered in full."""
        keeper, fill = self.keeper, fetch.fill
        fetch.over = True
        waiters: list[Any] = fill.waiters
        for index, since in waiters:
            self.oracle.answer(index, found.raw, since)
        entry = keeper.store(fill, found, self.server.now, self.chance())
        ttl = keeper.policy.negative_ttl if found.raw is None else keeper.policy.ttl
        self.oracle.kept(fetch, entry, ttl, keeper.authority.lease)
        self._gone(fetch)

    def fetch_failed(self, fetch: Fetch) -> None:
        """A fetch ended with an error."""
        fetch.over = True
        self.keeper.fail(fetch.fill)
        self._gone(fetch)

    def connect(self) -> None:
        self.session.connect()

    def beat(self) -> None:
        self.session.beat()

    def sweep(self) -> None:
        self.keeper.cache.sweep(self.server.now, 1)

    def end_epoch(self) -> None:
        """The session gives the epoch up: a heartbeat is overdue, the clocks disagree, a check found something."""
        self.session.end()

    def give_up_fetch(self) -> None:
        """A caller's deadline passes while its fetch is under way; the reply may still come."""
        sent = self._any_wire().sent
        if sent and isinstance(sent[-1], Fetch) and not sent[-1].over:
            self.fetch_failed(sent[-1])

    # What the network and the server do.

    def execute(self) -> None:
        """The server goes on with what it has been sent, a little or a lot."""
        wire = self._any_wire()
        while wire.sent and not wire.dead:
            wire.step(self.server)
            if self.chance() < 0.3:
                break

    def receive(self) -> None:
        """Replies arrive, one or several."""
        executed = self._any_wire().executed
        while executed:
            executed.popleft().answer(self)
            if self.chance() < 0.5:
                break

    def serve_feed(self) -> None:
        """The server goes on with the feed: a subscription takes effect, or a PING is answered."""
        feed = self.server.feed
        if feed is not None:
            if feed.stage < 2:
                feed.subscribe()
            else:
                feed.answer_ping()

    def deliver(self) -> None:
        """The feed's client reads what has arrived: several events at once, or one frame of another kind."""
        feed = self.session.feed
        if feed is None or not feed.frames:
            return
        frames = [feed.frames.popleft()]
        most = int(self.chance() * 4) if frames[0].kind in _TELLING else 0
        while most and feed.frames and feed.frames[0].kind in _TELLING:
            frames.append(feed.frames.popleft())
            most -= 1
        self.session.take(frames)
        self.oracle.look(self.keeper.authority, self.session.feed)

    def flow(self) -> None:
        """For a moment nearly all goes well: what is under way arrives, and a heartbeat goes round."""
        for move in self._moves:
            if self.chance() < 0.85:
                move()

    def flow_feed(self) -> None:
        """Everything on the feed is read."""
        while self.session.feed is not None and self.session.feed.frames:
            self.deliver()

    def flow_server(self) -> None:
        """The server executes everything that it was sent."""
        for wire in self.wires:
            while wire.sent and not wire.dead:
                wire.step(self.server)

    def flow_replies(self) -> None:
        """Every reply arrives."""
        for wire in self.wires:
            while wire.executed:
                wire.executed.popleft().answer(self)

    # What goes wrong.

    def fault(self) -> None:
        """One of this seed's troubles."""
        self._faults[int(self.chance() * len(self._faults))]()

    def lose_wire(self) -> None:
        """A data connection is lost, and with it what is known of its commands."""
        index = int(self.chance() * len(self.wires))
        if self.chance() < 0.5:
            self.beat()  # the worst moment
        lost, self.wires[index] = self.wires[index], Wire()
        if not lost.dead:
            self.limbo.extend(each.canary for each in lost.sent if isinstance(each, Beat) and not each.counted)
        for command in (*lost.executed, *lost.sent):
            command.lose(self)

    def execute_late(self) -> None:
        """A heartbeat of a lost connection is executed after all."""
        if self.limbo:
            canary = self.limbo.popleft()
            self.server.count(canary)
            self.server.renew(canary)

    def cut_feed(self) -> None:
        """The server ends the feed connection; its backlog can still be read."""
        feed, self.server.feed = self.server.feed, None
        if feed is not None:
            feed.end()

    def reset_feed(self) -> None:
        """The feed connection breaks on this side."""
        if self.session.feed is not None:
            self.session.end()

    def junk(self) -> None:
        """Bytes that are no event."""
        if self.session.feed is not None:
            self.session.feed.frames.append(Frame(JUNK))

    def spoof(self) -> None:
        """Somebody publishes what looks like an event."""
        if self.session.feed is not None:
            self.session.feed.frames.append(Frame(EVENT, self._any_key(), "del", 1 << 60))

    def foreign_beat(self) -> None:
        """Somebody else counts in our canary."""
        self.server.count(self.session.canary)
        if self.chance() < 0.5:
            self.server.renew(self.session.canary)

    def spoof_beat(self) -> None:
        """Somebody publishes what looks like a heartbeat while none is out."""
        if self.session.feed is not None and self.keeper.authority.outstanding is None:
            self.session.take([Frame(BEAT, 0, HINCRBY), Frame(BEAT, 0, EXPIRE)])
            self.oracle.look(self.keeper.authority, self.session.feed)

    def flush(self) -> None:
        self._replace(self.server.empty())

    def swap(self) -> None:
        here = self.server.dump()
        if self._replace(self.elsewhere):
            self.elsewhere = here

    def save(self) -> None:
        self.saved = self.server.dump()

    def roll_back(self) -> None:
        self._replace(self.saved)

    def busy(self) -> None:
        """A script has the server to itself for a while."""
        if self.chance() < 0.5:
            self._half_a_beat()
        self.server.busy = True

    def restart(self) -> None:
        """The server is killed and comes back with what it had saved; its clients find out one by one."""
        self.cut_feed()
        self.limbo.clear()
        for wire in self.wires:
            wire.dead = True
        self.server.load(self.saved)

    def notifications(self) -> None:
        """Somebody switches notifications off; on again only when a heartbeat has been executed meanwhile."""
        server = self.server
        mark = (self.session.canary, server.beaten(self.session.canary))
        if server.notifying:
            server.notifying, self.off = False, mark
        elif mark != self.off or not mark[1]:
            server.notifying = True

    # What time and other people do.

    def tick(self) -> None:
        self.server.advance(0.25 * (1 + int(self.chance() * 4)))
        if self.chance() < 0.3:
            self.server.busy = False

    def jump(self) -> None:
        """The process is stopped for a while, and resumed."""
        self.server.advance(self.keeper.policy.max_staleness * (0.5 + 2 * self.chance()))

    def write(self) -> None:
        life = inf if self.chance() < 0.6 else 1.0 + int(self.chance() * 8)
        self.server.write(self._any_key(), life, self.rng.choice(_EVENTS))

    def remove(self) -> None:
        self.server.remove(self._any_key())

    def expire(self) -> None:
        self.server.expire(self._any_key(), inf if self.chance() < 0.3 else 1.0 + int(self.chance() * 4))

    def touch(self) -> None:
        """An HSET that changes nothing notifies, too."""
        self.server.announce(self._any_key(), HSET)

    def expired_late(self) -> None:
        if self.server.late:
            self.server.announce(self.server.late.popleft(), EXPIRED)

    # How it is put together.

    def _begin(self, index: int, wire: Wire, *, refresh: bool) -> Fill:
        now = self.server.now
        fill = self.keeper.begin(self.identities[index], now, refresh=refresh)
        fetch = Fetch(index, self.keys_of[index], fill, now, self.oracle.tick())
        fill.outcome = fetch
        self.oracle.began(fetch, now)
        wire.sent.append(fetch)
        return fill

    def _gone(self, fetch: Fetch) -> None:
        if self.oracle.strict and any(self.keeper.fills.live(self.names[key]) is fetch.fill for key in fetch.keys):
            raise Broken("one fetch", "a fetch that is over can still be joined")

    def _replace(self, dump: Dump) -> bool:
        """The data set is another one, if a heartbeat will show it."""
        canary, authority = self.session.canary, self.keeper.authority
        beaten = self.server.beaten(canary)
        shows = not beaten or dump[2].get(canary) not in {beaten, authority.replies}
        if shows:
            self.server.load(dump)
        return shows

    def _half_a_beat(self) -> None:
        """The worst moment for a script to begin, if there is a heartbeat to be sent."""
        self.beat()
        wire = self.wires[0]
        while wire.sent and not wire.dead:
            command = wire.sent[0]
            wire.step(self.server)
            if isinstance(command, Beat) and wire.sent and wire.sent[0] is command:
                return

    def _finish(self) -> None:
        for wire in self.wires:
            for command in (*wire.executed, *wire.sent):
                command.lose(self)
        if self.oracle.strict and len(self.keeper.fills):
            raise Broken("bounded memory", f"{len(self.keeper.fills)} fetches are registered and none is under way")

    def _any_key(self) -> int:
        return int(self.chance() * len(self.names))

    def _any_wire(self) -> Wire:
        return self.wires[int(self.chance() * len(self.wires))]

    def _moods(self) -> list[Callable[[], None]]:
        """The steps, each as often as this seed wants it; faults share a few places."""
        choice = self.rng.choice
        weights = {name: weight * choice((0.1, 0.5, 1, 2)) for name, weight in _ALWAYS.items()}
        weights |= {name: weight * choice((0.05, 0.2, 0.5, 1)) for name, weight in _USUALLY.items()}
        weights["tick"] = choice((5, 10, 20))
        names = self.rng.choices(list(weights), list(weights.values()), k=_PLACES)
        return [getattr(self, name) for name in names] + [self.fault] * choice((1, 4, 8, 16))

    def _troubles(self) -> list[Callable[[], None]]:
        """The faults of this seed: one, or a few, or many."""
        if self.keeper.authority.proof is Proof.PONG:
            excluded = _SILENT | _FOREIGN
        else:
            excluded = self.rng.choice((_SILENT, _FOREIGN))
        names = [name for name in FAULTS if name not in excluded]
        return [getattr(self, name) for name in self.rng.choices(names, k=self.rng.choice((1, 2, 3, 8)))]

    def _habits(self) -> list[Callable[[], None]]:
        """What goes well when all goes well: in one of two orders, and nearly all of it."""
        last = [self.flow_replies, self.flow_feed]
        moves = [self.connect, self.serve_feed, self.serve_feed, self.flow_feed, self.beat, self.serve_feed]
        moves += [self.flow_server, *(last if self.chance() < 0.5 else reversed(last))]
        return [move for move in moves if self.chance() < 0.9]


def _names(commands: deque[Command]) -> str:
    return ",".join(type(command).__name__.lower() for command in commands) or "-"
