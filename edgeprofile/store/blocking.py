"""A connection for threads: shared, pipelined, and led by one of its callers at a time.

A caller puts its commands on the queue. If nobody leads, it leads: it writes everything queued in one send, reads, and
deals out replies until its own have come; then it hands over to somebody who still waits. So concurrent misses share
round trips without a thread of their own and without a switch of threads for a lone miss.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.errors import LookupTimeout, ProtocolViolation, RedisUnavailable
from edgeprofile.store.endpoint import ConnectionLost
from edgeprofile.store.line import line
from edgeprofile.store.link import blame, whatever
from edgeprofile.store.resp import ReplyReader
from edgeprofile.store.witness import Witness

if TYPE_CHECKING:
    from edgeprofile.store.endpoint import Endpoint, Login
    from edgeprofile.store.line import Line
    from edgeprofile.store.link import Sound

__all__ = ["BlockingWire"]

_CHUNK: Final = 1 << 16
_PAUSE: Final = 0.002
"""Seconds of rest after which a look at the connection costs nothing that matters."""


class _Call:
    """The commands of one caller: queued, then in flight, then done or abandoned."""

    __slots__ = ("abandoned", "done", "error", "expects", "leads", "payload", "replies", "sent", "sound", "wake")

    def __init__(self, payload: bytes, expects: int, sound: Sound) -> None:
        self.payload = payload
        self.expects = expects
        self.sound = sound
        self.replies: list[Any] = []
        self.error: BaseException | None = None
        self.abandoned = self.done = self.leads = False
        self.sent = 0.0
        self.wake: threading.Lock | None = None

    def rouse(self) -> None:
        if self.wake is not None and self.wake.locked():
            self.wake.release()


class BlockingWire:
    """One connection to one node for any number of threads; it connects when it is first needed, and again after a loss.

    ``stall`` is how many seconds of silence, with an answer due, end a connection.
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
        self._born = self._vouched = 0
        self._max_reply_bytes = max_reply_bytes
        self._connect_timeout = connect_timeout
        self._stall = stall
        self._mutex = threading.Lock()
        self._queue: deque[_Call] = deque()
        self._in_flight: deque[_Call] = deque()
        self._led = self._closed = False
        self._line: Line | None = None
        self._opening: socket.socket | None = None
        self._reader = ReplyReader(max_reply_bytes, endpoint.name)
        self._heard = 0.0

    def call(self, payload: bytes, expects: int, deadline: float, sound: Sound = whatever) -> list[Any]:
        """Send packed commands, return their ``expects`` replies; error replies are values.

        ``deadline`` is on `time.monotonic`, ``sound`` says whether replies can be those of these commands. Raises
        `LookupTimeout` when the deadline passes or the server stops answering, `ConnectionLost` when the connection ends
        meanwhile, `RedisUnavailable` or `AccessDenied` when none can be had, `ProtocolViolation` and `ReplyTooLarge`.
        """
        call = _Call(payload, expects, sound)
        with self._mutex:
            self._queue.append(call)
            if self._led:
                call.wake = threading.Lock()
                call.wake.acquire()
            else:
                self._led = call.leads = True
        try:
            if not call.leads:
                self._follow(call, deadline)
            if call.leads and not call.done:
                self._lead(call, deadline)
        finally:
            self._leave(call)
        if call.error is not None:
            raise call.error
        return call.replies

    def close(self) -> None:
        """End the connection for good: whoever waits is told at once, and so is whoever calls later."""
        with self._mutex:
            self._closed = True
            led, connection, opening = self._led, self._line, self._opening
        if not led:
            self._break(self._gone())
        # A leader may be reading: it is woken, and closes what it reads from itself, or its descriptor might be another
        # file's by then.
        if connection is not None:
            connection.shut()
        if opening is not None:
            with suppress(OSError):
                socket.socket.shutdown(opening, socket.SHUT_RDWR)

    def fileno(self) -> int:
        """The socket's descriptor, or -1."""
        return self._line.fileno() if self._line is not None else -1

    def _follow(self, call: _Call, deadline: float) -> None:
        assert call.wake is not None  # noqa: S101 (set under the mutex for every follower)
        if not call.wake.acquire(timeout=max(0.0, deadline - time.monotonic())) and not call.done:
            raise self._timed_out()

    def _lead(self, call: _Call, deadline: float) -> None:
        try:
            while not call.done:
                self._send_queued(deadline)
                self._receive(deadline)
        except _TooLate:
            raise self._timed_out() from None
        except OSError as error:
            self._break(error)
        except BaseException as error:
            self._break(error)
            if call.error is None or not isinstance(error, Exception):  # an interrupt is this thread's own
                raise

    def _leave(self, call: _Call) -> None:
        """Step out; a leader names its successor."""
        with self._mutex:
            call.abandoned = not call.done
            if not call.leads:
                return
            call.leads = False
            heir = self._heir() if self._in_flight or self._queue else None
            self._led = heir is not None
            if heir is not None:
                heir.leads = True
                heir.rouse()
                return
            if not self._closed:
                return
            connection, self._line = self._line, None
        if connection is not None:
            connection.close()

    def _heir(self) -> _Call | None:
        return next((c for c in (*self._in_flight, *self._queue) if not c.abandoned and not c.done), None)

    def _send_queued(self, deadline: float) -> None:
        connection = self._connection(deadline)
        now = time.monotonic()
        if now >= deadline:  # before anything counts as in flight: a command never written would take another's reply
            raise _TooLate
        with self._mutex:
            batch = list(self._queue)
            self._queue.clear()
            if len(batch) > 1 or (batch and batch[0].abandoned):
                batch = [call for call in batch if not call.abandoned]
            if not batch:
                return
            if self._witness.serial != self._vouched:
                batch = [*self._vouching(), *batch]
            self._in_flight.extend(batch)
        for call in batch:
            call.sent = now
        # A time-out here cuts a command in two, and is no more than any other loss.
        connection.send(batch[0].payload if len(batch) == 1 else b"".join([call.payload for call in batch]), deadline)

    def _vouching(self) -> list[_Call]:
        """The witness' question if it is due; nobody waits for the answer."""
        serial = self._witness.serial
        if not serial:
            return []
        self._vouched = serial
        call = _Call(self._witness.question, 1, self._witness.sound(self._born, self._unvouched))
        call.abandoned = True
        return [call]

    def _unvouched(self) -> None:
        self._vouched = 0

    def _receive(self, deadline: float) -> None:
        replies = self._reader.feed(self._took(self._read(deadline)))
        if not self._deal_all(replies):
            for reply in replies:
                self._deal(reply)

    def _deal_all(self, replies: list[Any]) -> bool:
        """The usual case: everything that one lone caller waits for has come at once. `False`: it is not that case."""
        with self._mutex:
            if len(self._in_flight) != 1:
                return False
            call = self._in_flight[0]
            if call.replies or len(replies) != call.expects or not call.sound(replies):
                return False
            call.replies = replies
            call.done = True
            self._in_flight.clear()
        if call.wake is not None:
            call.rouse()
        return True

    def _took(self, data: bytes) -> bytes:
        if not data:
            raise ConnectionError("the server closed the connection")
        self._heard = time.monotonic()
        return data

    def _read(self, deadline: float) -> bytes:
        connection = self._line
        try:
            patience = max(self._heard, self._in_flight[0].sent) + self._stall
        except IndexError:
            connection = None
        if connection is None:
            raise ConnectionError("the connection was closed")
        try:
            return connection.receive(min(deadline, patience))
        except TimeoutError:
            if time.monotonic() < patience:
                raise _TooLate from None
            raise LookupTimeout(f"{self._endpoint.name} stopped answering", node=self._endpoint.name) from None

    def _deal(self, reply: Any) -> None:
        with self._mutex:
            if not self._in_flight:
                raise self._violation("answered what nobody asked")
            call = self._in_flight[0]
            if len(call.replies) + 1 == call.expects and not call.sound([*call.replies, reply]):
                raise self._violation("answered something else than was asked")
            call.replies.append(reply)
            if len(call.replies) < call.expects:
                return
            call.done = True
            self._in_flight.popleft()
        call.rouse()

    def _connection(self, deadline: float) -> Line:
        """The connection as it is; a new one if there is none, or if anything came on it while nothing was asked."""
        if self._closed:
            raise self._gone()
        connection = self._line
        if connection is None:
            return self._connect(deadline)
        if self._in_flight or time.monotonic() - self._heard < _PAUSE or not connection.stirs():
            return connection
        self._line = None
        connection.close()
        return self._connect(deadline)

    def _connect(self, deadline: float) -> Line:
        try:
            opened = self._open(min(self._connect_timeout, _remaining(deadline)))
        except RedisUnavailable:
            _remaining(deadline)  # the leader's own haste says nothing about the server
            raise
        self._reader = ReplyReader(self._max_reply_bytes, self._endpoint.name)
        connection = line(opened)
        with self._mutex:
            self._opening = None
            self._line = connection
        return connection

    def _open(self, timeout: float) -> socket.socket:
        opened_by = time.monotonic() + timeout
        login = self._endpoint.login()
        self._heard = 0.0
        self._born, self._vouched = self._witness.serial, 0
        connection = self._opening = self._endpoint.connect(timeout)
        try:
            self._log_in(connection, login, opened_by)
        except BaseException:
            self._opening = None
            connection.close()
            raise
        return connection

    def _log_in(self, connection: socket.socket, login: Login, opened_by: float) -> None:
        if self._closed:
            raise self._gone()
        if not login.expects:
            return
        reader = ReplyReader(self._max_reply_bytes, self._endpoint.name)
        try:
            connection.sendall(login.payload)
            while login.expects:
                connection.settimeout(_remaining(opened_by))
                login.admit(reader.feed(self._took(connection.recv(_CHUNK))))
        except (TimeoutError, _TooLate) as error:
            raise self._endpoint.unadmitted() from error

    def _break(self, cause: BaseException) -> None:
        with self._mutex:
            connection, self._line = self._line, None
            fallen = [*self._in_flight, *self._queue]
            said = self._in_flight[0].replies if self._in_flight else ()
            lost = partial(self._endpoint.lost, heard=self._heard > 0, said=said)
            errors = blame(cause, len(self._in_flight), len(fallen), lost)
            self._in_flight.clear()
            self._queue.clear()
            for call, error in zip(fallen, errors, strict=True):  # before the leader can see that nothing is left
                call.error, call.done = error, True
        if connection is not None:
            connection.close()
        for call in fallen:
            call.rouse()

    def _gone(self) -> ConnectionLost:
        return ConnectionLost(f"the connection to {self._endpoint.name} was closed", node=self._endpoint.name)

    def _violation(self, what: str) -> ProtocolViolation:
        return ProtocolViolation(f"{self._endpoint.name} {what}", node=self._endpoint.name)

    def _timed_out(self) -> LookupTimeout:
        return LookupTimeout(f"{self._endpoint.name} did not answer before the deadline", node=self._endpoint.name)


class _TooLate(Exception):
    """The leader's own deadline has passed; the connection is as good as it was."""


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise _TooLate
    return remaining
