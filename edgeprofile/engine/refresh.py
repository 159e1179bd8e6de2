"""Reads changed profiles again while they are in use, within a budget, so that their next lookup is a hit."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from edgeprofile.core.pacing import Pacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edgeprofile.core.keeper import Identity
    from edgeprofile.metrics import Counters

__all__ = ["Refresher"]


class Refresher:
    """Runs on the engine's loop, all of it.

    ``fetch`` begins fetches of identities and returns those that it began; the engine calls `ended` with each. At most
    ``budget`` of them are under way, one for each key: what changes meanwhile is read again afterwards.
    """

    def __init__(self, fetch: Callable[[list[Identity]], list[Identity]], budget: int, counters: Counters) -> None:
        self._fetch = fetch
        self._budget = budget
        self._counters = counters
        self._pacing = Pacing()
        self._due: deque[Identity] = deque()
        self._out: dict[bytes, Identity | None] = {}  # with the one that is to follow

    def want(self, identities: Iterable[Identity]) -> None:
        """These profiles changed and were in use."""
        now = time.monotonic()
        for identity in identities:
            key = identity.keys[0]
            if key in self._out:
                self._out[key] = identity
                continue
            delay = self._pacing.ask(key, now)
            if delay is None:
                self._counters.refreshes_dropped += 1
            elif delay:
                asyncio.get_running_loop().call_later(delay, self._ready, identity)
            else:
                self._due.append(identity)
        self._go()

    def ended(self, identities: Iterable[Identity]) -> None:
        """The refreshes of these are over."""
        following = [self._out.pop(identity.keys[0], None) for identity in identities]
        if self._due or any(following):
            # Not now: this may be the end of a fetch that could not even be sent, within the very call that began it.
            asyncio.get_running_loop().call_soon(self.want, list(filter(None, following)))

    def _ready(self, identity: Identity) -> None:
        self._due.append(identity)
        self._go()

    def _go(self) -> None:
        now = time.monotonic()
        batch: list[Identity] = []
        while self._due and len(self._out) < self._budget:
            identity = self._due.popleft()
            self._pacing.begun(identity.keys[0], now)
            self._out[identity.keys[0]] = None
            batch.append(identity)
        if batch:
            begun = self._fetch(batch)
            self._counters.refreshes += len(begun)
            for identity in {*batch}.difference(begun):
                self._out.pop(identity.keys[0], None)
