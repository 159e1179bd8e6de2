"""How a session proves its feed: the heartbeat's commands, and the checks of the server's own settings."""

from __future__ import annotations

import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.core.coherence import Proof
from edgeprofile.core.flags import missing, with_missing
from edgeprofile.core.watch import fingerprint
from edgeprofile.errors import NotificationsOff, ProtocolViolation, ServiceError
from edgeprofile.keys import channel
from edgeprofile.store.refusals import refusal
from edgeprofile.store.resp import ErrorReply, pack
from edgeprofile.store.tracking import INVALIDATED

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprofile.config import Config, FeedConfig
    from edgeprofile.core.watch import Fingerprint
    from edgeprofile.engine.node import Node
    from edgeprofile.errors import AccessDenied
    from edgeprofile.store.feed import Feed

__all__ = ["Inspector", "Pulse"]

_CANARY_TTL: Final = 60.0
_SUSPENDED: Final = 0.05
"""Seconds by which the clocks may differ before it means that the machine slept."""


class Pulse:
    """The heartbeat of one node: what is sent, where, and what a good answer is."""

    def __init__(self, node: Node, config: Config, answered: Callable[[int, list[Any] | BaseException], None]) -> None:
        self._node = node
        self._answered = answered
        self._epoch = 0
        self._ttl = str(int(max(_CANARY_TTL, 10 * config.cache.max_staleness) * 1000))
        self._name = f"edgeprofile:canary:{uuid.uuid4().hex}"
        self._tracking = config.feed.mode == "tracking"
        self._canary = b""
        self.prefix = self._name.encode()
        self.echo = (b"", b"")
        self.feed: Feed | None = None
        self.proof = Proof.CANARY if config.feed.heartbeat == "canary" else Proof.PONG
        self.weakness = ""

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
                raise refusal(reply, self._node.name, doing=f"{self._words} on edgeprofile:canary:*")
        try:
            return int(result[0] or 0) + 1 if self._tracking else int(result[0])
        except (TypeError, ValueError) as error:
            raise ProtocolViolation(
                f"{self._node.name} answered a heartbeat with no number", node=self._node.name
            ) from error

    @property
    def _words(self) -> str:
        return "SET" if self._tracking else "HINCRBY or PEXPIRE"

    def fall_back(self, error: AccessDenied) -> bool:
        """The canary may not be written: go on with PINGs, and say what that costs. `False` if that was no use before."""
        if self.proof is Proof.PONG:
            return False
        self.proof = Proof.PONG
        self.weakness = f"the heartbeat may not be written, PINGs take its place ({error})"
        return True


class Inspector:
    """Reads the server's settings where that is allowed: notification flags, run id, flush counters."""

    def __init__(self, node: Node, config: FeedConfig) -> None:
        self._node = node
        self._config = config
        self._next = 0.0
        self._before: Fingerprint | None = None
        self._asleep = _slept()
        self._flags_hidden = self._info_hidden = False

    @property
    def weakness(self) -> str:
        """What cannot be proved with a heartbeat of PINGs, or an empty text."""
        if self._config.heartbeat == "canary":
            return ""
        if self._info_hidden:
            return "heartbeat of PINGs and no INFO: a flush or a swap is bounded by ttl alone; grant +info, +config|get"
        return ""

    async def check_flags(self) -> None:
        """Raises `NotificationsOff` when the server's flags are known and not enough, after adding them if it may."""
        reply = await self._ask("CONFIG GET", (b"CONFIG", b"GET", b"notify-keyspace-events"))
        if not isinstance(reply, list) or len(reply) != 2:
            self._flags_hidden = True
            return
        flags = reply[1].decode()
        if not missing(flags):
            return
        command = f"CONFIG SET notify-keyspace-events {with_missing(flags)}"
        if self._config.configure_server and await self._add_flags(flags):
            return
        raise NotificationsOff(
            f"keyspace notifications of {self._node.name} lack {missing(flags)} (they are {flags!r}): run {command}, "
            "or set feed.configureServer = true",
            command=command,
            node=self._node.name,
        )

    async def begin(self) -> None:
        """An epoch begins: what is found now is what must stay."""
        self._before = await self._fingerprint() if self._config.heartbeat == "ping" else None
        self._next = time.monotonic() + self._config.verify_interval

    async def inspect(self) -> None:
        """Every ``verifyInterval``: raises when flags were taken away, or something changed that no event tells of."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._config.verify_interval
        if not self._flags_hidden:
            await self.check_flags()
        if self._before is not None and await self._fingerprint() != self._before:
            raise ServiceError(f"{self._node.name} was restarted, flushed or swapped", node=self._node.name)

    def check_clock(self) -> None:
        """Raises after a suspension of the machine, in which the monotonic clock stood still."""
        asleep = _slept()
        slept, self._asleep = asleep - self._asleep, asleep
        if slept > _SUSPENDED:
            raise ServiceError(f"this machine was suspended for {slept:.1f} s", node=self._node.name)

    async def _add_flags(self, flags: str) -> bool:
        reply = await self._ask("CONFIG SET", (b"CONFIG", b"SET", b"notify-keyspace-events", with_missing(flags)))
        return bool(reply == b"OK")

    async def _fingerprint(self) -> Fingerprint | None:
        texts = [
            await self._ask("INFO", (b"INFO", section)) for section in (b"server", b"replication", b"commandstats")
        ]
        if not all(isinstance(text, bytes) for text in texts):
            self._info_hidden = True
            return None
        return fingerprint(b"\n".join(texts).decode("utf-8", "replace"))

    async def _ask(self, what: str, command: tuple[bytes | str, ...]) -> Any:
        """A reply, or `None` where the server will not tell; anything else that is wrong is raised."""
        wire = await self._node.attach()
        (reply,) = await wire.ask(pack(command), 1)
        if not isinstance(reply, ErrorReply):
            return reply
        if reply.code in {"NOPERM", "ERR"}:
            return None
        raise refusal(reply, self._node.name, doing=what)


def _slept() -> float:
    """Seconds that the machine was suspended since it booted; 0.0 where the system cannot say."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
