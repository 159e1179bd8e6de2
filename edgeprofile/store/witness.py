"""Whether a data connection leads to the very server that the feed listens to.

A name or a virtual address can lead a new connection to another server than the old ones, which stay where they were.
So each connection is asked once in each epoch, ahead of the first question whose answer may be kept, for what only the
right server can know: how far this process' own heartbeat has counted there, or else the number of its run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from edgeprofile.store.resp import ErrorReply

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprofile.store.link import Sound

__all__ = ["Judge", "Witness"]

_BUSY: Final = frozenset({"BUSY", "LOADING", "CLUSTERDOWN"})

Judge: TypeAlias = "Callable[[Any, int], bool]"
"""Whether a reply can be the right server's, which had answered so many heartbeats before it was asked."""


class Witness:
    """What the connections of one node ask about. They do so on their own threads; the engine's loop changes it.

    ``serial`` is another one for each question; 0: there is none. ``beats``: heartbeats answered so far.
    """

    def __init__(self) -> None:
        self.serial = 0
        self.question = b""
        self.beats = 0
        self._judge: Judge = _anything
        self._doubted: Callable[[], None] = _nobody

    def call(self, serial: int, question: bytes, judge: Judge, doubted: Callable[[], None]) -> None:
        """Have connections asked; ``doubted`` is called, on any thread, when one leads elsewhere."""
        self.question, self._judge, self._doubted = question, judge, doubted
        self.serial = serial if question else 0

    def dismiss(self) -> None:
        """Nothing is to be asked."""
        self.serial = 0

    def sound(self, born: int, again: Callable[[], None]) -> Sound:
        """Judges the reply to a question that is asked now, on a connection that was made under the serial ``born``.

        An older connection that leads elsewhere is only of no use; a new one says that the way has changed. A server
        that has no time to say is to be asked ``again``.
        """
        beats, judge = self.beats, self._judge
        doubted = self._doubted if born == self.serial else _nobody

        def sound(replies: list[Any]) -> bool:
            if isinstance(replies[0], ErrorReply) and replies[0].code in _BUSY:
                again()
                return True
            good = judge(replies[0], beats)
            if not good:
                doubted()
            return good

        return sound


def _anything(_reply: Any, _beats: int) -> bool:
    return True


def _nobody() -> None:
    """Nobody is told."""
