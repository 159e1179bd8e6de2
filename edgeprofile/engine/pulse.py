"""The heartbeat that proves a feed: what is sent, where, and what a good answer is."""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.core.coherence import Proof
from edgeprofile.core.flags import missing
from edgeprofile.engine.inspector import FLAGS, notifications_off, shown
from edgeprofile.errors import ProtocolViolation, ServiceError
from edgeprofile.keys import channel
from edgeprofile.store.feed import NoCanary, a_replica
from edgeprofile.store.refusals import Unauthenticated, refusal
from edgeprofile.store.resp import ErrorReply, pack
from edgeprofile.store.rights import CANARIES, CANARY
from edgeprofile.store.tracking import INVALIDATED

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprofile.config import Config
    from edgeprofile.engine.node import Node
    from edgeprofile.store.feed import Feed

__all__ = ["Pulse"]

_CANARY_TTL: Final = 60.0
_UNWRITABLE: Final = frozenset({"NOPERM", "OOM", "NOREPLICAS", "MISCONF", "ERR"})
"""Refusals of a write that leave reads as they are."""


class Pulse:
    """The heartbeat of one node: what is sent, where, and what a good answer is."""

    def __init__(self, node: Node, config: Config, answered: Callable[[int, list[Any] | BaseException], None]) -> None:
        self._node = node
        self._answered = answered
        self._epoch = 0
        self._ttl = str(int(max(_CANARY_TTL, 10 * config.cache.max_staleness) * 1000))
        self._name = f"{CANARY}{uuid.uuid4().hex}"
        self._tracking = config.feed.mode == "tracking"
        self._canary = self._channel = b""
        self._events = (INVALIDATED,) if self._tracking else (b"hincrby", b"expire")
        self._heard = 0
        self._flags_shown = False
        self.prefix = self._name.encode()
        self.feed: Feed | None = None
        self._wished = Proof.CANARY if config.feed.heartbeat == "canary" else Proof.PONG
        self.hope()

    def new_canary(self, epoch: int, tag: str) -> bytes:
        """The key that this epoch counts in; no other epoch or process ever does. The tag leads it to its node."""
        self._epoch, self._heard, self._flags_shown = epoch, 0, not self._tracking
        self._canary = f"{self._name}:{epoch}{'{' + tag + '}' if tag else ''}".encode()
        self._channel = self._canary if self._tracking else channel(self._node.endpoint.db, self._canary)
        return self._canary

    @property
    def echoes(self) -> tuple[tuple[bytes, bytes], ...]:
        """The events of one beat, in order: channel and name."""
        return tuple((self._channel, event) for event in self._events)

    def hears(self, channel: bytes, event: bytes) -> bool:
        """An event came on an exact channel. Whether it completes those of a beat."""
        if channel != self._channel or event not in self._events:
            return False
        self._heard = self._heard + 1 if event == self._events[self._heard] else int(event == self._events[0])
        if self._heard < len(self._events):
            return False
        self._heard = 0
        return True

    async def probe(self) -> None:
        """Raises `NoCanary` where the TTL of the heartbeat cannot be set: nothing may be left behind for ever."""
        if self.proof is Proof.CANARY and not self._tracking:
            reply = await self._bound()
            error = self._refused(reply) if isinstance(reply, ErrorReply) else None
            if isinstance(error, NoCanary):
                raise error

    async def _bound(self) -> Any:
        """Set the TTL of the key, be it there or not."""
        wire = await self._node.attach()
        return (await wire.ask(pack((b"PEXPIRE", self._canary, self._ttl)), 1))[0]

    async def send(self, number: int) -> None:
        """Send heartbeat ``number``; its epoch and the answer go to ``answered``."""
        if self.proof is Proof.PONG:
            self.ask(number)
            return
        wire = await self._node.attach()
        wire.call(*self._command(number), partial(self._answered, self._epoch))

    def ask(self, number: int) -> None:
        """Send a fence on the feed: when its answer comes, everything that was told before has come."""
        if self.feed is not None:
            self.feed.ping(b"%d" % number)

    def _command(self, number: int) -> tuple[bytes, int]:
        """One write that the feed tells of, its TTL renewed; how many replies it gets.

        Keyspace events have classes that can be switched off alone. So a beat needs the events of two of them, and the
        flags are read along with it where that is allowed. Invalidations have neither classes nor names: there it is
        one command, whose reply is the value before.
        """
        if self._tracking:
            return pack((b"SET", self._canary, b"%d" % number, b"PX", self._ttl, b"GET")), 1
        beat = pack((b"HINCRBY", self._canary, b"n", b"1"), (b"PEXPIRE", self._canary, self._ttl))
        return (beat + FLAGS, 3) if self._flags_shown else (beat, 2)

    def value(self, result: list[Any] | BaseException) -> int:
        """The counter in an answer. Raises what kept it from coming, `NotificationsOff` where flags were taken away."""
        if isinstance(result, BaseException):
            raise result
        counted, *renewed = result[:2]
        if isinstance(counted, ErrorReply):
            raise self._refused(counted)
        for reply in renewed:
            if isinstance(reply, ErrorReply):
                raise self._half_refused(reply)
        for reply in result[2:]:
            self._check(reply)
        try:
            if self._tracking:
                return int(result[0] or 0) + 1
            return int(result[0]) if result[1] else 0  # the key went before its TTL could be renewed
        except (TypeError, ValueError) as error:
            raise ProtocolViolation(
                f"{self._node.name} answered a heartbeat with no number", node=self._node.name
            ) from error

    def _check(self, reply: Any) -> None:
        flags = shown(reply)
        if flags is None:
            self._flags_shown = isinstance(reply, ErrorReply) and reply.code not in {"NOPERM", "ERR"}
        elif missing(flags):
            raise notifications_off(self._node.name, flags)

    @property
    def _words(self) -> str:
        return "SET" if self._tracking else "HINCRBY or PEXPIRE"

    def _refused(self, reply: ErrorReply) -> ServiceError:
        node = self._node.name
        error = refusal(reply, node, doing=self._words, rule=f"~{CANARIES}")
        if reply.code == "READONLY":
            return a_replica(node)
        if isinstance(error, Unauthenticated) or reply.code not in _UNWRITABLE:
            return error
        return NoCanary(str(error), node=node, unwritten=True)

    def _half_refused(self, reply: ErrorReply) -> ServiceError:
        """It was counted all the same: sent again, it would hide that the count had begun anew."""
        error = self._refused(reply)
        if isinstance(error, NoCanary):
            return error
        return ServiceError(f"a heartbeat was executed by half ({error})", node=self._node.name)

    @property
    def question(self) -> bytes:
        """What only the server of the heartbeat knows."""
        return pack((b"GET", self._canary) if self._tracking else (b"HGET", self._canary, b"n"))

    def is_same(self, reply: Any, beats: int) -> bool:
        """Whether this can be the answer of the server that had answered so many heartbeats."""
        if isinstance(reply, ErrorReply):
            return reply.code == "NOPERM"
        try:
            return int(reply or 0) >= beats
        except (TypeError, ValueError):
            return False

    def fall_back(self, error: NoCanary) -> None:
        """The next epoch is proved by PINGs."""
        self.proof = Proof.PONG
        self.weakness = str(error)
        self._unwritten = error.unwritten

    def hope(self) -> None:
        """The next epoch is proved as configured again: what stood in the way may have gone."""
        self.proof = self._wished
        self.weakness = ""
        self._unwritten = False

    async def mended(self) -> bool:
        """Whether a heartbeat that could not be written, or not be listened to, can be now."""
        if self.proof is self._wished:
            return False
        replies = await (self._write() if self._unwritten else self._listen())
        return not any(isinstance(reply, ErrorReply) for reply in replies[:2])

    async def _write(self) -> list[Any]:
        if not self._tracking and isinstance(reply := await self._bound(), ErrorReply):
            return [reply]
        wire = await self._node.attach()
        return await wire.ask(*self._command(0))

    async def _listen(self) -> list[Any]:
        """On a connection of its own, since who listens may do nothing else."""
        wire = self._node.spare()
        try:
            return await wire.ask(pack((b"SUBSCRIBE", self._channel)), 1)
        finally:
            wire.close()
