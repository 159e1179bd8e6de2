"""The fast lane: the one hot, simple request, answered from the bytes that it came in.

aiohttp serves every route. A connection that is at rest may find a whole request in its buffer which needs none of its
machinery: a POST for a profile, with headers of the plainest kind. Such a request is answered here, to the same bytes:
at once if the profile is in memory, or else when Redis has answered; the connection takes no other request meanwhile.
Anything else is left to aiohttp, untouched, so whatever either accepts is answered alike.

Both must agree where a request ends. So a head is read strictly, and only what is framed by at most one plain
``Content-Length`` counts as a whole request; a connection on which anything else was ever seen has no lane any more.
"""

from __future__ import annotations

import asyncio
import logging
import re
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import msgspec

from edgeprofile_sidecar.answers import CLOSE, DEADLINE, INTERNAL_ERROR, Answer, render
from edgeprofile_sidecar.counters import BOUNDS
from edgeprofile_sidecar.headers import is_json
from edgeprofile_sidecar.logs import origin
from edgeprofile_sidecar.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprofile_sidecar.activation import Question
    from edgeprofile_sidecar.counters import Counters, Histogram
    from edgeprofile_sidecar.deadlines import Deadlines
    from edgeprofile_sidecar.service import Service

__all__ = ["Asked", "Head", "Lane", "Rest", "Taken", "read_head"]

_log = logging.getLogger(__name__)

_HOT: Final = {
    b"POST /v1/activation HTTP/1.1": "/v1/activation",
    b"POST /v2/activation HTTP/1.1": "/v2/activation",
}
_REQUEST: Final = re.compile(rb"(?:GET|POST) /[!-~]{0,256} HTTP/1\.1")
_FIELD: Final = re.compile(rb"([A-Za-z0-9-]{1,40}): ?([!-~](?:[ -~]{0,2046}[!-~])?|)")
_SILENT: Final = frozenset({b"accept", b"accept-encoding", b"accept-language", b"host", b"user-agent"})
"""Headers that change nothing about an answer."""
_FRAMING: Final = frozenset({b"connection", b"expect", b"te", b"trailer", b"transfer-encoding", b"upgrade"})
"""Headers that may change where a request ends, or what happens after it."""
_LONGEST_HEAD: Final = 2_048
_MOST_AT_ONCE: Final = 1 << 20
"""Bytes of answers; who asks for more in a row gets them from aiohttp, one by one, as they are read."""
_DIGITS: Final = 7
_FASTEST: Final = BOUNDS[0]
_REMEMBERED: Final = 1_024
_LARGEST_KNOWN: Final = 512
"""Bytes of a body; with the longest head and the largest answer that stands it bounds what is kept to ten megabytes."""


class Head(msgspec.Struct, frozen=True, gc=False):
    """The head of a request whose end is certain: ``length`` bytes of body follow.

    ``route`` is empty if it is none of the hot ones, or if its headers ask for more than the lane knows.
    """

    length: int
    route: str = ""
    authorization: str = ""


class Rest(Enum):
    """What is left of some bytes."""

    WHOLE = "nothing, or one whole request"
    AWAITED = "a request whose body is still to come, and may be answered at once then"
    UNCERTAIN = "anything else"


class Asked(NamedTuple):
    """A question that Redis has to be asked: its route, and when it came."""

    question: Question
    route: str
    begun: float


class Taken(NamedTuple):
    """The answers to requests at the front of some bytes, how many bytes they answer, and what is left.

    ``asked`` is what the last of these requests asks, if its answer is still to be fetched; nothing is left then.
    """

    answers: list[bytes]
    bytes: int
    rest: Rest
    asked: Asked | None = None


class _Known:
    """A request that was answered here: its answer as it goes over the wire is right for as long as ``gives`` says so."""

    __slots__ = ("authorization", "body", "gives", "histogram", "wire")

    def __init__(self, authorization: str, body: bytes, histogram: Histogram) -> None:
        self.authorization = authorization
        self.body = body
        self.histogram = histogram
        self.wire = b""
        self.gives: Callable[[float], bool] = _not_yet


