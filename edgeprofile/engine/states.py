"""What a feed session says of itself: the states that users read, and why an epoch ended."""

from __future__ import annotations

from typing import Final

from edgeprofile.errors import AccessDenied, NotificationsOff, ServiceError, UsageError
from edgeprofile.store.endpoint import TlsRefused
from edgeprofile.store.feed import NoFeed

__all__ = ["LATE", "RANKS", "STATES", "UNDYING", "UNSEEN", "Gap", "for_operators"]

STATES: Final = {
    NotificationsOff.__name__: "notifications off",
    "beat unseen": "notifications off",
    "heartbeat permitted": "starting",
    NoFeed.__name__: "unproven",
}
"""What the end of an epoch means, by its reason."""
RANKS: Final = ("closed", "disconnected", "notifications off", "starting", "late", "unproven", "live")
UNSEEN: Final = {
    False: "a heartbeat was written, and what was sent behind it came back, but its events did not: "
    "check CONFIG GET notify-keyspace-events",
    True: "a heartbeat was written, and what was sent behind it came back, but its invalidation did not: "
    "does something between here and the server keep RESP3 pushes back?",
}
UNDYING: Final = "a tracking feed that hung could not be ended, and may fill the server's memory: grant +client|kill"
LATE: Final = "no heartbeat has come back in time: until one does, every value is read again after maxStaleness"


class Gap(ServiceError):
    """Events may have been missed; the message says why, the first argument of the constructor is the short reason."""

    def __init__(self, reason: str, message: str, *, node: str) -> None:
        super().__init__(message, node=node)
        self.reason = reason


def for_operators(error: BaseException | None) -> bool:
    """Whether somebody has to change a setting, a right or a certificate before this goes away."""
    return isinstance(error, UsageError | AccessDenied | NotificationsOff | TlsRefused)
