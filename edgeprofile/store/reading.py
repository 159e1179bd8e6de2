"""How one profile is asked for, and what the replies mean: the value and its TTLs in one round trip.

The TTLs of single hash fields can only be asked for by name, so the names seen so far go along with the question. A
hash that has others costs a second question, once; the names are remembered then.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from edgeprofile.core.keeper import Found
from edgeprofile.errors import ProtocolViolation
from edgeprofile.profile import document_models, encode_document, encode_hash, encode_plain, encode_strings
from edgeprofile.store.refusals import refusal
from edgeprofile.store.resp import ErrorReply, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from edgeprofile.core.keeper import Identity
    from edgeprofile.profile import Encoded

__all__ = ["Ask", "Reading", "Unasked"]

_MAX_FIELDS: Final = 128
_MOST_ASKED: Final = 1024
"""A hash of more unknown fields is not kept: asking for the TTL of each would cost more than the hash."""
_NO_SUCH_KEY: Final = -2
_NO_TTL: Final = -1

_HASH: Final = (b"*2\r\n$7\r\nHGETALL\r\n$", b"\r\n*2\r\n$4\r\nPTTL\r\n$", b"\r\n")
_DOCUMENT: Final = (b"*3\r\n$8\r\nJSON.GET\r\n$", b"\r\n$1\r\n.\r\n*2\r\n$4\r\nPTTL\r\n$", b"\r\n")
"""Commands, packed, cut where the key and its length go."""
_MOST_CUTS: Final = 512
"""Commands are cut once for each length of a key up to this."""


_Shapes: TypeAlias = tuple[tuple[type, ...], ...]
_NOTHING: Final = type(None)
_NUMBER: Final = (int, ErrorReply)
_NUMBERS: Final = (list, _NOTHING, ErrorReply)
_HASH_SHAPES: Final = ((list, ErrorReply), _NUMBER)
_DOCUMENT_SHAPES: Final = ((bytes, _NOTHING, ErrorReply), _NUMBER)


class _Form:
    """How one key is asked for: packed commands without the key, the fields whose TTLs they ask for, and the replies."""

    __slots__ = ("_cuts", "fields", "known", "parts", "replies", "shapes", "ttls")

    def __init__(self, parts: tuple[bytes, ...], fields: tuple[bytes, ...], shapes: _Shapes) -> None:
        self.parts = parts
        self.fields = fields
        self.known = frozenset(fields)
        self.shapes = shapes
        self.replies = len(shapes)
        self.ttls = [_NO_TTL] * len(fields)
        self._cuts: dict[int, list[bytes]] = {}

    def payload(self, key: bytes) -> bytes:
        """The question for a key."""
        return key.join(self._cuts.get(len(key)) or self._cut(len(key)))

    def _cut(self, length: int) -> list[bytes]:
        """The commands, cut where keys of that length go."""
        *parts, last = self.parts
        cut = [*[b"%b%d\r\n" % (part, length) for part in parts], last]
        if length <= _MOST_CUTS:
            self._cuts[length] = cut
        return cut

    def asking(self, fields: tuple[bytes, ...]) -> _Form:
        """The same, and for the TTLs of these fields as well."""
        *parts, last = self.parts
        before, after = _field_ttls(b"", fields).split(b"0\r\n\r\n", 1)
        return _Form((*parts, last + before, b"\r\n" + after), fields, (*self.shapes, _NUMBERS))


class Ask(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A packed question and how many replies it gets, of what types."""

    keys: tuple[bytes, ...]
    payload: bytes
    expects: int
    form: _Form

    def sound(self, replies: list[Any]) -> bool:
        """Whether these can be the replies."""
        shapes = self.form.shapes
        return all(map(isinstance, replies, shapes if len(replies) == self.form.replies else cycle(shapes)))


class Unasked:
    """A profile with fields whose TTLs are still to be asked for."""

    __slots__ = ("ask", "found")

    def __init__(self, ask: Ask, found: Found) -> None:
        self.ask = ask
        self.found = found


