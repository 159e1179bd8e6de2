"""The way to one node: name to address to socket to TLS, within one deadline, for threads and for tasks.

A name may stand for several addresses (``localhost`` is often ``::1`` and ``127.0.0.1``). They are tried in the order of
the system's preference; each gets an equal share of the time that is left, so that a dead one does not use it up.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from edgeprofile.store.names import Names

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from edgeprofile.store.names import Place
    from edgeprofile.store.tls import Tls

__all__ = ["Route"]

_KEEPALIVE: Final = 60
"""Seconds of silence before the system asks whether the other side is there: routers forget silent connections."""


class Route:
    """How to connect to ``(host, port)``, or to the path of a Unix socket, which is never encrypted."""

    def __init__(self, address: tuple[str, int] | str, tls: Tls | None) -> None:
        self._path = address if isinstance(address, str) else None
        self._names = None if isinstance(address, str) else Names(*address)
        self._host = "" if isinstance(address, str) else address[0].partition("%")[0]
        self._tls = tls if self._names is not None else None

    def connect(self, timeout: float) -> socket.socket:
        """A blocking socket. Raises `OSError`, `TimeoutError` after ``timeout`` seconds, and `ConfigurationError`."""
        context = self._tls.context() if self._tls is not None else None  # the system's authorities: 0.2 s of reading
        deadline = time.monotonic() + timeout
        places = self._names.resolve(timeout) if self._names is not None else self._unix()
        plain = _first(places, deadline)
        return self._wrapped(plain, context, deadline) if context is not None else plain

    async def attach(self, protocol: asyncio.Protocol, timeout: float) -> None:
        """Connect a protocol of the running loop. Raises as `connect` does."""
        context = self._tls.context() if self._tls is not None else None
        deadline = time.monotonic() + timeout
        places = await self._names.aresolve(timeout) if self._names is not None else self._unix()
        plain = await _afirst(places, deadline)
        try:
            await self._bind(protocol, plain, context, deadline)
        except BaseException:
            plain.close()
            raise

    async def _bind(
        self, protocol: asyncio.Protocol, plain: socket.socket, context: ssl.SSLContext | None, deadline: float
    ) -> None:
        loop = asyncio.get_running_loop()
        if self._path is not None:
            await loop.create_unix_connection(lambda: protocol, sock=plain)
        elif context is None:  # nothing is left to wait for
            await loop.create_connection(lambda: protocol, sock=plain)
        else:
            try:
                async with asyncio.timeout(_left(deadline)):
                    await loop.create_connection(lambda: protocol, sock=plain, ssl=context, server_hostname=self._host)
            except TimeoutError as error:
                raise _unshaken() from error

    def _unix(self) -> list[Place]:
        return [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", self._path)]

    def _wrapped(self, plain: socket.socket, context: ssl.SSLContext, deadline: float) -> socket.socket:
        wrapped = context.wrap_socket(plain, server_hostname=self._host, do_handshake_on_connect=False)
        try:
            wrapped.settimeout(_left(deadline))
            wrapped.do_handshake()
        except TimeoutError as error:
            wrapped.close()
            raise _unshaken() from error
        except BaseException:
            wrapped.close()
            raise
        return wrapped


def _first(places: list[Place], deadline: float) -> socket.socket:
    failure = OSError("its name stands for no address")
    for place, share in _shares(places, deadline):
        try:
            with _opened(place) as connection:
                connection.settimeout(share)
                connection.connect(place[4])
                return _tuned(connection)
        except OSError as error:
            failure = error
    raise failure


async def _afirst(places: list[Place], deadline: float) -> socket.socket:
    loop = asyncio.get_running_loop()
    failure = OSError("its name stands for no address")
    for place, share in _shares(places, deadline):
        try:
            with _opened(place) as connection:
                connection.setblocking(False)
                try:
                    async with asyncio.timeout(share):
                        await loop.sock_connect(connection, place[4])
                except TimeoutError:
                    if not _is_connected(connection):  # a loop that was busy with something else looks too late
                        raise
                return _tuned(connection)
        except OSError as error:
            failure = error
    raise failure


def _is_connected(connection: socket.socket) -> bool:
    try:
        connection.getpeername()
    except OSError:
        return False
    return True


@contextmanager
def _opened(place: Place) -> Iterator[socket.socket]:
    """A socket that is closed again if the block fails."""
    connection = socket.socket(*place[:3])
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


def _shares(places: list[Place], deadline: float) -> Iterator[tuple[Place, float]]:
    for left, place in zip(range(len(places), 0, -1), places, strict=True):
        yield place, _left(deadline) / left


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _tuned(connection: socket.socket) -> socket.socket:
    if connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE)
    return connection


def _unshaken() -> TimeoutError:
    return TimeoutError("it did not answer the TLS handshake in time: is `secure` right for this port?")
