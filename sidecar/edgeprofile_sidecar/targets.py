"""What ``GET /v2/profiles/{entity}/{idType}/{value}`` asks, read from the request's target, exactly.

Each part of the path is percent-decoded once, as UTF-8, and nothing else is done to it: a plus is a plus. In the query
a plus is a space, as forms write it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import unquote_to_bytes

import msgspec

from edgeprofile.projection import Projection
from edgeprofile_sidecar.activation import Question
from edgeprofile_sidecar.members import Flawed, FlawedMember, Unreadable
from edgeprofile_sidecar.selection import named

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PREFIX", "Watching", "matches", "origin_form", "read", "read_watch"]

PREFIX: Final = "/v2/profiles/"


class Watching(msgspec.Struct, frozen=True, gc=False):
    """Profiles of one destination whose changes are to be told."""

    destination: str
    entity: str
    id_type: str
    values: tuple[str, ...]


Asked: TypeAlias = Question | Flawed | Unreadable

_MEMBERS: Final = ("entity", "idType", "value")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")


def origin_form(target: str) -> str:
    """A request's target without the scheme and host that a proxy's client writes before it."""
    return _ABSOLUTE.sub("", target, count=1) if not target.startswith("/") else target


def matches(target: str) -> bool:
    """Whether the target (in origin form) names a profile."""
    path = target.partition("?")[0]
    return path.startswith(PREFIX) and path.count("/", len(PREFIX)) == len(_MEMBERS) - 1


def read(target: str, only: str, bundles: Mapping[str, Projection]) -> Asked:
    """Read a target that `matches`.

    Args:
        target: In origin form.
        only: The destination that need not be named; ``""`` where there are several.
        bundles: The projections that have names.
    """
    path, _, query = target.partition("?")
    try:
        wanted = _parameters(query)
    except FlawedMember as flaw:
        return Unreadable(str(flaw))
    destination = wanted.get("destinationId", [only])[-1]
    try:
        entity, id_type, value = map(_part, path.removeprefix(PREFIX).split("/"), _MEMBERS)
        return Question(
            destination, entity, id_type, value, _head(entity, id_type, value), _projection(wanted, bundles)
        )
    except FlawedMember as flaw:
        return Flawed(destination, str(flaw))


def read_watch(target: str, only: str, most: int) -> Watching | Flawed | Unreadable:
    """Read the target of a changes stream: ``?destinationId=…&entity=…&idType=…&value=…&value=…``."""
    try:
        wanted = _parameters(target.partition("?")[2])
    except FlawedMember as flaw:
        return Unreadable(str(flaw))
    destination = wanted.get("destinationId", [only])[-1]
    missing = [name for name in _MEMBERS if not all(wanted.get(name, [""]))]
    if missing:
        return Flawed(destination, f"{missing[0]} is missing")
    if len(wanted["value"]) > most:
        return Flawed(destination, f"value is given more than {most} times (sidecar.maxBatch)")
    return Watching(destination, wanted["entity"][-1], wanted["idType"][-1], tuple(wanted["value"]))


def _head(entity: str, id_type: str, value: str) -> bytes:
    texts = tuple(map(msgspec.json.encode, (entity, id_type, value)))
    return b'{"entity":%b,"id":{"type":%b,"value":%b},"data":' % texts


def _projection(wanted: Mapping[str, list[str]], bundles: Mapping[str, Projection]) -> Projection | None:
    models, traits = wanted.get("models"), wanted.get("traits")
    if "bundle" in wanted:
        if models or traits:
            raise FlawedMember("bundle stands for models and traits: give it or them")
        return named(wanted["bundle"][-1], bundles)
    return Projection(models, traits) if models or traits else None


def _parameters(query: str) -> dict[str, list[str]]:
    """The query's parameters; one that is repeated is a list."""
    found: dict[str, list[str]] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.replace("+", " ").partition("=")
        found.setdefault(_decoded(name, "the query"), []).append(_decoded(value, "the query"))
    return found


def _part(text: str, member: str) -> str:
    if not text:
        raise FlawedMember(f"{member} is missing")
    return _decoded(text, member)


def _decoded(text: str, where: str) -> str:
    if _BROKEN.search(text):
        raise FlawedMember(f"{where} has a % that begins no percent-encoding: write %25")
    try:
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode()
    except UnicodeDecodeError:
        raise FlawedMember(f"{where} is not UTF-8") from None
