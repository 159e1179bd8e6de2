"""What a batch asks: many profiles of one destination, answered in their order, each for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

from edgeprofile.projection import Projection
from edgeprofile_sidecar import members
from edgeprofile_sidecar.answers import Answer, Long, error
from edgeprofile_sidecar.members import Flawed, FlawedMember, Named, Unreadable
from edgeprofile_sidecar.selection import NO_BUNDLES, Wanted, projection

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Asked", "Batch", "Misnamed", "Places", "found", "misnamed", "oversized", "read", "refused"]

_PART = 1 << 18  # bytes that are joined, and sent, in one turn


class Misnamed(msgspec.Struct, frozen=True, gc=False):
    """An id that names nothing: its JSON text as it was sent, and what is wrong with it."""

    echo: bytes
    message: str


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Profiles of one destination; ``echo`` is the entity's JSON text, ``projection`` what is wanted of each."""

    destination: str
    entity: str
    echo: bytes
    ids: tuple[Named | Misnamed, ...]
    projection: Projection | None = None


class _Body(Wanted, rename="camel", gc=False):
    entity: msgspec.Raw = msgspec.Raw()
    ids: msgspec.Raw = msgspec.Raw()
    destination_id: msgspec.Raw = msgspec.Raw()


_body = msgspec.json.Decoder(_Body)
_list = msgspec.json.Decoder(list[msgspec.Raw])

_OVERSIZED = error(
    413, "The answer has no room for this one (sidecar.maxAnswerBytes): ask for it again, with fewer others"
)

Asked: TypeAlias = Batch | Flawed | Unreadable
"""What a body was found to be."""


def read(body: bytes, most: int, bundles: Mapping[str, Projection] = NO_BUNDLES) -> Asked:
    """Read a request's body (UTF-8 JSON), which may name ``most`` ids."""
    told = members.whole(body, _body)
    if isinstance(told, Unreadable):
        return told
    destination = members.destination(told.destination_id)
    try:
        entity = members.text(told.entity, "entity")
        ids = _ids(told.ids, most)
        return Batch(destination, entity, bytes(told.entity), ids, projection(told, bundles))
    except FlawedMember as flaw:
        return Flawed(destination, str(flaw))


def found(echo: bytes, data: bytes, *, found: bool) -> bytes:
    """One id's place in the answer: ``data`` is the JSON text of its models."""
    return b'{"id":%b,"found":%b,"data":%b}' % (echo, b"true" if found else b"false", data)


def refused(echo: bytes, answer: Answer) -> bytes:
    """The same for an id that cannot be answered, with the status that it would have had alone."""
    return b'{"id":%b,"status":%d,%b' % (echo, answer.status, answer.body[1:])


def oversized(echo: bytes) -> bytes:
    """The same for one that no longer finds a place."""
    return refused(echo, _OVERSIZED)


class Places:
    """The answer to a batch as it grows by one place after the other."""

    def __init__(self, asked: Batch) -> None:
        self._parts = [b'{"entity":%b,"results":[' % asked.echo]
        self._new: list[bytes] = []
        self._size = 0

    def add(self, place: bytes) -> None:
        """The next one."""
        self._new.append(place)
        self._size += len(place)
        if self._size >= _PART:
            self._parts.append(b",".join(self._new))
            self._new, self._size = [b""], 0  # the next part begins with a comma

    def answer(self) -> Answer:
        """The answer around all of them."""
        *parts, last = *self._parts, b",".join(self._new) + b"]}"
        if len(parts) == 1:
            return Answer(200, parts[0] + last)
        return Long(200, b"", parts=(*parts, last))


def misnamed(flaw: Misnamed) -> bytes:
    """The place of an id that names nothing."""
    return refused(flaw.echo, error(400, flaw.message))


def _ids(raw: msgspec.Raw, most: int) -> tuple[Named | Misnamed, ...]:
    try:
        listed = _list.decode(raw)
    except msgspec.DecodeError:
        raise FlawedMember("ids must be a list of ids" if bytes(raw) else "ids is missing") from None
    if not listed:
        raise FlawedMember("ids should have at least one item")
    if len(listed) > most:
        raise FlawedMember(f"ids has {len(listed)} items: at most {most} are answered at once (sidecar.maxBatch)")
    return tuple(map(_named, listed))


def _named(raw: msgspec.Raw) -> Named | Misnamed:
    try:
        return members.identity(raw)
    except FlawedMember as flaw:
        return Misnamed(bytes(raw), str(flaw))
