"""The feed session of the walk: what the process does when it is told something, in the order of the real one."""

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from edgeprofile.core.coherence import Phase, Proof
from edgeprofile.core.keeper import wanted
from tests.support.walk.server import ACK, BEAT, END, EVENT, EXPIRE, HINCRBY, JUNK, PONG, Feed, Frame
from tests.support.walk.wires import Beat

if TYPE_CHECKING:
    from tests.support.walk.world import World

__all__ = ["Session"]


class Session:
    """Connects, subscribes, beats, heeds events, and ends the epoch when anything is not as it should be."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.keeper = world.keeper
        self.authority = world.keeper.authority
        self.feed: Feed | None = None
        self.half_heard = False

    def connect(self) -> None:
        """A new epoch, if the last one is over."""
        if self.authority.phase is not Phase.DOWN:
            return
        self.authority.connected()
        self.half_heard = False
        self.feed = Feed(self.canary if self.authority.proof is Proof.CANARY else 0)
        self.world.server.feed = self.feed

    @property
    def canary(self) -> int:
        """The key that this epoch counts in."""
        return self.authority.epoch

    def beat(self) -> None:
        """A heartbeat, if none is out."""
        number = self.authority.beat(self.world.server.now)
        if number is None:
            return
        self.world.oracle.beat_sent(number)
        if self.authority.proof is Proof.CANARY:
            self.world.wires[0].sent.append(Beat(self.authority.epoch, self.canary))
        elif self.feed is not None:
            self.feed.pings.append(number)

    def take(self, frames: list[Frame]) -> None:
        """Frames arrived: events together, all else one by one."""
        if frames[0].kind in {EVENT, BEAT}:
            self.heed(frames)
            return
        kind, number = frames[0][:2]
        if kind == ACK:
            self.authority.subscribed()
            self.world.oracle.acknowledged()
        elif kind == PONG:
            self.answered(self.authority.epoch, number)
        else:
            assert kind in {END, JUNK}
            self.end()

    def heed(self, frames: Iterable[Frame]) -> None:
        """Events, in order: runs of changes, and between them the heartbeats that prove them."""
        for kind, run in groupby(frames, key=attrgetter("kind")):
            if kind == EVENT:
                self.changed([frame.number for frame in run])
            elif not all(self.authority.beat_seen() for frame in run if self.hears(frame.event)):
                self.end()
                return

    def changed(self, keys: list[int]) -> None:
        """Events name these keys."""
        world = self.world
        for entry in self.keeper.touched(world.source, [world.names[key] for key in keys]):
            if wanted(entry):
                world.due.append(world.index_of[*entry.home[1:], entry.value])
        for key in keys:
            world.oracle.changed(key)

    def hears(self, event: str) -> bool:
        """An event of the canary. Whether it completes those of one heartbeat."""
        complete = event == EXPIRE and self.half_heard
        self.half_heard = event == HINCRBY
        return complete

    def answered(self, epoch: int, value: int) -> None:
        """The reply to a heartbeat; one of an epoch that is over says nothing."""
        if epoch == self.authority.epoch and not self.authority.beat_answered(value):
            self.end()

    def refused(self, epoch: int) -> None:
        """The server had no time for a heartbeat."""
        if epoch == self.authority.epoch:
            self.authority.beat_refused()

    def half_refused(self, epoch: int, value: int) -> None:  # noqa: ARG002 (the engine's is told of it)
        """The server counted a heartbeat and had no time for the rest of it."""
        if epoch == self.authority.epoch:
            self.end()

    def unanswered(self, epoch: int) -> None:
        """A heartbeat's connection was lost: whether it was executed is not known."""
        if epoch == self.authority.epoch:
            self.end()

    def end(self) -> None:
        """The epoch is over."""
        self.keeper.lost()
        self.world.oracle.cleared()
        self.feed = None
        self.world.server.feed = None
