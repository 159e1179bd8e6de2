"""The value: a profile's encoded traits, and the read-only view that callers get.

Encoded, a profile is one JSON object ``{model: traits}`` whose texts stand as they stood in Redis, byte for byte.
Decoded, it is a `Profile`: a ``dict`` to everything that reads it, and read-only at every depth, because one view is
shared by every caller in the process. No subclass can stop who goes past its methods on purpose, as ``dict.update(profile,
…)`` does, or ``heapq.heapify`` on a list.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from itertools import accumulate
from sys import intern, version_info
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, overload

import msgspec

from edgeprofile.errors import ReadOnlyProfile, TraitsMismatch, WrongType
from edgeprofile.memory import allocated, may_hold_containers, tree_size, untrack
from edgeprofile.speedups import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

__all__ = [
    "Encoded",
    "Profile",
    "decode",
    "decode_model",
    "document_models",
    "encode_document",
    "encode_hash",
    "encode_plain",
    "encode_strings",
]

T = TypeVar("T")

_CONTAINERS: Final = frozenset({dict, list})
_KEEPS_NAMES: Final = version_info[:2] == (3, 12)
"""Python 3.12 never frees what was interned, and the names of a profile may be data. The parser shares short ones."""
MAX_DEPTH: Final = 256
"""Levels that one model may nest. Deeper text is served as text: no reader's stack shall overflow on it."""


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """``json`` is the encoded ``data``; ``broken`` names the models whose text is no JSON and is served as a string."""

    json: bytes
    broken: tuple[str, ...] = ()


def encode_hash(fields: Sequence[bytes]) -> Encoded:
    """A Profiles hash, as HGETALL's flat ``[model, text, model, text, …]``.

    Models whose names differ only in bytes that are no UTF-8 share one name afterwards; the last of them is served.
    """
    if len(fields) == 2 and _is_json(fields[1]):
        return Encoded(b"{%b:%b}" % (_name(fields[0]), fields[1]))
    members: dict[bytes, bytes] = {}
    broken: list[str] = []
    for name, text in zip(fields[::2], fields[1::2], strict=True):
        if _is_json(text):
            members[_name(name)] = text
        else:
            members[_name(name)] = _quote(text)
            broken.append(_text(name))
    return Encoded(b"{%b}" % b",".join(b"%b:%b" % member for member in members.items()), tuple(broken))


encode_plain: Callable[[object], bytes | None] | None = None if compiled is None else compiled.encode_plain
"""What `encode_hash` makes of a hash where nothing is rare, and nothing broken; None for any other."""


def encode_strings(fields: Sequence[bytes]) -> Encoded:
    """An event-stream hash, as HGETALL's flat ``[trait, text, trait, text, …]``: every value stays a string."""
    names, texts = map(_text, fields[::2]), map(_text, fields[1::2])
    return Encoded(msgspec.json.encode(dict(zip(names, texts, strict=True))))


def encode_document(text: bytes) -> Encoded:
    """A JSON document ``{model: traits}``, byte for byte; raises `WrongType` if it is anything else."""
    if not (text.lstrip(b" \t\r\n").startswith(b"{") and _is_json(text)):
        raise WrongType("the document at this key is no JSON object of models", code="WRONGTYPE")
    return Encoded(text)


def document_models(text: bytes) -> Collection[str]:
    """The names of the models in a JSON document that `encode_document` accepts."""
    try:
        return _models(text)
    except msgspec.DecodeError:
        return _loads(text)  # type: ignore[no-any-return]  # an object, as was checked


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


@lru_cache(1024)
def _name(data: bytes) -> bytes:
    """A model's name as JSON; the names of a project are few."""
    return _quote(data)


def _quote(data: bytes) -> bytes:
    return msgspec.json.encode(_text(data))


_skim = msgspec.json.Decoder(msgspec.Raw).decode
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)  # matches at every quote, so it takes linear time
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # one level down, one level up, as signed bytes
_NO_STEPS = bytes(set(range(256)) - set(b"[{]}"))


