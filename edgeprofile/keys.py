"""Which Redis key holds which profile, and which channels announce its changes.

Keys are exact bytes: nothing is escaped, trimmed, folded or hashed. A value may hold colons, spaces and control
characters, and so may an entity and an id type: one key can be the key of several identities, and `Layout.identities`
names them all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from edgeprofile.errors import InvalidIdentity

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["EVENT_STREAM", "PROFILES", "Identity", "Layout", "channel", "channel_pattern", "escape"]

Identity: TypeAlias = tuple[str, str, str]
"""Entity, id type and id value."""

PROFILES: Final = "profiles"
EVENT_STREAM: Final = "event-stream"

MAX_COLONS: Final = 8
"""Colons that an entity and its id type may hold together: the bound of how many identities one key can have."""

_GLOB = re.compile(rb"[*?\[\\]")  # `]`, `^` and `-` mean something only after `[`


class Layout:
    """The keys of one destination.

    ``layout`` is ``"profiles"``, keys ``workspace:destination:entity:id_type:value``, or ``"event-stream"``, keys
    ``[prefix:]user:value``; the prefix applies there alone. With ``legacy``, a Profiles layout also reads keys of four
    segments, which lack the destination. ``siblings`` are the workspace's other destinations: an entity of their name
    has no four-segment key, for it would be a key of theirs.
    """

    __slots__ = ("_base", "_destinations", "_join", "_split", "_workspace", "pattern", "prefix")

    prefix: bytes
    """What every key of the layout begins with, legacy keys included."""
    pattern: bytes
    """The one Redis glob that covers every key of the layout, legacy keys included."""

    def __init__(
        self,
        workspace_id: str,
        destination_id: str,
        prefix: str = "",
        layout: str = PROFILES,
        *,
        legacy: bool = False,
        siblings: Collection[str] = (),
    ) -> None:
        self._workspace: bytes | None = None
        if layout == EVENT_STREAM:
            prefix = prefix.strip()
            self._base = f"{prefix}:user:".encode() if prefix else b"user:"
        else:
            self._base = f"{workspace_id}:{destination_id}:".encode()
            self._workspace = f"{workspace_id}:".encode() if legacy else None
        self._join, self._split = _FORMS[layout]
        self._destinations = frozenset((destination_id, *siblings))
        self.prefix = self._workspace or self._base
        self.pattern = escape(self.prefix) + b"*"

    def key(self, entity: str, id_type: str, value: str) -> bytes:
        """The key that holds this profile; raises `InvalidIdentity`."""
        return self._base + self._join(entity, id_type, value)

    def keys(self, entity: str, id_type: str, value: str) -> tuple[bytes, ...]:
        """The keys to read, the first that exists wins: `key`, then the legacy key where there is one."""
        tail = self._join(entity, id_type, value)
        if self._workspace is None or self._is_foreign(entity):
            return (self._base + tail,)
        return (self._base + tail, self._workspace + tail)

    def identities(self, key: bytes) -> list[Identity]:
        """Every identity that reads this key; never raises.

        A key that is not UTF-8 gives lone surrogates, which `key` refuses: it equals no profile that can be asked for.
        """
        found: list[Identity] = []
        if key.startswith(self._base):
            found = self._split(key[len(self._base) :].decode("utf-8", "surrogateescape"))
        if self._workspace is not None and key.startswith(self._workspace):
            older = _split_profiles(key[len(self._workspace) :].decode("utf-8", "surrogateescape"))
            found += [identity for identity in older if not self._is_foreign(identity[0])]
        return found

    def _is_foreign(self, entity: str) -> bool:
        return entity.partition(":")[0] in self._destinations


def channel(db: int, key: bytes) -> bytes:
    """The keyspace channel on which changes of a key are announced."""
    return b"__keyspace@%d__:%b" % (db, key)


def channel_pattern(db: int, pattern: bytes) -> bytes:
    """The pattern to subscribe to for the keys that a glob covers."""
    return channel(db, pattern)


def escape(text: bytes) -> bytes:
    """The Redis glob that matches exactly this text."""
    return _GLOB.sub(rb"\\\g<0>", text)


def _join_profiles(entity: object, id_type: object, value: object) -> bytes:
    if not (isinstance(entity, str) and isinstance(id_type, str) and isinstance(value, str)):
        _refuse(entity, id_type, value)
    try:
        joined = f"{entity}:{id_type}:{value}".encode()
    except UnicodeEncodeError:
        _refuse(entity, id_type, value)
    if not (entity and id_type and value) or entity.count(":") + id_type.count(":") > MAX_COLONS:
        _refuse(entity, id_type, value)
    return joined


def _join_event_stream(entity: object, id_type: object, value: object) -> bytes:
    for member, given, known in (("entity", entity, "user"), ("id_type", id_type, "user_id")):
        if given != known:
            raise InvalidIdentity(
                f"an event-stream destination knows only the {member} {known!r}: ask for that", member=member
            )
    return _join_profiles(entity, id_type, value).removeprefix(b"user:user_id:")


def _split_profiles(rest: str) -> list[Identity]:
    """``entity:id_type:value`` cut at each pair of colons that leaves none of the three empty."""
    parts = rest.split(":", MAX_COLONS + 2)
    if len(parts) == 3:
        return [(parts[0], parts[1], parts[2])] if all(parts) else []
    cuts = ((first, second) for second in range(2, len(parts)) for first in range(1, second))
    found = [(":".join(parts[:i]), ":".join(parts[i:j]), ":".join(parts[j:])) for i, j in cuts]
    return [identity for identity in found if all(identity)]


def _split_event_stream(rest: str) -> list[Identity]:
    return [("user", "user_id", rest)] if rest else []


_FORMS = {PROFILES: (_join_profiles, _split_profiles), EVENT_STREAM: (_join_event_stream, _split_event_stream)}


def _refuse(*identity: object) -> NoReturn:
    """Say which of the three is wrong, and how. Values themselves stay out of messages."""
    for member, given in zip(("entity", "id_type", "value"), identity, strict=True):
        if problem := _problem(member, given):
            raise InvalidIdentity(problem, member=member)
    raise InvalidIdentity(
        f"entity and id_type hold more than {MAX_COLONS} colons together: check that neither is a whole key",
        member="entity",
    )


def _problem(member: str, given: object) -> str | None:
    if not isinstance(given, str):
        advice = "decode it first" if isinstance(given, bytes) else f"ids are text, pass str({member})"
        return f"{member} must be a str, not {type(given).__name__}: {advice}"
    if not given:
        return f"{member} is empty: an empty {member} names no profile"
    try:
        given.encode()
    except UnicodeEncodeError as error:
        return (
            f"{member} holds a lone surrogate at index {error.start}, which UTF-8 cannot carry: "
            "repair the text where it was decoded"
        )
    return None
