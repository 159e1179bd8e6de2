"""The data listener's connections: aiohttp's protocol handler, with bounds of time and the contract's form of errors."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong

from edgeprofile_sidecar.answers import (
    BUSY,
    CLOSE,
    INTERNAL_ERROR,
    MALFORMED,
    TOO_SLOW,
    long_head,
    render,
    too_many_headers,
)
from edgeprofile_sidecar.dates import HttpDate
from edgeprofile_sidecar.lane import Rest
from edgeprofile_sidecar.logs import origin
from edgeprofile_sidecar.readers import PIECE, Reader, pieces
from edgeprofile_sidecar.upgrades import Upgrades

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.abc import AbstractStreamWriter

    from edgeprofile.config import SidecarConfig
    from edgeprofile_sidecar.answers import Answer, Long
    from edgeprofile_sidecar.counters import Counters
    from edgeprofile_sidecar.lane import Asked, Lane

__all__ = ["Connection", "Reply", "Server"]

_MOST_HEADERS = 64
_LINGER = 2.0  # seconds for which the rest of a refused body is read, so that its sender gets to see the answer
_LOOKING = 0.02  # seconds between two looks whether the last answers are read

_log = logging.getLogger(__name__)


class Reply(web.StreamResponse):
    """An answer sent as the bytes that it was rendered to, past aiohttp's own rendering, in one write unless it is large.

    Of a large one, and of ``more``, each further piece is sent when what is before it is read. What waits for that counts
    as `Connection.waiting`; the memory of a part is given back with the last of its pieces.
    """

    def __init__(self, wire: bytes, status: int, *, close: bool, more: Long | None = None) -> None:
        super().__init__(status=status)
        self._wire = wire
        self._more = more.parts if more else ()
        self._close = close
        self._writer: AbstractStreamWriter | None = None
        self._connection: Connection | None = None

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open after this answer."""
        return not self._close

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Take the connection; nothing is sent before the end, which then is all."""
        self._writer = request.writer
        self._connection = cast("Connection", request.protocol)
        return self._writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the answer, once."""
        if self._writer is None or self._connection is None:
            return
        writer, self._writer = self._writer, None
        try:
            if self._more or len(self._wire) > PIECE:
                await self._write_large(writer, self._connection)
            await writer.write_eof(self._wire + data)
        except ConnectionError as error:
            # Where it comes from, it and the future that was waited for hold each other, and all that was not read.
            raise error.with_traceback(None) from None
        if not self._close:
            self._connection.answered += 1

    async def _write_large(self, writer: AbstractStreamWriter, connection: Connection) -> None:
        parts = deque((self._wire, *self._more))
        self._wire, self._more = b"", ()
        connection.waiting = sum(map(len, parts))
        try:
            while parts:
                part = parts.popleft()
                for piece in pieces(part):
                    await writer.write(piece)
                    await asyncio.sleep(0)
                connection.waiting -= len(part)
            await writer.drain()
        finally:
            connection.waiting = 0


