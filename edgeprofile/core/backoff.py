"""How long to wait before the next attempt: doubling, capped, and spread by chance so that a fleet does not march."""

from __future__ import annotations

__all__ = ["Backoff"]


class Backoff:
    """Delays between ``first`` and ``cap`` seconds; each is drawn from the upper half of what is due."""

    def __init__(self, first: float = 0.05, cap: float = 5.0) -> None:
        self._first = first
        self._cap = cap
        self._due = first

    def next(self, chance: float) -> float:
        """The delay before the next attempt; ``chance`` is in [0, 1)."""
        due, self._due = self._due, min(self._due * 2, self._cap)
        return due * (0.5 + chance / 2)

    def reset(self) -> None:
        """An attempt succeeded."""
        self._due = self._first
