"""A change feed: one connection that listens and carries no data command.

It tells a `Listener` in plain calls, in the order of the wire. It does not reconnect, wait, or decide: when anything is
not as it should be, it ends, with the reason.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import hiredis

from edgeprofile.errors import AccessDenied, EdgeProfileError, ProtocolViolation, ServiceError
from edgeprofile.store.endpoint import descriptor
from edgeprofile.store.refusals import Unauthenticated, refusal
from edgeprofile.store.resp import ErrorReply, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprofile.store.endpoint import Endpoint, Login

__all__ = ["Feed", "Listener", "NoCanary", "NoFeed", "Subscription", "a_replica", "reader"]

INCOMPLETE: Final = object()
_MAX_FRAME: Final = 64 << 20
"""No event is longer: Redis keys end at 512 MB, ours at a URL's length; a stream without an end must not be kept."""


class NoFeed(ServiceError):
    """This node can be read but not be listened to: what is read of it is its own proof, for as long as that lasts."""

    def __init__(self, why: str, *, node: str) -> None:
        super().__init__(f"{why}; until then every value is read again after maxStaleness", node=node)


class NoCanary(ServiceError):
    """The heartbeat cannot be written (``unwritten``), or not be heard: PINGs may take its place."""

    def __init__(self, why: str, *, node: str, unwritten: bool) -> None:
        super().__init__(f"PINGs take the heartbeat's place: {why}", node=node)
        self.unwritten = unwritten


def a_replica(node: str) -> NoFeed:
    """The events of a replica do not tell what a full resynchronisation brought."""
    why = f"{node} is a replica, and a replica that is resynchronised tells nobody; name the primary in address"
    return NoFeed(why, node=node)


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
    """What to listen to, as the feed's kind spells it.

    For keyspace events exact channels and patterns, and the ``prefix`` that all channels begin with. For tracking exact
    keys and key prefixes, and the ``prefix`` of the exact keys.
    """

    __slots__ = ("channels", "patterns", "prefix")

    def __init__(self, channels: Sequence[bytes], patterns: Sequence[bytes], prefix: bytes) -> None:
        self.channels = tuple(channels)
        self.patterns = tuple(patterns)
        self.prefix = prefix


class Feed(asyncio.Protocol):
    """One feed connection, from `open` until the listener's `feed_lost`. Its kinds say how to listen.

    ``client_id`` is the server's number of a connection that must not hang there, or 0.
    """

    client_id = 0

    def __init__(self, endpoint: Endpoint, subscription: Subscription, listener: Listener) -> None:
        self._endpoint = endpoint
        self._subscription = subscription
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._reader = reader()
        self._transport: asyncio.Transport | None = None
        self._login: Login | None = None
        self._heard = False
        self._unfinished = 0
        self._cause: Exception | None = None

    async def open(self, timeout: float) -> None:
        """Connect within ``timeout`` seconds, log in and subscribe; the acknowledgements are told to the listener.

        Raises `RedisUnavailable` or `AccessDenied`.
        """
        login = self._login = self._endpoint.login()
        await self._endpoint.stream(self, timeout)
        self._write(login.payload + self._listen())

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
        self._listener.feed_lost(self._cause or self._endpoint.lost(exc, heard=self._heard))

    def data_received(self, data: bytes) -> None:
        """Part of `asyncio.Protocol`: hand the events on in the order of the wire."""
        try:
            self._received(data)
        except EdgeProfileError as error:
            self.close(error)
        except Exception as error:  # noqa: BLE001 (whatever could not be understood may have hidden an event)
            violation = self._violation("sent what no feed sends")
            violation.__cause__ = error
            self.close(violation)

    def _listen(self) -> bytes:
        """The commands that begin to listen."""
        raise NotImplementedError

    def _received(self, data: bytes) -> None:
        self._read(data)

    def _read(self, data: bytes) -> None:
        """Take whole frames from the general reader."""
        gets = self._reader.gets
        self._reader.feed(data)
        taken = False
        while (frame := gets()) is not INCOMPLETE:
            taken = True
            self._take(frame)
        self._flush()
        self._unfinished = len(data) if taken else self._unfinished + len(data)
        if self._unfinished > _MAX_FRAME:
            raise self._violation("sent an event without an end")

    def _take(self, frame: Any) -> None:
        """One frame of any kind."""
        raise NotImplementedError

    def _flush(self) -> None:
        """The frames of one read are taken."""

    def _refused(self, reply: ErrorReply) -> ServiceError:
        """What an error that answered no login means."""
        doing, rule = self._asked()
        error = refusal(reply, self._endpoint.name, doing=doing, rule=rule)
        if isinstance(error, Unauthenticated) or not isinstance(error, AccessDenied):
            return error
        return self._denied(error)

    def _asked(self) -> tuple[str, str]:
        """What is waiting for an answer, and the ACL rule that it needs besides its command."""
        raise NotImplementedError

    def _denied(self, error: AccessDenied) -> ServiceError:
        """What a missing right means."""
        return NoFeed(str(error), node=self._endpoint.name)

    def _logged_in(self, frame: Any) -> bool:
        """Check an answer. `False` if it answered the login; raises what a refusal means."""
        self._heard = True
        if self._login is not None and self._login.expects:
            self._login.admit([frame])
            return False
        if isinstance(frame, ErrorReply):
            raise self._refused(frame)
        return True

    def _violation(self, what: str) -> ProtocolViolation:
        return ProtocolViolation(f"{self._endpoint.name} {what}", node=self._endpoint.name)

    def _write(self, payload: bytes) -> None:
        if self._transport is not None and payload:
            self._transport.write(payload)


def reader() -> Any:
    """A parser of frames that gives `INCOMPLETE` when there is no whole one."""
    return hiredis.Reader(protocolError=ProtocolViolation, replyError=ErrorReply, notEnoughData=INCOMPLETE)