class Connection(web.RequestHandler):
    """One client's connection.

    aiohttp bounds the time between requests; the time in which the head of a request may arrive, and the time in which
    an answer must be read, are bounded here.
    """

    __slots__ = (
        "_arriving_since",
        "_asking",
        "_begun",
        "_busy",
        "_given",
        "_held",
        "_lane",
        "_reader",
        "_server",
        "_streaming",
        "_upgrades",
        "answered",
        "on_lost",
        "overrun",
        "waiting",
    )

    def __init__(self, server: Server, **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._server = server
        self._lane = server.lane
        self._begun = b""
        self._asking: asyncio.Task[None] | None = None
        self._given = self.answered = 0  # whole requests that aiohttp was given, and those that it answered
        self.waiting = 0
        """Bytes of parts of an answer that wait until what is before them is read."""
        self._busy = self._streaming = False
        self._held = False
        self._arriving_since = 0.0
        self._upgrades = Upgrades()
        self.on_lost: Callable[[], object] | None = None
        self.overrun = False
        """Whether something that came was dropped, or may have been: the next answer has to be the last."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many: then say so and end."""
        super().connection_made(transport)
        self._reader = Reader(cast("asyncio.Transport", transport))
        self._server.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The socket is closed."""
        if self._asking is not None:
            self._asking.cancel()
        self._server.lost()
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the socket, or none where aiohttp goes on with what it held back."""
        if self._asking is not None:
            if data:
                self._await_answer(data)
            return
        reader = self._reader
        if reader.left and not reader.transport.get_write_buffer_size():
            reader.left = 0
        if self._lane is not None and data:
            data = self._overtake(self._lane, data)
            if not data:
                return
        if data and not (self._busy or self._arriving_since):
            self._arriving_since = self._server.clock()
        if data and not self._streaming:
            self.overrun = self.overrun or self._upgrades.followed(data)
        super().data_received(data)

    def _overtake(self, lane: Lane, data: bytes) -> bytes:
        """Answer what can be answered at once; the bytes that are left for aiohttp.

        Only while aiohttp has answered everything. What it is given, then or before, has to be one whole
        request each time, or nobody here knows any more where the next one begins.
        """
        free = self._at_rest() and self._server.free
        if self._begun:
            data, self._begun = self._begun + data, b""
        answer = lane.again(data) if free else None
        if answer is not None:
            self._answered(answer)
            return b""
        taken = lane.answer(data, free=free)
        if taken.answers:
            self._answered(b"".join(taken.answers))
        if taken.asked is not None:
            self._busy, self._arriving_since = True, 0.0
            self._asking = asyncio.get_running_loop().create_task(self._ask(lane, taken.asked))
            return b""
        if taken.rest is Rest.AWAITED:
            self._begun = data[taken.bytes :]
            self._arriving_since = self._arriving_since or self._server.clock()
            return b""
        if taken.rest is Rest.UNCERTAIN:
            self._lane = None
        self._given += taken.bytes < len(data)
        return data[taken.bytes :] if taken.bytes else data

    def _answered(self, answers: bytes) -> None:
        """What has arrived is answered, and the time without a request begins anew."""
        self._arriving_since = 0.0
        if len(answers) > PIECE:
            self._write_large(answers)
        elif self.transport is not None:
            self.transport.write(answers)
        self._next_keepalive_close_time = self._server.clock() + self._keepalive_timeout

    def _write_large(self, answers: bytes) -> None:
        for each in pieces(answers):
            if self.transport is not None:
                self.transport.write(each)

    async def _ask(self, lane: Lane, asked: Asked) -> None:
        """Fetch and send an answer; then go on with what has come meanwhile."""
        try:
            wire = await lane.fetch(asked, lambda: self._server.closing or self._close)
        finally:
            self._asking = None
            self._busy = False
        if self.transport is None or self.transport.is_closing():
            return
        self._answered(wire)
        if self._server.closing or self._close:
            self.force_close()
            return
        held, self._begun = self._begun, b""
        if held:
            self.transport.resume_reading()
            self.data_received(held)

    def _await_answer(self, data: bytes) -> None:
        """More comes before a request is answered: it has to wait, and its sender, too."""
        if not self._begun and self.transport is not None:
            self.transport.pause_reading()
        self._begun += data

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Close the connection; a request that is being answered has so many seconds."""
        if self._asking is not None:
            await asyncio.wait((self._asking,), timeout=timeout)
        await super().shutdown(timeout)

    @property
    def unread(self) -> int:
        """Bytes of answers that the other side has not read."""
        return max(self.waiting, self._reader.transport.get_write_buffer_size())

    @property
    def owes(self) -> bool:
        """Whether a request is being answered, or answers are not read to their end, as far as that can be seen."""
        if self._request_in_progress or self._asking is not None or self.unread > 0:
            return True
        return self._manager is not None and self._reader.hides()

    def _at_rest(self) -> bool:
        """Whether aiohttp has answered all that it was given, and the answers are read.

        Where they are not, aiohttp takes over, which waits for their reader before it goes on. It need not be waiting
        for the next request yet: a quick caller sends that before aiohttp's task has had its turn.
        """
        return self._given == self.answered and not (self._close or self._force_close or self._paused)

    def _process_keepalive(self) -> None:
        """The time without a request is over; where one is arriving, it has the time of a head, which ends in an answer."""
        if self._arriving_since or self._asking is not None:
            self._next_keepalive_close_time = self._server.clock() + self._keepalive_timeout
        super()._process_keepalive()

    def pause_reading(self) -> None:
        """Hold the socket back: a body comes faster than it is read."""
        self._held = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002  # aiohttp's signature
        """Go on with a socket that was held back; aiohttp asks for it after each body, held back or not."""
        if self._held:
            self._held = False
            super().resume_reading(resume_parser)

    def resume_writing(self) -> None:
        """Go on with answers that were held back: enough was read, however much is written again before anyone looks."""
        self._reader.left = 0
        super().resume_writing()

    def begin(self, *, stream: bool = False) -> None:
        """The head of a request is complete and its answer begins; a ``stream`` looks after its reader itself."""
        self._busy, self._streaming = True, stream
        self._arriving_since = 0.0

    def end(self) -> None:
        """The answer is complete; the bytes that came meanwhile were the request's own body, or count from now."""
        self._busy = self._streaming = False
        self._arriving_since = 0.0
        self._upgrades.answered()

    def refuse(self, answer: Answer) -> None:
        """Send an answer that nobody asked for, and close the connection."""
        if self.transport is not None:
            self.transport.write(render(answer, self._server.date(), CLOSE))
        self.force_close()

    def is_late(self, now: float, seconds: float) -> bool:
        """Whether the head of a request has been arriving for so long; to be asked now and then.

        Its time begins when the answer before it is read: until then, aiohttp does not even look whether it is whole.
        """
        if self._arriving_since and (self._paused or self._request_in_progress):
            self._arriving_since = now
        return self.transport is not None and not self._busy and 0.0 < self._arriving_since < now - seconds

    def is_unread(self, now: float, seconds: float) -> bool:
        """Whether the other side has read nothing of its answers for so long; to be asked now and then."""
        gone = self._manager is None  # but listed, while what it asked is still being answered
        return not (gone or self._streaming) and self._reader.idle(now) >= seconds

    def abort(self) -> None:
        """End the connection at once, whether or not it was closed before."""
        self._reader.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # aiohttp's text quotes the request, which may hold an id
    ) -> web.StreamResponse:
        """The answer to a request that is no HTTP, or that nobody foresaw.

        Raises:
            ConnectionError: An answer has begun, so that none can follow.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun")
        answer = self._server.fault(status, exc)
        return Reply(render(answer, self._server.date(), CLOSE), answer.status, close=True)


class Server(web.Server):
    """The factory and register of connections."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        config: SidecarConfig,
        counters: Counters,
    ) -> None:
        super().__init__(handler)
        self.clock = asyncio.get_running_loop().time
        self.date = HttpDate()
        self.lane: Lane | None = None
        self.closing = False
        self._handshakes = 0
        self._counters = counters
        self._config = config
        self._options = {
            "access_log": None,
            "auto_decompress": False,
            "keepalive_timeout": config.idle_timeout,
            "lingering_time": _LINGER,
            "max_field_size": config.max_header_bytes,
            "max_headers": _MOST_HEADERS,
            "max_line_size": config.max_header_bytes,
        }

    def __call__(self) -> Connection:
        """A protocol for a new connection."""
        return Connection(self, **self._options)

    @property
    def free(self) -> bool:
        """Whether requests are taken, on connections that last."""
        return not self.closing and self._counters.in_flight < self._config.max_in_flight

    def admit(self) -> bool:
        """Count a handshake that is to come before a connection; whether there is room for it."""
        if self._counters.connections + self._handshakes >= self._config.max_connections:
            self._counters.closed["too many connections"] += 1
            return False
        self._handshakes += 1
        return True

    def shaken(self) -> None:
        """A handshake is over."""
        self._handshakes -= 1

    def refused(self) -> None:
        """It was too slow, or failed."""
        self._counters.closed["failed handshake"] += 1

    def opened(self, connection: Connection) -> None:
        """Count a connection, and refuse it if there are too many."""
        self._counters.connections += 1
        if self._counters.connections > self._config.max_connections:
            self._counters.closed["too many connections"] += 1
            connection.refuse(BUSY)

    def lost(self) -> None:
        """A connection has ended."""
        self._counters.connections -= 1

    def expire(self) -> None:
        """Close the connections whose next request arrives too slowly, and those that do not read their answers.

        aiohttp lists a connection until its socket is gone, so that one that was closed has its time to read as well.
        """
        now = self.clock()
        for connection in self.connections:
            if isinstance(connection, Connection):
                self._expire(connection, now)

    def _expire(self, connection: Connection, now: float) -> None:
        if connection.is_unread(now, self._config.write_timeout):
            self._counters.closed["slow reader"] += 1
            connection.abort()
        elif connection.is_late(now, self._config.header_timeout):
            self._counters.closed["slow request"] += 1
            connection.refuse(TOO_SLOW)

    def unread(self) -> int:
        """Bytes of answers that the other sides of all connections have not read."""
        return sum(each.unread for each in self.connections if isinstance(each, Connection))

    async def drain(self, seconds: float) -> int:
        """End all connections once they owe nothing, which may take so long; how many still do then."""
        connections = [each for each in self.connections if isinstance(each, Connection)]
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.shutdown(None)
                while any(each.owes for each in connections):  # noqa: ASYNC110  # sockets tell nobody when they are read
                    await asyncio.sleep(_LOOKING)
        return sum(each.owes for each in connections)

    def fault(self, status: int, error: BaseException | None) -> Answer:
        """The answer to an error outside the handler, counted, and logged where it is ours."""
        if isinstance(error, HttpProcessingError) or status < 500:
            self._counters.malformed += 1
            return self._misread(error)
        _log.error("a request could not be answered", extra=origin(error) if error else {})
        return INTERNAL_ERROR

    def _misread(self, error: BaseException | None) -> Answer:
        if isinstance(error, LineTooLong):
            return long_head(self._config.max_header_bytes)
        # aiohttp has no class of its own for this one.
        if isinstance(error, BadHttpMessage) and error.message.startswith("Too many headers"):
            return too_many_headers(_MOST_HEADERS)
        return MALFORMED
