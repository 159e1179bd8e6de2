"""Answers as HTTP/1.1 bytes, and the fixed ones of the contract.

An answer is rendered here, once, whichever way it leaves the process.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec

from edgeprofile.errors import (
    InvalidIdentity,
    ProtocolViolation,
    ReplyTooLarge,
    UnknownDestination,
    WrongType,
)

if TYPE_CHECKING:
    from edgeprofile.errors import EdgeProfileError

__all__ = [
    "BUSY",
    "CLOSE",
    "DEADLINE",
    "DELETE_FAILED",
    "EXPECTATION_FAILED",
    "INTERNAL_ERROR",
    "INVALID_DESTINATION",
    "KEEP_ALIVE",
    "MALFORMED",
    "NO_GOOD_TOKEN",
    "NO_ROOM",
    "NO_SUCH_ROUTE",
    "TOO_SLOW",
    "UNAUTHORIZED",
    "UNAVAILABLE",
    "UNSUPPORTED_CODING",
    "UNSUPPORTED_TYPE",
    "Answer",
    "Long",
    "error",
    "failure",
    "long_head",
    "method_not_allowed",
    "oversized",
    "render",
    "too_many_headers",
    "too_often",
    "with_message",
]


class Answer(msgspec.Struct, frozen=True, gc=False):
    """An answer: its status, its JSON body, and further header lines, each ended by CRLF.

    ``tag`` is the entity tag among the headers, where there is one.
    """

    status: int
    body: bytes
    headers: bytes = b""
    tag: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self.body)


class Long(Answer, frozen=True, gc=False):
    """An answer whose body is ``parts``, one after the other: to join it, or send it at once, would keep others waiting."""

    parts: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return sum(map(len, self.parts))


def error(status: int, message: str, headers: bytes = b"") -> Answer:
    """An answer in the contract's error form."""
    return Answer(status, msgspec.json.encode({"error": message}), headers)


CLOSE: Final = b"Connection: close\r\n"
KEEP_ALIVE: Final = b"Connection: keep-alive\r\n"

MALFORMED: Final = error(400, "This is no well-formed HTTP request")
UNAUTHORIZED: Final = error(
    401, "Unauthorized request. Please check your access token", b"WWW-Authenticate: Bearer\r\n"
)
NO_GOOD_TOKEN: Final = msgspec.structs.replace(UNAUTHORIZED)
"""The same, to one that is told apart within: it brings no token that opens anything, and such are counted."""
INVALID_DESTINATION: Final = error(404, "Invalid Destination. Please verify you are passing the right destination ID")
NO_SUCH_ROUTE: Final = error(404, "There is nothing at this path; profiles are asked for at /v1/activation")
TOO_SLOW: Final = error(408, "The request did not arrive in time")
UNSUPPORTED_TYPE: Final = error(415, "The content type must be application/json", b"Accept: application/json\r\n")
UNSUPPORTED_CODING: Final = error(415, "The body must not be compressed", b"Accept-Encoding: identity\r\n")
EXPECTATION_FAILED: Final = error(417, "The only expectation that can be met is 100-continue")
INTERNAL_ERROR: Final = error(500, "The sidecar failed to answer; its log says why")
DELETE_FAILED: Final = Answer(500, b'{"message":"Internal server error"}')
BUSY: Final = error(503, "The sidecar has as many requests as it takes at one time", b"Retry-After: 1\r\n")
DEADLINE: Final = error(504, "The answer took longer than this sidecar waits")
UNAVAILABLE: Final = error(503, "Profiles cannot be read at the moment", b"Retry-After: 1\r\n")
NO_ROOM: Final = error(503, "Other answers wait to be read, and leave no room for this one", b"Retry-After: 1\r\n")

_UNUSABLE: Final = error(502, "What Redis holds for this id is no profile that can be served")

_MEMBERS: Final = {"id_type": "id.type", "value": "id.value"}
_EMPTY: Final = frozenset({204, 304})
_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def method_not_allowed(allowed: str) -> Answer:
    """405, with the methods that the path knows, separated by commas."""
    return error(405, f"This path takes {allowed}", f"Allow: {allowed}\r\n".encode())


def oversized(most: int) -> Answer:
    """413, with the bytes that a body may have."""
    return error(413, f"The body is larger than the {most} bytes that are accepted here")


def long_head(most: int) -> Answer:
    """431, with the bytes that a line of a head may have."""
    return error(431, f"The request line or a header is longer than the {most} bytes that are accepted")


def too_many_headers(most: int) -> Answer:
    """431, with the number of headers that a request may have."""
    return error(431, f"The request has more than the {most} headers that are accepted")


def too_often(seconds: float) -> Answer:
    """401 to a caller that got many of them: it says too when to come back (in seconds)."""
    return msgspec.structs.replace(
        UNAUTHORIZED, headers=b"%bRetry-After: %d\r\n" % (UNAUTHORIZED.headers, math.ceil(seconds))
    )


def with_message(answer: Answer) -> Answer:
    """An error as the contract words it on DELETE: in ``message``, but for 401 and 404, which are as everywhere."""
    if answer.status < 400 or answer.status in {401, 404, 500}:
        return answer
    return Answer(answer.status, answer.body.replace(b'"error"', b'"message"', 1), answer.headers)


def failure(reason: EdgeProfileError) -> Answer:
    """What a lookup's named error is to the caller.

    A value that can never be served is 502, since asking again does not help; all else that Redis does is 503, which
    invites to ask again. The text is fixed: addresses and rights of the installation are for its log alone.
    """
    if isinstance(reason, InvalidIdentity):
        return error(400, f"{_MEMBERS.get(reason.member, reason.member)}: {reason}")
    if isinstance(reason, UnknownDestination):
        return INVALID_DESTINATION
    return _UNUSABLE if isinstance(reason, WrongType | ReplyTooLarge | ProtocolViolation) else UNAVAILABLE


def render(answer: Answer, date: bytes, more: bytes = b"", *, bodiless: bool = False) -> bytes:
    """The whole answer as it goes over the wire, or what goes before the parts of a long one.

    Args:
        answer: What to send.
        date: The value of the ``Date`` header.
        more: Header lines of this connection and moment, each ended by CRLF.
        bodiless: Leave the body out, as an answer to HEAD must.
    """
    if answer.status in _EMPTY:
        return b"%bDate: %b\r\n%b%b\r\n" % (_LINES[answer.status], date, answer.headers, more)
    return b"%bContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\nDate: %b\r\n%b%b\r\n%b" % (
        _LINES[answer.status],
        answer.size,
        date,
        answer.headers,
        more,
        b"" if bodiless else answer.body,
    )
