"""The two clients: `Client` for threads, `AsyncClient` for tasks, each over one engine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from edgeprofile.bundles import AsyncBundle, Bundle, projection
from edgeprofile.encoded import EncodedReads
from edgeprofile.face import Face, seconds
from edgeprofile.hits import MISS, BoundHits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from edgeprofile.config import Config
    from edgeprofile.engine import Engine
    from edgeprofile.engine.lookup import Answer
    from edgeprofile.engine.subscribers import Changes
    from edgeprofile.engine.warming import Known
    from edgeprofile.profile import Profile

__all__ = ["AsyncClient", "Client"]

T = TypeVar("T")

START_TIMEOUT = 10.0


class Client(Face):
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

    def lookup(self, entity: str, id_type: str, *, destination: str | None = None) -> Callable[[str], Profile | None]:
        """A function of the id value alone, for the places that ask for one id type again and again.

        It costs less than `get`, and does the same. Raises `InvalidIdentity`, `UnknownDestination`,
        `AmbiguousDestination`; the function raises what `get` raises.
        """
        home = (self._identity(entity, id_type, "?", destination).destination, entity, id_type)
        bound = self._bound.get(home)
        if bound is None:
            bound = BoundHits(partial(self._bound_slow, *home), self._engine.pinned(*home))
            engine, rebind = self._engine, bound.rebind
            engine.on_fork(lambda: rebind(engine.pinned(*home)))
            if self._sampler is not None:
                self._sampler.watch_bound(bound, *home)
            bound = self._bound.setdefault(home, bound)
        return bound.lookup

    def _bound_slow(self, destination: str, entity: str, id_type: str, value: str) -> Any:
        return self._slow(entity, id_type, value, destination, None, None, None)

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

        From the call on, whatever its outcome, this process serves nothing older for these ids. What a cluster refuses for
        the moment is repeated until the deadline; what may have happened is not, but raised.
        """
        identities = self._identities(entity, ids, destination)
        self._engine.start()
        return self._engine.writes.delete(identities, self._deadline(timeout))

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Connect now and wait until every destination is coherent, or declared as unproven.

        Not needed: the first miss connects, too. Raises what stands in the way: `NotificationsOff`, `AccessDenied`,
        `RedisUnavailable`.
        """
        longest = seconds(timeout)
        self._engine.start()
        self._engine.wait_ready(longest)

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


class AsyncClient(Face):
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
        return self._present(await self._read(entity, id_type, value, destination, timeout), model, type)

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

    def changes(self, entity: str, ids: Iterable[tuple[str, str]], *, destination: str | None = None) -> Changes:
        """Changes of these profiles, pairs of id type and value, as the feed tells of them; for one task.

        Raises `InvalidIdentity`, `UnknownDestination`, `AmbiguousDestination`.
        """
        from edgeprofile.engine.subscribers import Changes  # noqa: PLC0415 (it brings the engine and asyncio along)

        identities = self._identities(entity, ids, destination)
        self._engine.start()
        names = {key: (each.id_type, each.value) for each in identities for key in each.keys}
        return Changes(self._engine.subscribers, names)

    async def delete(
        self,
        entity: str,
        ids: Iterable[tuple[str, str]],
        *,
        destination: str | None = None,
        timeout: float | None = None,
    ) -> int:
        """Delete profiles from Redis, as `Client.delete`."""
        identities = self._identities(entity, ids, destination)
        self._engine.start()
        return await self._engine.writes.adelete(identities, self._deadline(timeout))

    async def start(self, timeout: float = START_TIMEOUT) -> None:
        """Connect now and wait until every destination is coherent, or declared as unproven; as `Client.start`."""
        longest = seconds(timeout)
        self._engine.start()
        await self._engine.aside(lambda: self._engine.wait_ready(longest))

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

    def _read(
        self, entity: str, id_type: str, value: str, destination: str | None, timeout: float | None
    ) -> Awaitable[Answer]:
        identity = self._identity(entity, id_type, value, destination)
        self._engine.start()
        return self._engine.lookups.aread(identity, self._deadline(timeout))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