def _is_json(text: bytes) -> bool:
    try:
        if not text.isascii():
            text.decode()  # msgspec does not look into the strings that it skims
        if len(text) > MAX_DEPTH and text.count(b"[") + text.count(b"{") > MAX_DEPTH and _is_deep(text):
            return False
        _skim(text)
    except UnicodeDecodeError:
        return False
    except msgspec.DecodeError:
        return _is_lenient_json(text.decode())
    return True


def _is_lenient_json(text: str) -> bool:
    """JSON all the same: escapes of lone surrogates, which JavaScript writes and msgspec refuses."""
    try:
        _loads(text)
    except ValueError:
        return False
    return True


def _is_deep(text: bytes) -> bool:
    steps = memoryview(_STRING.sub(b"", text).translate(_STEPS, _NO_STEPS)).cast("b")
    return max(accumulate(steps), default=0) > MAX_DEPTH


def _loads(text: str | bytes) -> Any:
    """Parse what msgspec refuses: lone surrogates, and numbers beyond a float, which become infinite."""
    return json.loads(text, parse_constant=_no_constant, parse_int=_integer)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _integer(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # more digits than Python converts
        return float(digits)


def _read_only(*_args: object, **_kwargs: object) -> NoReturn:
    raise ReadOnlyProfile(
        "a profile is shared by every caller in this process and cannot be changed in place: "
        "take a copy of your own with .copy(), it is plain dicts and lists at every depth"
    )


class _Traits(dict[str, Any]):
    """A read-only dict. Every copy of it, shallow, deep or pickled, is a plain dict, down to the last level."""

    __slots__ = ()

    __init__ = __setitem__ = __delitem__ = __ior__ = _read_only
    clear = pop = popitem = setdefault = update = _read_only

    def copy(self) -> dict[str, Any]:
        return {name: _thaw(value) for name, value in self.items()}

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return self.copy()

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return dict, (self.copy(),)


class _Items(list[Any]):
    """A read-only list, with copies as those of `_Traits`."""

    __slots__ = ()

    __init__ = __setitem__ = __delitem__ = __iadd__ = __imul__ = _read_only
    append = clear = extend = insert = pop = remove = reverse = sort = _read_only

    def copy(self) -> list[Any]:
        return [_thaw(value) for value in self]

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return self.copy()

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return list, (self.copy(),)


_READ_AT_AND_FOOTPRINT: Final = 2 * allocated(24)


def _stopped() -> float:
    return 0.0


class Profile(_Traits):
    """A customer's traits, ``profile[model][trait]``; read-only at every depth.

    It is a ``dict``: ``==``, ``json.dumps``, msgspec, pickle, templates and ``match`` treat it as one. What would
    change it raises `ReadOnlyProfile`. ``copy()``, ``copy.copy`` and ``copy.deepcopy`` all give plain dicts and lists
    of your own; ``profile | other`` gives a plain dict whose values are still read-only. Pickled, it stays a
    `Profile` and keeps the age it had.

    Build one from any mapping with ``Profile(mapping)``, in a test for example.
    """

    __slots__ = ("_clock", "_footprint", "_json", "_read_at", "_stale")

    _clock: Callable[[], float]
    _footprint: int
    _json: bytes
    _read_at: float
    _stale: bool

    def __init__(self, models: Mapping[str, Any], /) -> None:
        if hasattr(self, "_json"):
            _read_only()
        _fill(self, msgspec.json.encode(dict(models)), 0.0, _stopped, stale=False)

    @property
    def json(self) -> bytes:
        """The traits as one JSON object, the texts as they stand in Redis."""
        return self._json

    @property
    def read_at(self) -> float:
        """When the read was sent to Redis, in seconds on the client's clock."""
        return self._read_at

    @property
    def age(self) -> float:
        """Seconds since the read was sent to Redis."""
        return self._clock() - self._read_at

    @property
    def stale(self) -> bool:
        """Whether it was served past its promise, as ``staleIfError`` allows while Redis is unreachable."""
        return self._stale

    @property
    def footprint(self) -> int:
        """Bytes of memory that the decoded traits take, without ``json``."""
        if not self._footprint:
            self._footprint = tree_size(self) + _READ_AT_AND_FOOTPRINT
        return self._footprint

    def judge(self, ratio: float) -> int:
        """Take ``ratio`` times the length of ``json`` for the footprint, unless it was measured; the outcome."""
        self._footprint = self._footprint or int(len(self._json) * ratio)
        return self._footprint

    def as_stale(self) -> Profile:
        """The same profile, marked as stale."""
        return _fill(dict.__new__(Profile), self._json, self._read_at, self._clock, stale=True)

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return _restore, (self._json, self.age, self._stale)


def decode(raw: bytes, *, read_at: float = 0.0, clock: Callable[[], float] = _stopped) -> Profile:
    """The read-only view of encoded traits; ``read_at`` is in seconds on ``clock``."""
    return _fill(_new_dict(Profile), raw, read_at, clock, stale=False)


@overload
def decode_model(raw: bytes, model: str | None, kind: type[T]) -> T | None: ...
@overload
def decode_model(raw: bytes, model: str | None, kind: Any) -> Any: ...
def decode_model(raw: bytes, model: str | None, kind: Any) -> Any:
    """One model's traits, decoded straight into ``kind``: a msgspec Struct, a dataclass, any type msgspec knows.

    The other models are skipped, not decoded. ``model=None`` decodes the whole profile, as an event-stream destination
    needs it. None if the model is absent or null. Raises `TraitsMismatch`, which names the path of the first misfit.
    """
    try:
        text = raw if model is None else _models(raw).get(model)
        return None if text is None or text == b"null" else _decoder(kind)(text)
    except msgspec.DecodeError:
        return _convert(_loads(raw), model, kind)


_parse = msgspec.json.Decoder().decode
_models = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@lru_cache(maxsize=256)
def _decoder(kind: Any) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(kind).decode


def _convert(data: dict[str, Any], model: str | None, kind: Any) -> Any:
    """What msgspec's own parser refuses may still fit: see `_loads`."""
    traits = data if model is None else data.get(model)
    try:
        return None if traits is None else msgspec.convert(traits, kind)
    except msgspec.ValidationError as error:
        where = "the profile" if model is None else f"model {model!r}"
        wanted = getattr(kind, "__qualname__", kind)
        raise TraitsMismatch(f"{where} does not fit {wanted}: {_misfit(str(error))}") from None


def _misfit(message: str) -> str:
    """The message of msgspec without what it may quote from the traits."""
    problem, _, path = message.partition(" - at `$")
    return f"{problem if problem.startswith(('Expected', 'Object')) else 'invalid value'}, at `${path or '`'}"


def _fill(self: Profile, raw: bytes, read_at: float, clock: Callable[[], float], *, stale: bool) -> Profile:
    try:
        models = _parse(raw)
    except msgspec.DecodeError:
        models = _loads(raw)
    _freeze_into(self, models)
    self._json = raw
    self._footprint = 0
    self._read_at = read_at
    self._clock = clock
    self._stale = stale
    return self


def _freeze_here(empty: _Traits, members: dict[str, Any]) -> None:
    """Fill it with members, frozen at every depth, under names that all profiles share where that is safe."""
    if may_hold_containers(members):
        for name, value in members.items():
            members[name] = _freeze(value)
    _update(empty, members if _KEEPS_NAMES else zip(map(intern, members), members.values(), strict=True))
    untrack(empty)


def _freeze(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        traits: _Traits = _new_dict(_Traits)
        _freeze_here(traits, value)
        return traits
    if kind is list:
        items: _Items = _new_list(_Items)
        _extend(items, value if _CONTAINERS.isdisjoint(map(type, value)) else [*map(_freeze, value)])
        untrack(items)
        return items
    return value


_freeze_into: Callable[[_Traits, dict[str, Any]], None] = _freeze_here
if compiled is not None:
    compiled.freeze_as(_Traits, _Items)
    _freeze_into = compiled.freeze_into


_new_dict = dict.__new__
_new_list = list.__new__
_update = dict.update
_extend = list.extend


def _thaw(value: Any) -> Any:
    return value.copy() if isinstance(value, (_Traits, _Items)) else value


def _restore(raw: bytes, age: float, stale: bool) -> Profile:  # noqa: FBT001 -- pickle passes what was pickled
    return _fill(dict.__new__(Profile), raw, -age, _stopped, stale=stale)
