"""How long to wait before the next attempt: doubling, capped, and spread by chance so that a fleet does not march."""

from __future__ import annotations

__all__ = ["Backoff", "after"]

_FIRST, _CAP = 0.05, 5.0
_SOON = 0.5
_MOST_DOUBLINGS = 64  # beyond any cap, and far from where a float ends


class Backoff:
    """Delays between ``first`` and ``cap`` seconds; each is drawn from the upper half of what is due.

    A hint that the next attempt may succeed is worth waiting less, but not nothing: a whole fleet has it at once. Hints
    in vain are worth less and less, and make no later delay any shorter: what gives them may be what fails.
    """

    def __init__(self, first: float = _FIRST, cap: float = _CAP) -> None:
        self._first = first
        self._cap = cap
        self._failures = self._hints = 0

    def next(self, chance: float) -> float:
        """The delay before the next attempt; ``chance`` is in [0, 1)."""
        self._failures += 1
        return after(self._failures, chance, self._first, self._cap)

    def hinted(self, chance: float) -> float:
        """The delay from a hint on; the one that it cuts short may end before."""
        self._hints += 1
        return after(self._hints, chance, _SOON, self._cap)

    def reset(self) -> None:
        """An attempt succeeded."""
        self._failures = self._hints = 0


def after(failures: int, chance: float, first: float = _FIRST, cap: float = _CAP) -> float:
    """The delay after so many attempts in a row that failed, for who counts them; as of `Backoff`."""
    due = min(first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), cap)
    return due * (0.5 + chance / 2)
