"""Whether the sidecar lives, has started and is ready, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from edgeprofile import DestinationStatus

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Health", "Readiness", "Startup"]

Policy = Literal["strict", "serve-stale"]


class Readiness(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer of ``/readyz``."""

    ready: bool
    reasons: tuple[str, ...]
    destinations: Mapping[str, DestinationStatus]


class Startup(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``/startupz``."""

    started: bool
    reasons: tuple[str, ...]


class Health:
    """Readiness by policy: ``strict`` asks every destination, ``serve-stale`` only that the sidecar serves.

    ``serving`` becomes true when the data listener is open, and false when the sidecar is told to stop; ``warm`` is
    false while the profiles in use are still to be fetched, where that has to come first.
    """

    def __init__(self, status: Callable[[], Mapping[str, DestinationStatus]], policy: Policy) -> None:
        self.serving = False
        self.warm = True
        self._begun = False
        self._status = status
        self._policy = policy

    def begin(self) -> None:
        """The sidecar serves."""
        self.serving = self._begun = True

    def startup(self) -> Startup:
        """Whether the start is over; what comes later is the business of readiness."""
        reasons = [] if self._begun else ["the listeners are not open yet"]
        reasons += self._cold()
        return Startup(started=not reasons, reasons=tuple(reasons))

    def readiness(self) -> Readiness:
        """Where every destination stands, and what keeps the sidecar from being ready."""
        destinations = self._status()
        reasons = [] if self.serving else ["the sidecar is starting or stopping"]
        reasons += self._cold()
        if self._policy == "strict":
            reasons += [_reason(name, status) for name, status in destinations.items() if not status.ready]
        return Readiness(ready=not reasons, reasons=tuple(reasons), destinations=destinations)

    def _cold(self) -> list[str]:
        return [] if self.warm else ["the profiles in use are being fetched"]


def _reason(destination: str, status: DestinationStatus) -> str:
    return f"destination {destination}: {status.state}" + (f" ({status.reason})" if status.reason else "")
