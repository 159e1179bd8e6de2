"""What a DELETE of the Activation API asks: profiles of one destination, by one id or several."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from edgeprofile_sidecar import members
from edgeprofile_sidecar.answers import Answer
from edgeprofile_sidecar.members import Flawed, FlawedMember, Named, Unreadable

__all__ = ["Deletion", "answer", "read"]


class Deletion(msgspec.Struct, frozen=True, gc=False):
    """Profiles to be deleted from one destination."""

    destination: str
    entity: str
    ids: tuple[Named, ...]


class _Body(msgspec.Struct, rename="camel", gc=False):
    entity: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()
    destination_id: msgspec.Raw = msgspec.Raw()


_body = msgspec.json.Decoder(_Body)
_list = msgspec.json.Decoder(list[msgspec.Raw])

Asked: TypeAlias = Deletion | Flawed | Unreadable


def read(body: bytes, most: int) -> Asked:
    """Read a request's body (UTF-8 JSON), which may name ``most`` ids; each of them must be a good one."""
    found = members.whole(body, _body)
    if isinstance(found, Unreadable):
        return found
    destination = members.destination(found.destination_id)
    try:
        return Deletion(destination, members.text(found.entity, "entity"), _ids(found.id, most))
    except FlawedMember as flaw:
        return Flawed(destination, str(flaw))


def answer(removed: int, asked: int) -> Answer:
    """How many keys were removed, of how many that were asked for."""
    return Answer(200, b'{"deletedKeys":%d,"actualKeys":%d}' % (removed, asked))


def _ids(raw: msgspec.Raw, most: int) -> tuple[Named, ...]:
    if bytes(raw)[:1] != b"[":
        return (members.identity(raw),)
    listed = _list.decode(raw)
    if not listed:
        raise FlawedMember("id should have at least one item")
    if len(listed) > most:
        raise FlawedMember(f"id has {len(listed)} items: at most {most} are deleted at once (sidecar.maxBatch)")
    return tuple(members.identity(item, f"id[{index}]") for index, item in enumerate(listed))
