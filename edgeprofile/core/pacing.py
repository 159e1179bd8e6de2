"""When a changed profile may be read again: at once, or a little later, or not at all because others wait already."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Pacing"]


class Pacing:
    """At most one refresh of a key every ``gap`` seconds, and at most ``room`` keys waiting or remembered."""

    def __init__(self, gap: float = 0.010, room: int = 10_000) -> None:
        self._gap = gap
        self._room = room
        self._last: OrderedDict[bytes, float] = OrderedDict()
        self._waiting: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, key: bytes, now: float) -> float | None:
        """Seconds until the key may be read again (0.0: now), or `None` if that is arranged already or there is no room."""
        self._forget(now)
        if key in self._waiting or len(self._waiting) >= self._room:
            return None
        last = self._last.get(key)
        self._waiting.add(key)
        return 0.0 if last is None else min(self._gap, max(0.0, last + self._gap - now))

    def begun(self, key: bytes, now: float) -> None:
        """The key is being read."""
        self._waiting.discard(key)
        self._last[key] = now
        self._last.move_to_end(key)

    def _forget(self, now: float) -> None:
        last = self._last
        while last and (len(last) > self._room or now - next(iter(last.values())) >= self._gap):
            last.popitem(last=False)
