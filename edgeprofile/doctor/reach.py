"""The way in, step by step: the address, TLS, the login. The first step that fails is the last that is tried."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from edgeprofile.doctor.findings import failure, fine, has_failed, warning
from edgeprofile.doctor.line import Line, is_denied
from edgeprofile.errors import EdgeProfileError
from edgeprofile.store.endpoint import Endpoint
from edgeprofile.store.refusals import refusal
from edgeprofile.store.resp import ErrorReply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgeprofile.config import RedisConfig
    from edgeprofile.doctor.findings import Finding

__all__ = ["certificate", "reach", "user_of"]

_DAYS_LEFT = 14


def reach(endpoint: Endpoint, config: RedisConfig, timeout: float) -> list[Finding]:
    """Try every step; ``timeout`` seconds each."""
    steps: tuple[Callable[[], Finding], ...] = (
        lambda: _address(endpoint, timeout),
        lambda: _tls(endpoint, config, timeout),
        lambda: _login(endpoint, config, timeout),
    )
    return list(_until_failed(steps))


def _until_failed(steps: tuple[Callable[[], Finding], ...]) -> Iterator[Finding]:
    for step in steps:
        finding = step()
        yield finding
        if has_failed([finding]):
            return


def _address(endpoint: Endpoint, timeout: float) -> Finding:
    """A connection without TLS and without a word."""
    begun = time.monotonic()
    try:
        Endpoint(endpoint.address).connect(timeout).close()
    except EdgeProfileError as error:
        return failure(
            "address", str(error), "check destinations.config.address, the network between, and the firewall"
        )
    return fine("address", f"{endpoint.name} takes connections ({_milliseconds(time.monotonic() - begun)})")


def _tls(endpoint: Endpoint, config: RedisConfig, timeout: float) -> Finding:
    if endpoint.tls is None or isinstance(endpoint.address, str):
        return fine("TLS", "not used (secure = false)" if not config.secure else "not used on a Unix socket")
    try:
        with endpoint.connect(timeout) as connection:
            assert isinstance(connection, ssl.SSLSocket)  # noqa: S101 (there is TLS)
            version, peer = connection.version() or "TLS", connection.getpeercert() or {}
    except EdgeProfileError as error:
        return failure("TLS", str(error))
    if config.skip_verify:
        return warning(
            "TLS", f"{version}, with any certificate", "set skipVerify = false, and caCertificate where it is needed"
        )
    return certificate(version, peer, datetime.now(UTC))


def certificate(version: str, peer: dict[str, Any], now: datetime) -> Finding:
    """The server's certificate was accepted: for how long it will be."""
    try:
        ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(peer["notAfter"])), UTC)
    except (KeyError, ValueError):
        return fine("TLS", f"{version}, the certificate is accepted")
    what = f"{version}, the certificate is accepted and ends on {ends:%Y-%m-%d}"
    if (ends - now).days < _DAYS_LEFT:
        return warning("TLS", what, "renew the server's certificate")
    return fine("TLS", what)


def _login(endpoint: Endpoint, config: RedisConfig, timeout: float) -> Finding:
    begun = time.monotonic()
    with Line(endpoint, timeout) as line:
        try:
            reply = line.ask("PING")
            took = time.monotonic() - begun
            user = user_of(line, config)
        except EdgeProfileError as error:
            return failure("login", str(error))
    if isinstance(reply, ErrorReply) and not is_denied(reply):
        return failure("login", str(refusal(reply, line.node, doing="PING")))
    return fine("login", f"let in as {user!r} ({_milliseconds(took)})")


def user_of(line: Line, config: RedisConfig) -> str:
    """Who the server says we are, or who we say."""
    reply = line.ask("ACL", "WHOAMI")
    return reply.decode() if isinstance(reply, bytes) else config.username or "default"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