class Lane:
    """Answers what can be answered at once, for all connections of a listener."""

    def __init__(
        self,
        service: Service,
        counters: Counters,
        date: Callable[[], bytes],
        max_body: int,
        deadlines: Deadlines,
    ) -> None:
        self._service = service
        self._deadlines = deadlines
        self._counters = counters
        self._date = date
        self._max_body = max_body
        self._heads = Recent[bytes, Head | None](_REMEMBERED)
        self._known = Recent[bytes, _Known](_REMEMBERED)

    def again(self, data: bytes) -> bytes | None:
        """The answer to a whole request that was answered before; `None` leaves it to `answer`.

        Who asks for the same profile many times a second sends the same bytes, and gets the same.
        """
        known = self._known.get(data)
        if known is None:
            return None
        begun = monotonic()
        if not known.gives(begun) and not self._renewed(known, begun):
            return None
        seconds = monotonic() - begun
        if seconds < _FASTEST:
            known.histogram.counts[0] += 1
            known.histogram.total += seconds
        else:
            known.histogram.observe(seconds)
        return known.wire

    def _renewed(self, known: _Known, now: float) -> bool:
        standing = self._service.standing(known.authorization, known.body)
        if standing is None:
            return False
        known.wire, known.gives = render(standing.answer, self._date()), standing.gives
        return known.gives(now)

    def answer(self, data: bytes, *, free: bool = True) -> Taken:
        """Take requests from the front of ``data``, which begins where a request begins.

        ``free``: whether requests may be answered at all; otherwise only their ends are looked for.
        """
        answers: list[bytes] = []
        position = written = 0
        rest = Rest.WHOLE
        asked = None
        while position < len(data):
            begun = monotonic()
            end = data.find(b"\r\n\r\n", position, position + _LONGEST_HEAD) + 4
            head = self._head(data[position:end]) if end > 3 else None
            if head is None or written > _MOST_AT_ONCE:
                rest = Rest.UNCERTAIN
                break
            after = end + head.length
            found = self._hot(head, data[end:after]) if free and after <= len(data) else None
            if not isinstance(found, Answer):
                rest = self._rest(head, len(data) - after, free=free)
                if found is not None and rest is Rest.WHOLE:
                    asked = Asked(found, head.route, begun)
                    position = after
                break
            wire = render(found, self._date())
            answers.append(wire)
            written += len(wire)
            self._counters.answered(head.route, "POST", found.status, monotonic() - begun)
            if position == 0 and after == len(data) and head.length <= _LARGEST_KNOWN:
                self._remember(data, head, end)
            position = after
        return Taken(answers, position, rest, asked)

    async def fetch(self, asked: Asked, closing: Callable[[], bool]) -> bytes:
        """The answer that Redis is asked for; ``closing``: whether to say, when it is made, that it is the last."""
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._counters.in_flight += 1
        self._deadlines.begin(task, asked.begun)
        try:
            answer = await self._service.fetch(asked.question)
        except asyncio.CancelledError:
            if not self._deadlines.caught(task):
                raise
            answer = DEADLINE
        except Exception as error:  # noqa: BLE001  # the boundary: what nobody foresaw is answered and logged, once
            _log.error("a request could not be answered", extra=origin(error))
            answer = INTERNAL_ERROR
        finally:
            self._deadlines.exempt(task)
            self._counters.in_flight -= 1
        self._counters.answered(asked.route, "POST", answer.status, monotonic() - asked.begun)
        return render(answer, self._date(), CLOSE if closing() else b"")

    def _remember(self, data: bytes, head: Head, end: int) -> None:
        histogram = self._counters.durations[head.route, "POST", 200]
        self._known.put(data, _Known(head.authorization, data[end:], histogram))

    def _rest(self, head: Head, more: int, *, free: bool) -> Rest:
        """What a request is that is not answered here, with so many bytes behind its end, or as many to come."""
        if more == 0:
            return Rest.WHOLE
        awaited = more < 0 and free and head.route and head.length <= self._max_body
        return Rest.AWAITED if awaited else Rest.UNCERTAIN

    def _head(self, text: bytes) -> Head | None:
        head = self._heads.get(text)
        if head is None:
            head = read_head(text)
            self._heads.put(text, head)
        return head

    def _hot(self, head: Head, body: bytes) -> Answer | Question | None:
        if not head.route or head.length > self._max_body:
            return None
        return self._service.at_once(head.authorization, body)


def _not_yet(_now: float) -> bool:
    return False


def read_head(text: bytes) -> Head | None:
    """The head of one request, up to and with its empty line; `None` where its end is not certain."""
    request, *fields = text[:-4].split(b"\r\n")
    if not _REQUEST.fullmatch(request):
        return None
    seen: dict[bytes, bytes] = {}
    for field in fields:
        match = _FIELD.fullmatch(field)
        if match is None:
            return None
        name, value = match[1].lower(), match[2]
        if name in seen or (name in _FRAMING and (name, value.lower()) != (b"connection", b"keep-alive")):
            return None
        seen[name] = value
    length = seen.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > _DIGITS or b"host" not in seen:
        return None
    return _heated(request, seen, int(length))


def _heated(request: bytes, seen: dict[bytes, bytes], length: int) -> Head:
    """The head, with its route if it is a hot one and nothing in it matters but the token and the length."""
    route = _HOT.get(request, "")
    known = seen.keys() - _SILENT - {b"authorization", b"connection", b"content-length", b"content-type"}
    plain = not known and b"authorization" in seen and b"content-length" in seen
    if not (route and plain and is_json(seen.get(b"content-type", b"").decode())):
        return Head(length)
    return Head(length, route, seen[b"authorization"].decode())
