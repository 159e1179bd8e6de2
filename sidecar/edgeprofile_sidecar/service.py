"""The Activation API over a source of profiles: bytes in, answers out, whatever carries them."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Protocol

from edgeprofile import EdgeProfileError, ServiceError
from edgeprofile_sidecar import activation
from edgeprofile_sidecar.answers import UNAUTHORIZED, Answer, failure
from edgeprofile_sidecar.logs import Seldom
from edgeprofile_sidecar.recent import Recent
from edgeprofile_sidecar.tokens import Denial

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from edgeprofile_sidecar.activation import Question
    from edgeprofile_sidecar.counters import Counters
    from edgeprofile_sidecar.tokens import Grant, Tokens

__all__ = ["Profiles", "Service", "TokenSource"]

_log = logging.getLogger(__name__)

_REMEMBERED = 4_096  # bodies that were read: the pages of one visitor ask for the same profile
_LARGEST_REMEMBERED = 512  # bytes; the two bound what is kept to a few megabytes


class Profiles(Protocol):
    """Where profiles come from; `edgeprofile.AsyncClient` is one."""

    def peek_json(self, entity: str, id_type: str, value: str, *, destination: str) -> bytes | None:
        """The JSON of a profile that is in memory and fresh, ``{}`` for a known absence, ``None``; never does I/O."""

    async def get_json(self, entity: str, id_type: str, value: str, *, destination: str) -> bytes:
        """The JSON of a profile, read from Redis where need be; ``{}`` for an absent one."""


class TokenSource(Protocol):
    """Where tokens come from."""

    @property
    def current(self) -> Tokens:
        """The tokens that count at this moment."""


class Service:
    """Answers activation requests; knows neither sockets nor an HTTP library."""

    def __init__(
        self, profiles: Profiles, tokens: TokenSource, destinations: Container[str], counters: Counters
    ) -> None:
        self._profiles = profiles
        self._tokens = tokens
        self._destinations = destinations
        self._counters = counters
        self._recent = Recent[bytes, activation.Asked](_REMEMBERED)
        self._seldom = Seldom()

    def admit(self, authorization: Sequence[str]) -> Grant | None:
        """What a request's ``Authorization`` headers permit; ``None`` if they permit nothing."""
        grant = self._tokens.current.admit(authorization, time.time())
        if isinstance(grant, Denial):
            self._counters.denials[grant.value] += 1
            return None
        return grant

    def ask(self, body: bytes, grant: Grant) -> Answer | Question:
        """The answer, where it can be given at once; otherwise the question that Redis must be asked."""
        asked = activation.check(self._recent.get(body) or self._read(body), grant, self._destinations)
        if isinstance(asked, Answer):
            if asked is UNAUTHORIZED:
                self._counters.denials[Denial.SCOPE.value] += 1
            return asked
        data = self._profiles.peek_json(asked.entity, asked.id_type, asked.value, destination=asked.destination)
        return asked if data is None else activation.answer(asked, data)

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

    def _tell(self, reason: EdgeProfileError, destination: str) -> None:
        kind = type(reason).__name__
        if isinstance(reason, ServiceError) and (count := self._seldom.pass_through(kind)):
            _log.warning(
                "lookups fail: %s", reason, extra={"error": kind, "destination": destination, "lookups": count}
            )
