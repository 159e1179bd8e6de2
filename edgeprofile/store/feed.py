"""The change feed: one connection that listens and carries no data command.

It takes keyspace events straight from the bytes of the socket, in the order of the wire, and tells a `Listener` in plain
calls; ``hiredis`` reads what is not of the usual form. It does not reconnect, wait, or decide: when anything is not as it should be, it ends, with the reason.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import hiredis

from edgeprofile.errors import EdgeProfileError, ProtocolViolation
from edgeprofile.store.endpoint import ConnectionLost, descriptor
from edgeprofile.store.frames import Cutter
from edgeprofile.store.refusals import refusal
from edgeprofile.store.resp import ErrorReply, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprofile.store.endpoint import Endpoint

__all__ = ["Feed", "Listener", "Subscription"]

_INCOMPLETE: Final = object()
_CARRY: Final = 1 << 16
"""An event that is longer is left to the general reader, which does not look at its beginning again and again."""
_MAX_FRAME: Final = 64 << 20
"""No event is longer: Redis keys end at 512 MB, ours at a URL's length; a stream without an end must not be kept."""


class Listener(Protocol):
    """Who is told what the feed hears, on the feed's loop."""

    def feed_subscribed(self) -> None:
        """Every subscription is acknowledged."""

    def feed_changes(self, pattern: bytes, keys: list[bytes]) -> None:
        """Events on channels of this pattern named these keys, in this order."""

    def feed_message(self, channel: bytes, event: bytes) -> None:
        """An event on one of the exact channels."""

    def feed_pong(self, text: bytes) -> None:
        """The answer to `Feed.ping`."""

    def feed_lost(self, cause: Exception) -> None:
        """The connection ended; nothing else will be told."""


class Subscription:
    """What to listen to: exact channels and patterns, as Redis spells them; ``prefix`` is what all channels begin with."""

    __slots__ = ("channels", "patterns", "prefix")

    def __init__(self, channels: Sequence[bytes], patterns: Sequence[bytes], prefix: bytes) -> None:
        self.channels = tuple(channels)
        self.patterns = tuple(patterns)
        self.prefix = prefix

    @property
    def acknowledgements(self) -> int:
        """How many answers the subscription gets."""
        return len(self.channels) + len(self.patterns)

    def packed(self) -> bytes:
        """The commands."""
        commands: list[tuple[bytes, ...]] = []
        if self.channels:
            commands.append((b"SUBSCRIBE", *self.channels))
        if self.patterns:
            commands.append((b"PSUBSCRIBE", *self.patterns))
        return pack(*commands)


