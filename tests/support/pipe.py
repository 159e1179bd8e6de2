"""One direction of one proxied connection: bytes on their way, and what is done to them."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

_SMOOTH = 0.02  # seconds between the pieces of a throttled stream


class Ending(Enum):
    """How a connection ends: in order after all bytes, or at once."""

    FIN = "fin"
    RST = "rst"


class Cut(NamedTuple):
    """The connection ends after so many more bytes."""

    after: int
    by: Ending


@dataclass(frozen=True)
class Conduct:
    """What is done to the bytes of a direction.

    Attributes:
        held: Bytes are read and kept.
        stalled: Nothing is read, so that the sender's own buffers fill.
        delay: Seconds that each byte takes.
        rate: Bytes a second, 0 for any.
        chunk: The most bytes in one write, 0 for any.
        cut: Where the connection ends.
        rewrite: Changes the bytes as they come.
        answers: Replies to commands, in upper case, that do not go on.
    """

    held: bool = False
    stalled: bool = False
    delay: float = 0.0
    rate: float = 0.0
    chunk: int = 0
    cut: Cut | None = None
    rewrite: Callable[[bytes], bytes] | None = None
    answers: Mapping[bytes, bytes] = field(default_factory=dict)


PLAIN = Conduct()


class Pipe:
    """Passes bytes from a source to a sink in order; at once as long as nothing is done to them.

    Belongs to one event loop; its counters may be read from any thread.
    """

    def __init__(self, end: Callable[[Ending], None], drained: Callable[[], None]) -> None:
        """An empty pipe that is not yet attached.

        Args:
            end: Called to end the whole connection.
            drained: Called when the source has ended and everything before that has been passed on.
        """
        self.read = 0
        self.written = 0
        self.conduct = PLAIN
        self._end = end
        self._drained = drained
        self._open = True
        self._source: asyncio.Transport | None = None
        self._sink: asyncio.Transport | None = None
        self._cut_at: int | None = None
        self._full = False
        self._queue: deque[tuple[float, bytes | Ending]] = deque()
        self._not_before = 0.0
        self._changed = asyncio.Event()
        self._time = asyncio.get_running_loop().time

    @property
    def waiting(self) -> int:
        """Bytes that were read and not yet passed on."""
        return sum(len(item) for _, item in self._queue.copy() if isinstance(item, bytes))

    def attach(self, *, source: asyncio.Transport | None = None, sink: asyncio.Transport | None = None) -> None:
        self._source = source or self._source
        self._sink = sink or self._sink
        self._update_reading()
        self._changed.set()

    def set(self, conduct: Conduct) -> None:
        if conduct.cut != self.conduct.cut:
            self._cut_at = None if conduct.cut is None else self.written + conduct.cut.after
        self.conduct = conduct
        self._update_reading()
        self._changed.set()

    def feed(self, data: bytes) -> None:
        """Bytes came from the source."""
        self.read += len(data)
        if self.conduct is PLAIN and not self._queue and not self._full and self._sink is not None:
            self._write(data)
            return
        if self.conduct.rewrite:
            data = self.conduct.rewrite(data)
        self._append(data)

    def finish(self, ending: Ending) -> None:
        """The source ended: passed on after the bytes that came before."""
        self._append(ending)

    def inject(self, data: bytes) -> None:
        """Write bytes of our own to the sink, before those that wait."""
        self._write(data)

    def sink_full(self, full: bool) -> None:  # one call each for full and not full
        self._full = full
        self._update_reading()
        self._changed.set()

    def close(self) -> None:
        """Pass nothing on any more."""
        self._open = False
        self._changed.set()

    async def run(self) -> None:
        """Pass on what waits, whenever its time has come, until the end."""
        while self._open:
            wait = self._wait()
            if wait == 0:
                self._pass_on()
                await asyncio.sleep(0)  # lets the receiver see small writes one by one
            else:
                await self._change(wait)

    def _wait(self) -> float | None:
        """Seconds until the first item may go on; None when that depends on something else."""
        if self._sink is None or self._full or self.conduct.held or not self._queue:
            return None
        arrival, _ = self._queue[0]
        return max(0.0, arrival + self.conduct.delay - self._time(), self._not_before - self._time())

    async def _change(self, wait: float | None) -> None:
        try:
            async with asyncio.timeout(wait):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    def _pass_on(self) -> None:
        arrival, item = self._queue.popleft()
        if isinstance(item, Ending):
            self._pass_end(item)
            return
        size = self._piece()
        if size and len(item) > size:
            self._queue.appendleft((arrival, item[size:]))
            item = item[:size]
        if self.conduct.rate:
            self._not_before = max(self._time(), self._not_before) + len(item) / self.conduct.rate
        self._write(item)

    def _piece(self) -> int:
        smooth = max(1, int(self.conduct.rate * _SMOOTH)) if self.conduct.rate else 0
        return min(filter(None, (self.conduct.chunk, smooth)), default=0)

    def _pass_end(self, ending: Ending) -> None:
        if ending is Ending.RST:
            self._end(ending)
            return
        self._open = False
        if self._sink is not None and not self._sink.is_closing():
            with suppress(OSError):  # the receiver has gone already, and nobody has noticed yet
                self._sink.write_eof() if self._sink.can_write_eof() else self._sink.close()
        self._drained()

    def _write(self, data: bytes) -> None:
        if self._sink is None or self._sink.is_closing():
            return
        room = None if self._cut_at is None else max(0, self._cut_at - self.written)
        self.written += len(data[:room])
        self._sink.write(data[:room])
        if room is not None and len(data) >= room and self.conduct.cut:
            self._end(self.conduct.cut.by)

    def _append(self, item: bytes | Ending) -> None:
        self._queue.append((self._time(), item))
        self._changed.set()

    def _update_reading(self) -> None:
        if self._source is None or self._source.is_closing():
            return
        if self.conduct.stalled or (self._full and not self.conduct.held):
            self._source.pause_reading()
        else:
            self._source.resume_reading()
