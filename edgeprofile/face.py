"""What both clients have in common: an engine, its hit paths, and everything that waits for nobody."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from edgeprofile.config import Config, from_mapping, load
from edgeprofile.errors import InvalidIdentity, UsageError
from edgeprofile.hits import Hits, JsonHits, miss
from edgeprofile.profile import decode, decode_model

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprofile.core.keeper import Identity
    from edgeprofile.engine import Engine
    from edgeprofile.engine.lookup import Answer
    from edgeprofile.engine.warming import Known
    from edgeprofile.hits import BoundHits
    from edgeprofile.metrics import DestinationStatus, Stats
    from edgeprofile.profile import Profile

__all__ = ["Face", "make_engine", "seconds"]

FOREVER: Final = 366 * 86_400.0
"""Seconds that are as good as no end of them, and that every clock of the system's can count."""

T = TypeVar("T")


def _pair(given: Any) -> tuple[str, str]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise _no_pairs()
    return given[0], given[1]


def _no_pairs() -> InvalidIdentity:
    return InvalidIdentity(
        'ids must be pairs of id type and value: pass [("email", "ada@example.com")]', member="value"
    )


def make_engine(given: Config | str | Path | Mapping[str, Any] | Engine | None) -> Engine:
    """The engine for a client's first argument; engines bring asyncio along, which importing this module need not."""
    from edgeprofile.engine import Engine  # noqa: PLC0415 (asyncio is most of what the package would take to import)

    if isinstance(given, Engine):
        return given
    if isinstance(given, Config):
        return Engine(given)
    return Engine(from_mapping(given, "the mapping given") if isinstance(given, Mapping) else load(given))


def seconds(timeout: object) -> float:
    """An argument ``timeout`` as a number that every clock can count; raises `UsageError` for what is none."""
    if not isinstance(timeout, int | float):
        kind = type(timeout).__name__
        raise UsageError(f"timeout must be a number of seconds, not {kind}: write 0.25 for a quarter of a second")
    if math.isnan(timeout):
        raise UsageError("timeout must be a number of seconds, not nan")
    return min(FOREVER, timeout)


class Face:
    """What both clients have in common: everything that waits for nobody."""

    def __init__(self, config: Config | str | Path | Mapping[str, Any] | Engine | None = None) -> None:
        self._engine = make_engine(config)
        trees = self._engine.trees()
        self._hits = Hits(self._slow, self._engine.default_tree(), trees)
        self._json_hits = JsonHits(trees)
        auditor = self._engine.auditor
        self._sampler = auditor.sampler() if auditor is not None else None
        if self._sampler is not None:
            self._sampler.watch(self._hits, self._json_hits)
        self._bound: dict[tuple[str, str, str], BoundHits] = {}
        self._rebind_in_children()

    @property
    def config(self) -> Config:
        """The configuration, as it was checked."""
        return self._engine.config

    @overload
    def peek(self, entity: str, id_type: str, value: str, *, destination: str | None = None) -> Profile | None: ...
    @overload
    def peek(self, entity: str, id_type: str, value: str, *, destination: str | None = None, model: str) -> Any: ...
    @overload
    def peek(
        self,
        entity: str,
        id_type: str,
        value: str,
        *,
        destination: str | None = None,
        model: str | None = None,
        type: type[T],
    ) -> T | None: ...
    def peek(
        self,
        entity: str,
        id_type: str,
        value: str,
        *,
        destination: str | None = None,
        model: str | None = None,
        type: Any = None,
    ) -> Any:
        """The profile if it is cached and fresh, else None; never any I/O. ``model`` and ``type`` are those of `get`.

        Raises `InvalidIdentity`, `UnknownDestination`, `AmbiguousDestination`, `TraitsMismatch`.
        """
        found, missing = self._hits.get_many(entity, id_type, (value,), destination, model, type)
        if not missing:
            return found[value]
        answer = self._engine.peek(self._identity(entity, id_type, value, destination))
        return None if answer is None else self._present(answer, model, type)

    def stats(self) -> Stats:
        """A frozen picture of the counters and gauges of this moment."""
        bound = sum(hits.count() for hits in self._bound.values())
        return self._engine.stats(extra_hits=self._hits.count() + self._json_hits.count() + bound)

    def status(self) -> dict[str, DestinationStatus]:
        """Where the coherence of each destination stands, by destination id."""
        return self._engine.status()

    def hot(self, most: int = 100_000) -> list[Known]:
        """The profiles in use, as tuples of destination, entity, id type and value: those used lately come first.

        Kept and given to `AsyncClient.warm` after a restart, they spare its first callers the way to Redis.
        """
        from edgeprofile.engine.warming import hot  # noqa: PLC0415 (as above)

        return hot(self._engine, most)

    def _slow(self, *args: Any) -> Any:
        """What a hit cannot answer; a task has to go on by itself."""
        return miss(*args)

    def _identity(self, entity: str, id_type: str, value: str, destination: str | None) -> Identity:
        return self._engine.target(destination).identity(entity, id_type, value)

    def _identities(self, entity: str, ids: Iterable[tuple[str, str]], destination: str | None) -> list[Identity]:
        if not isinstance(ids, Iterable):
            raise _no_pairs()
        return [self._identity(entity, *_pair(one), destination) for one in ids]

    def _cached(
        self, entity: str, id_type: str, given: Iterable[str], destination: str | None, model: str | None, kind: Any
    ) -> tuple[dict[str, Any], dict[str, Identity]]:
        """Of several ids, what the hit path has, and the identities of the others."""
        if isinstance(given, str | bytes):
            raise InvalidIdentity("values must be an iterable of ids, not one id: pass [value]", member="value")
        values = list(given)
        target = self._engine.target(destination)
        found, missing = self._hits.get_many(entity, id_type, values, destination, model, kind)
        if not missing:
            return found, {}
        identities = {value: target.identity(entity, id_type, value) for value in missing}
        return {**dict.fromkeys(values), **found}, identities

    def _deadline(self, timeout: float | None) -> float:
        return self._engine.clock() + (self._engine.config.limits.timeout if timeout is None else seconds(timeout))

    def _present(self, answer: Answer, model: str | None, kind: Any) -> Any:
        """An answer as its caller wants it: a profile, one model of it, or one model as a type."""
        if answer.raw is None:
            return None
        if kind is not None:
            return decode_model(answer.raw, model, kind)
        profile = self._profile(answer)
        return profile if model is None else profile.get(model)

    def _profile(self, answer: Answer) -> Profile:
        assert answer.raw is not None  # noqa: S101 (asked by _present)
        engine = self._engine
        if answer.entry is None:
            profile = decode(answer.raw, read_at=answer.sent, clock=engine.clock)
        else:
            profile = engine.view(answer.entry, answer.raw)
        return profile.as_stale() if answer.stale else profile

    def _rebind_in_children(self) -> None:
        """After a fork the engine has a new cache. It must not hold this client, or a forgotten one would live on."""
        engine, rebind, rebind_json = self._engine, self._hits.rebind, self._json_hits.rebind
        engine.on_fork(lambda: rebind(engine.default_tree(), engine.trees()))
        engine.on_fork(lambda: rebind_json(engine.trees()))

    def __del__(self) -> None:
        engine = getattr(self, "_engine", None)
        if engine is not None and engine.running:
            engine.abandon()
            warnings.warn(f"unclosed {type(self).__name__}", ResourceWarning, source=self, stacklevel=2)
