"""The feed of client tracking in broadcast mode, over RESP3: the server names the keys that it would invalidate.

It needs no server setting, and it tells of flushes. It is silent about SWAPDB, names a key once however often it was
written in between, and its messages wait in a buffer of the server's that has no limit of its own.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import hiredis

from edgeprofile.errors import ServiceError
from edgeprofile.store.feed import Feed
from edgeprofile.store.resp import pack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeprofile.store.endpoint import Endpoint
    from edgeprofile.store.feed import Listener, Subscription

__all__ = ["INVALIDATED", "Flushed", "TrackingFeed", "disjoint"]

INVALIDATED = b"invalidate"
"""What a listener is told of an exact key."""


class Flushed(ServiceError):
    """The server invalidated everything: a flush, a reload, a replica's resynchronisation."""

    reason = "flushed"


class TrackingFeed(Feed):
    """Invalidations are changes; those of the exact keys are the heartbeat's."""

    def __init__(self, endpoint: Endpoint, subscription: Subscription, listener: Listener) -> None:
        super().__init__(endpoint, subscription, listener)
        self._greetings = 2
        self._pings: deque[tuple[bytes, bool]] = deque()

    def ping(self, text: bytes) -> None:
        """Send a fence. Its answer may overtake an invalidation, so a second one is sent when it comes."""
        self._ping(text, last=False)

    def _ping(self, text: bytes, *, last: bool) -> None:
        self._pings.append((text, last))
        super().ping(text)

    def _listen(self) -> bytes:
        prefixes = disjoint((*self._subscription.patterns, self._subscription.prefix))
        words = [word for prefix in prefixes for word in (b"PREFIX", prefix)]
        return pack((b"HELLO", b"3"), (b"CLIENT", b"TRACKING", b"ON", b"BCAST", *words))

    def _asked(self) -> tuple[str, str]:
        return ("CLIENT TRACKING ON BCAST over RESP3" if self._greetings else "PING"), ""

    def _take(self, frame: Any) -> None:
        if isinstance(frame, hiredis.PushNotification):
            self._pushed(list(frame))
        elif self._logged_in(frame):
            self._answered(frame)

    def _pushed(self, frame: list[Any]) -> None:
        if len(frame) != 2 or frame[0] != INVALIDATED:
            raise self._violation("pushed what no tracking feed pushes")
        if frame[1] is None:
            raise Flushed(f"the data set of {self._endpoint.name} was flushed", node=self._endpoint.name)
        keys: list[bytes] = frame[1]
        if type(keys) is not list:
            raise self._violation("invalidated what is no list of keys")
        for prefix in self._subscription.patterns:
            concerned = [key for key in keys if key.startswith(prefix)]
            if concerned:
                self._listener.feed_changes(prefix, concerned)
        for key in self._subscription.channels:
            if key in keys:
                self._listener.feed_message(key, INVALIDATED)

    def _answered(self, frame: Any) -> None:
        if self._greetings:
            self._greetings -= 1
            if isinstance(frame, dict):
                self.client_id = frame.get(b"id", 0)
            if not self._greetings:
                self._listener.feed_subscribed()
        elif self._pings and frame == self._pings[0][0]:
            text, last = self._pings.popleft()
            if last:
                self._listener.feed_pong(text)
            else:
                self._ping(text, last=True)
        else:
            raise self._violation("answered what nobody asked")


def disjoint(prefixes: Iterable[bytes]) -> list[bytes]:
    """The same keys by prefixes of which none begins another: the server refuses those that overlap."""
    kept: list[bytes] = []
    for prefix in sorted(set(filter(None, prefixes))):
        if not (kept and prefix.startswith(kept[-1])):
            kept.append(prefix)
    return kept
