"""How long to wait before the next attempt: doubling, capped, and spread by chance so that a fleet does not march."""

from __future__ import annotations

__all__ = ["Backoff", "after"]

_FIRST, _CAP = 0.05, 5.0


class Backoff:
    """Delays between ``first`` and ``cap`` seconds; each is drawn from the upper half of what is due."""

    def __init__(self, first: float = _FIRST, cap: float = _CAP) -> None:
        self._first = first
        self._cap = cap
        self._due = first

    def next(self, chance: float) -> float:
        """The delay before the next attempt; ``chance`` is in [0, 1)."""
        due, self._due = self._due, min(self._due * 2, self._cap)
        return _spread(due, chance)

    def reset(self) -> None:
        """An attempt succeeded."""
        self._due = self._first


def after(failures: int, chance: float) -> float:
    """The delay after so many attempts in a row that failed, for who counts them."""
    return _spread(min(_FIRST * 2.0 ** min(failures - 1, 10), _CAP), chance)


def _spread(due: float, chance: float) -> float:
    return due * (0.5 + chance / 2)
