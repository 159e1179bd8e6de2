"""What a server's own settings and counters say, where it may be asked: its role, its flags, restarts and flushes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.core.coherence import Proof
from edgeprofile.core.flags import missing, with_missing
from edgeprofile.core.watch import fingerprint
from edgeprofile.errors import ConfigurationError, NotificationsOff, ServiceError
from edgeprofile.store.feed import a_replica
from edgeprofile.store.refusals import refusal
from edgeprofile.store.resp import ErrorReply, pack

if TYPE_CHECKING:
    from edgeprofile.config import FeedConfig
    from edgeprofile.core.watch import Fingerprint
    from edgeprofile.engine.node import Node

__all__ = ["FLAGS", "Inspector", "notifications_off", "shown"]

_READ_FLAGS: Final = (b"CONFIG", b"GET", b"notify-keyspace-events")
FLAGS: Final = pack(_READ_FLAGS)
"""Asks for the notification flags."""
_SUSPENDED: Final = 0.05
"""Seconds by which the clocks may differ before it means that the machine slept."""
_MISPLACED: Final = {
    b"sentinel": ("address", "is a Sentinel: name the Redis primary, by a name or virtual address that follows it"),
    b"cluster": ("clusterMode", "is a node of a cluster: set clusterMode = true"),
}


class Inspector:
    """Reads the server's settings where that is allowed: notification flags, run id, flush counters."""

    def __init__(self, node: Node, config: FeedConfig) -> None:
        self._node = node
        self._config = config
        self._next = 0.0
        self._before: Fingerprint | None = None
        self._asleep = _slept()
        self._watching = self._flags_hidden = self._info_hidden = False

    @property
    def blind(self) -> bool:
        """Whether nothing but the heartbeat can tell if notifications are on."""
        return self._flags_hidden

    def weakness(self) -> str:
        """What PINGs leave unproved, or an empty text."""
        if not self._watching:
            return ""
        found = []
        if self._flags_hidden:
            found.append("notifications that are switched off go unnoticed until ttl: grant +config|get")
        if self._info_hidden:
            found.append("a flush, a swap or a restart goes unnoticed until ttl: grant +info")
        return "; ".join(found)

    @property
    def question(self) -> bytes:
        """What tells one run of a server from another, where that may be asked."""
        return pack((b"INFO", b"server")) if self._before is not None else b""

    def is_same(self, reply: Any, _beats: int) -> bool:
        """Whether this can be the answer of the server that the epoch began with."""
        if self._before is None or not isinstance(reply, bytes):
            return True
        return f"run_id:{self._before.run_id}".encode() in reply

    async def check_place(self) -> None:
        """Raises `NoFeed` for a replica, `ConfigurationError` for what is no server of the configured kind."""
        reply = await self._ask("HELLO", (b"HELLO",))
        if not isinstance(reply, list):
            return
        told = dict(zip(reply[::2], reply[1::2], strict=False))
        if told.get(b"mode") in _MISPLACED:
            option, what = _MISPLACED[told[b"mode"]]
            raise ConfigurationError(f"{self._node.name} {what}", option=f"destinations.config.{option}")
        if told.get(b"role") in {b"slave", b"replica"}:
            raise a_replica(self._node.name)

    async def check_flags(self) -> None:
        """Raises `NotificationsOff` when the server's flags are known and not enough, after adding them if it may."""
        if self._config.mode == "tracking":
            return
        flags = shown(await self._ask("CONFIG GET", _READ_FLAGS))
        self._flags_hidden = flags is None
        if flags is None or not missing(flags):
            return
        if not (self._config.configure_server and await self._add_flags(flags)):
            raise notifications_off(self._node.name, flags)

    async def begin(self, proof: Proof) -> None:
        """An epoch begins: what is found now is what must stay, where the heartbeat alone would not notice."""
        self._watching = proof is Proof.PONG
        self._before = await self._fingerprint() if self._watching else None
        self._next = time.monotonic() + self._config.verify_interval

    async def inspect(self) -> bool:
        """Every ``verifyInterval`` (then `True`): raises if flags were taken away, or what no event tells of happened."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self._config.verify_interval
        if self._watching or not self._flags_hidden:
            await self.check_flags()
        if self._watching:
            await self._compare()
        return True

    async def _compare(self) -> None:
        if self._node.ownership is None:
            await self.check_place()
        if await self._fingerprint() != self._before:
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
        self._info_hidden = not all(isinstance(text, bytes) for text in texts)
        if self._info_hidden:
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


def shown(reply: Any) -> str | None:
    """The flags in the reply to `FLAGS`; `None` where the server does not show them."""
    return reply[1].decode() if isinstance(reply, list) and len(reply) == 2 else None


def notifications_off(node: str, flags: str) -> NotificationsOff:
    """What to do about flags that are not enough."""
    command = f"CONFIG SET notify-keyspace-events {with_missing(flags)}"
    return NotificationsOff(
        f"keyspace notifications of {node} lack {missing(flags)} (they are {flags!r}): run {command}, "
        "or set feed.configureServer = true",
        command=command,
        node=node,
    )


def _slept() -> float:
    """Seconds that the machine was suspended since it booted; 0.0 where the system cannot say."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
