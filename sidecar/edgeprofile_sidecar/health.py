"""Whether the sidecar lives and is ready, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from edgeprofile import DestinationStatus

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Health", "Readiness"]

Policy = Literal["strict", "serve-stale"]


class Readiness(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer of ``/readyz``."""

    ready: bool
    reasons: tuple[str, ...]
    destinations: Mapping[str, DestinationStatus]


class Health:
    """Readiness by policy: ``strict`` asks every destination, ``serve-stale`` only that the sidecar serves.

    ``serving`` becomes true when the data listener is open, and false when the sidecar is told to stop.
    """

    def __init__(self, status: Callable[[], Mapping[str, DestinationStatus]], policy: Policy) -> None:
        self.serving = False
        self._status = status
        self._policy = policy

    def readiness(self) -> Readiness:
        """Where every destination stands, and what keeps the sidecar from being ready."""
        destinations = self._status()
        reasons = [] if self.serving else ["the sidecar is starting or stopping"]
        if self._policy == "strict":
            reasons += [_reason(name, status) for name, status in destinations.items() if not status.ready]
        return Readiness(ready=not reasons, reasons=tuple(reasons), destinations=destinations)


def _reason(destination: str, status: DestinationStatus) -> str:
    return f"destination {destination}: {status.state}" + (f" ({status.reason})" if status.reason else "")
