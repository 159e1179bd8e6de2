"""The fetches that go to one node in one round trip, from the question to the fills settled."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from edgeprofile.errors import EdgeProfileError
from edgeprofile.store.endpoint import ConnectionLost
from edgeprofile.store.reading import Unasked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeprofile.core.fills import Fill
    from edgeprofile.core.keeper import Found
    from edgeprofile.engine.node import Node
    from edgeprofile.store.reading import Ask, Reading
    from edgeprofile.store.streaming import AsyncWire

__all__ = ["Batch", "Settled"]

Settled: TypeAlias = "list[tuple[Fill, Found | EdgeProfileError]]"
"""Fetches with what they brought."""


class _Item(NamedTuple):
    fill: Fill
    reading: Reading
    ask: Ask
    first: Unasked | None


class Batch:
    """Several fetches of one node. ``settle`` is called with what each of them brought, and for each exactly once."""

    def __init__(
        self,
        node: Node,
        wanted: Sequence[tuple[Fill, Reading]],
        settle: Callable[[Node, Settled], None],
    ) -> None:
        self.node = node
        self._settle = settle
        self._items: list[_Item]
        self._ask([_Item(fill, reading, reading.ask(fill.identity), None) for fill, reading in wanted])

    def take(self, replies: list[Any]) -> bool:
        """Replies to `payload` arrived. `True`: there is a second question, in `payload` and `expects`."""
        settled: Settled = []
        further: list[_Item] = []
        start = 0
        for item in self._items:
            end = start + item.ask.expects
            result = self._read(item, replies[start:end])
            start = end
            if isinstance(result, Unasked):
                further.append(item._replace(ask=result.ask, first=result))
            else:
                settled.append((item.fill, result))
        self._ask(further)
        if settled:
            self._settle(self.node, settled)
        return bool(further)

    def stream(self, wire: AsyncWire) -> None:
        """Carry the batch out on a connection of the running loop, its second question included."""
        wire.call(self.payload, self.expects, partial(self._arrived, wire))

    def fail(self, error: BaseException) -> None:
        """The round trip failed: so did every fetch of it that is not settled."""
        if not isinstance(error, EdgeProfileError):
            gone = ConnectionLost(f"a fetch from {self.node.name} was given up", node=self.node.name)
            gone.__cause__ = error
            error = gone
        items = self._items
        self._ask([])
        if items:
            self._settle(self.node, [(item.fill, error) for item in items])

    def _arrived(self, wire: AsyncWire, result: list[Any] | BaseException) -> None:
        if isinstance(result, BaseException):
            self.fail(result)
        elif self.take(result):
            self.stream(wire)

    def _ask(self, items: list[_Item]) -> None:
        self._items = items
        self.payload = b"".join([item.ask.payload for item in items])
        self.expects = sum(item.ask.expects for item in items)

    def _read(self, item: _Item, replies: list[Any]) -> Found | Unasked | EdgeProfileError:
        try:
            if item.first is None:
                return item.reading.found(item.ask, replies, self.node.name)
            return item.reading.finish(item.first, replies, self.node.name)
        except EdgeProfileError as error:
            return error
