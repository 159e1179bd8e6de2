"""Profiles as they are encoded, for those who pass them on: never decoded, with where they came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

from edgeprofile.errors import EdgeProfileError, InvalidIdentity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edgeprofile.core.keeper import Identity
    from edgeprofile.engine import Engine
    from edgeprofile.engine.lookup import Answer
    from edgeprofile.engine.target import Target
    from edgeprofile.hits import JsonHits

__all__ = ["EncodedProfile", "EncodedReads", "HeldProfile"]


class EncodedProfile(msgspec.Struct, frozen=True, gc=False):
    """What a lookup found, encoded.

    Attributes:
        json: The JSON object of the profile's models, ``{}`` if there is no such profile.
        found: Whether there is one.
        age: Seconds since it was asked of Redis.
        ttl: Seconds for which it may still be served from the cache, 0.0 if it was not kept; of a stale one 0.0 or less, by
            how long the promise has ended.
        hit: Whether it came from the cache.
        stale: Whether it is served past the promise, as ``staleIfError`` allows while Redis is unreachable.
    """

    json: bytes
    found: bool
    age: float
    ttl: float
    hit: bool = True
    stale: bool = False


class HeldProfile(NamedTuple):
    """A hit that is kept by who gives the same answer again and again.

    Attributes:
        profile: What was found, with its age and its ttl at that moment.
        serves: ``serves(now)`` is whether the same may be served at ``now``, just read from `time.monotonic`: as good a
            proof as a lookup, for the cost of three comparisons. Each yes counts as a hit.
    """

    profile: EncodedProfile
    serves: Callable[[float], bool]


Outcomes: TypeAlias = dict[tuple[str, str], EncodedProfile | EdgeProfileError]


class EncodedReads:
    """Lookups of one `AsyncClient` that decode nothing. Errors are those of its `get`."""

    def __init__(self, engine: Engine, hits: JsonHits) -> None:
        self._engine = engine
        self._hits = hits

    def peek(self, entity: str, id_type: str, value: str, *, destination: str) -> EncodedProfile | None:
        """The profile if it is cached and fresh, or known to be absent; None otherwise. Never any I/O."""
        return self._hits.peek(destination, entity, id_type, value)

    def hold(self, entity: str, id_type: str, value: str, *, destination: str) -> HeldProfile | None:
        """What `peek` gives, to be served more than once; not counted yet. None also while hits are audited."""
        return self._hits.hold(destination, entity, id_type, value)

    def release(self) -> None:
        """Have nothing served any more of what is held."""
        self._hits.release()

    async def get(
        self,
        entity: str,
        id_type: str,
        value: str,
        *,
        destination: str | None = None,
        timeout: float | None = None,
    ) -> EncodedProfile:
        """The profile that is stored under this id."""
        identity = self._engine.target(destination).identity(entity, id_type, value)
        self._engine.start()
        return self._encoded(await self._engine.lookups.aread(identity, self._deadline(timeout)))

    async def get_many(
        self,
        entity: str,
        ids: Sequence[tuple[str, str]],
        *,
        destination: str | None = None,
        timeout: float | None = None,
    ) -> list[EncodedProfile | EdgeProfileError]:
        """The profiles of several ids, which are pairs of id type and value, in their order.

        All misses of one node share a round trip. An id that is given twice is looked up once. What goes wrong with one id is the error in its place; what would go
        wrong with each of them, such as an unknown destination, is raised.
        """
        unique = dict.fromkeys(ids)
        outcomes, missing = self._cached(self._engine.target(destination), entity, unique)
        if missing:
            self._engine.start()
            answers = await self._engine.lookups.aread_each(missing, self._deadline(timeout))
            for identity, answer in zip(missing, answers, strict=True):
                outcome = answer if isinstance(answer, EdgeProfileError) else self._encoded(answer)
                outcomes[identity.id_type, identity.value] = outcome
        return [outcomes[each] for each in ids]

    def _cached(self, target: Target, entity: str, ids: Iterable[tuple[str, str]]) -> tuple[Outcomes, list[Identity]]:
        """What can be said at once, and whom Redis must be asked for."""
        outcomes: Outcomes = {}
        missing = []
        for id_type, value in ids:
            try:
                identity = target.identity(entity, id_type, value)
            except InvalidIdentity as error:
                outcomes[id_type, value] = error
                continue
            hit = self._hits.peek(target.id, entity, id_type, value)
            if hit is None:
                missing.append(identity)
            else:
                outcomes[id_type, value] = hit
        return outcomes, missing

    def _deadline(self, timeout: float | None) -> float:
        return self._engine.clock() + (self._engine.config.limits.timeout if timeout is None else timeout)

    def _encoded(self, answer: Answer) -> EncodedProfile:
        now = self._engine.clock()
        ttl = 0.0 if answer.entry is None else answer.entry.expires - now
        if answer.ended is not None:
            ttl = min(0.0, answer.ended - now)  # a lease that was revoked ended before its time
        raw = b"{}" if answer.raw is None else answer.raw
        return EncodedProfile(raw, answer.raw is not None, now - answer.sent, ttl, answer.stale, answer.stale)
