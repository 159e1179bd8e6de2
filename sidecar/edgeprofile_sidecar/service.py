"""The Activation API over a source of profiles: bytes in, answers out, whatever carries them."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Protocol, TypeVar

from edgeprofile import EdgeProfileError, InvalidIdentity, ServiceError
from edgeprofile_sidecar import activation, deletion
from edgeprofile_sidecar.answers import DELETE_FAILED, UNAUTHORIZED, Answer, failure
from edgeprofile_sidecar.logs import Seldom
from edgeprofile_sidecar.recent import Recent
from edgeprofile_sidecar.tokens import Denial

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from edgeprofile_sidecar.activation import Aimed, Question
    from edgeprofile_sidecar.counters import Counters
    from edgeprofile_sidecar.deletion import Deletion
    from edgeprofile_sidecar.members import Flawed, Unreadable
    from edgeprofile_sidecar.tokens import Grant, Permission, Tokens

__all__ = ["Profiles", "Service", "TokenSource"]

_log = logging.getLogger(__name__)
_audit = logging.getLogger("edgeprofile_sidecar.audit")

A = TypeVar("A", bound="Aimed")

_REMEMBERED = 4_096  # bodies that were read: the pages of one visitor ask for the same profile
_LARGEST_REMEMBERED = 512  # bytes; the two bound what is kept to a few megabytes


class Profiles(Protocol):
    """Where profiles come from; `edgeprofile.AsyncClient` is one."""

    def peek_json(self, entity: str, id_type: str, value: str, *, destination: str) -> bytes | None:
        """The JSON of a profile that is in memory and fresh, ``{}`` for a known absence, ``None``; never does I/O."""

    async def get_json(self, entity: str, id_type: str, value: str, *, destination: str) -> bytes:
        """The JSON of a profile, read from Redis where need be; ``{}`` for an absent one."""

    async def delete(self, entity: str, ids: Iterable[tuple[str, str]], *, destination: str) -> int:
        """Delete profiles, named by pairs of id type and value, from Redis; how many keys were removed."""


class TokenSource(Protocol):
    """Where tokens come from."""

    @property
    def current(self) -> Tokens:
        """The tokens that count at this moment."""


class Service:
    """Answers activation requests; knows neither sockets nor an HTTP library."""

    def __init__(
        self,
        profiles: Profiles,
        tokens: TokenSource,
        destinations: Container[str],
        counters: Counters,
        max_batch: int = 1_000,
    ) -> None:
        self._profiles = profiles
        self._tokens = tokens
        self._destinations = destinations
        self._counters = counters
        self._most = max_batch
        self._recent = Recent[bytes, activation.Asked](_REMEMBERED)
        self._seldom = Seldom()

    def admit(self, authorization: Sequence[str], permission: Permission = "read") -> Grant | None:
        """What a request's ``Authorization`` headers permit; ``None`` if not what it needs."""
        grant = self._tokens.current.admit(authorization, time.time(), permission)
        if isinstance(grant, Denial):
            self._counters.denials[grant.value] += 1
            return None
        return grant

    def ask(self, body: bytes, grant: Grant) -> Answer | Question:
        """The answer, where it can be given at once; otherwise the question that Redis must be asked."""
        asked = self._checked(self._recent.get(body) or self._read(body), grant)
        if isinstance(asked, Answer):
            return asked
        data = self._profiles.peek_json(asked.entity, asked.id_type, asked.value, destination=asked.destination)
        return asked if data is None else activation.answer(asked, data)

    def _checked(self, asked: A | Flawed | Unreadable, grant: Grant) -> A | Answer:
        checked = activation.check(asked, grant, self._destinations)
        if checked is UNAUTHORIZED:
            self._counters.denials[Denial.SCOPE.value] += 1
        return checked

    def _read(self, body: bytes) -> activation.Asked:
        asked = activation.read(body)
        return self._recent.put(body, asked) if len(body) <= _LARGEST_REMEMBERED else asked

    async def fetch(self, question: Question) -> Answer:
        """The answer to a question, read from Redis where need be."""
        try:
            data = await self._profiles.get_json(
                question.entity, question.id_type, question.value, destination=question.destination
            )
        except EdgeProfileError as reason:
            self._tell(reason, question.destination)
            return failure(reason)
        return activation.answer(question, data)

    async def delete(self, body: bytes, grant: Grant) -> Answer:
        """Delete what a body asks to delete, and write down whose token asked for it."""
        asked = self._checked(deletion.read(body, self._most), grant)
        if isinstance(asked, Answer):
            return asked
        outcome = "failed"
        try:
            removed = await self._delete(asked)
            outcome = f"{removed} removed"
        except InvalidIdentity as reason:
            outcome = "refused"
            return failure(reason)
        except ServiceError as reason:
            self._tell(reason, asked.destination)
            return DELETE_FAILED
        finally:
            facts = {"destination": asked.destination, "profiles": len(asked.ids), "outcome": outcome}
            _audit.info("delete", extra={"token": grant.name, **facts})
        return deletion.answer(removed, len(asked.ids))

    async def _delete(self, asked: Deletion) -> int:
        ids = [(named.id_type, named.value) for named in asked.ids]
        return await self._profiles.delete(asked.entity, ids, destination=asked.destination)

    def _tell(self, reason: EdgeProfileError, destination: str) -> None:
        kind = type(reason).__name__
        if isinstance(reason, ServiceError) and (count := self._seldom.pass_through(kind)):
            _log.warning(
                "lookups fail: %s", reason, extra={"error": kind, "destination": destination, "lookups": count}
            )
