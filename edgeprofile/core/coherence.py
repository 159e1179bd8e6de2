"""The coherence machine of one Redis node: epochs, leases and heartbeats.

Theory of operation
===================

A hit asks nobody whether its entry is fresh; freshness was *lent* to it. Every entry points to a `Lease`, and may be
served while ``now < lease.until``. An `Authority` owns the lease of one node and extends it only by proof:

* An **epoch** begins when the subscriptions of one feed connection are acknowledged, and ends with anything that could
  have hidden an event. Its lease is revoked then (``until = 0.0``) and never used again, so every entry read under it
  becomes invalid at once, in constant time.
* A **beat** is one heartbeat. It is sent at ``s`` on the data side and must come back twice: as the reply, with the
  value that only this process' own counting explains, and as an event on the feed. Redis delivers keyspace events in the
  order of execution, and invalidations before it acknowledges the writes that caused them, so the beat's event proves
  that the event of every write acknowledged before ``s`` has been processed. Both together move the **watermark** to ``s`` (the send time, never the time of receipt) and the lease
  to ``s + max_staleness``.
* The counter starts at nothing in every epoch, under a key of that epoch's own, so that a command of an earlier epoch
  that is executed late cannot be taken for a beat of this one. Reply ``k`` of an epoch must be ``k``; anything else says
  that the data set was flushed, swapped or replaced, and ends the epoch *before* the watermark could move.
* The events are counted, since keyspace events carry no value: beat ``k`` is proved by the ``k``-th event. More events
  than beats were sent is somebody else's doing, and ends the epoch too.

What may happen when is the table `TRANSITIONS`; the rest of the module says what each step does to the lease.
"""

from __future__ import annotations

import enum
import math
from typing import Final

__all__ = ["FOREVER", "TRANSITIONS", "Authority", "Lease", "OutOfTurn", "Phase", "Proof", "Signal"]


class Lease:
    """The right to serve the entries of one epoch; ``until`` is the end, in seconds on the engine's clock.

    ``ended`` is when the right ended, or will: what ``until`` was before it was revoked.
    """

    __slots__ = ("_revoked_at", "until")

    def __init__(self, until: float = 0.0) -> None:
        self.until = until
        self._revoked_at: float | None = None

    @property
    def ended(self) -> float:
        """The end of the right, revocation apart."""
        return self.until if self._revoked_at is None else self._revoked_at

    def revoke(self) -> None:
        """End it at once, for good."""
        if self._revoked_at is None:
            self._revoked_at, self.until = self.until, 0.0

    def __repr__(self) -> str:
        return f"Lease(until={self.until})"


FOREVER: Final = Lease(math.inf)
"""The lease of an entry whose own deadline is its proof: it was read at ``sent`` and ends at ``sent + max_staleness``."""


class Phase(enum.Enum):
    """Where the feed of a node stands."""

    DOWN = "down"
    SUBSCRIBING = "subscribing"
    PROVING = "proving"
    LIVE = "live"


class Signal(enum.Enum):
    """What can happen to the feed of a node."""

    CONNECTED = "connected"
    SUBSCRIBED = "subscribed"
    PROVED = "proved"
    LOST = "lost"


TRANSITIONS: Final[dict[tuple[Phase, Signal], Phase]] = {
    (Phase.DOWN, Signal.CONNECTED): Phase.SUBSCRIBING,
    (Phase.SUBSCRIBING, Signal.SUBSCRIBED): Phase.PROVING,
    (Phase.PROVING, Signal.PROVED): Phase.LIVE,
    (Phase.LIVE, Signal.PROVED): Phase.LIVE,
    (Phase.DOWN, Signal.LOST): Phase.DOWN,
    (Phase.SUBSCRIBING, Signal.LOST): Phase.DOWN,
    (Phase.PROVING, Signal.LOST): Phase.DOWN,
    (Phase.LIVE, Signal.LOST): Phase.DOWN,
}


class OutOfTurn(RuntimeError):
    """A signal that cannot occur in this phase: a mistake of the caller, never of the server."""


