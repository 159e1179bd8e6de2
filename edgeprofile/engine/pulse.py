"""The heartbeat that proves a feed: what is sent, where, and what a good answer is."""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.core.coherence import Proof
from edgeprofile.errors import ProtocolViolation
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
    from edgeprofile.errors import ServiceError
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
        self._canary = b""
        self.prefix = self._name.encode()
        self.echo = (b"", b"")
        self.feed: Feed | None = None
        self._wished = Proof.CANARY if config.feed.heartbeat == "canary" else Proof.PONG
        self.hope()

    def new_canary(self, epoch: int, tag: str) -> bytes:
        """The key that this epoch counts in; no other epoch or process ever does. The tag leads it to its node."""
        self._epoch = epoch
        self._canary = f"{self._name}:{epoch}{'{' + tag + '}' if tag else ''}".encode()
        heard = self._canary if self._tracking else channel(self._node.endpoint.db, self._canary)
        self.echo = (heard, INVALIDATED if self._tracking else b"hincrby")
        return self._canary

    async def send(self, number: int) -> None:
        """Send heartbeat ``number``; its epoch and the answer go to ``answered``."""
        if self.proof is Proof.PONG:
            if self.feed is not None:
                self.feed.ping(b"%d" % number)
            return
        wire = await self._node.attach()
        wire.call(*self._command(number), partial(self._answered, self._epoch))

    def _command(self, number: int) -> tuple[bytes, int]:
        """One write that the feed tells of exactly once, its TTL renewed; how many replies it gets.

        Keyspace events are counted by their names, so the renewal may be a command of its own. Invalidations have no
        names: there it is one command, whose reply is the value before.
        """
        if self._tracking:
            return pack((b"SET", self._canary, b"%d" % number, b"PX", self._ttl, b"GET")), 1
        return pack((b"HINCRBY", self._canary, b"n", b"1"), (b"PEXPIRE", self._canary, self._ttl)), 2

    def value(self, result: list[Any] | BaseException) -> int:
        """The counter in an answer. Raises what kept it from coming."""
        if isinstance(result, BaseException):
            raise result
        for reply in result:
            if isinstance(reply, ErrorReply):
                raise self._refused(reply)
        try:
            return int(result[0] or 0) + 1 if self._tracking else int(result[0])
        except (TypeError, ValueError) as error:
            raise ProtocolViolation(
                f"{self._node.name} answered a heartbeat with no number", node=self._node.name
            ) from error

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
        """Whether a heartbeat that could not be written can be now."""
        if not self._unwritten:
            return False
        wire = await self._node.attach()
        replies = await wire.ask(*self._command(0))
        return not any(isinstance(reply, ErrorReply) for reply in replies)
