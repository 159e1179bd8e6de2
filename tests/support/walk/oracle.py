"""What must never be seen, whatever happened: the promises, checked at every hit, answer, fetch and fill.

The oracle knows what the process was told and when, by a count of its own (no two things happen at once), and what was
true and when, from the server. It does not look into the machine that it judges.
"""

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from edgeprofile.core.cache import Entry
from edgeprofile.core.coherence import FOREVER, Authority, Lease
from tests.support.walk.server import EVENT, Feed, Server
from tests.support.walk.wires import Fetch

__all__ = ["Broken", "Oracle"]


class Broken(AssertionError):
    """A promise was broken; ``promise`` says which."""

    def __init__(self, promise: str, how: str) -> None:
        super().__init__(f"{promise}: {how}")
        self.promise = promise


class _Origin(NamedTuple):
    entry: Entry
    begun: int
    end: float


class Oracle:
    """``strict`` checks every promise; without it only that of bounded staleness, which follows from the others."""

    def __init__(self, server: Server, keys_of: Sequence[tuple[int, ...]], staleness: float, *, strict: bool) -> None:
        self.server = server
        self.keys_of = keys_of
        self.staleness = staleness
        self.strict = strict
        self.hits = self.stored = self.leased = self.refused = 0
        self._now = 0
        self._acknowledged = self._cleared = self._proved = self._counted = 0
        self._watermark = -inf
        self._beat = (0.0, 0)
        self._spoiled = [0] * len(server.values)
        self._dropped = [0] * len(keys_of)
        self._origins: list[_Origin | None] = [None] * len(keys_of)
        self._under_way: list[Fetch | None] = [None] * len(server.values)

    def tick(self) -> int:
        """A number for this moment, greater than every one before."""
        self._now += 1
        return self._now

    def acknowledged(self) -> None:
        """The process has been told that it is subscribed."""
        self._acknowledged = self.tick()

    def cleared(self) -> None:
        """The process has been told of a gap: an epoch is over."""
        self._cleared = self.tick()

    def beat_sent(self, number: int) -> None:
        """The process sends a heartbeat, the first of its epoch or a later one."""
        server = self.server
        self._beat = server.now, server.moment
        if number == 1:
            self._proved = 0

    def look(self, authority: Authority, feed: Feed | None) -> None:
        """Has the watermark moved? Then everything before the heartbeat has been heeded, and nothing was silent."""
        watermark = authority.watermark
        if watermark == self._watermark:
            return
        self._watermark = watermark
        if watermark == -inf or not self.strict:
            return
        sent, moment = self._beat
        if watermark > sent:
            raise Broken("watermark", "it is later than its heartbeat was sent")
        if feed is not None and any(frame.kind == EVENT and frame.moment <= moment for frame in feed.frames):
            raise Broken("watermark", "it passed an event that has not been heeded")
        if not self._proved:
            self._proved = self.tick()
            self._counted = self.server.own_beats.get(authority.epoch, [moment])[-1]
        elif self._counted < self.server.silent <= moment:
            raise Broken("watermark", "it passed a change that no event told of")

    def changed(self, key: int) -> None:
        """The process has been told that a key may have changed."""
        self._spoiled[key] = self.tick()
        for identity, keys in enumerate(self.keys_of):
            if key in keys:
                self._dropped[identity] = self._now

    def overwritten(self, identity: int) -> None:
        """The process has changed this profile itself."""
        self._dropped[identity] = self.tick()
        for key in self.keys_of[identity]:
            self._spoiled[key] = self._now

    def hit(self, identity: int, entry: Entry, raw: bytes | None, now: float) -> None:
        """A lookup is answered from the cache."""
        self.hits += 1
        self._judge(identity, raw, now - self.staleness, "hit")
        if not self.strict:
            return
        origin = self._origins[identity]
        if origin is None or origin.entry is not entry:
            raise Broken("whole values", "an entry that was never stored")
        if origin.begun < self._dropped[identity]:
            raise Broken("events remove", "an entry outlived an event or a write of our own")
        if entry.lease is not FOREVER and origin.begun < self._cleared:
            raise Broken("epochs end", "an entry outlived its epoch")
        if now >= origin.end:
            raise Broken("expiry is ours", f"an entry was served {now - origin.end} after its end")

    def answer(self, identity: int, raw: bytes | None, since: float) -> None:
        """A lookup that began then is answered by a fetch."""
        self._judge(identity, raw, since - self.staleness, "answer")

    def began(self, fetch: Fetch, now: float) -> None:
        """A fetch is on its way."""
        for key in fetch.keys:
            other = self._under_way[key]
            if self.strict and other is not None and self._is_joinable(other, now):
                raise Broken("one fetch", "a second fetch of a key whose first could be joined")
            self._under_way[key] = fetch

    def joined(self, fetch: Fetch) -> None:
        """A lookup waits for a fetch that was begun before it."""
        if self.strict and self._is_spoiled(fetch):
            raise Broken("no stale fill", "a lookup joined a fetch that was poisoned before")

    def kept(self, fetch: Fetch, entry: Entry | None, ttl: float, lease: Lease) -> None:
        """A reply has been read; ``entry`` is what was made of it."""
        if entry is None:
            self.refused += 1
            return
        self.stored += 1
        self._origins[fetch.identity] = _Origin(entry, fetch.begun, min(fetch.end, fetch.sent + ttl))
        if self.strict and self._is_spoiled(fetch):
            raise Broken("no stale fill", "a poisoned reply was stored")
        if entry.lease is FOREVER:
            return
        self.leased += 1
        if self.strict and fetch.begun < self._acknowledged:
            raise Broken("subscribe, then read", "a reply was stored that was fetched before the subscription")
        if self.strict and fetch.begun < self._proved:
            raise Broken("watermark", "a reply was stored under a lease that was not yet proved when it was fetched")
        if self.strict and entry.lease is not lease:
            raise Broken("no stale fill", "a reply was stored under the lease of another epoch")

    def _judge(self, identity: int, raw: bytes | None, since: float, what: str) -> None:
        if not self.server.was_visible(self.keys_of[identity], raw, since):
            raise Broken("bounded staleness", f"{what} {raw!r}, not visible since {since}")

    def _is_spoiled(self, fetch: Fetch) -> bool:
        begun = fetch.begun
        return begun < self._cleared or any(begun < self._spoiled[key] for key in fetch.keys)

    def _is_joinable(self, fetch: Fetch, now: float) -> bool:
        return not fetch.over and not self._is_spoiled(fetch) and now - fetch.sent < self.staleness
