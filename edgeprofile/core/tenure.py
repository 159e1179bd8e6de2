"""What one primary of a cluster says it owns, before each heartbeat, and what follows for what was read from it.

Events of a slot come from the node that has it. So what was read of a slot has no lease beyond the last heartbeat
before which its node still had it, and had it for itself:

* A slot that is gone: what was read of it is dropped, and its fetches are spoiled, before the heartbeat is sent.
* A slot on its way to another node, key by key: this node knows only the keys that have not left yet, and tells nobody
  of those that are made at the other. So the same is done when it is first seen, and as long as it is on its way what
  is read of it is its own proof.
* A slot that left and came back in between looks untouched. But whoever takes a slot claims it by an epoch above all
  others, so it has another one then than before; and everything is in doubt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edgeprofile.core.keeper import Keeper
    from edgeprofile.core.slots import Claims

__all__ = ["Departed", "Tenure"]

_NONE: Final[frozenset[int]] = frozenset()


class Departed(Exception):
    """The node vouches for nothing any more; the message says why."""


class Tenure:
    """The slots of one primary, as last confirmed. Not thread-safe: the engine holds its lock around every call."""

    __slots__ = ("_claims", "_keeper", "leaving", "slots")

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.begin()

    def begin(self) -> None:
        """An epoch of the feed begins: nothing is owed to what was owned before."""
        self._claims: Claims | None = None
        self.slots = self.leaving = _NONE

    def is_new(self, claims: Claims) -> bool:
        """Whether the node says something else than the last time."""
        return claims != self._claims

    def confirmed(self, claims: Claims) -> frozenset[int]:
        """Heed what the node says: spoil what may not be stored, and return the slots whose entries are to be dropped.

        Raises `Departed`.
        """
        before, self._claims = self._claims, claims
        if claims == before:
            return _NONE
        slots, leaving = claims.slots, claims.leaving
        if not slots:
            raise Departed("serves no slot any more")
        if before is not None and before.name != claims.name:
            raise Departed("leads to another node of the cluster now than before")
        lost = (self.slots - slots) | (leaving - self.leaving)
        self.slots, self.leaving = slots, leaving
        self._keeper.leaving = leaving
        return self._withdraw(lost, came=before.epoch != claims.epoch) if before is not None else _NONE

    def _withdraw(self, lost: frozenset[int], *, came: bool) -> frozenset[int]:
        if came:
            self._keeper.renounce()
            return _NONE
        self._keeper.moved(lost)
        return lost
