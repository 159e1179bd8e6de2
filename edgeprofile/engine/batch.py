"""Fetches of one node, from the question to the answer: alone, or several in one round trip."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from edgeprofile.errors import EdgeProfileError, ProtocolViolation, ReplyTooLarge
from edgeprofile.store.endpoint import ConnectionLost
from edgeprofile.store.link import Call
from edgeprofile.store.reading import Unasked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeprofile.core.fills import Fill
    from edgeprofile.core.keeper import Found
    from edgeprofile.engine.node import Node
    from edgeprofile.store.reading import Reading
    from edgeprofile.store.streaming import AsyncWire

__all__ = ["Batch", "Fetch", "Settle", "Settled", "given_up"]

Settled: TypeAlias = "Sequence[tuple[Fill, Found | EdgeProfileError]]"
"""Fetches with what they brought."""
Settle: TypeAlias = "Callable[[Node, Settled], None]"


class Fetch(Call):
    """One fill on its way: what to ask next, and what the replies say.

    Carried out by itself on a connection of a loop, it calls ``settle`` with what it brought.
    """

    __slots__ = ("_ask", "_first", "_reading", "_settle", "_wire", "fill", "node")

    _wire: AsyncWire

    def __init__(self, fill: Fill, reading: Reading, node: Node, settle: Settle) -> None:
        ask = reading.ask(fill.identity)
        super().__init__(ask.payload, ask.expects)
        self.fill = fill
        self.node = node
        self._ask = ask
        self._reading = reading
        self._settle = settle
        self._first: Unasked | None = None

    def sound(self, replies: list[Any]) -> bool:
        """Whether these can be the replies to the question."""
        return self._ask.sound(replies)

    def read(self, replies: list[Any]) -> Found | EdgeProfileError | None:
        """What the replies bring; `None`: there is another question."""
        try:
            if self._first is not None:
                return self._reading.finish(self._first, replies, self.node.name)
            found = self._reading.found(self._ask, replies, self.node.name)
        except EdgeProfileError as error:
            return error
        if isinstance(found, Unasked):
            self._first, self._ask = found, found.ask
            self.payload, self.expects = found.ask.payload, found.ask.expects
            return None
        return found

    def stream(self, wire: AsyncWire) -> None:
        """Ask on a connection of the running loop, the further question included."""
        self._wire = wire
        wire.send(self)

    def fail(self, error: BaseException) -> None:
        """It brought nothing."""
        self._settle(self.node, ((self.fill, given_up(error, self.node)),))

    def done(self, result: list[Any] | BaseException) -> None:
        """Part of `Call`."""
        if isinstance(result, BaseException):
            self.fail(result)
            return
        try:
            found = self.read(result)
        except Exception as error:
            self.fail(error)
            raise
        if found is None:
            self.replies = []
            self._wire.send(self)
        else:
            self._settle(self.node, ((self.fill, found),))


class Batch:
    """Several fetches of one node. ``settle`` is called with what they brought, for each of them exactly once."""

    def __init__(self, node: Node, fetches: list[Fetch], settle: Settle) -> None:
        self.node = node
        self._settle = settle
        self._fetches = fetches

    @property
    def payload(self) -> bytes:
        """The packed questions of all that is not settled."""
        return b"".join([fetch.payload for fetch in self._fetches])

    @property
    def expects(self) -> int:
        """How many replies they get."""
        return sum([fetch.expects for fetch in self._fetches])

    def sound(self, replies: list[Any]) -> bool:
        """Whether these can be the replies to `payload`."""
        start = 0
        for fetch in self._fetches:
            end = start + fetch.expects
            if not fetch.sound(replies[start:end]):
                return False
            start = end
        return True

    def take(self, replies: list[Any]) -> bool:
        """Replies to `payload` arrived. `True`: there are further questions, in `payload` and `expects`."""
        settled = []
        further = []
        start = 0
        for fetch in self._fetches:
            end = start + fetch.expects
            result = fetch.read(replies[start:end])
            start = end
            if result is None:
                further.append(fetch)
            else:
                settled.append((fetch.fill, result))
        self._fetches = further
        if settled:
            self._settle(self.node, settled)
        return bool(further)

    def stream(self, wire: AsyncWire) -> None:
        """Carry the batch out on a connection of the running loop, further questions included."""
        wire.call(self.payload, self.expects, partial(self._arrived, wire), self.sound)

    def fail(self, error: BaseException) -> None:
        """The round trip failed: so did every fetch of it that is not settled.

        Whose reply it was that could not be taken is not known here, so of several each may be asked for again, alone.
        """
        fetches, self._fetches = self._fetches, []
        if fetches:
            alone = len(fetches) == 1 or not isinstance(error, ProtocolViolation | ReplyTooLarge)
            error = given_up(error, self.node) if alone else _torn(error, self.node)
            self._settle(self.node, [(fetch.fill, error) for fetch in fetches])

    def _arrived(self, wire: AsyncWire, result: list[Any] | BaseException) -> None:
        if isinstance(result, BaseException):
            self.fail(result)
            return
        try:
            further = self.take(result)
        except Exception as error:
            self.fail(error)
            raise
        if further:
            self.stream(wire)


def given_up(error: BaseException, node: Node) -> EdgeProfileError:
    """What an interrupted fetch means to those who joined it: nothing that another attempt would not mend."""
    if isinstance(error, EdgeProfileError):
        return error
    return _torn(error, node)


def _torn(error: BaseException, node: Node) -> ConnectionLost:
    gone = ConnectionLost(f"a fetch from {node.name} was given up", node=node.name)
    gone.__cause__ = error
    return gone
