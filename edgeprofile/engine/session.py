"""The feed session of one node: connect, subscribe, prove, beat, and begin again when continuity is lost."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.core.backoff import Backoff
from edgeprofile.core.coherence import Phase, Proof
from edgeprofile.core.keeper import wanted
from edgeprofile.engine.inspector import Inspector
from edgeprofile.engine.pause import pause
from edgeprofile.engine.pulse import Pulse
from edgeprofile.engine.states import LATE, RANKS, STATES, UNDYING, UNSEEN, Gap, for_operators
from edgeprofile.engine.subscribers import Subscribers
from edgeprofile.engine.voice import say
from edgeprofile.errors import (
    EdgeProfileError,
    RedisUnavailable,
    ServerRefused,
)
from edgeprofile.keys import channel, channel_pattern
from edgeprofile.store.endpoint import sever
from edgeprofile.store.feed import NoCanary, Subscription
from edgeprofile.store.keyspace import KeyspaceFeed
from edgeprofile.store.resp import ErrorReply, pack
from edgeprofile.store.tracking import TrackingFeed

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from edgeprofile.config import Config
    from edgeprofile.core.entries import Entry
    from edgeprofile.core.keeper import Identity
    from edgeprofile.engine.node import Node
    from edgeprofile.engine.target import Target
    from edgeprofile.metrics import Counters
    from edgeprofile.store.feed import Feed
    from edgeprofile.store.reading import Reading
    from edgeprofile.store.streaming import AsyncWire

__all__ = ["Session"]

_PATIENCE: Final = 5.0
"""Seconds that a heartbeat may be out on a silent connection before the connection is given up."""


_PIECE: Final = 512
"""Events that are applied without letting go of the lock."""
_STEADY: Final = 5.0
"""Seconds for which an epoch must have been proved before the one after it may begin without a longer pause."""
_BUSY: Final = frozenset({"BUSY", "LOADING", "CLUSTERDOWN"})


class Session:
    """Keeps one node's entries coherent; it is the `Listener` of that node's feed.

    ``refresh`` is given the identities of changed profiles that were in use, ``said`` is called when the state changes.
    The lock is the engine's.
    """

    def __init__(
        self,
        node: Node,
        targets: Sequence[Target],
        config: Config,
        lock: threading.Lock,
        counters: Counters,
        refresh: Callable[[list[Identity]], None],
        said: Callable[[], None],
        subscribers: Subscribers | None = None,
    ) -> None:
        self._node = node
        self._config = config
        self._lock = lock
        self._counters = counters
        self._refresh = refresh
        self._subscribers = Subscribers() if subscribers is None else subscribers
        self._said = said
        self._tracking = config.feed.mode == "tracking"
        self._targets: dict[bytes, list[Target]] = {}
        for target in targets:
            self._targets.setdefault(self._spelled(target), []).append(target)
        self._inspector = Inspector(node, config.feed)
        self._pulse = Pulse(node, config, self._answered)
        self._backoff = Backoff()
        self._feed: Feed | None = None
        self._over: asyncio.Future[None] | None = None
        self.state = "starting"
        self.reason = "the feed is not connected yet"
        self.error: BaseException | None = None
        self._progress = asyncio.Event()
        self._proved_until = -math.inf
        self._first_proof = self._due = math.inf
        self._hindrance = ""
        self._fenced = 0
        self._heard = False
        self._hanging: tuple[int, bytes, Callable[[Any, int], bool], int] | None = None
        self._undying = ""
        self._unheard = False

    @property
    def ready(self) -> bool:
        """Live, or declared unproven."""
        return self.state in {"live", "unproven"}

    @property
    def watermark(self) -> float:
        """Send time of the latest proof of this epoch, on the engine's clock; minus infinity before the first."""
        return self._node.keeper.authority.watermark

    @property
    def hopeless(self) -> bool:
        """Whether somebody has to change a setting or a right before this can become ready."""
        return not self.ready and for_operators(self.error)

    @property
    def rank(self) -> int:
        """How well it stands: of several nodes the lowest speaks for all."""
        return RANKS.index(self.state)

    def sever(self) -> None:
        """In a forked child: let go of the parent's feed socket."""
        if self._feed is not None:
            sever([self._feed.fileno()])

    async def run(self) -> None:
        """One epoch after the other until cancelled."""
        try:
            while True:
                try:
                    await self._epoch()
                except NoCanary as error:
                    self._counters.feed_losses[type(error).__name__] += 1
                    self._pulse.fall_back(error)
                except Exception as error:  # noqa: BLE001 (a session that ends for good would serve nothing, in silence)
                    self._ended(error)
                    self._pulse.hope()
                    await pause(self._backoff, self._node, self._lock, unheard=self._unheard)
        finally:
            self._drop_feed(None)
            self._say("closed", "the client was closed")

    async def _examine(self) -> None:
        """Ask the server, over a connection made now, whether it is what it was and set as it must be."""
        await self._end_hanging(await self._node.renew(_PATIENCE))
        if self._node.ownership is None:
            await self._inspector.check_place()
        await self._inspector.check_flags()
        if self._node.ownership is not None:
            self._node.ownership.begin()
            await self._node.ownership.confirm()

    async def _epoch(self) -> None:
        """One feed connection, from the check of the server's settings until it ends, which always raises."""
        self._unheard = False
        try:
            await self._examine()
        except RedisUnavailable:
            self._unheard = True
            raise
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.create_future()
        authority = self._node.keeper.authority
        for reading in self._readings:
            reading.hope()
        with self._lock:
            authority.proof = self._pulse.proof
            authority.connected()
        self._heard = False
        self._feed = self._listen(self._pulse.new_canary(authority.epoch, self._tag))
        self._pulse.feed = self._feed
        try:
            await self._pulse.probe()
            await self._subscribe(self._feed)
            await self._beat()
        finally:
            self._drop_feed(None)

    async def _subscribe(self, feed: Feed) -> None:
        authority = self._node.keeper.authority
        patience = self._config.limits.connect_timeout
        try:
            async with asyncio.timeout(patience):
                await feed.open(patience)
                await self._until(lambda: authority.phase is not Phase.SUBSCRIBING)
        except TimeoutError as error:
            if isinstance(error, EdgeProfileError):
                raise
            raise Gap("feed silent", "the subscription was not acknowledged in time", node=self._node.name) from error

    def _spelled(self, target: Target) -> bytes:
        """How a feed of this kind is told of a destination's keys, and tells of them."""
        layout = target.layout
        return layout.prefix if self._tracking else channel_pattern(self._node.endpoint.db, layout.pattern)

    def _listen(self, canary: bytes) -> Feed:
        """A feed of the configured kind, for this epoch's canary."""
        proved = self._pulse.proof is Proof.CANARY
        if self._tracking:
            prefix = self._pulse.prefix if proved else b""
            return TrackingFeed(self._node.endpoint, Subscription([canary], list(self._targets), prefix), self)
        db = self._node.endpoint.db
        exact = [channel(db, canary)] if proved else []
        return KeyspaceFeed(self._node.endpoint, Subscription(exact, list(self._targets), channel(db, b"")), self)

    async def _beat(self) -> None:
        """Heartbeats for as long as the epoch lasts."""
        interval = self._config.cache.heartbeat_interval
        authority = self._node.keeper.authority
        await self._inspector.begin(self._pulse.proof)
        self._first_proof, self._fenced = math.inf, 0
        self._due = time.monotonic() + self._config.cache.max_staleness
        while True:
            begun = time.monotonic()
            self._inspector.check_clock()
            if self._node.ownership is not None:
                await self._node.ownership.confirm()
            with self._lock:
                number = authority.beat(begun)
            if number is not None:
                self._counters.beats += 1
                await self._pulse.send(number)
            else:
                self._await_feed(begun)
            if begun > self._due:
                self._say("late", self._hindrance or LATE)
            if await self._inspector.inspect():
                await self._look_again()
            await self._rest(begun + interval)

    async def _look_again(self) -> None:
        """Rights that were missing may have been granted."""
        for reading in self._readings:
            reading.retry()
        if await self._pulse.mended():
            raise Gap("heartbeat permitted", "the heartbeat can be written again", node=self._node.name)

    @property
    def _readings(self) -> list[Reading]:
        return [target.reading for targets in self._targets.values() for target in targets]

    def _await_feed(self, now: float) -> None:
        """A heartbeat is out. Once its events are all that it lacks, a fence behind them tells whether they are to come."""
        authority = self._node.keeper.authority
        if authority.outstanding is None or not (authority.answered or self._pulse.proof is Proof.PONG):
            return
        if now - authority.outstanding > self._grace:
            if self._feed is not None and self._feed.client_id:
                who = self._voucher
                self._hanging = self._feed.client_id, who.question, who.is_same, authority.replies
            raise Gap("feed silent", "the feed connection does not answer", node=self._node.name)
        if self._pulse.proof is Proof.CANARY and self._fenced != authority.replies:
            self._fenced = authority.replies
            self._pulse.ask(self._fenced)

    async def _end_hanging(self, wire: AsyncWire) -> None:
        """Have the server end a feed that hangs, for which it would keep invalidations without a limit.

        Another server has other connections by these numbers.
        """
        if self._hanging is None:
            return
        number, question, is_same, replies = self._hanging
        if not question or is_same((await wire.ask(question, 1))[0], replies):
            (reply,) = await wire.ask(pack((b"CLIENT", b"KILL", b"ID", number)), 1)
            refused = isinstance(reply, ErrorReply) and reply.code == "NOPERM"
            self._undying = UNDYING if refused else ""
        self._hanging = None

    @property
    def _voucher(self) -> Pulse | Inspector:
        """Who can tell this server from another."""
        return self._pulse if self._pulse.proof is Proof.CANARY else self._inspector

    @property
    def _tag(self) -> str:
        return self._node.ownership.tag if self._node.ownership is not None else ""

    @property
    def _grace(self) -> float:
        return max(1.0, self._config.cache.max_staleness)

    async def _rest(self, until: float) -> None:
        """Sleep, unless the epoch ends."""
        assert self._over is not None  # noqa: S101 (made by _epoch)
        await asyncio.wait([self._over], timeout=max(0.0, until - time.monotonic()))
        if self._over.done():
            self._over.result()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._progress.clear()
            assert self._over is not None  # noqa: S101 (made by _epoch)
            told = asyncio.ensure_future(self._progress.wait())
            either: list[asyncio.Future[Any]] = [told, self._over]
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                told.cancel()
            if self._over.done():
                self._over.result()

    def _answered(self, epoch: int, result: list[Any] | BaseException) -> None:
        """The answer to a heartbeat of an epoch, or what came instead; nothing hangs on one whose epoch is over."""
        authority = self._node.keeper.authority
        if epoch != authority.epoch or authority.phase is Phase.DOWN:
            return
        try:
            value = self._pulse.value(result)
        except EdgeProfileError as error:
            self._failed(error)
        else:
            self._counted(value)

    def _failed(self, error: EdgeProfileError) -> None:
        """A heartbeat brought an error. Who has no time, or no majority, refuses it and keeps all data: it is sent again."""
        if isinstance(error, ServerRefused) and error.code in _BUSY:
            self._hindrance = str(error)
            with self._lock:
                self._node.keeper.authority.beat_refused()
        else:
            self._end(error)

    def _counted(self, value: int) -> None:
        """The heartbeat that is out was answered with this number."""
        with self._lock:
            same = self._node.keeper.authority.beat_answered(value)
            if same:
                self._vouch()
            else:
                self._lose()
        if same:
            self._proved()
        else:
            message = "the heartbeat's counter is not where this process left it: the data set was flushed or replaced"
            self._end(Gap("data replaced", message, node=self._node.name))

    def feed_subscribed(self) -> None:
        """Part of `Listener`."""
        authority = self._node.keeper.authority
        with self._lock:
            if authority.phase is Phase.SUBSCRIBING:
                authority.subscribed()
                self._subscribers.lost()  # again: between the loss and this moment nothing was heard
        self._progress.set()

    def feed_changes(self, pattern: bytes, keys: list[bytes]) -> None:
        """Part of `Listener`: the consumer's inner loop, in pieces, so that nobody waits long for the lock."""
        self._heard = True
        self._counters.events += len(keys)
        if self._subscribers:
            self._subscribers.changed(keys)
        for target in self._targets[pattern]:
            used = [entry for start in range(0, len(keys), _PIECE) for entry in self._touch(target, keys, start)]
            if used and self._config.feed.on_change == "refresh":
                self._refresh([target.identity(*entry.home[1:], entry.value) for entry in used])

    def _touch(self, target: Target, keys: list[bytes], start: int) -> list[Entry]:
        """Apply one piece of a run; what it dropped and was in use."""
        with self._lock:
            touched = self._node.keeper.touched(target, keys[start : start + _PIECE])
            self._counters.changes += len(touched)
        return [entry for entry in touched if wanted(entry)]

    def feed_message(self, channel: bytes, event: bytes) -> None:
        """Part of `Listener`: the heartbeat comes back."""
        if not self._pulse.hears(channel, event):
            return
        with self._lock:
            ours = self._node.keeper.authority.beat_seen()
            if ours:
                self._vouch()
            else:
                self._lose()
        if not ours:
            raise Gap("foreign beat", "somebody else writes this process' heartbeat", node=self._node.name)
        self._proved()

    def feed_pong(self, text: bytes) -> None:
        """Part of `Listener`."""
        authority = self._node.keeper.authority
        if self._pulse.proof is Proof.CANARY:
            if authority.answered and int(text) == authority.replies:
                raise Gap("beat unseen", UNSEEN[self._tracking], node=self._node.name)
        elif self._inspector.blind and not self._heard:
            self._in_doubt()
        else:
            self._counted(int(text))

    def feed_lost(self, cause: Exception) -> None:
        """Part of `Listener`."""
        with self._lock:
            self._lose()
        self._end(cause)

    def _proved(self) -> None:
        if self._node.keeper.authority.phase is not Phase.LIVE:
            return
        self._first_proof = min(self._first_proof, self.watermark)
        self.error = None
        self._hindrance = ""
        self._due = self.watermark + self._config.cache.max_staleness
        if self.watermark > self._proved_until:  # a beat is proved by two things, and counted once
            self._proved_until = self.watermark
            self._counters.fence_seconds.observe(time.monotonic() - self.watermark)
        with self._lock:
            self._node.breaker.succeeded()
        weakness = "; ".join(
            filter(None, (self._pulse.weakness, self._inspector.weakness(), self._undying, *self._unread()))
        )
        self._say("unproven" if weakness else "live", weakness)

    def _unread(self) -> set[str]:
        """What could not be read along with the profiles."""
        return {reading.weakness for reading in self._readings}

    def _in_doubt(self) -> None:
        """The feed answers, but whether it would tell of a change is not known: its PINGs prove nothing yet."""
        with self._lock:
            self._node.keeper.authority.beat_void()
        why = "whether notifications are on cannot be read (grant +config|get), and no change has been heard of yet"
        self._backoff.reset()
        self._due = time.monotonic() + self._config.cache.max_staleness
        self._say("unproven", f"{why}: until then every value is read again after maxStaleness")

    def _lose(self) -> None:
        """Nothing of this epoch may be served or stored any more; called under the lock."""
        self._node.witness.dismiss()
        self._node.keeper.lost()
        if self._subscribers:
            self._subscribers.lost()

    def _vouch(self) -> None:
        """From the first proof of an epoch on, connections are asked where they lead; called under the lock."""
        authority, witness = self._node.keeper.authority, self._node.witness
        if authority.phase is not Phase.LIVE:
            return
        witness.beats = authority.replies
        if witness.serial != authority.epoch:
            who = self._voucher
            witness.call(authority.epoch, who.question, who.is_same, partial(self._doubt, authority.epoch))

    def _doubt(self, epoch: int) -> None:
        """A connection leads to another server than the feed; called on the thread of whoever found out."""
        with self._lock:
            if epoch != self._node.keeper.authority.epoch:
                return
            self._lose()
        gap = Gap("another server", f"{self._node.name} leads to another server now than before", node=self._node.name)
        with suppress(RuntimeError):  # the loop is closed: so is the epoch
            self._loop.call_soon_threadsafe(self._end, gap)

    def _end(self, cause: BaseException) -> None:
        """End the epoch: revoke first, then let the task know."""
        with self._lock:
            self._lose()
        if self._over is not None and not self._over.done():
            self._over.set_exception(cause)
            self._over.exception()

    def _drop_feed(self, cause: Exception | None) -> None:
        with self._lock:
            self._lose()
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close(cause)

    def _ended(self, error: BaseException) -> None:
        reason = getattr(error, "reason", None) or type(error).__name__
        self._counters.feed_losses[reason] += 1
        if self.watermark - self._first_proof > _STEADY:
            self._backoff.reset()
            self._first_proof = math.inf
        self._say(STATES.get(reason, "disconnected"), str(error) or type(error).__name__, error)

    def _say(self, state: str, reason: str, error: BaseException | None = None) -> None:
        """Log a change of state once; what stays the same is only counted."""
        if (state, reason) == (self.state, self.reason):
            self.error = error or self.error
            return
        level = logging.INFO if state in {"live", "closed", "starting"} else logging.WARNING
        say(self._counters, level, "feed of %s: %s%s", self._node.name, state, f" ({reason})" if reason else "")
        self.state, self.reason = state, reason
        self.error = error or self.error  # after them: who finds it may read what the status says of it
        self._said()