class Feed(asyncio.Protocol):
    """One feed connection, from `open` until the listener's `feed_lost`."""

    def __init__(self, endpoint: Endpoint, subscription: Subscription, listener: Listener) -> None:
        self._endpoint = endpoint
        self._subscription = subscription
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(protocolError=ProtocolViolation, replyError=ErrorReply, notEnoughData=_INCOMPLETE)
        self._cutter = Cutter(dict.fromkeys(subscription.patterns, subscription.prefix))
        self._carry = b""
        self._transport: asyncio.Transport | None = None
        self._logins: list[Any] = []
        self._logins_due = 0
        self._acknowledged = 0
        self._unfinished = 0
        self._cause: Exception | None = None

    async def open(self) -> None:
        """Connect, log in and subscribe; the acknowledgements are told to the listener. Raises `RedisUnavailable`."""
        await self._endpoint.stream(self._loop, self)
        login = self._endpoint.login()
        self._logins_due = len(login)
        self._write(pack(*login) + self._subscription.packed())

    def ping(self, text: bytes) -> None:
        """Send a fence: when its answer comes, every event of an earlier write has been told."""
        self._write(pack((b"PING", text)))

    def close(self, cause: Exception | None = None) -> None:
        """End the connection; the listener is told unless it has been already."""
        self._cause = self._cause or cause
        if self._transport is not None:
            self._transport.abort()

    def fileno(self) -> int:
        """The socket's descriptor, or -1."""
        return descriptor(self._transport)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of `asyncio.Protocol`."""
        # A stream, never a datagram; uvloop's streams do not derive from asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of `asyncio.Protocol`."""
        self._transport = None
        cause = self._cause
        if cause is None:
            cause = ConnectionLost(f"the feed connection to {self._endpoint.name} was lost", node=self._endpoint.name)
            cause.__cause__ = exc
        self._listener.feed_lost(cause)

    def data_received(self, data: bytes) -> None:
        """Part of `asyncio.Protocol`: hand the events on in the order of the wire."""
        try:
            if not self._reader.has_data():
                data = self._cut(data)
            if data:
                self._read(data)
        except EdgeProfileError as error:
            self.close(error)
        except Exception as error:  # noqa: BLE001 (whatever could not be understood may have hidden an event)
            violation = ProtocolViolation(f"{self._endpoint.name} sent what no feed sends", node=self._endpoint.name)
            violation.__cause__ = error
            self.close(violation)

    def _cut(self, data: bytes) -> bytes:
        """Take the events of the usual form; what is left is for the general reader."""
        cut = self._cutter.cut(self._carry + data if self._carry else data)
        for pattern, keys in cut.changes:
            self._listener.feed_changes(pattern, keys)
        if cut.partial and len(cut.rest) < _CARRY and (cut.changes or not self._carry):
            self._carry = cut.rest
            return b""
        self._carry = b""
        return cut.rest

    def _read(self, data: bytes) -> None:
        gets = self._reader.gets
        self._reader.feed(data)
        taken = False
        run: tuple[bytes, list[bytes]] = (b"", [])
        while (frame := gets()) is not _INCOMPLETE:
            taken = True
            if type(frame) is list and len(frame) == 4 and frame[0] == b"pmessage":
                pattern, key = frame[1], self._key(frame[2])
                if pattern != run[0]:
                    self._flush(run)
                    run = (pattern, [])
                run[1].append(key)
                continue
            self._flush(run)
            run = (b"", [])
            self._take(frame)
        self._flush(run)
        self._unfinished = len(data) if taken else self._unfinished + len(data)
        if self._unfinished > _MAX_FRAME:
            raise ProtocolViolation(f"{self._endpoint.name} sent an event without an end", node=self._endpoint.name)

    def _flush(self, run: tuple[bytes, list[bytes]]) -> None:
        if run[1]:
            self._listener.feed_changes(*run)

    def _key(self, channel: bytes) -> bytes:
        if not channel.startswith(self._subscription.prefix):
            raise ProtocolViolation(f"{self._endpoint.name} sent an event of another kind", node=self._endpoint.name)
        return channel[len(self._subscription.prefix) :]

    def _take(self, frame: Any) -> None:
        """Everything that is no event: answers to the login, acknowledgements, pongs, errors."""
        if isinstance(frame, ErrorReply):
            raise refusal(frame, self._endpoint.name, doing=self._asked())
        if len(self._logins) < self._logins_due:
            self._logins.append(frame)
            self._endpoint.admit([frame])
            return
        kind = frame[0] if isinstance(frame, list) and frame else None
        if kind in {b"subscribe", b"psubscribe"} and self._acknowledged < self._subscription.acknowledgements:
            self._acknowledged += 1
            if self._acknowledged == self._subscription.acknowledgements:
                self._listener.feed_subscribed()
        elif kind == b"message" and len(frame) == 3:
            self._listener.feed_message(frame[1], frame[2])
        elif kind == b"pong" and len(frame) == 2:
            self._listener.feed_pong(frame[1])
        else:
            raise ProtocolViolation(f"{self._endpoint.name} sent what no feed sends", node=self._endpoint.name)

    def _asked(self) -> str:
        if len(self._logins) < self._logins_due:
            return "AUTH or SELECT"
        return "subscribe to " + " ".join(
            f"&{text.decode('utf-8', 'backslashreplace')}"
            for text in (*self._subscription.channels, *self._subscription.patterns)
        )

    def _write(self, payload: bytes) -> None:
        if self._transport is not None and payload:
            self._transport.write(payload)
