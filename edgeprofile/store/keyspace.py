"""The feed of keyspace notifications, over RESP2: events straight from the bytes where they have the usual form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from edgeprofile.store.feed import Feed, NoCanary
from edgeprofile.store.frames import BEGINNING, cutter
from edgeprofile.store.resp import pack
from edgeprofile.store.rights import CANARIES

if TYPE_CHECKING:
    from edgeprofile.errors import AccessDenied, ServiceError
    from edgeprofile.store.endpoint import Endpoint
    from edgeprofile.store.feed import Listener, Subscription

__all__ = ["KeyspaceFeed"]

_CARRY: Final = 1 << 16
"""An event that is longer is left to the general reader, which does not look at its beginning again and again."""
_TURNS: Final = 4
"""Times in one read that the general reader is left again where an event may begin; each costs a look at what follows."""


class KeyspaceFeed(Feed):
    """Pattern messages are changes, messages on exact channels are the heartbeat's."""

    def __init__(self, endpoint: Endpoint, subscription: Subscription, listener: Listener) -> None:
        super().__init__(endpoint, subscription, listener)
        self._cutter = cutter(dict.fromkeys(subscription.patterns, subscription.prefix))
        self._carry = b""
        self._awaited = len(subscription.channels) + len(subscription.patterns)
        self._pattern = b""
        self._keys: list[bytes] = []

    def _listen(self) -> bytes:
        commands = []
        if self._subscription.channels:
            commands.append((b"SUBSCRIBE", *self._subscription.channels))
        if self._subscription.patterns:
            commands.append((b"PSUBSCRIBE", *self._subscription.patterns))
        return pack(*commands)

    def _received(self, data: bytes) -> None:
        for _ in range(_TURNS):
            if not self._reader.has_data() and not (data := self._cut(data)):
                return
            after = data.find(BEGINNING, 1)
            if after < 0:
                break
            self._read(data[:after])
            data = data[after:]
        self._read(data)

    def _cut(self, data: bytes) -> bytes:
        """Take the events of the usual form; what is left is for the general reader."""
        changes, rest, partial = self._cutter.cut(self._carry + data if self._carry else data)
        for pattern, keys in changes:
            self._listener.feed_changes(pattern, keys)
        if partial and len(rest) < _CARRY:
            self._carry = rest
            return b""
        self._carry = b""
        return rest

    def _take(self, frame: Any) -> None:
        if type(frame) is list and len(frame) == 4 and frame[0] == b"pmessage":
            self._collect(frame[1], frame[2])
            return
        self._flush()
        if not self._logged_in(frame):
            return
        kind = frame[0] if isinstance(frame, list) and frame else None
        if kind in {b"subscribe", b"psubscribe"} and self._awaited:
            self._awaited -= 1
            if not self._awaited:
                self._listener.feed_subscribed()
        elif kind == b"message" and len(frame) == 3:
            self._listener.feed_message(frame[1], frame[2])
        elif kind == b"pong" and len(frame) == 2:
            self._listener.feed_pong(frame[1])
        else:
            raise self._violation("sent what no feed sends")

    def _collect(self, pattern: bytes, channel: bytes) -> None:
        """Gather runs of events of one pattern."""
        if pattern != self._pattern:
            self._flush()
            self._pattern = pattern
        if not channel.startswith(self._subscription.prefix):
            raise self._violation("sent an event of another kind")
        self._keys.append(channel[len(self._subscription.prefix) :])

    def _flush(self) -> None:
        if self._keys:
            keys, self._keys = self._keys, []
            self._listener.feed_changes(self._pattern, keys)

    def _asked(self) -> tuple[str, str]:
        """Commands are answered in order: what waits is the first that was not acknowledged."""
        if not self._awaited:
            return "PING", ""
        if self._of_canary:
            return "SUBSCRIBE", f"&{self._subscription.prefix.decode()}{CANARIES}"
        patterns = (pattern.decode("utf-8", "backslashreplace") for pattern in self._subscription.patterns)
        return "PSUBSCRIBE", " ".join(f"&{pattern}" for pattern in patterns)

    def _denied(self, error: AccessDenied) -> ServiceError:
        if self._of_canary:
            return NoCanary(str(error), node=self._endpoint.name, unwritten=False)
        return super()._denied(error)

    @property
    def _of_canary(self) -> bool:
        """Whether the heartbeat's channel is not acknowledged yet."""
        return self._awaited > len(self._subscription.patterns)
