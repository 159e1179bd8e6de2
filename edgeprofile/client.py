"""The two clients: `Client` for threads, `AsyncClient` for tasks, each over one engine."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from edgeprofile.bundles import AsyncBundle, Bundle, projection
from edgeprofile.config import Config, from_mapping, load
from edgeprofile.encoded import EncodedReads
from edgeprofile.errors import InvalidIdentity
from edgeprofile.hits import MISS, Hits, JsonHits, miss
from edgeprofile.profile import decode, decode_model

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from edgeprofile.core.keeper import Identity
    from edgeprofile.engine import Engine
    from edgeprofile.engine.lookup import Answer
    from edgeprofile.engine.warming import Known
    from edgeprofile.metrics import DestinationStatus, Stats
    from edgeprofile.profile import Profile

__all__ = ["AsyncClient", "Client"]

T = TypeVar("T")

START_TIMEOUT = 10.0


def make_engine(given: Config | str | Path | Mapping[str, Any] | Engine | None) -> Engine:
    """The engine for a client's first argument; engines bring asyncio along, which importing this module need not."""
    from edgeprofile.engine import Engine  # noqa: PLC0415 (asyncio is most of what the package would take to import)

    if isinstance(given, Engine):
        return given
    if isinstance(given, Config):
        return Engine(given)
    return Engine(from_mapping(given, "the mapping given") if isinstance(given, Mapping) else load(given))