class Reading:
    """How the profiles of one destination are read from one node.

    ``unreadable`` is called with the names of models whose text was no JSON, ``models`` with those of every profile.
    ``rule`` is the ACL rule for the destination's keys. ``weakness`` is what a missing right leaves unproved, or empty.
    """

    def __init__(
        self,
        *,
        layout: str,
        json_documents: bool,
        unreadable: Callable[[tuple[str, ...]], None],
        models: Callable[[Iterable[str]], None] = lambda _models: None,
        rule: str = "",
    ) -> None:
        self._rule = rule
        self._unreadable = unreadable
        self._models = models
        self._names = _no_models if layout == "event-stream" else document_models if json_documents else _fields
        self._encode: Callable[[Any], Encoded] = (
            encode_document if json_documents else encode_strings if layout == "event-stream" else encode_hash
        )
        self._encode_plain = encode_plain if encode_plain is not None and self._encode is encode_hash else _left
        self._hash = not json_documents
        self._command = "HGETALL" if self._hash else "JSON.GET"
        self._plain = _Form(*((_HASH, (), _HASH_SHAPES) if self._hash else (_DOCUMENT, (), _DOCUMENT_SHAPES)))
        self._form = self._plain  # with the fields that are known; replaced as a whole, for any thread may ask
        self.field_ttls = self._hash
        self.weakness = ""

    def hope(self) -> None:
        """An epoch begins: a right that was missing may have been granted."""
        self.field_ttls, self.weakness = self._hash, ""

    def retry(self) -> None:
        """Ask again for what a missing right left unproved; the weakness stands until that is answered."""
        if self.weakness:
            self.field_ttls = self._hash

    def ask(self, identity: Identity) -> Ask:
        """The question for one profile, all of its keys included."""
        form = self._form if self.field_ttls else self._plain
        keys = identity.keys
        if len(keys) == 1:
            return Ask(keys, form.payload(keys[0]), form.replies, form)
        return Ask(keys, b"".join(map(form.payload, keys)), form.replies * len(keys), form)

    def asking(self, key: bytes) -> bytes:
        """The question for a key on its way to another node, with the permission to ask for it there; 2 replies."""
        return pack(("ASKING",), (self._command, key) if self._hash else (self._command, key, "."))

    def there(self, replies: list[Any], node: str) -> bytes | None:
        """The encoded profile in the replies to `asking`. What comes this way is not kept, so no TTL is asked for."""
        value = replies[1]
        if isinstance(value, ErrorReply):
            raise refusal(value, node, doing=self._command, rule=self._rule)
        return self._present(value, node) if value else None

    def found(self, ask: Ask, replies: list[Any], node: str) -> Found | Unasked:
        """What the replies to `ask` say. Raises `WrongType`, `ServerRefused` or `AccessDenied`."""
        form = ask.form
        start = 0
        for key in ask.keys:
            value = replies[start]
            if isinstance(value, ErrorReply):
                raise refusal(value, node, doing=self._command, rule=self._rule)
            if value:
                raw = self._present(value, node)
                lives = _seconds(replies[start + 1])
                if form.fields and (self.weakness or replies[start + 2] != form.ttls):
                    lives = min(lives, self._least(replies[start + 2], form.fields, value[::2], node))
                found = Found(raw, lives)
                if self.field_ttls and not form.known.issuperset(value[::2]):
                    return self._incomplete(found, value[::2], key, form)
                return found
            start += form.replies
        return Found(None)

    def finish(self, unasked: Unasked, replies: list[Any], node: str) -> Found:
        """What the replies to the second question add."""
        names = unasked.ask.form.fields
        return Found(unasked.found.raw, min(unasked.found.lives, self._least(replies[0], names, names, node)))

    def _present(self, value: Any, node: str) -> bytes:
        raw = self._encode_plain(value)
        if raw is None:
            raw = self._encoded(value, node)
        self._models(self._names(value))
        return raw

    def _encoded(self, value: Any, node: str) -> bytes:
        try:
            encoded = self._encode(value)
        except (AttributeError, TypeError, ValueError) as error:
            raise ProtocolViolation(f"{node} answered {self._command} with what is no value", node=node) from error
        if encoded.broken:
            self._unreadable(encoded.broken)
        return encoded.json

    def _incomplete(self, found: Found, present: Sequence[bytes], key: bytes, form: _Form) -> Found | Unasked:
        names = tuple([name for name in present if name not in form.known])
        if len(names) > _MOST_ASKED:
            return Found(found.raw, 0.0)
        self._remember(names)
        ask = Ask((key,), _field_ttls(key, names), 1, _Form((), names, (_NUMBERS,)))
        return Unasked(ask, found)

    def _remember(self, names: tuple[bytes, ...]) -> None:
        known = dict.fromkeys((*self._form.fields, *names))
        if len(known) <= _MAX_FIELDS:
            self._form = self._plain.asking(tuple(known))

    def _least(self, reply: Any, asked: Sequence[bytes], present: Collection[bytes], node: str) -> float:
        """The earliest end of a field that was present, in seconds from now; for one that has gone since, 0."""
        if isinstance(reply, ErrorReply):
            self._give_up(reply, node)
            return math.inf
        self.weakness = ""
        ends = zip(asked, reply or (), strict=False)
        return min(
            (max(ms, 0) / 1000 for name, ms in ends if ms != _NO_TTL and (ms >= 0 or name in present)), default=math.inf
        )

    def _give_up(self, reply: ErrorReply, node: str) -> None:
        """Servers that know no field TTLs, or do not tell of them, are not asked again in this epoch."""
        if reply.code not in {"ERR", "NOPERM"}:
            if reply.code != "WRONGTYPE":
                raise refusal(reply, node, doing="HPTTL")
            return
        self.field_ttls = False
        if reply.code == "NOPERM":
            self.weakness = (
                "hash fields that expire may be served until ttl, for their TTLs cannot be read: grant +hpttl"
            )


def _left(_value: Any) -> None:
    """What is no plain hash is left to the Python."""


def _fields(value: Any) -> Iterable[str]:
    return map(_name, value[::2])


@lru_cache(1024)
def _name(name: bytes) -> str:
    """A model's name; the names of a project are few."""
    return name.decode("utf-8", "replace")


def _no_models(_: Any) -> Iterable[str]:
    return ()


def _field_ttls(key: bytes, names: tuple[bytes, ...]) -> bytes:
    return pack((b"HPTTL", key, b"FIELDS", len(names), *names))


def _seconds(reply: Any) -> float:
    """A PTTL reply in seconds: infinite for a key without a TTL; a key that is gone meanwhile ends at once."""
    if not isinstance(reply, int):
        return 0.0
    if reply == _NO_SUCH_KEY:
        return 0.0
    return math.inf if reply < 0 else reply / 1000
