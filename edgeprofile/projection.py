"""Projections: of a profile, the models and traits that somebody asked for, and defaults for those that it lacks.

The same projection takes an encoded profile, of which it decodes nothing that it can pass on, and a decoded one. A
member of a profile that is no object, as all of an event stream's are, is taken for a trait itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.decoder import JSONDecoder
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from edgeprofile.errors import InvalidProjection

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Projection"]

_Texts: TypeAlias = Mapping[str, "msgspec.Raw | bytes"]

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Projection:
    """What to keep of a profile, and what to add to it.

    Args:
        models: Names of the models to keep, in this order; all of them if None.
        traits: Names of the traits to keep of each model; all of them if None.
        defaults: What a profile shall hold where it lacks it, in the form of a profile: traits by model. A trait that
            is there and null stays null.

    Raises:
        InvalidProjection: There is a default for what is not kept.
    """

    __slots__ = ("_defaults", "_encoded_defaults", "_models", "_traits", "_wanted")

    def __init__(
        self,
        models: Iterable[str] | None = None,
        traits: Iterable[str] | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        self._models = None if models is None else tuple(dict.fromkeys(models))
        self._traits = None if traits is None else tuple(dict.fromkeys(traits))
        self._wanted = frozenset(self._traits or ())
        self._defaults = dict(defaults or {})
        self._check()
        self._encoded_defaults = {name: _encoded(default) for name, default in self._defaults.items()}

    def encoded(self, profile: bytes) -> bytes:
        """Of an encoded profile, what is kept and added, encoded; ``{}`` is a profile that is not there."""
        members = _split(profile)
        kept: dict[str, msgspec.Raw | bytes] = {}
        for name in members if self._models is None else self._models:
            if name in members and (part := self._part(name, members[name])) is not None:
                kept[name] = part
        for name, default in self._encoded_defaults.items():
            kept[name] = _filled(kept.get(name), default)
        return _joined(kept)

    def decoded(self, profile: Mapping[str, Any] | None) -> dict[str, Any]:
        """The same of a decoded profile, `None` for one that is not there; the dicts are the caller's own."""
        profile = profile or {}
        kept: dict[str, Any] = {}
        for name in profile if self._models is None else self._models:
            if name not in profile:
                continue
            value = profile[name]
            if self._traits is not None and isinstance(value, Mapping):
                kept[name] = {trait: value[trait] for trait in self._traits if trait in value}
            elif self._traits is None or name in self._wanted:
                kept[name] = value
        for name, default in self._defaults.items():
            value = kept.setdefault(name, default)
            if isinstance(value, Mapping) and isinstance(default, Mapping):
                kept[name] = {**value, **{trait: text for trait, text in default.items() if trait not in value}}
        return kept

    def _part(self, name: str, text: msgspec.Raw | bytes) -> msgspec.Raw | bytes | None:
        """What is kept of a member; `None` for nothing at all."""
        if self._traits is None:
            return text
        if bytes(memoryview(text)[:1]) != b"{":
            return text if name in self._wanted else None
        traits = _split(text)
        return _joined({trait: traits[trait] for trait in self._traits if trait in traits})

    def _check(self) -> None:
        for name, default in self._defaults.items():
            if self._models is not None and name not in self._models:
                raise InvalidProjection(
                    f'there is a default for the model "{name}", which is not kept', member="models"
                )
            for trait in default if isinstance(default, Mapping) else [name]:
                if self._traits is not None and trait not in self._wanted:
                    raise InvalidProjection(f'there is a default for "{trait}", which is not kept', member="traits")


def _encoded(default: object) -> _Texts | bytes:
    if isinstance(default, Mapping):
        return {trait: msgspec.json.encode(value) for trait, value in default.items()}
    return msgspec.json.encode(default)


def _filled(text: msgspec.Raw | bytes | None, default: _Texts | bytes) -> msgspec.Raw | bytes:
    """A member with its default: traits are added one by one."""
    if isinstance(default, bytes):
        return default if text is None else text
    if text is None:
        return _joined(default)
    if bytes(memoryview(text)[:1]) != b"{":
        return text
    traits = _split(text)
    added = {trait: value for trait, value in default.items() if trait not in traits}
    return _joined({**traits, **added}) if added else text


def _joined(members: _Texts) -> bytes:
    return b"{%b}" % b",".join([b"%b:%b" % (_quoted(name), text) for name, text in members.items()])


def _quoted(name: str) -> bytes:
    try:
        return msgspec.json.encode(name)
    except UnicodeEncodeError:  # a lone surrogate, which JSON can escape
        return json.dumps(name).encode()


def _split(text: msgspec.Raw | bytes) -> _Texts:
    """The members of an encoded object, each as it stands."""
    try:
        return _members(text)
    except msgspec.DecodeError:
        return _split_leniently(bytes(text).decode())


_scan = JSONDecoder(parse_int=len, parse_float=len).raw_decode
_BLANK = " \t\r\n"


def _split_leniently(text: str) -> _Texts:
    """The same for JSON that msgspec refuses: escapes of lone surrogates, and numbers beyond a float."""
    found: dict[str, bytes] = {}
    place = _after_blanks(text, text.index("{") + 1)
    while text[place] != "}":
        name, place = _scan(text, place)
        start = _after_blanks(text, text.index(":", place) + 1)
        _, place = _scan(text, start)
        found[name] = text[start:place].encode()
        place = _after_blanks(text, place)
        place = _after_blanks(text, place + 1) if text[place] == "," else place
    return found


def _after_blanks(text: str, place: int) -> int:
    while text[place] in _BLANK:
        place += 1
    return place
