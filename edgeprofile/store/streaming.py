"""A node as the tasks of one event loop see it: one shared, pipelined connection, made when needed.

Commands that are called for during one turn of the loop leave in one write, or in a few if they are many; where they
come one at a time, each leaves at once. A callback that raises, a caller that was cancelled, or a connection that dies
harms nobody but itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.store.alarms import Alarms
from edgeprofile.store.endpoint import ConnectionLost
from edgeprofile.store.link import Link, Told, into, whatever
from edgeprofile.store.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprofile.store.endpoint import Endpoint
    from edgeprofile.store.link import Call, Sound

__all__ = ["AsyncWire"]

_FULL: Final = 16
"""Calls that leave at once: enough that a write costs each of them little, few enough that the server soon has work."""


class AsyncWire:
    """Commands to one node from one event loop; it connects when first needed, and again after a loss.

    ``stall`` is how many seconds of silence, with an answer due, end a connection. ``alarms`` are for the deadlines of
    those who wait. Not thread-safe: use it on its loop.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        witness: Witness | None = None,
        *,
        max_reply_bytes: int,
        connect_timeout: float,
        stall: float,
    ) -> None:
        self._endpoint = endpoint
        self._witness = witness or Witness()
        self._max_reply_bytes = max_reply_bytes
        self._connect_timeout = connect_timeout
        self._stall = stall
        self.loop = asyncio.get_running_loop()
        self.alarms = Alarms(self.loop)
        self._queue: list[Call] = []
        self._link: Link | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._flush_due = self.closed = False
        self._burst = 0  # calls since nothing was under way

    def call(
        self,
        payload: bytes,
        expects: int,
        done: Callable[[list[Any] | BaseException], None],
        sound: Sound = whatever,
    ) -> None:
        """Send packed commands; ``done`` gets their ``expects`` replies, or the exception that came instead.

        ``sound`` says whether replies can be those of these commands; the connection ends if they cannot.
        """
        self.send(Told(payload, expects, done, sound))

    def send(self, call: Call) -> None:
        """As `call`, of a kind of the caller's own."""
        if self.closed:
            call.finish(self._gone("was closed"))
            return
        link = self._link
        if link is not None and link.idle and not self._queue:
            before, self._burst = self._burst, 1
            if before == 1:  # calls come one at a time: it is not worth a turn of the loop to wait for others
                link.send((call,))
                return
        else:
            self._burst += 1
        self._queue.append(call)
        if len(self._queue) >= _FULL and link is not None:  # the server shall not wait for the end of a long turn
            self._send_queued(link)
        elif not self._flush_due:
            self._flush_soon()

    async def ask(self, payload: bytes, expects: int, sound: Sound = whatever) -> list[Any]:
        """As `call`, awaited. Raises the exception that came instead of the replies."""
        answer: asyncio.Future[list[Any]] = self.loop.create_future()
        self.call(payload, expects, into(answer), sound)
        return await answer

    @property
    def rests(self) -> float | None:
        """When the server was heard last, on the loop's clock, if nothing is under way; on other threads a guess."""
        link = self._link
        if self._queue or self._connecting is not None:
            return None
        if link is None:
            return 0.0
        return link.heard if link.idle else None

    def close(self) -> None:
        """End the connection; whoever waits is told."""
        self.closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._link is not None:
            self._link.abort()
        self._fail_queue(self._gone("was closed"))

    def abandon(self) -> None:
        """The loop is closed, and the connection with it: tell whoever waits. Called on any thread."""
        self.closed = True
        if self._link is not None:
            self._link.abandon()
        self._fail_queue(self._gone("went with its event loop"))

    def fileno(self) -> int:
        """The socket's descriptor, or -1."""
        return self._link.fileno() if self._link is not None else -1

    def _flush_soon(self) -> None:
        self._flush_due = True
        self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if not self._queue:
            return
        if self._link is None:
            if self._connecting is None and not self.closed:
                name = f"edgeprofile-connect {self._endpoint.name}"
                # Never begun within this call, as a task factory of the loop's may do.
                self._connecting = asyncio.Task(self._connect(), loop=self.loop, name=name)
        else:
            self._send_queued(self._link)

    def _send_queued(self, link: Link) -> None:
        if link.ends:  # a write failed, or the server has gone: asyncio would log each further write
            link.abort()
            if not self._flush_due:
                self._flush_soon()
            return
        batch, self._queue = self._queue, []
        link.send(batch)

    async def _connect(self) -> None:
        link = Link(
            self._endpoint, self._witness, max_reply_bytes=self._max_reply_bytes, stall=self._stall, lost=self._lost
        )
        try:
            await link.open(self._connect_timeout)
        except asyncio.CancelledError:
            self._fail_queue(self._gone("was given up"))
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, the callers must hear of it)
            self._fail_queue(self._endpoint.unreachable(error))
        else:
            self._link = link
        finally:
            self._connecting = None
        self._flush()

    def _lost(self, link: Link) -> None:
        if self._link is link:
            self._link = None

    def _fail_queue(self, error: BaseException) -> None:
        queue, self._queue = self._queue, []
        for call in queue:
            call.finish(error)

    def _gone(self, how: str) -> ConnectionLost:
        return ConnectionLost(f"the connection to {self._endpoint.name} {how}", node=self._endpoint.name)
