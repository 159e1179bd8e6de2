"""Addresses: where Redis is, and where the sidecar listens.

Every function raises ``ValueError`` with the end of a sentence that begins with the address itself.
"""

from __future__ import annotations

import re

__all__ = ["DEFAULT_PORT", "TLS", "Endpoint", "parse_listener", "parse_seeds"]

DEFAULT_PORT = 6379
TLS = "tls:"
"""How the address of a listener begins that speaks TLS."""

Endpoint = tuple[str, int] | str
"""A host (IPv6 without brackets) and port, or the path of a Unix socket."""

_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+(?:%\w+)?)\](?::(.*))?", re.DOTALL)
_HIGHEST_PORT = 65_535


def parse_seeds(address: str) -> tuple[Endpoint, ...]:
    """Split the address of a Redis server, or of a cluster's seeds, at its commas; a missing port is 6379."""
    seeds = tuple(_endpoint(part, least=1, default=DEFAULT_PORT) for part in map(str.strip, address.split(",")) if part)
    if not seeds:
        raise ValueError('is empty: write "host:port"')
    return seeds


def parse_listener(address: str) -> Endpoint:
    """Read where to listen: ``host:port``, port 0 for any free one, the same behind ``tls:``, or ``unix:/path``."""
    if "," in address:
        raise ValueError("lists several addresses: write each in quotes of its own")
    endpoint = _endpoint(address.strip().removeprefix(TLS), least=0, default=None)
    if isinstance(endpoint, str) and address.strip().startswith(TLS):
        raise ValueError('is a Unix socket, which needs no TLS: write "unix:/path"')
    return endpoint


def _endpoint(text: str, *, least: int, default: int | None) -> Endpoint:
    if text.startswith("unix:"):
        return _socket_path(text)
    host, port = _split(text)
    if port is None and default is not None:
        return host, default
    if port is None or not re.fullmatch(r"[0-9]{1,5}", port) or not least <= int(port) <= _HIGHEST_PORT:
        wrong = "has no port" if port is None else f'has the port "{port}"'
        raise ValueError(f"{wrong}: a port is a number from {least} to {_HIGHEST_PORT}")
    return host, int(port)


def _split(text: str) -> tuple[str, str | None]:
    if "://" in text or "@" in text:
        raise ValueError('is a URL: write "host:port" alone; user, password, database and TLS are options of their own')
    if bracketed := _BRACKETED.fullmatch(text):
        return bracketed[1], bracketed[2]
    host, colon, port = text.partition(":")
    if ":" in port:
        raise ValueError(f'holds an IPv6 address without brackets: write it as in "[::1]:{DEFAULT_PORT}"')
    if not host or re.search(r"[\s/\[\]]", host):
        raise ValueError('names no host: write "host:port"')
    return host, port if colon else None


def _socket_path(text: str) -> str:
    path = text.removeprefix("unix:")
    if not path.startswith("/") or path.startswith("//"):
        raise ValueError('is no absolute path of a socket: write it as in "unix:/run/redis.sock"')
    return path
