"""The sidecar's life: everything is opened in order, drained when it is told to stop, and closed in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from edgeprofile import AsyncClient, ConfigurationError, __version__
from edgeprofile.config import TLS
from edgeprofile_sidecar import admin, metrics
from edgeprofile_sidecar.background import begin, every
from edgeprofile_sidecar.certificates import Certificates
from edgeprofile_sidecar.clients import Clients
from edgeprofile_sidecar.counters import Counters
from edgeprofile_sidecar.followed import Followed
from edgeprofile_sidecar.guarded import serve_admin
from edgeprofile_sidecar.health import Health
from edgeprofile_sidecar.history import History
from edgeprofile_sidecar.listener import Listener
from edgeprofile_sidecar.offline import Everybody, OfflineFile
from edgeprofile_sidecar.reloads import Reloads
from edgeprofile_sidecar.room import Room
from edgeprofile_sidecar.secured import Secured
from edgeprofile_sidecar.service import Service
from edgeprofile_sidecar.sockets import bind
from edgeprofile_sidecar.status import status
from edgeprofile_sidecar.token_file import TokenFile
from edgeprofile_sidecar.tracing import Tracing, provider
from edgeprofile_sidecar.warm_file import WarmFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from edgeprofile import Config
    from edgeprofile.config import SidecarConfig
    from edgeprofile_sidecar.service import TokenSource
    from edgeprofile_sidecar.sockets import Bound
    from edgeprofile_sidecar.status import Status

__all__ = ["Addresses", "Sidecar"]

_log = logging.getLogger(__name__)

_HOUSEKEEPING = 0.5  # seconds; a token that is revoked must be refused within one
_DEADLINES = 0.05  # seconds
_BACKLOG = 1024
_SAMPLING = 1.0  # seconds
_WARM_WRITING = 60.0  # seconds
_AT_ONCE = 0.001  # seconds; to aiohttp, no seconds at all means without a bound


class Addresses(NamedTuple):
    """Where a running sidecar listens, with the ports that were found."""

    listen: tuple[str, ...]
    admin: str | None


class Sidecar:
    """A running sidecar: an async context manager; what it has found stands in ``addresses``.

    With ``offline``, a file of profiles is served instead of Redis. ``settings`` is the file that the configuration is
    from, to be followed; ``bound`` are sockets to listen at, instead of those that the configuration names.

    Making or entering it raises `ConfigurationError` for a file or an address that cannot be used. An unreachable Redis
    does not keep it from starting: until it is there, the sidecar is unready and answers 503.
    """

    addresses: Addresses

    def __init__(
        self,
        config: Config,
        offline: Path | None = None,
        *,
        settings: Followed[Config] | None = None,
        bound: Sequence[Bound] | None = None,
    ) -> None:
        self._config = config
        self._offline = OfflineFile(config, offline) if offline else None
        self._settings = config.sidecar
        if bound is None:
            _see_that_certificates_are_shown(config.sidecar)
        self._certificates = Certificates(config.sidecar) if config.sidecar.certificate else None
        self._file = settings
        self._bound = bound
        self._counters = Counters()
        self._begun = monotonic()
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

    def check(self) -> None:
        """Raise `ConfigurationError` for a file that the start would fail on; all others were tried when this was made."""
        self._tokens()

    async def reload(self) -> None:
        """Read every file again, changed or not."""
        await self._reloads.all()

    async def drain(self) -> bool:
        """Become unready, serve on for ``drainDelay``, then let requests in flight end, for ``drainTimeout`` at most.

        Whether all were answered, and their answers read.
        """
        self._health.serving = False
        self._listener.server.closing = True
        await asyncio.sleep(self._settings.drain_delay)
        for server in self._servers:
            server.close()
        self._listener.streams.close()
        self._listener.server.pre_shutdown()
        cut = await self._listener.server.drain(self._settings.drain_timeout)
        if cut:
            _log.error("answers are cut short", extra={"answers": cut, "seconds": self._settings.drain_timeout})
        return not cut

    async def _open(self) -> None:
        data = self._bind_all()
        apart = self._bind(self._settings.admin_listen, "sidecar.adminListen") if self._settings.admin_listen else None
        self.addresses = Addresses(tuple(bound.address for bound in data), apart.address if apart else None)
        tokens = self._tokens()
        followed = [each for each in (tokens, self._certificates, self._offline) if isinstance(each, Followed)]
        self._clients = Clients(self._offline.client if self._offline else AsyncClient(self._config))
        self._stack.push_async_callback(self._clients.close)
        self._health = Health(self._clients.status, self._settings.readiness, self._clients.max_stale)
        self._reloads = Reloads(self._clients, None if self._offline else self._file, followed)
        self._listener = self._listening(tokens)
        if apart:
            await self._open_admin(apart, tokens)
        self._servers = [await self._open_data(bound) for bound in data]
        await self._clients.begin()
        self._begin_warm()
        self._begin_housekeeping()
        self._health.begin()

    def _bind_all(self) -> list[Bound]:
        if self._bound is not None:
            return list(self._bound)
        return [self._bind(address, f"sidecar.listen[{i}]") for i, address in enumerate(self._settings.listen)]

    def _tokens(self) -> TokenFile | Everybody:
        if self._offline is not None and not self._settings.tokens_file:
            return Everybody()
        return _tokens(self._settings.tokens_file)

    def _bind(self, address: str, option: str) -> Bound:
        bound = bind(address, option)
        self._stack.callback(bound.release)
        return bound

    def _listening(self, tokens: TokenSource) -> Listener:
        bundles = {name: bundle.projection() for name, bundle in self._config.bundles.items()}
        settings = self._settings
        self._room = Room(self._counters, settings.max_answer_bytes, settings.max_unread_bytes)
        tracing = self._tracing()
        reads = tracing.reads(self._clients.encoded) if tracing else self._clients.encoded
        bounds = settings.max_batch, self._room
        service = Service(self._clients, tokens, self._clients, self._counters, *bounds, bundles, reads)
        listener = Listener(service, settings, self._counters, tracing)
        self._room.unread = listener.server.unread
        return listener

    def _tracing(self) -> Tracing | None:
        if not self._settings.traces:
            return None
        tracing = Tracing(provider())
        self._stack.push_async_callback(asyncio.to_thread, tracing.close)
        return tracing

    async def _open_admin(self, bound: Bound, tokens: TokenSource) -> None:
        sources = metrics.Sources(self._clients.stats, self._counters, tokens, self._reloads.files, __version__)
        history = History(self._clients.stats, self._counters)
        begin(self._stack, every(_SAMPLING, lambda: self._sample(history)))

        def figures() -> Status:
            return status(sources, self._health, history, self._config.cache.max_staleness, monotonic() - self._begun)

        app = admin.application(self._health, metrics.registry(sources), figures, self._settings.admin_endpoints)
        await serve_admin(self._stack, app, bound.socket, self._settings.header_timeout)

    async def _open_data(self, bound: Bound) -> asyncio.Server | Secured:
        server: asyncio.Server | Secured
        self._stack.push_async_callback(self._listener.server.shutdown, _AT_ONCE)
        if self._certificates and bound.tls:
            seconds = self._settings.header_timeout
            server = Secured(bound.socket, self._listener.server, self._certificates, seconds)
            self._stack.push_async_callback(server.end)
        else:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(self._listener.server, sock=bound.socket, backlog=_BACKLOG)
        self._stack.callback(server.close)
        return server

    def _begin_housekeeping(self) -> None:
        for seconds, action in (
            (_HOUSEKEEPING, self._expire),
            (_DEADLINES, self._end_late),
            (_HOUSEKEEPING, self._reloads.follow_others),
            (_HOUSEKEEPING, self._reloads.follow_settings),
        ):
            begin(self._stack, every(seconds, action))

    def _begin_warm(self) -> None:
        if not self._settings.warm_file:
            return
        file = WarmFile(Path(self._settings.warm_file), self._clients, self._settings.warm_profiles)
        self._health.warm = not self._settings.warm_before_ready
        self._stack.push_async_callback(file.write)
        begin(self._stack, self._warm(file))

    async def _warm(self, file: WarmFile) -> None:
        await file.read()
        self._health.warm = True
        await every(_WARM_WRITING, file.write)

    async def _expire(self) -> None:
        self._listener.server.expire()
        self._room.look()
        self._health.look()

    async def _end_late(self) -> None:
        self._listener.deadlines.expire(monotonic())
        self._listener.streams.look()

    async def _sample(self, history: History) -> None:
        history.sample(monotonic() - self._begun)


def _see_that_certificates_are_shown(settings: SidecarConfig) -> None:
    """Not a rule of the configuration alone: ``--listen`` may name the listeners."""
    if settings.certificate and not any(address.strip().startswith(TLS) for address in settings.listen):
        message = f'is given, and no listener begins with "{TLS}": nobody would be shown it'
        raise ConfigurationError(message, option="sidecar.certificate")


def _tokens(path: str) -> TokenFile:
    if not path:
        raise ConfigurationError(
            'is not set: name a file, then make a token with "edgeprofile token create"', option="sidecar.tokensFile"
        )
    return TokenFile(Path(path))
