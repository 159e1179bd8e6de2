"""The members of a request's body: read one by one, so that what is wrong can be named.

Ids and names are echoed as they were sent, so the echo is cut from the body and never encoded again: a number stays
the digits it was written with, an escape stays an escape.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

__all__ = ["Flawed", "FlawedMember", "Named", "Unreadable", "destination", "identity", "text", "whole"]

T = TypeVar("T")

_NUMBER = frozenset(b"%c" % digit for digit in b"-0123456789")
_TEXT = "a non-empty string"


class Unreadable(msgspec.Struct, frozen=True, gc=False):
    """A body that is no JSON object, so that not even a destination can be read from it."""

    message: str


class Flawed(msgspec.Struct, frozen=True, gc=False):
    """A JSON object that asks nothing; ``destination`` is ``""`` where none was named."""

    destination: str
    message: str


class FlawedMember(Exception):
    """A member that cannot be used; the message names it."""


class Named(msgspec.Struct, frozen=True, gc=False):
    """An id: its type, its value, and the JSON text of the two for the answer."""

    id_type: str
    value: str
    echo: bytes


class _Id(msgspec.Struct, gc=False):
    type: msgspec.Raw = msgspec.Raw()
    value: msgspec.Raw = msgspec.Raw()


_id = msgspec.json.Decoder(_Id)
_string = msgspec.json.Decoder(str)


def whole(body: bytes, decoder: msgspec.json.Decoder[T]) -> T | Unreadable:
    """The object that a body (UTF-8 JSON) is, its members unread."""
    try:
        body.isascii() or body.decode()  # the decoder does not look into the strings that it skips
        return decoder.decode(body)
    except msgspec.ValidationError:
        return Unreadable("the body must be a JSON object")
    except (ValueError, RecursionError) as reason:
        if (named := _surrogate_in(body)) is not None:
            return Unreadable(f"{named} holds a lone surrogate, which UTF-8 cannot carry")
        what = str(reason).removeprefix("JSON is malformed: ") if body else "it is empty"
        return Unreadable(f"the body is not JSON: {what}")


def destination(raw: msgspec.Raw) -> str:
    """The destination that is named, ``""`` if there is none."""
    try:
        return _string.decode(raw)
    except msgspec.DecodeError:
        return ""


def identity(raw: msgspec.Raw, member: str = "id") -> Named:
    """The id in an object of type and value. Raises `FlawedMember`."""
    try:
        found = _id.decode(raw)
    except msgspec.DecodeError:
        raise _flaw(raw, member, "an object with the members type and value") from None
    id_type = text(found.type, f"{member}.type")
    return Named(id_type, _value(found.value, f"{member}.value"), b'{"type":%b,"value":%b}' % (found.type, found.value))


def text(raw: msgspec.Raw, member: str, wanted: str = _TEXT) -> str:
    """A text that is not empty. Raises `FlawedMember`."""
    try:
        found = _string.decode(raw)
    except msgspec.DecodeError:
        found = ""
    if not found:
        raise _flaw(raw, member, wanted)
    return found


def _value(raw: msgspec.Raw, member: str) -> str:
    written = bytes(raw)
    return written.decode() if written[:1] in _NUMBER else text(raw, member, f"{_TEXT} or a number")


def _flaw(raw: msgspec.Raw, member: str, wanted: str) -> FlawedMember:
    return FlawedMember(f"{member} must be {wanted}" if bytes(raw) else f"{member} is missing")


def _surrogate_in(body: bytes) -> str | None:
    """The member whose text escapes half of a pair: JSON by its grammar, and no text of Unicode."""
    try:
        named = _unencodable(json.loads(body), "") if b"\\u" in body else None
    except (ValueError, RecursionError):
        return None
    return None if named is None else named.encode("ascii", "backslashreplace").decode() or "the body"


def _unencodable(found: Any, member: str) -> str | None:
    if isinstance(found, str):
        return member if any("\ud800" <= letter <= "\udfff" for letter in found) else None
    if isinstance(found, list):
        inner = [(f"{member}[{place}]", each) for place, each in enumerate(found)]
    elif isinstance(found, dict):
        inner = [(f"{member}.{name}".lstrip("."), each) for name, each in found.items()]
    else:
        return None
    return next((flawed for name, each in inner if (flawed := _unencodable(each, name)) is not None), None)