class _Face:
    """What both clients have in common: everything that waits for nobody."""

    def __init__(self, config: Config | str | Path | Mapping[str, Any] | Engine | None = None) -> None:
        self._engine = make_engine(config)
        self._hits = Hits(self._slow, self._engine.default_tree())
        self._json_hits = JsonHits(self._engine.trees())
        self._sampler = self._engine.sampler()
        if self._sampler is not None:
            self._sampler.watch(self._hits, self._json_hits)
        self._rebind_in_children()

    @property
    def config(self) -> Config:
        """The configuration, as it was checked."""
        return self._engine.config

    @overload
    def peek(self, entity: str, id_type: str, value: str, *, destination: str | None = None) -> Profile | None: ...
    @overload
    def peek(
        self, entity: str, id_type: str, value: str, *, destination: str | None = None, model: str, type: type[T]
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
        """The profile if it is cached and fresh, else None; never any I/O.

        Raises `InvalidIdentity`, `UnknownDestination`, `AmbiguousDestination`, `TraitsMismatch`.
        """
        if self._sampler is not None:
            self._sampler.looked_up(entity, id_type, (value,), destination)
        answer = self._engine.peek(self._identity(entity, id_type, value, destination))
        return None if answer is None else self._present(answer, model, type)

    def stats(self) -> Stats:
        """A frozen picture of the counters and gauges of this moment."""
        return self._engine.stats(extra_hits=self._hits.count() + self._json_hits.count())

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

    def _cached(
        self, entity: str, id_type: str, given: Iterable[str], destination: str | None, model: str | None, kind: Any
    ) -> tuple[dict[str, Any], dict[str, Identity]]:
        """Of several ids, what the hit path has, and the identities of the others."""
        if isinstance(given, str | bytes):
            raise InvalidIdentity("values must be an iterable of ids, not one id: pass [value]", member="value")
        values = list(given)
        target = self._engine.target(destination)
        if destination is None and model is None and kind is None and all(type(value) is str for value in values):
            found, values = self._hits.get_many(entity, id_type, values)
        else:
            found = {}
            if self._sampler is not None:
                self._sampler.looked_up(entity, id_type, values, destination)
        return found, {value: target.identity(entity, id_type, value) for value in values}

    def _deadline(self, timeout: float | None) -> float:
        return self._engine.clock() + (self._engine.config.limits.timeout if timeout is None else timeout)

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
        engine.on_fork(lambda: rebind(engine.default_tree()))
        engine.on_fork(lambda: rebind_json(engine.trees()))

    def __del__(self) -> None:
        engine = getattr(self, "_engine", None)
        if engine is not None and engine.running:
            warnings.warn(f"unclosed {type(self).__name__}", ResourceWarning, source=self, stacklevel=2)
            engine.close()


class Client(_Face):
    """Profiles for threads: any number of them may share one client.

    ``config`` is a `Config`, a mapping in the form of the file, the path of the file, or `None` for what the environment
    says. Construction does no I/O; the first miss connects. Use it as a context manager, or `close` it.
    """

    def __init__(self, config: Config | str | Path | Mapping[str, Any] | Engine | None = None) -> None:
        super().__init__(config)
        self.get = self._hits.get  # type: ignore[method-assign]  # the same face, without a bound method's cost

    @overload
    def get(
        self, entity: str, id_type: str, value: str, *, destination: str | None = None, timeout: float | None = None
    ) -> Profile | None: ...
    @overload
    def get(
        self,
        entity: str,
        id_type: str,
        value: str,
        *,
        model: str,
        destination: str | None = None,
        timeout: float | None = None,
    ) -> Any: ...
    @overload
    def get(
        self,
        entity: str,
        id_type: str,
        value: str,
        *,
        model: str | None = None,
        type: type[T],
        destination: str | None = None,
        timeout: float | None = None,
    ) -> T | None: ...
    def get(
        self,
        entity: str,
        id_type: str,
        value: str,
        *,
        destination: str | None = None,
        model: str | None = None,
        type: Any = None,
        timeout: float | None = None,
    ) -> Any:
        """The profile that is stored under this id, or None if there is none.

        Args:
            entity: Name of the entity, ``"user"``.
            id_type: Type of the id, ``"email"``.
            value: The id, verbatim.
            destination: Id of the destination; needed where several are configured.
            model: Only this model's traits, a read-only dict, or None if the profile lacks it.
            type: Decode the model (or, without one, the whole profile) straight into this msgspec type.
            timeout: Seconds until the lookup ends, instead of ``limits.timeout``.

        Raises `UsageError` for what the caller has to change, `ServiceError` for what Redis or the network did.
        """
        return self._hits.get(entity, id_type, value, destination, model, type, timeout)

    @overload
    def get_many(
        self,
        entity: str,
        id_type: str,
        values: Iterable[str],
        *,
        destination: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Profile | None]: ...
    @overload
    def get_many(
        self,
        entity: str,
        id_type: str,
        values: Iterable[str],
        *,
        model: str,
        destination: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]: ...
    @overload
    def get_many(
        self,
        entity: str,
        id_type: str,
        values: Iterable[str],
        *,
        model: str | None = None,
        type: type[T],
        destination: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, T | None]: ...
    def get_many(
        self,
        entity: str,
        id_type: str,
        values: Iterable[str],
        *,
        destination: str | None = None,
        model: str | None = None,
        type: Any = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Profiles of several ids, by id, in the order given; all misses share a round trip. Arguments as of `get`."""
        found, missing = self._cached(entity, id_type, values, destination, model, type)
        if missing:
            self._engine.start()
            answers = self._engine.lookups.read_many(missing.values(), self._deadline(timeout))
            for value, answer in zip(missing, answers, strict=True):
                found[value] = self._present(answer, model, type)
        return found

    def bundle(self, name: str) -> Bundle:
        """This client's profiles as the bundle of that name in the configuration has them; raises `UnknownBundle`."""
        return Bundle(self, projection(self.config, name))

    def delete(
        self,
        entity: str,
        ids: Iterable[tuple[str, str]],
        *,
        destination: str | None = None,
        timeout: float | None = None,
    ) -> int:
        """Delete profiles from Redis: ``ids`` are pairs of id type and value. How many keys were removed.

        From the call on, whatever its outcome, this process serves nothing older for these ids.
        """
        identities = [self._identity(entity, id_type, value, destination) for id_type, value in ids]
        self._engine.start()
        return self._engine.writes.delete(identities, self._deadline(timeout))

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Connect now and wait until every destination is coherent, or declared as unproven.

        Not needed: the first miss connects, too. Raises what stands in the way: `NotificationsOff`, `AccessDenied`,
        `RedisUnavailable`.
        """
        self._engine.start()
        self._engine.wait_ready(timeout)

    def close(self) -> None:
        """End all connections and the engine's thread. Later lookups raise `ClosedError`."""
        self._engine.close()

    def _slow(
        self,
        entity: str,
        id_type: str,
        value: str,
        destination: str | None,
        model: str | None,
        kind: Any,
        timeout: float | None,
    ) -> Any:
        """What `Hits` cannot answer, on the caller's thread."""
        identity = self._identity(entity, id_type, value, destination)
        self._engine.start()
        return self._present(self._engine.lookups.read(identity, self._deadline(timeout)), model, kind)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Face):
    """Profiles for tasks, of any number of event loops. Arguments and errors are those of `Client`.

    ``encoded`` has lookups that decode nothing and tell where the profile came from.
    """

    def __init__(self, config: Config | str | Path | Mapping[str, Any] | Engine | None = None) -> None:
        super().__init__(config)
        self.encoded = EncodedReads(self._engine, self._json_hits)

    @overload
    async def get(
        self, entity: str, id_type: str, value: str, *, destination: str | None = None, timeout: float | None = None
    ) -> Profile | None: ...
    @overload
    async def get(
        self,
        entity: str,
        id_type: str,
        value: str,
        *,
        model: str,
        destination: str | None = None,
        timeout: float | None = None,
    ) -> Any: ...
    @overload
    async def get(
        self,
        entity: str,
        id_type: str,
        value: str,
        *,
        model: str | None = None,
        type: type[T],
        destination: str | None = None,
        timeout: float | None = None,
    ) -> T | None: ...
    async def get(
        self,
        entity: str,
        id_type: str,
        value: str,
        *,
        destination: str | None = None,
        model: str | None = None,
        type: Any = None,
        timeout: float | None = None,
    ) -> Any:
        """The profile that is stored under this id, or None; arguments and errors as of `Client.get`."""
        found = self._hits.get(entity, id_type, value, destination, model, type)
        if found is not MISS:
            return found
        answer = await self._read(entity, id_type, value, destination, timeout)
        return self._present(answer, model, type)

    @overload
    async def get_many(
        self,
        entity: str,
        id_type: str,
        values: Iterable[str],
        *,
        destination: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Profile | None]: ...
    @overload
    async def get_many(
        self,
        entity: str,
        id_type: str,
        values: Iterable[str],
        *,
        model: str,
        destination: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]: ...
    @overload
    async def get_many(
        self,
        entity: str,
        id_type: str,
        values: Iterable[str],
        *,
        model: str | None = None,
        type: type[T],
        destination: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, T | None]: ...
    async def get_many(
        self,
        entity: str,
        id_type: str,
        values: Iterable[str],
        *,
        destination: str | None = None,
        model: str | None = None,
        type: Any = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Profiles of several ids, by id, in the order given; all misses share a round trip. Arguments as of `get`."""
        found, missing = self._cached(entity, id_type, values, destination, model, type)
        if missing:
            self._engine.start()
            answers = await self._engine.lookups.aread_many(missing.values(), self._deadline(timeout))
            for value, answer in zip(missing, answers, strict=True):
                found[value] = self._present(answer, model, type)
        return found

    def bundle(self, name: str) -> AsyncBundle:
        """This client's profiles as the bundle of that name in the configuration has them; raises `UnknownBundle`."""
        return AsyncBundle(self, projection(self.config, name))

    def peek_json(self, entity: str, id_type: str, value: str, *, destination: str) -> bytes | None:
        """The encoded ``data`` of a cached, fresh profile: ``{}`` for one that is known to be absent; None for a miss."""
        found = self._json_hits.peek(destination, entity, id_type, value)
        return None if found is None else found.json

    async def get_json(
        self,
        entity: str,
        id_type: str,
        value: str,
        *,
        destination: str | None = None,
        timeout: float | None = None,
    ) -> bytes:
        """The encoded ``data`` of a profile, never decoded: ``{}`` if there is none. Arguments and errors as of `get`."""
        answer = await self._read(entity, id_type, value, destination, timeout)
        return b"{}" if answer.raw is None else answer.raw

    async def delete(
        self,
        entity: str,
        ids: Iterable[tuple[str, str]],
        *,
        destination: str | None = None,
        timeout: float | None = None,
    ) -> int:
        """Delete profiles from Redis, as `Client.delete`."""
        identities = [self._identity(entity, id_type, value, destination) for id_type, value in ids]
        self._engine.start()
        return await self._engine.writes.adelete(identities, self._deadline(timeout))

    async def start(self, timeout: float = START_TIMEOUT) -> None:
        """Connect now and wait until every destination is coherent, or declared as unproven; as `Client.start`."""
        self._engine.start()
        await self._engine.aside(lambda: self._engine.wait_ready(timeout))

    async def warm(self, profiles: Iterable[Known], *, timeout: float = 60.0) -> int:
        """Read the profiles that `hot` named, many in a round trip, until the cache is full; how many were read.

        What names no profile of a configured destination is passed over, and no lookup is counted. To be called after
        `start`: what is read before the feed is proved does not live long. Raises what Redis did, or `LookupTimeout`
        after ``timeout`` seconds.
        """
        from edgeprofile.engine.warming import warm  # noqa: PLC0415 (as above)

        self._engine.start()
        return await warm(self._engine, profiles, timeout)

    async def close(self) -> None:
        """End all connections and the engine's thread. Later lookups raise `ClosedError`."""
        await self._engine.aside(self._engine.close)

    async def _read(
        self, entity: str, id_type: str, value: str, destination: str | None, timeout: float | None
    ) -> Answer:
        identity = self._identity(entity, id_type, value, destination)
        self._engine.start()
        return await self._engine.lookups.aread(identity, self._deadline(timeout))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
