"""The module's own functions: one default client, made from the environment when it is first needed."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec

from edgeprofile.client import AsyncClient, Client
from edgeprofile.config import Config, from_keywords, from_mapping
from edgeprofile.errors import ConfigurationError
from edgeprofile.face import make_engine
from edgeprofile.hits import Hits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Unpack

    from edgeprofile.config import Keywords
    from edgeprofile.engine import Engine
    from edgeprofile.metrics import Stats
    from edgeprofile.profile import Profile

__all__ = ["aget", "aget_many", "close", "configure", "get", "get_many", "peek", "stats", "use"]

T = TypeVar("T")


class _Default:
    """The default engine and its two clients; made once, replaced by `configure`, gone after `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: tuple[Client, AsyncClient] | None = None
        self.hits = Hits(self._slow, {}, {})

    @property
    def client(self) -> Client:
        """The client for threads."""
        return self._both()[0]

    @property
    def twin(self) -> AsyncClient:
        """The client for tasks, over the same engine."""
        return self._both()[1]

    def after_fork(self) -> None:
        """In a forked child: a thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def configure(self, config: Config) -> None:
        """Use this configuration from now on."""
        self.use(make_engine(config))

    def use(self, engine: Engine) -> None:
        """Use this engine from now on; nobody meets a moment without one, in which to make another."""
        with self._lock:
            before = self._clients
            self._install(engine)
        if before is not None:
            before[0].close()

    def close(self) -> None:
        """Close the clients; the next use makes new ones."""
        with self._lock:
            before, self._clients = self._clients, None
            self.hits.rebind({}, {})
        if before is not None:
            before[0].close()

    def _both(self) -> tuple[Client, AsyncClient]:
        clients = self._clients
        if clients is None:
            with self._lock:
                clients = self._clients or self._install(make_engine(from_keywords()))
        return clients

    def _install(self, engine: Engine) -> tuple[Client, AsyncClient]:
        self._clients = Client(engine), AsyncClient(engine)
        if engine.auditor is not None:  # its clients count what they audit, so all lookups go there
            self.hits.rebind({}, {})
        else:
            self._bind(engine)
            engine.on_fork(lambda: self._bind(engine))
        return self._clients

    def _bind(self, engine: Engine) -> None:
        self.hits.rebind(engine.default_tree(), engine.trees())

    def _slow(self, *args: Any) -> Any:
        client = self.client
        if client._sampler is not None:  # noqa: SLF001 (the hit path that was tried has nothing; this one counts)
            return client.get(*args)
        return client._slow(*args)  # noqa: SLF001 (the miss of the same lookup: its hit path has been tried)


_default = _Default()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_default.after_fork)

if TYPE_CHECKING:

    @overload
    def get(
        entity: str, id_type: str, value: str, *, destination: str | None = None, timeout: float | None = None
    ) -> Profile | None: ...
    @overload
    def get(
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
        entity: str,
        id_type: str,
        value: str,
        *,
        model: str | None = None,
        type: type[T],
        destination: str | None = None,
        timeout: float | None = None,
    ) -> T | None: ...
    def get(entity: str, id_type: str, value: str, **how: Any) -> Any:
        """As `Client.get`, of the default client."""

else:
    get = _default.hits.get
    get.__module__, get.__qualname__, get.__doc__ = __name__, "get", Client.get.__doc__


@overload
def get_many(
    entity: str,
    id_type: str,
    values: Iterable[str],
    *,
    destination: str | None = None,
    timeout: float | None = None,
) -> dict[str, Profile | None]: ...
@overload
def get_many(
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
    entity: str,
    id_type: str,
    values: Iterable[str],
    *,
    model: str | None = None,
    type: type[T],
    destination: str | None = None,
    timeout: float | None = None,
) -> dict[str, T | None]: ...
def get_many(entity: str, id_type: str, values: Iterable[str], **how: Any) -> dict[str, Any]:
    """Profiles of several ids, by id, in the order given; all misses share a round trip. As `Client.get_many`."""
    return _default.client.get_many(entity, id_type, values, **how)


@overload
async def aget(
    entity: str, id_type: str, value: str, *, destination: str | None = None, timeout: float | None = None
) -> Profile | None: ...
@overload
async def aget(
    entity: str,
    id_type: str,
    value: str,
    *,
    model: str,
    destination: str | None = None,
    timeout: float | None = None,
) -> Any: ...
@overload
async def aget(
    entity: str,
    id_type: str,
    value: str,
    *,
    model: str | None = None,
    type: type[T],
    destination: str | None = None,
    timeout: float | None = None,
) -> T | None: ...
async def aget(entity: str, id_type: str, value: str, **how: Any) -> Any:
    """As `get`, for a task: the same cache, the same engine."""
    return await _default.twin.get(entity, id_type, value, **how)


@overload
async def aget_many(
    entity: str,
    id_type: str,
    values: Iterable[str],
    *,
    destination: str | None = None,
    timeout: float | None = None,
) -> dict[str, Profile | None]: ...
@overload
async def aget_many(
    entity: str,
    id_type: str,
    values: Iterable[str],
    *,
    model: str,
    destination: str | None = None,
    timeout: float | None = None,
) -> dict[str, Any]: ...
@overload
async def aget_many(
    entity: str,
    id_type: str,
    values: Iterable[str],
    *,
    model: str | None = None,
    type: type[T],
    destination: str | None = None,
    timeout: float | None = None,
) -> dict[str, T | None]: ...
async def aget_many(entity: str, id_type: str, values: Iterable[str], **how: Any) -> dict[str, Any]:
    """As `get_many`, for a task."""
    found: dict[str, Any] = await _default.twin.get_many(entity, id_type, values, **how)
    return found


@overload
def peek(entity: str, id_type: str, value: str, *, destination: str | None = None) -> Profile | None: ...
@overload
def peek(entity: str, id_type: str, value: str, *, destination: str | None = None, model: str) -> Any: ...
@overload
def peek(
    entity: str, id_type: str, value: str, *, destination: str | None = None, model: str | None = None, type: type[T]
) -> T | None: ...
def peek(entity: str, id_type: str, value: str, **how: Any) -> Any:
    """The profile if it is cached and fresh, else None; never any I/O. As `Client.peek`."""
    return _default.client.peek(entity, id_type, value, **how)


def configure(
    config: Config | Mapping[str, Any] | str | os.PathLike[str] | None = None, **options: Unpack[Keywords]
) -> None:
    """Configure the default client: from a file's path with keywords over it, or from a `Config` or a mapping, whole.

    ``configure(address="127.0.0.1:6379", cluster_mode=False, workspace_id="1Wsp", destination_id="2Dest")``. Does no
    I/O beyond reading the file; a client that was in use is closed. Raises `ConfigurationError`.
    """
    if config is None or isinstance(config, str | os.PathLike):
        _default.configure(from_keywords(config, **options))
    elif options:
        raise ConfigurationError(f"a {type(config).__name__} is a whole configuration: say {', '.join(options)} in it")
    else:
        _default.configure(config if isinstance(config, Config) else from_mapping(config, "the mapping given"))


def use(engine: Engine) -> None:
    """Have the default client read through this engine; a client that was in use is closed."""
    _default.use(engine)


def stats() -> Stats:
    """The default client's counters and gauges, hits of this module's `get` included."""
    picture = _default.client.stats()
    return msgspec.structs.replace(picture, hits=picture.hits + _default.hits.count())


def close() -> None:
    """Close the default client. The next lookup makes a new one from the same sources."""
    _default.close()
