"""One asyncio connection to one node, from connect to close: ordered commands out, replies in, to callbacks."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from edgeprofile.errors import EdgeProfileError, LookupTimeout, ProtocolViolation, ReplyTooLarge
from edgeprofile.store.endpoint import descriptor
from edgeprofile.store.refusals import refusal
from edgeprofile.store.resp import ErrorReply, ReplyReader

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from edgeprofile.store.endpoint import Endpoint, Login
    from edgeprofile.store.witness import Witness

__all__ = ["Call", "Link", "Sound", "Told", "blame", "into", "whatever"]

logger = logging.getLogger("edgeprofile.store")

Sound: TypeAlias = "Callable[[list[Any]], bool]"
"""Whether replies can be those that the commands get. They are told apart by their order alone: one that cannot be what
was asked for means that each of those behind it may answer somebody else."""


Lost: TypeAlias = "Callable[[BaseException | None], EdgeProfileError]"
"""What the loss of a connection means, by its cause."""


def whatever(_replies: list[Any]) -> bool:
    """Any reply will do."""
    return True


class Call:
    """Packed commands and how many replies they get. A kind of its own says whether these are sound, and takes them."""

    __slots__ = ("expects", "payload", "replies", "sent")

    def __init__(self, payload: bytes, expects: int) -> None:
        self.payload = payload
        self.expects = expects
        self.replies: list[Any] = []
        self.sent = 0.0

    def sound(self, replies: list[Any]) -> bool:
        """See `Sound`."""
        raise NotImplementedError

    def done(self, result: list[Any] | BaseException) -> None:
        """The replies, or what came instead."""
        raise NotImplementedError

    def finish(self, result: list[Any] | BaseException) -> None:
        """Tell the caller; what it does wrong is its own."""
        try:
            self.done(result)
        except Exception:
            logger.exception("a reply could not be handed on")


class Told(Call):
    """A call of which a function is told: ``done(replies)`` or ``done(exception)``."""

    __slots__ = ("_done", "_sound")

    def __init__(
        self,
        payload: bytes,
        expects: int,
        done: Callable[[list[Any] | BaseException], None],
        sound: Sound = whatever,
    ) -> None:
        super().__init__(payload, expects)
        self._done = done
        self._sound = sound

    def sound(self, replies: list[Any]) -> bool:
        """As the function says."""
        return self._sound(replies)

    def done(self, result: list[Any] | BaseException) -> None:
        """Tell the function."""
        self._done(result)


def into(answer: asyncio.Future[list[Any]]) -> Callable[[list[Any] | BaseException], None]:
    """The callback that hands replies to a future, unless its waiter has gone."""

    def done(result: list[Any] | BaseException) -> None:
        if answer.done() or answer.get_loop().is_closed():
            return
        if isinstance(result, BaseException):
            answer.set_exception(result)
        else:
            answer.set_result(result)

    return done


def _ignore(_result: list[Any] | BaseException) -> None:
    """Nobody waits for the answer."""


class Link(asyncio.Protocol):
    """One connection. ``lost`` is called once, when it has ended for whatever reason.

    ``stall`` is how many seconds of silence, with an answer due, end it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        witness: Witness,
        *,
        max_reply_bytes: int,
        stall: float,
        lost: Callable[[Link], None],
    ) -> None:
        self._endpoint = endpoint
        self._witness = witness
        self._born = self._vouched = 0
        self._stall = stall
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._reader = ReplyReader(max_reply_bytes, endpoint.name)
        self._in_flight: deque[Call] = deque()
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._cause: BaseException | None = None

    async def open(self, timeout: float) -> None:
        """Connect and log in. Raises `RedisUnavailable`, `AccessDenied` or `ServerRefused`."""
        try:
            deadline = self._loop.time() + timeout
            login = self._endpoint.login()
            self._born = self._witness.serial
            await self._endpoint.stream(self, timeout)
            if login.expects:
                await self._log_in(login, deadline)
            self._check_open()
        except BaseException as error:
            self.abort(error)
            raise

    def _check_open(self) -> None:
        """It may have ended before anybody could be told: from here on, ``lost`` tells."""
        if self._transport is None:
            raise self._endpoint.lost(self._cause, heard=self._heard > 0)

    @property
    def idle(self) -> bool:
        """Whether every answer has come."""
        return not self._in_flight

    @property
    def heard(self) -> float:
        """When the server said something last, on the loop's clock."""
        return self._heard

    @property
    def ends(self) -> bool:
        """Whether it is about to be ``lost``: nothing that is written will be answered."""
        return self._transport is not None and self._transport.is_closing()

    def send(self, calls: Sequence[Call]) -> None:
        """Write the commands of all calls at once, behind the witness' question if that is due."""
        self._write(calls if self._witness.serial == self._vouched else [*self._vouching(), *calls])

    def _vouching(self) -> list[Call]:
        serial = self._witness.serial
        if not serial:
            return []
        self._vouched = serial
        return [Told(self._witness.question, 1, _ignore, self._witness.sound(self._born, self._unvouched))]

    def _unvouched(self) -> None:
        self._vouched = 0

    def _write(self, calls: Sequence[Call]) -> None:
        if self._transport is None:
            self._fail(calls, asked=0)
            return
        now = self._loop.time()
        for call in calls:
            call.sent = now
        self._in_flight.extend(calls)
        self._transport.write(calls[0].payload if len(calls) == 1 else b"".join([call.payload for call in calls]))
        if self._watch is None:
            self._watch = self._loop.call_later(self._stall, self._check)

    def abort(self, cause: BaseException | None = None) -> None:
        """End the connection now; the commands in flight fail with the cause."""
        self._cause = self._cause or cause
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def abandon(self) -> None:
        """The loop is closed: nothing can be done to the connection any more, but to tell whoever waits."""
        self._transport = None
        self._end()

    def fileno(self) -> int:
        """The socket's descriptor, or -1."""
        return descriptor(self._transport)

    async def _log_in(self, login: Login, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                login.admit(await self._ask(login.payload, login.expects))
        except TimeoutError as error:
            raise self._endpoint.unadmitted() from error

    async def _ask(self, payload: bytes, expects: int) -> list[Any]:
        answer: asyncio.Future[list[Any]] = self._loop.create_future()
        self._write([Told(payload, expects, into(answer))])
        return await answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of `asyncio.Protocol`."""
        # A stream, never a datagram; uvloop's streams do not derive from asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of `asyncio.Protocol`."""
        self._cause = self._cause or exc
        self._end()

    def data_received(self, data: bytes) -> None:
        """Part of `asyncio.Protocol`."""
        self._heard = self._loop.time()
        try:
            replies = self._reader.feed(data)
        except EdgeProfileError as error:
            self.abort(error)
            return
        for reply in replies[self._deal_whole(replies) :]:
            self._deal(reply)

    def _deal_whole(self, replies: list[Any]) -> int:
        """Deal out what answers whole calls, the usual case; how many replies that were."""
        start = 0
        while self._in_flight:
            call = self._in_flight[0]
            end = start + call.expects
            if call.replies or end > len(replies):
                break
            found = replies if end - start == len(replies) else replies[start:end]
            if not call.sound(found):
                break
            self._in_flight.popleft()
            start = end
            call.finish(found)
        return start

    def _deal(self, reply: Any) -> None:
        if not self._in_flight:
            if isinstance(reply, ErrorReply):  # a server that has no room for another connection says so, and ends it
                self.abort(refusal(reply, self._endpoint.name, doing="a connection"))
            else:
                self._violated("answered what nobody asked")
            return
        call = self._in_flight[0]
        call.replies.append(reply)
        if len(call.replies) < call.expects:
            return
        if call.sound(call.replies):
            self._in_flight.popleft()
            call.finish(call.replies)
        else:
            self._violated("answered something else than was asked")

    def _violated(self, what: str) -> None:
        self.abort(ProtocolViolation(f"{self._endpoint.name} {what}", node=self._endpoint.name))

    def _check(self) -> None:
        self._watch = None
        if not self._in_flight:
            return
        silent = self._loop.time() - max(self._heard, self._in_flight[0].sent)
        if silent >= self._stall:
            self.abort(LookupTimeout(f"{self._endpoint.name} stopped answering", node=self._endpoint.name))
        else:
            self._watch = self._loop.call_later(self._stall - silent, self._check)

    def _end(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        fallen, self._in_flight = self._in_flight, deque()
        ended, self._transport = self._transport is not None, None
        self._fail(fallen, asked=len(fallen), said=fallen[0].replies if fallen else ())
        if ended:
            self._lost(self)

    def _fail(self, calls: Collection[Call], *, asked: int, said: Sequence[Any] = ()) -> None:
        lost = partial(self._endpoint.lost, heard=self._heard > 0, said=said)
        for call, error in zip(calls, blame(self._cause, asked, len(calls), lost), strict=True):
            call.finish(error)


def blame(cause: BaseException | None, asked: int, count: int, lost: Lost) -> list[EdgeProfileError]:
    """What the end of a connection means to each of ``count`` callers, of whom the first ``asked`` had been written.

    A reply that cannot be taken is the misfortune of whose turn it was; the others may ask again.
    """
    if not isinstance(cause, ProtocolViolation | ReplyTooLarge):
        return [lost(cause)] * count
    others = lost(None)
    return [cause, *[others] * (count - 1)] if asked else [others] * count
