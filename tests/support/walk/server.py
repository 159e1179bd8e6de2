"""One Redis node as coherence sees it: keys that change, expire and vanish, and what its clients are told of it.

The node keeps its own history: for each value the last instant at which it was visible. Values are unique, so that an
answer tells by itself when it was true.
"""

from collections import deque
from collections.abc import Sequence
from math import inf
from typing import NamedTuple

__all__ = ["Dump", "Feed", "Frame", "Server"]


class Frame(NamedTuple):
    """What the server says on the feed; ``number`` is of a key or of a PING, ``moment`` when it was true."""

    kind: str
    number: int = 0
    event: str = ""
    moment: int = 0


Dump = tuple[list[bytes | None], list[float], dict[int, int]]
"""A data set: values, when they expire, canaries."""

ACK, BEAT, END, EVENT, JUNK, PONG = "ack", "beat", "end", "event", "junk", "pong"
EXPIRE, EXPIRED, HDEL, HINCRBY, HSET = "expire", "expired", "hdel", "hincrby", "hset"


class Feed:
    """One feed connection: what the server has sent and the client has not yet read, in order.

    ``canary`` names the exact channel, 0 for none. The two subscriptions take effect one after the other.
    """

    __slots__ = ("canary", "frames", "pings", "stage")

    def __init__(self, canary: int) -> None:
        self.canary = canary
        self.frames: deque[Frame] = deque()
        self.pings: deque[int] = deque()
        self.stage = 0

    def subscribe(self) -> None:
        """One more subscription takes effect; both acknowledgements come after the second."""
        self.stage += 1
        if self.stage == 2:
            self.frames.append(Frame(ACK))

    def answer_ping(self) -> None:
        if self.pings:
            self.frames.append(Frame(PONG, self.pings.popleft()))

    def end(self) -> None:
        """The server closes the connection; what it has sent can still be read."""
        self.frames.append(Frame(END))


class Server:
    """Keys are indices, canaries are numbers of epochs, time is set from outside.

    While ``busy`` it refuses everything. ``moment`` counts what happens to the data; ``silent`` is the moment of the latest change that no event tells of.
    """

    def __init__(self, keys: int) -> None:
        self.now = 0.0
        self.values: list[bytes | None] = [None] * keys
        self.ends: list[float] = [inf] * keys
        self.canaries: dict[int, int] = {}
        self.own_beats: dict[int, list[int]] = {}
        self.moment = self.silent = 0
        self.notifying = True
        self.busy = False
        self.feed: Feed | None = None
        self.late: deque[int] = deque()
        self._visible_until: dict[bytes, float] = {}
        self._absent_until = [inf] * keys
        self._versions = 0

    def was_visible(self, keys: Sequence[int], raw: bytes | None, since: float) -> bool:
        """Was this the answer of the first of these keys that exists, at some instant since then?"""
        for key in keys:
            if raw is not None and raw.startswith(_PREFIXES[key]):
                return self._visible_until.get(raw, -inf) >= since
            if self._absent_until[key] < since:
                return False
        return raw is None

    def advance(self, seconds: float) -> None:
        """Time passes; what expires is gone at that very instant, and its event comes later, or never."""
        self.now += seconds
        for key, end in enumerate(self.ends):
            if end <= self.now:
                self._show(key, None, inf, end)
                self.late.append(key)

    def write(self, key: int, life: float, event: str = HSET) -> None:
        self._versions += 1
        self._show(key, b'%b{"v":%d}}' % (_PREFIXES[key], self._versions), self.now + life, self.now)
        self.announce(key, event)

    def remove(self, key: int, event: str = HDEL) -> None:
        if self.values[key] is not None:
            self._show(key, None, inf, self.now)
            self.announce(key, event)

    def expire(self, key: int, life: float) -> None:
        """EXPIRE, or PERSIST for an infinite life."""
        if self.values[key] is not None:
            self.ends[key] = self.now + life
            self.announce(key, EXPIRE)

    def count(self, canary: int) -> int:
        """HINCRBY on a canary: its new value."""
        self.canaries[canary] = self.canaries.get(canary, 0) + 1
        self._echo(canary, HINCRBY)
        return self.canaries[canary]

    def renew(self, canary: int) -> bool:
        """PEXPIRE on a canary: whether it is there."""
        if canary not in self.canaries:
            return False
        self._echo(canary, EXPIRE)
        return True

    def beaten(self, canary: int) -> int:
        """How many heartbeats of its own epoch the canary has seen."""
        return len(self.own_beats.get(canary, ()))

    def announce(self, key: int, event: str) -> None:
        """Tell the feed, if there is one that can be told."""
        feed = self.feed
        self.moment += 1
        if self.notifying and feed is not None and feed.stage == 2:
            feed.frames.append(Frame(EVENT, key, event, self.moment))
        else:
            self.silent = self.moment

    def dump(self) -> "Dump":
        return list(self.values), list(self.ends), dict(self.canaries)

    def empty(self) -> "Dump":
        return [None] * len(self.values), [inf] * len(self.values), {}

    def load(self, dump: "Dump") -> None:
        """Another data set takes the place of this one, and nobody is told: FLUSHALL, SWAPDB, a resynchronisation."""
        self.moment += 1
        self.silent = self.moment
        values, ends, self.canaries = dump[0], dump[1], dict(dump[2])
        for key, raw in enumerate(values):
            alive = ends[key] > self.now
            self._show(key, raw if alive else None, ends[key] if alive else inf, self.now)

    def _echo(self, canary: int, event: str) -> None:
        feed = self.feed
        if self.notifying and feed is not None and feed.stage and feed.canary == canary:
            feed.frames.append(Frame(BEAT, 0, event))

    def _show(self, key: int, raw: bytes | None, end: float, at: float) -> None:
        old = self.values[key]
        if old is None:
            self._absent_until[key] = at
        else:
            self._visible_until[old] = at
        if raw is None:
            self._absent_until[key] = inf
        else:
            self._visible_until[raw] = inf
        self.values[key] = raw
        self.ends[key] = end


_PREFIXES = tuple(b'{"k%d":' % key for key in range(4))
