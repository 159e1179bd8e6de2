"""Reads changed profiles again while they are in use, within a budget, so that their next lookup is a hit."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from edgeprofile.core.pacing import Pacing

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprofile.core.keeper import Identity
    from edgeprofile.metrics import Counters

__all__ = ["Refresher"]


class Refresher:
    """Runs on the engine's loop. ``fetch`` begins fetches of identities and returns how many it began; the engine calls `ended` for each."""

    def __init__(self, fetch: Callable[[list[Identity]], int], budget: int, counters: Counters) -> None:
        self._fetch = fetch
        self._budget = budget
        self._counters = counters
        self._pacing = Pacing()
        self._due: deque[Identity] = deque()
        self._running = 0

    def want(self, identities: list[Identity]) -> None:
        """These profiles changed and were in use."""
        now = time.monotonic()
        for identity in identities:
            delay = self._pacing.ask(identity.keys[0], now)
            if delay is None:
                self._counters.refreshes_dropped += 1
            elif delay:
                asyncio.get_running_loop().call_later(delay, self._ready, identity)
            else:
                self._due.append(identity)
        self._go()

    def ended(self, count: int = 1) -> None:
        """So many refreshes are over."""
        self._running -= count
        if self._due:
            self._go()

    def _ready(self, identity: Identity) -> None:
        self._due.append(identity)
        self._go()

    def _go(self) -> None:
        now = time.monotonic()
        batch: list[Identity] = []
        while self._due and self._running + len(batch) < self._budget:
            identity = self._due.popleft()
            self._pacing.begun(identity.keys[0], now)
            batch.append(identity)
        if batch:
            begun = self._fetch(batch)
            self._running += begun
            self._counters.refreshes += begun
