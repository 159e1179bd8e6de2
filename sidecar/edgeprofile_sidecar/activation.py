"""What a request to the Activation API asks, read from its body as bytes and checked in the contract's order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

import msgspec

from edgeprofile.projection import Projection
from edgeprofile_sidecar import members
from edgeprofile_sidecar.answers import INVALID_DESTINATION, UNAUTHORIZED, Answer, error
from edgeprofile_sidecar.members import Flawed, FlawedMember, Unreadable
from edgeprofile_sidecar.selection import NO_BUNDLES, Wanted, projection

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from edgeprofile_sidecar.tokens import Grant

__all__ = ["Aimed", "Asked", "Question", "answer", "check", "read"]


class Aimed(Protocol):
    """A request that names a destination."""

    @property
    def destination(self) -> str:
        """Its id, ``""`` where none was named."""


A = TypeVar("A", bound=Aimed)


class Question(msgspec.Struct, frozen=True, gc=False):
    """One profile of one destination.

    ``head`` is the beginning of the answer's body, up to the value of ``data``; ``projection`` is what is wanted of the
    profile, `None` for all of it.
    """

    destination: str
    entity: str
    id_type: str
    value: str
    head: bytes
    projection: Projection | None = None


Asked: TypeAlias = Question | Flawed | Unreadable
"""What a body was found to be."""


class _Body(Wanted, rename="camel", gc=False):
    entity: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()
    destination_id: msgspec.Raw = msgspec.Raw()


_body = msgspec.json.Decoder(_Body)


class _PlainId(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: str
    value: str


class _Plain(msgspec.Struct, forbid_unknown_fields=True, rename="camel", gc=False):
    entity: str
    destination_id: str
    id: _PlainId


_plain = msgspec.json.Decoder(_Plain)


def read(body: bytes, bundles: Mapping[str, Projection] = NO_BUNDLES) -> Asked:
    """Read a request's body (UTF-8 JSON); members that are not of the contract are skipped."""
    return _read_plain(body) or _read_any(body, bundles)


def _read_plain(body: bytes) -> Question | None:
    """The question of most callers, in one pass: texts without an escape, which are echoed as they are, and nothing else."""
    if b"\\" in body or not body.isascii():
        return None
    try:
        found = _plain.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    named = found.id
    if not (found.entity and named.type and named.value):
        return None
    head = f'{{"entity":"{found.entity}","id":{{"type":"{named.type}","value":"{named.value}"}},"data":'
    return Question(found.destination_id, found.entity, named.type, named.value, head.encode())


def _read_any(body: bytes, bundles: Mapping[str, Projection]) -> Asked:
    found = members.whole(body, _body)
    if isinstance(found, Unreadable):
        return found
    destination = members.destination(found.destination_id)
    try:
        return _question(destination, found, bundles)
    except FlawedMember as flaw:
        return Flawed(destination, str(flaw))


def check(asked: A | Flawed | Unreadable, grant: Grant, destinations: Container[str]) -> A | Answer:
    """The request, if it may be answered; otherwise the first of the contract's refusals that applies.

    A destination must lie in the token's scope before anything is said about it, so that a token learns nothing of the
    others. The scope of a token that sees everything holds even what is absent or blank; that of no other does.
    """
    if isinstance(asked, Unreadable):
        return error(400, asked.message)
    if not grant.covers(asked.destination):
        return UNAUTHORIZED
    if asked.destination not in destinations:
        return INVALID_DESTINATION
    return error(400, asked.message) if isinstance(asked, Flawed) else asked


def answer(question: Question, data: bytes, headers: bytes = b"", tag: bytes = b"") -> Answer:
    """The profile's answer around ``data``, the JSON text of its models."""
    return Answer(200, b"%b%b}" % (question.head, data), headers, tag)


def _question(destination: str, found: _Body, bundles: Mapping[str, Projection]) -> Question:
    entity = members.text(found.entity, "entity")
    named = members.identity(found.id)
    head = b'{"entity":%b,"id":%b,"data":' % (found.entity, named.echo)
    return Question(destination, entity, named.id_type, named.value, head, projection(found, bundles))
