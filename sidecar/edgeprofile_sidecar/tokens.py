"""Access tokens: who may ask for which destinations.

A token is a random 256-bit text, shown once when it is made; the file keeps its SHA-256 alone. Since nobody can choose
or guess a token, a plain hash is enough to keep it secret, and a lookup by the hash tells a caller who measures time
nothing about the tokens there are.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import math
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edgeprofile_sidecar.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["PERMISSIONS", "Denial", "Grant", "Permission", "Token", "Tokens", "anybody", "dump", "fingerprint", "parse"]

Permission = Literal["read", "delete"]
PERMISSIONS: tuple[Permission, ...] = ("read", "delete")

_NO_DIGEST = bytes(32)
_REMEMBERED = 1_000  # headers of good tokens, so that a repeated caller's token is not hashed each time


class Denial(enum.Enum):
    """Why a request was not let in; the caller is told none of it, the metrics are."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    PERMISSION = "permission"
    SCOPE = "scope"


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A token as the file describes it; ``sha256`` is the fingerprint of its value in hexadecimal."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    destinations: Literal["all"] | tuple[str, ...]
    permissions: tuple[Permission, ...] = ("read",)
    created: Annotated[datetime, msgspec.Meta(tz=True)]
    expires: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    tokens: tuple[Token, ...]


class Grant:
    """What the bearer of one token may do; ``until`` in seconds since 1970."""

    __slots__ = ("_destinations", "_everywhere", "_permissions", "digest", "name", "until")

    def __init__(self, token: Token) -> None:
        self.name = token.name
        self.digest = bytes.fromhex(token.sha256)
        self.until = token.expires.timestamp() if token.expires else math.inf
        self._everywhere = token.destinations == "all"
        self._destinations = frozenset[str](() if token.destinations == "all" else token.destinations)
        self._permissions = frozenset[str](token.permissions)

    def may(self, permission: Permission) -> bool:
        """Whether the token carries the permission."""
        return permission in self._permissions

    def covers(self, destination: str) -> bool:
        """Whether the destination lies in the token's scope."""
        return self._everywhere or destination in self._destinations


class Tokens:
    """All tokens of a file, found by the fingerprint of what a caller presents.

    ``everybody`` is what a token permits that is not among them; nothing, unless there is nothing to protect.
    ``edition`` tells these tokens from any others: kept in their place, it keeps nothing of them.
    """

    def __init__(self, tokens: Iterable[Token] = (), *, everybody: Grant | None = None) -> None:
        self.edition = object()
        self._everybody = everybody
        self._grants = {grant.digest: grant for grant in map(Grant, tokens)}
        self._recent = Recent[str, Grant](_REMEMBERED)

    def __len__(self) -> int:
        return len(self._grants)

    def admit(self, authorization: Sequence[str], now: float, permission: Permission = "read") -> Grant | Denial:
        """The grant of a request's bearer token.

        Args:
            authorization: The values of all its ``Authorization`` headers.
            now: Seconds since 1970.
            permission: What the request needs.
        """
        grant = self._recent.get(authorization[0]) if len(authorization) == 1 else None
        found = grant or self._verify(authorization)
        if isinstance(found, Denial):
            return found
        if now >= found.until:
            return Denial.EXPIRED
        return found if found.may(permission) else Denial.PERMISSION

    def _verify(self, authorization: Sequence[str]) -> Grant | Denial:
        secret = _bearer(authorization)
        if isinstance(secret, Denial):
            return secret
        if self._everybody is not None:
            return self._everybody
        digest = hashlib.sha256(secret).digest()
        grant = self._grants.get(digest)
        if not hmac.compare_digest(grant.digest if grant else _NO_DIGEST, digest) or grant is None:
            return Denial.UNKNOWN
        return self._recent.put(authorization[0], grant)


def anybody() -> Grant:
    """What permits everything."""
    made = datetime.fromtimestamp(0, UTC)
    return Grant(Token(name="anybody", sha256="0" * 64, destinations="all", permissions=PERMISSIONS, created=made))


def fingerprint(secret: str) -> str:
    """The SHA-256 of a token's value, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def parse(text: bytes) -> tuple[Token, ...]:
    """Read the text of a tokens file.

    Raises:
        ValueError: It is no tokens file; the message says where.
    """
    tokens = msgspec.json.decode(text, type=_File).tokens
    for member in ("name", "sha256"):
        _no_twins(member, [getattr(token, member) for token in tokens])
    return tokens


def dump(tokens: Iterable[Token]) -> bytes:
    """The text of a tokens file, indented for those who read it."""
    return msgspec.json.format(msgspec.json.encode(_File(1, tuple(tokens)))) + b"\n"


def _no_twins(member: str, values: list[str]) -> None:
    twins = [value for value, count in Counter(values).items() if count > 1]
    if twins:
        raise ValueError(f"two tokens have the same {member}: {min(twins)}")


def _bearer(authorization: Sequence[str]) -> bytes | Denial:
    if len(authorization) != 1:
        return Denial.MALFORMED if authorization else Denial.MISSING
    scheme, _, secret = authorization[0].partition(" ")
    if scheme.lower() != "bearer":
        return Denial.MALFORMED
    secret = secret.strip(" \t")
    return secret.encode() if secret and secret.isascii() else Denial.MALFORMED
