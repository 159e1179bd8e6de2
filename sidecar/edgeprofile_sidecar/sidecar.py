"""The sidecar's life: everything is opened in order, drained when it is told to stop, and closed in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from edgeprofile import AsyncClient, ConfigurationError, ServiceError, __version__
from edgeprofile_sidecar import admin, metrics
from edgeprofile_sidecar.counters import Counters
from edgeprofile_sidecar.health import Health
from edgeprofile_sidecar.listener import Listener
from edgeprofile_sidecar.logs import origin
from edgeprofile_sidecar.offline import Everybody, OfflineFile
from edgeprofile_sidecar.service import Service
from edgeprofile_sidecar.sockets import bind
from edgeprofile_sidecar.token_file import TokenFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from types import TracebackType
    from typing import Any, Self

    from edgeprofile import Config
    from edgeprofile_sidecar.sockets import Bound

__all__ = ["Addresses", "Sidecar"]

_log = logging.getLogger(__name__)

_HOUSEKEEPING = 0.5  # seconds; a token that is revoked must be refused within one
_DEADLINES = 0.05  # seconds
_BACKLOG = 1024
_AT_ONCE = 0.001  # seconds; to aiohttp, no seconds at all means without a bound


class Addresses(NamedTuple):
    """Where a running sidecar listens, with the ports that were found."""

    listen: tuple[str, ...]
    admin: str | None


class Sidecar:
    """A running sidecar: an async context manager; what it has found stands in ``addresses``.

    With ``offline``, a file of profiles is served instead of Redis. Entering it raises `ConfigurationError` for a tokens file or an address that cannot be used. An unreachable Redis
    does not keep it from starting: until it is there, the sidecar is unready and answers 503.
    """

    addresses: Addresses

    def __init__(self, config: Config, offline: Path | None = None) -> None:
        self._config = config
        self._offline = OfflineFile(config, offline) if offline else None
        self._settings = config.sidecar
        self._counters = Counters()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything; requests in flight are lost unless `drain` was awaited before."""
        self._health.serving = False
        await self._stack.aclose()

    async def drain(self) -> None:
        """Become unready, serve on for ``drainDelay``, then let requests in flight end, for ``drainTimeout`` at most."""
        self._health.serving = False
        self._listener.closing = True
        await asyncio.sleep(self._settings.drain_delay)
        for server in self._servers:
            server.close()
        self._listener.server.pre_shutdown()
        seconds = max(self._settings.drain_timeout, _AT_ONCE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # aiohttp takes its time up to twice
                await self._listener.server.shutdown(seconds)

    async def _open(self) -> None:
        data = [self._bind(address, f"sidecar.listen[{i}]") for i, address in enumerate(self._settings.listen)]
        apart = self._bind(self._settings.admin_listen, "sidecar.adminListen") if self._settings.admin_listen else None
        self.addresses = Addresses(tuple(bound.address for bound in data), apart.address if apart else None)
        tokens = self._tokens()
        client = self._offline.client if self._offline else AsyncClient(self._config)
        await self._stack.enter_async_context(client)
        self._health = Health(client.status, self._settings.readiness)
        self._listener = self._listening(client, tokens)
        if apart:
            await self._open_admin(apart, client, tokens)
        self._servers = [await self._open_data(bound) for bound in data]
        await _begin(client)
        self._background(_every(_HOUSEKEEPING, self._expire))
        self._background(_every(_DEADLINES, self._end_late))
        self._background(_every(_HOUSEKEEPING, lambda: asyncio.to_thread(tokens.refresh)))  # a file system may hang
        if self._offline is not None:
            self._background(_every(_HOUSEKEEPING, functools.partial(asyncio.to_thread, self._offline.refresh)))
        self._health.serving = True

    def _tokens(self) -> TokenFile | Everybody:
        if self._offline is not None and not self._settings.tokens_file:
            return Everybody()
        return _tokens(self._settings.tokens_file)

    def _bind(self, address: str, option: str) -> Bound:
        bound = bind(address, option)
        self._stack.callback(bound.release)
        return bound

    def _listening(self, client: AsyncClient, tokens: TokenFile | Everybody) -> Listener:
        destinations = frozenset(destination.id for destination in self._config.destinations)
        bundles = {name: bundle.projection() for name, bundle in self._config.bundles.items()}
        service = Service(client, tokens, destinations, self._counters, self._settings.max_batch, bundles)
        return Listener(service, self._settings, self._counters)

    async def _open_admin(self, bound: Bound, client: AsyncClient, tokens: TokenFile | Everybody) -> None:
        sources = metrics.Sources(client.stats, self._counters, tokens, __version__)
        runner = web.AppRunner(
            admin.application(self._health, metrics.registry(sources)), access_log=None, shutdown_timeout=_AT_ONCE
        )
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.SockSite(runner, bound.socket).start()

    async def _open_data(self, bound: Bound) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._listener.server, sock=bound.socket, backlog=_BACKLOG)
        self._stack.push_async_callback(self._close_data, server)
        return server

    async def _close_data(self, server: asyncio.Server) -> None:
        server.close()
        await self._listener.server.shutdown(_AT_ONCE)

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._stack.push_async_callback(_end, task)

    async def _expire(self) -> None:
        self._listener.server.expire()

    async def _end_late(self) -> None:
        self._listener.deadlines.expire(perf_counter())


def _tokens(path: str) -> TokenFile:
    if not path:
        raise ConfigurationError(
            'is not set: name a file, then make a token with "edgeprofile token create"', option="sidecar.tokensFile"
        )
    return TokenFile(Path(path))


async def _begin(client: AsyncClient) -> None:
    """Have the client connect, without waiting: it goes on by itself, and ``/readyz`` says how far it is."""
    with contextlib.suppress(ServiceError):
        await client.start(0.0)


async def _every(seconds: float, action: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await action()
        except Exception as error:  # noqa: BLE001  # one failed round must not be the last
            _log.error("housekeeping failed", extra=origin(error))
        await asyncio.sleep(seconds)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
