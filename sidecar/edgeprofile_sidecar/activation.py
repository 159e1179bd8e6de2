"""What a request to the Activation API asks, read from its body as bytes and checked in the contract's order.

Ids and names are echoed as they were sent, so the echo is cut from the body and never encoded again: a number stays
the digits it was written with, an escape stays an escape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

from edgeprofile_sidecar.answers import INVALID_DESTINATION, UNAUTHORIZED, Answer, error

if TYPE_CHECKING:
    from collections.abc import Container

    from edgeprofile_sidecar.tokens import Grant

__all__ = ["Asked", "Flawed", "Question", "Unreadable", "answer", "check", "read"]


class Question(msgspec.Struct, frozen=True, gc=False):
    """One profile of one destination.

    ``head`` is the beginning of the answer's body, up to the value of ``data``.
    """

    destination: str
    entity: str
    id_type: str
    value: str
    head: bytes


class Flawed(msgspec.Struct, frozen=True, gc=False):
    """A JSON object that does not name a profile; ``destination`` is ``""`` where none was named."""

    destination: str
    message: str


class Unreadable(msgspec.Struct, frozen=True, gc=False):
    """A body that is no JSON object, so that not even a destination can be read from it."""

    message: str


Asked: TypeAlias = Question | Flawed | Unreadable
"""What a body was found to be."""


class _Body(msgspec.Struct, rename="camel", gc=False):
    entity: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()
    destination_id: msgspec.Raw = msgspec.Raw()


class _Id(msgspec.Struct, gc=False):
    type: msgspec.Raw = msgspec.Raw()
    value: msgspec.Raw = msgspec.Raw()


class _FlawError(Exception):
    """A member that cannot be used; the message names it."""


_body = msgspec.json.Decoder(_Body)
_id = msgspec.json.Decoder(_Id)
_string = msgspec.json.Decoder(str)

_NUMBER = frozenset(b"%c" % digit for digit in b"-0123456789")


def read(body: bytes) -> Asked:
    """Read a request's body (UTF-8 JSON); members that are not of the contract are skipped."""
    try:
        body.isascii() or body.decode()  # the decoder does not look into the strings that it skips
        members = _body.decode(body)
    except msgspec.ValidationError:
        return Unreadable("the body must be a JSON object")
    except (ValueError, RecursionError) as reason:
        return Unreadable(f"the body is not JSON: {str(reason).removeprefix('JSON is malformed: ')}")
    destination = _named(members.destination_id)
    try:
        return _question(destination, members)
    except _FlawError as flaw:
        return Flawed(destination, str(flaw))


def check(asked: Asked, grant: Grant, destinations: Container[str]) -> Question | Answer:
    """The question, if it may be answered; otherwise the first of the contract's refusals that applies.

    A destination that is named must lie in the token's scope before anything is said about it, so that a token learns
    nothing of the others.
    """
    if isinstance(asked, Unreadable):
        return error(400, asked.message)
    if not asked.destination.strip():
        return INVALID_DESTINATION
    if not grant.covers(asked.destination):
        return UNAUTHORIZED
    if asked.destination not in destinations:
        return INVALID_DESTINATION
    return error(400, asked.message) if isinstance(asked, Flawed) else asked


def answer(question: Question, data: bytes) -> Answer:
    """The profile's answer around ``data``, the JSON text of its models."""
    return Answer(200, b"%b%b}" % (question.head, data))


def _question(destination: str, members: _Body) -> Question:
    entity = _text(members.entity, "entity")
    identity = _identity(members.id)
    id_type = _text(identity.type, "id.type")
    value = _value(identity.value)
    head = b'{"entity":%b,"id":{"type":%b,"value":%b},"data":' % (members.entity, identity.type, identity.value)
    return Question(destination, entity, id_type, value, head)


def _identity(raw: msgspec.Raw) -> _Id:
    try:
        return _id.decode(raw)
    except msgspec.DecodeError:
        raise _flaw(raw, "id", "an object with the members type and value") from None


def _value(raw: msgspec.Raw) -> str:
    text = bytes(raw)
    return text.decode() if text[:1] in _NUMBER else _text(raw, "id.value", "a non-empty string or a number")


def _text(raw: msgspec.Raw, member: str, wanted: str = "a non-empty string") -> str:
    try:
        text = _string.decode(raw)
    except msgspec.DecodeError:
        text = ""
    if not text:
        raise _flaw(raw, member, wanted)
    return text


def _flaw(raw: msgspec.Raw, member: str, wanted: str) -> _FlawError:
    return _FlawError(f"{member} must be {wanted}" if bytes(raw) else f"{member} is missing")


def _named(raw: msgspec.Raw) -> str:
    try:
        return _string.decode(raw)
    except msgspec.DecodeError:
        return ""
