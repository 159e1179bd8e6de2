"""Data connections and what travels on them: fetches, heartbeats, deletes of our own.

A command is sent, executed and answered at three different moments, in order on each connection. When a connection is
lost, what was not executed may be executed later all the same.
"""

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Protocol

from edgeprofile.core.fills import Fill
from edgeprofile.core.keeper import Found
from tests.support.walk.server import Server

if TYPE_CHECKING:
    from tests.support.walk.world import World

__all__ = ["Beat", "Command", "Delete", "Fetch", "Wire"]


class Command(Protocol):
    """What a connection carries."""

    def execute(self, server: Server) -> bool:
        """The server takes a step with it; whether it is done."""

    def answer(self, world: "World") -> None:
        """The client has read the reply."""

    def lose(self, world: "World") -> None:
        """The client has been told that the connection is lost: the outcome is unknown."""


class Wire:
    """One data connection; a dead one leads nowhere, and its client does not know it yet."""

    __slots__ = ("dead", "executed", "sent")

    def __init__(self) -> None:
        self.dead = False
        self.sent: deque[Command] = deque()
        self.executed: deque[Command] = deque()

    def step(self, server: Server) -> None:
        """The server executes the next command, or a part of it."""
        if self.sent and not self.dead and self.sent[0].execute(server):
            self.executed.append(self.sent.popleft())


class Fetch:
    """The value and the TTL of one key after the other until one exists; others may write in between."""

    __slots__ = ("asked", "begun", "end", "fill", "found", "identity", "keys", "over", "raw", "refused", "sent")

    def __init__(self, identity: int, keys: tuple[int, ...], fill: Fill, sent: float, begun: int) -> None:
        self.identity = identity
        self.keys = keys
        self.fill = fill
        self.begun = begun
        self.sent = sent
        self.asked = 0
        self.raw: bytes | None = None
        self.found: Found | None = None
        self.end = inf
        self.over = self.refused = False

    def execute(self, server: Server) -> bool:
        if server.busy:
            self.refused = True
            return True
        if self.raw is not None:
            key = self.keys[self.asked]
            self.end = server.ends[key] if server.values[key] is not None else server.now
            self.found = Found(self.raw, self.end - server.now)
            return True
        self.raw = server.values[self.keys[self.asked]]
        if self.raw is None:
            self.asked += 1
            if self.asked == len(self.keys):
                self.found = Found(None)
                return True
        return False

    def answer(self, world: "World") -> None:
        if self.over:
            return
        if self.refused or self.found is None:
            world.fetch_failed(self)
        else:
            world.fetched(self, self.found)

    def lose(self, world: "World") -> None:
        if not self.over:
            world.fetch_failed(self)


class Beat:
    """A heartbeat of one epoch that counts in a canary and renews its TTL; others may come in between."""

    __slots__ = ("canary", "counted", "epoch", "refused", "value")

    def __init__(self, epoch: int, canary: int) -> None:
        self.epoch = epoch
        self.canary = canary
        self.value = 0
        self.counted = self.refused = False

    def execute(self, server: Server) -> bool:
        self.refused |= server.busy
        if not self.counted:
            self.counted = True
            if not server.busy:
                self.value = server.count(self.canary)
                server.own_beats.setdefault(self.canary, []).append(server.moment)
            return False
        if not server.busy and not server.renew(self.canary):
            self.value = 0
        return True

    def answer(self, world: "World") -> None:
        if not self.refused:
            world.session.answered(self.epoch, self.value)
        elif self.value:
            world.session.half_refused(self.epoch, self.value)
        else:
            world.session.refused(self.epoch)
        world.oracle.look(world.keeper.authority, world.session.feed)

    def lose(self, world: "World") -> None:
        world.session.unanswered(self.epoch)


class Delete:
    """A delete of our own."""

    __slots__ = ("identity", "keys")

    def __init__(self, identity: int, keys: tuple[int, ...]) -> None:
        self.identity = identity
        self.keys = keys

    def execute(self, server: Server) -> bool:
        for key in self.keys:
            if not server.busy:
                server.remove(key)
        return True

    def answer(self, world: "World") -> None:
        world.overwrite(self.identity)

    lose = answer
