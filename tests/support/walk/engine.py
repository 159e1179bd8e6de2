"""The walk with the engine's own session in the place of the simulated one, but for its connections and its clock."""

import threading
from collections.abc import Callable
from functools import cache
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from edgeprofile.config import Config, from_mapping
from edgeprofile.core.coherence import Phase, Proof
from edgeprofile.core.keeper import Identity
from edgeprofile.engine import session
from edgeprofile.engine.node import Node
from edgeprofile.engine.target import Target
from edgeprofile.errors import EdgeProfileError
from edgeprofile.keys import channel_pattern
from edgeprofile.metrics import Counters
from edgeprofile.store.endpoint import ConnectionLost, Endpoint
from edgeprofile.store.resp import ErrorReply
from tests.support.walk.server import ACK, BEAT, END, EVENT, PONG, Feed, Frame
from tests.support.walk.session import Session
from tests.support.walk.world import Rules

if TYPE_CHECKING:
    from tests.support.walk.world import World

__all__ = ["EngineRules"]


_BUSY = ErrorReply("BUSY Redis is busy running a script")


class EngineSession(Session):
    """What happens to the feed and to heartbeats is told to a real session, as its feed and its wires would."""

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        config = _config(world.source.legacy, self.authority.proof)
        target = Target(config.destinations[0], Counters(), ())
        node = Node(Endpoint(("127.0.0.1", 1)), world.keeper, config.limits)
        self.pattern = channel_pattern(0, target.layout.pattern)
        self.real = session.Session(node, [target], config, threading.Lock(), Counters(), self._refresh, lambda: None)
        self._lost = world.keeper.lost
        world.keeper.lost = self._cleared  # type: ignore[method-assign]  # to hear of it whoever calls it

    def connect(self) -> None:
        if self.authority.phase is Phase.DOWN:
            super().connect()
            self.real._pulse.new_canary(self.authority.epoch, "")

    def take(self, frames: list[Frame]) -> None:
        for kind, run in groupby(frames, key=attrgetter("kind")):
            try:
                self._hear(kind, list(run))
            except EdgeProfileError:
                self._close_soon()
                return

    def answered(self, epoch: int, value: int) -> None:
        self.real._answered(epoch, [value, int(value > 0)])

    def refused(self, epoch: int) -> None:
        self.real._answered(epoch, [_BUSY, _BUSY])

    def half_refused(self, epoch: int, value: int) -> None:
        self.real._answered(epoch, [value, _BUSY])

    def unanswered(self, epoch: int) -> None:
        self.real._answered(epoch, ConnectionLost("the connection was lost"))

    def end(self) -> None:
        self.real._drop_feed(None)
        self.feed = self.world.server.feed = None

    def _hear(self, kind: str, frames: list[Frame]) -> None:
        if kind == EVENT:
            self.real.feed_changes(self.pattern, [self.world.names[frame.number] for frame in frames])
            for frame in frames:
                self.world.oracle.changed(frame.number)
        elif kind == BEAT:
            ((channel, _), *_) = self.real._pulse.echoes
            for frame in frames:
                self.real.feed_message(channel, frame.event.encode())
        elif kind == ACK:
            self.real.feed_subscribed()
            self.world.oracle.acknowledged()
        elif kind == PONG:
            self.real.feed_pong(b"%d" % frames[0].number)
        elif kind == END:
            self.real.feed_lost(ConnectionLost("the feed was lost"))
            self.feed = None
        else:
            self._close_soon()

    def _close_soon(self) -> None:
        """The connection is aborted, and the session will be told of it, but not at once."""
        self.feed, self.world.server.feed = Feed(0), None
        self.feed.end()

    def _cleared(self) -> None:
        self._lost()
        self.world.oracle.cleared()

    def _refresh(self, identities: list[Identity]) -> None:
        self.world.due.extend(self.world.index_of[identity[1:4]] for identity in identities)


class EngineRules(Rules):
    """The machine with the engine's session."""

    session: Callable[["World"], Session] = EngineSession


@cache
def _config(legacy: bool, proof: Proof) -> Config:
    redis = {"address": "127.0.0.1:1", "clusterMode": False}
    destination = {"id": "d", "workspaceId": "w", "type": "REDIS", "legacyKeys": legacy, "config": redis}
    heartbeat = "canary" if proof is Proof.CANARY else "ping"
    return from_mapping({"destinations": [destination], "feed": {"heartbeat": heartbeat}}, "the walk")
