"""Where a node is and how one gets in: address, TLS, credentials. Opens sockets for every kind of connection."""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.errors import AccessDenied, ConfigurationError, EdgeProfileError, RedisUnavailable
from edgeprofile.store.refusals import refusal
from edgeprofile.store.resp import ErrorReply

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from edgeprofile.config import RedisConfig

__all__ = ["ConnectionLost", "Endpoint", "descriptor", "sever"]

_ANSWER_OK: Final = b"OK"


class ConnectionLost(RedisUnavailable):
    """The connection ended while commands were under way: whether they were executed is not known."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One Redis node. ``address`` is ``(host, port)``, or the path of a Unix socket.

    The password is read anew from ``password_file`` at each connect, so that it can rotate while the process runs.
    """

    address: tuple[str, int] | str
    username: str = ""
    password: str = ""
    password_file: str = ""
    db: int = 0
    tls: ssl.SSLContext | None = None
    server_name: str | None = None

    @classmethod
    def of(cls, config: RedisConfig, address: tuple[str, int] | str) -> Endpoint:
        """The endpoint at an address, with everything else as the destination is configured."""
        return cls(
            address=address,
            username=config.username,
            password=config.password,
            password_file=config.password_file,
            db=config.db,
            tls=_tls_context(config) if config.secure else None,
        )

    def at(self, address: tuple[str, int] | str) -> Endpoint:
        """The same way in, to another node."""
        return replace(self, address=address)

    @property
    def name(self) -> str:
        """The address as people write it."""
        if isinstance(self.address, str):
            return f"unix:{self.address}"
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def login(self) -> list[tuple[bytes | str, ...]]:
        """The commands that open a session, each to be answered with OK. Raises `AccessDenied` for an unreadable secret."""
        commands: list[tuple[bytes | str, ...]] = []
        password = self._secret()
        if password:
            commands.append(("AUTH", self.username, password) if self.username else ("AUTH", password))
        if self.db:
            commands.append(("SELECT", str(self.db)))
        return commands

    def admit(self, replies: list[Any]) -> None:
        """Check the answers to `login`. Raises `AccessDenied` or `ServerRefused`."""
        for reply in replies:
            if isinstance(reply, ErrorReply):
                raise refusal(reply, self.name, doing="AUTH or SELECT")
            if reply != _ANSWER_OK:
                raise RedisUnavailable(
                    f"{self.name} answered AUTH or SELECT with something else than OK", node=self.name
                )

    def connect(self, timeout: float) -> socket.socket:
        """A blocking socket, TLS included, within ``timeout`` seconds. Raises `RedisUnavailable` with its cause."""
        try:
            return self._connect(timeout)
        except OSError as error:
            raise self.unreachable(error) from error

    async def stream(self, loop: asyncio.AbstractEventLoop, protocol: Any) -> None:
        """Connect an asyncio protocol. Raises `RedisUnavailable` with its cause."""
        try:
            if isinstance(self.address, str):
                await loop.create_unix_connection(lambda: protocol, self.address)
                return
            host, port = self.address
            await loop.create_connection(
                lambda: protocol, host, port, ssl=self.tls, server_hostname=self._server_name() if self.tls else None
            )
        except OSError as error:
            raise self.unreachable(error) from error

    def unreachable(self, error: BaseException) -> EdgeProfileError:
        """What a failed connect means, in words that say which part failed; our own errors say so already."""
        if isinstance(error, EdgeProfileError):
            return error
        return RedisUnavailable(f"{self.name} cannot be reached: {_explain(error)}", node=self.name)

    def _connect(self, timeout: float) -> socket.socket:
        if isinstance(self.address, str):
            plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            plain.settimeout(timeout)
            plain.connect(self.address)
            return plain
        plain = socket.create_connection(self.address, timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.tls.wrap_socket(plain, server_hostname=self._server_name()) if self.tls else plain

    def _server_name(self) -> str:
        return self.server_name or self.address[0]

    def _secret(self) -> str:
        if not self.password_file:
            return self.password
        try:
            return Path(self.password_file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise AccessDenied(f"passwordFile {self.password_file} cannot be read: {error}", node=self.name) from error


def descriptor(transport: asyncio.BaseTransport | None) -> int:
    """The number of a transport's socket, or -1."""
    connection = transport.get_extra_info("socket") if transport is not None else None
    return connection.fileno() if connection is not None else -1


def sever(descriptors: Iterable[int]) -> None:
    """Let go of sockets inherited through a fork: their numbers stay valid, and neither peer nor parent hears of it."""
    blank = os.open(os.devnull, os.O_RDWR)
    for number in descriptors:
        if number >= 0:
            os.dup2(blank, number)
    os.close(blank)


def _explain(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its TLS certificate is not accepted: {error.verify_message} (caCertificate names another authority)"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error}): is `secure` right for this port?"
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    return str(error) or type(error).__name__


def _tls_context(config: RedisConfig) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        if config.ca_certificate.strip():
            context = ssl.create_default_context(cadata=config.ca_certificate)
        if config.client_certificate:
            context.load_cert_chain(config.client_certificate, config.client_key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"the TLS material cannot be used: {error}", option="destinations.config") from error
    if config.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
