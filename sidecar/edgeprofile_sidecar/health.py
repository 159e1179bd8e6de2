"""Whether the sidecar lives, has started and is ready, and why not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Literal

import msgspec

from edgeprofile import DestinationStatus

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Health", "Readiness", "Startup"]

_ANSWERED = frozenset({"late", "notifications off"})
"""States in which Redis answers, so that each profile is read again."""

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
    """Readiness by policy: ``strict`` asks that every destination is coherent, ``serve-stale`` that each can be answered.

    That is so while Redis answers, or while what was proved last is not older than ``max_stale``, in seconds by ``clock``.

    ``serving`` becomes true when the data listener is open, and false when the sidecar is told to stop; ``warm`` is
    false while the profiles in use are still to be fetched, where that has to come first.
    """

    def __init__(
        self,
        status: Callable[[], Mapping[str, DestinationStatus]],
        policy: Policy,
        max_stale: Callable[[], float] = float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.serving = False
        self.warm = True
        self._begun = False
        self._status = status
        self._policy = policy
        self._max_stale = max_stale
        self._clock = clock
        self._proved: dict[str, float] = {}

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
        destinations = self.look()
        reasons = [] if self.serving else ["the sidecar is starting or stopping"]
        reasons += self._cold()
        reasons += [_reason(name, status) for name, status in destinations.items() if not self._usable(status)]
        return Readiness(ready=not reasons, reasons=tuple(reasons), destinations=destinations)

    def look(self) -> Mapping[str, DestinationStatus]:
        """Where every destination stands; to be asked now and then, so that the latest proof of each is known."""
        found = self._status()
        now = self._clock()
        self._proved.update((name, now - (each.watermark_age or 0.0)) for name, each in found.items() if each.ready)
        return found

    def _usable(self, status: DestinationStatus) -> bool:
        if status.ready or self._policy == "strict":
            return status.ready
        age = self._clock() - self._proved.get(status.destination, -math.inf)
        return status.state in _ANSWERED or age <= self._max_stale()

    def _cold(self) -> list[str]:
        return [] if self.warm else ["the profiles in use are being fetched"]


def _reason(destination: str, status: DestinationStatus) -> str:
    return f"destination {destination}: {status.state}" + (f" ({status.reason})" if status.reason else "")