class Proof(enum.Enum):
    """What a heartbeat has to show."""

    CANARY = "canary"
    """Reply with the expected value, and the event of the same write."""
    PONG = "pong"
    """The reply to a PING on the feed connection itself: a barrier for ordinary writes, blind to a flush."""


class Authority:
    """The node that serves both the fetches and the events of a key: its phase, its lease and its heartbeat.

    ``max_staleness`` is in seconds. All times are on one monotonic clock of the caller's.
    """

    _sent: float | None
    _beats: int
    _replies: int
    _events: int

    def __init__(self, max_staleness: float, proof: Proof = Proof.CANARY) -> None:
        self.max_staleness = max_staleness
        self.proof = proof
        self.phase = Phase.DOWN
        self.epoch = 0
        self.lease = Lease()
        self.watermark = -math.inf
        self._reset_beats()

    def connected(self) -> None:
        """A feed connection is up and its subscriptions are on their way: a new epoch opens under a new lease."""
        self._turn(Signal.CONNECTED)
        self.epoch += 1
        self.lease = Lease()
        self.watermark = -math.inf
        self._reset_beats()

    def subscribed(self) -> None:
        """Every subscription is acknowledged: from here on no event can be missed without the epoch ending."""
        self._turn(Signal.SUBSCRIBED)

    def lost(self) -> None:
        """Continuity is gone, for whatever reason: revoke the lease. Harmless when the feed is down already."""
        self._turn(Signal.LOST)
        self.lease.revoke()
        self._sent = None

    def renew(self) -> None:
        """The feed is sound, and what was read so far is in doubt: what is read from now on has a lease of its own."""
        self.lease.revoke()
        self.lease = Lease()

    def beat(self, now: float) -> int | None:
        """Send a heartbeat now? Its number in this epoch, or `None` while one is out or nothing is subscribed.

        A late beat is never repeated, only awaited: two at once could prove each other's events.
        """
        if self._sent is not None or self.phase not in (Phase.PROVING, Phase.LIVE):
            return None
        self._sent = now
        self._beats += 1
        return self._beats

    def beat_answered(self, value: int) -> bool:
        """The reply to the outstanding beat arrived. `False`: the epoch has to end, the data set is another one.

        A slow connection may answer beats of earlier epochs now. Those prove nothing, but their values may fit: the
        caller, who sent them, has to pass them over.
        """
        if self._sent is None or value != self._beats:
            return False
        self._replies = value
        self._prove()
        return True

    def beat_refused(self) -> None:
        """The server would not execute the outstanding beat: it never was, and another may be sent."""
        if self._sent is not None and self._replies < self._beats:
            self._sent = None
            self._beats -= 1

    def beat_void(self) -> None:
        """The outstanding beat came back but proves nothing: another may be sent."""
        self._sent = None

    def beat_seen(self) -> bool:
        """The event of a beat arrived on the feed. `False`: the epoch has to end, it was none of ours."""
        self._events += 1
        if self._events > self._beats:
            return False
        self._prove()
        return True

    @property
    def replies(self) -> int:
        """How many heartbeats of this epoch were answered."""
        return self._replies

    @property
    def outstanding(self) -> float | None:
        """When the heartbeat that is out was sent, or `None`."""
        return self._sent

    @property
    def answered(self) -> bool:
        """Whether the outstanding heartbeat lacks nothing but its event: notifications are off, or late."""
        return self._sent is not None and self._replies == self._beats

    def live(self, now: float) -> bool:
        """Whether entries read now may be kept under the lease."""
        return now < self.lease.until

    def _prove(self) -> None:
        if self._sent is None or self._replies != self._beats:
            return
        if self.proof is Proof.CANARY and self._events != self._beats:
            return
        self._turn(Signal.PROVED)
        self.watermark, self._sent = self._sent, None
        self.lease.until = self.watermark + self.max_staleness

    def _turn(self, signal: Signal) -> None:
        try:
            self.phase = TRANSITIONS[self.phase, signal]
        except KeyError:
            raise OutOfTurn(f"{signal.value} while {self.phase.value}") from None

    def _reset_beats(self) -> None:
        self._sent = None
        self._beats = self._replies = self._events = 0
