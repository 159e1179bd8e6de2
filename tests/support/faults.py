"""The faults that a proxy does to connections, as methods that groups of connections and single ones share."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol, TypeVar

from tests.support.pipe import PLAIN, Conduct, Cut, Ending, Pipe

T = TypeVar("T")
Rules = dict[str, Any]


class Direction(Enum):
    """Where bytes go."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


TO_SERVER, TO_CLIENT = Direction


class Steered(Protocol):
    """A connection, as far as the controls know it."""

    @property
    def pipes(self) -> Mapping[Direction, Pipe]: ...

    def end(self, how: Ending) -> None: ...


class Controls:
    """The faults, for a group of connections or for one. Without a direction they act on both."""

    def _rule(self, direction: Direction | None, **fields: Any) -> None:
        raise NotImplementedError

    def _open(self) -> Sequence[Steered]:
        raise NotImplementedError

    def _run(self, function: Callable[[], T]) -> T:
        raise NotImplementedError

    def hold(self, direction: Direction | None = None) -> None:
        """Black-hole: read everything, pass nothing on, ends of connections included; `release` delivers it in order."""
        self._rule(direction, held=True)

    def stall(self, direction: Direction | None = None) -> None:
        """Stop reading, so that the sender's buffers fill up."""
        self._rule(direction, stalled=True)

    def release(self, direction: Direction | None = None) -> None:
        """End `hold` and `stall`."""
        self._rule(direction, held=False, stalled=False)

    def delay(self, seconds: float, direction: Direction | None = None) -> None:
        """Each byte takes so long; order is kept."""
        self._rule(direction, delay=seconds)

    def throttle(self, bytes_per_second: float, direction: Direction | None = None) -> None:
        self._rule(direction, rate=bytes_per_second)

    def split(self, size: int = 1, direction: Direction | None = None) -> None:
        """Pass bytes on in writes of at most so many."""
        self._rule(direction, chunk=size)

    def cut(self, after: int, direction: Direction, by: Ending = Ending.FIN) -> None:
        """End each connection when so many more bytes have passed."""
        self._rule(direction, cut=Cut(after, by))

    def rewrite(self, function: Callable[[bytes], bytes], direction: Direction) -> None:
        """Change bytes as they come: whole commands to the server, any pieces to the client."""
        self._rule(direction, rewrite=function)

    def answer(self, replies: Mapping[str, bytes]) -> None:
        """Answer these commands without asking the server, as a proxy with a mind of its own does."""
        self._rule(TO_SERVER, answers={command.upper().encode(): reply for command, reply in replies.items()})

    def heal(self, direction: Direction | None = None) -> None:
        """End every fault; what was held is delivered."""
        self._rule(direction, **vars(PLAIN))

    def inject(self, data: bytes, direction: Direction) -> int:
        """Write bytes of our own into each open connection; returns into how many."""

        def write() -> int:
            for connection in (found := self._open()):
                connection.pipes[direction].inject(data)
            return len(found)

        return self._run(write)

    def reset(self) -> int:
        """RST to both sides of each open connection; returns of how many."""
        return self._end(Ending.RST)

    def finish(self) -> int:
        """FIN to both sides of each open connection, after what has been passed on; returns of how many."""
        return self._end(Ending.FIN)

    def _end(self, how: Ending) -> int:
        def end() -> int:
            for connection in (found := self._open()):
                connection.end(how)
            return len(found)

        return self._run(end)


class Scope:
    """The faults in force for a group or a connection, by direction."""

    def __init__(self) -> None:
        self.rules: dict[Direction, Rules] = {direction: {} for direction in Direction}

    def set(self, direction: Direction | None, fields: Rules) -> None:
        for chosen in _each(direction):
            self.rules[chosen] |= fields

    def forget(self, direction: Direction | None, fields: Iterable[str]) -> None:
        for chosen in _each(direction):
            for name in fields:
                self.rules[chosen].pop(name, None)


def conduct(direction: Direction, *scopes: Scope) -> Conduct:
    """What is done to a direction under several scopes, of which later ones count more."""
    rules: Rules = {}
    for scope in scopes:
        rules |= scope.rules[direction]
    chosen = Conduct(**rules)
    return PLAIN if chosen == PLAIN else chosen


def _each(direction: Direction | None) -> tuple[Direction, ...]:
    return tuple(Direction) if direction is None else (direction,)
