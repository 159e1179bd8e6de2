"""Listening sockets: bound before anything else is done, so that an address that is taken is said at once."""

from __future__ import annotations

import socket
import stat
from pathlib import Path
from typing import NamedTuple

from edgeprofile import ConfigurationError
from edgeprofile.config import TLS, parse_listener

__all__ = ["Bound", "bind"]

_SOCKET_MODE = 0o660


class Bound(NamedTuple):
    """A socket that is bound and does not listen yet.

    ``address`` is where, as a configuration says it, with the port that was found; ``inode`` that of a Unix socket;
    ``tls`` whether TLS is to be spoken there.
    """

    socket: socket.socket
    address: str
    inode: int | None = None
    tls: bool = False

    def release(self) -> None:
        """Close the socket, and remove it from the file system unless another process has taken its place."""
        self.socket.close()
        path = Path(self.address.removeprefix("unix:"))
        if self.inode is not None and path.exists() and path.stat().st_ino == self.inode:
            path.unlink()


def bind(address: str, option: str, *, shared: bool = False) -> Bound:
    """Bind ``host:port`` (port 0: any free one), the same behind ``tls:``, or ``unix:/path``.

    A ``shared`` port can be bound again, by other sockets that say so, too; the system deals the connections out.

    Raises:
        ConfigurationError: It cannot be had; names ``option``.
    """
    try:
        endpoint = parse_listener(address)
        if isinstance(endpoint, str):
            return _bind_path(Path(endpoint))
        bound = _bind_port(*endpoint, shared=shared)
        return bound._replace(tls=True, address=f"{TLS}{bound.address}") if address.startswith(TLS) else bound
    except ValueError as reason:
        raise ConfigurationError(f'"{address}" {reason}', option=option) from reason
    except OSError as reason:
        raise ConfigurationError(f'"{address}" cannot be listened at: {reason.strerror}', option=option) from reason


def _bind_port(host: str, port: int, *, shared: bool) -> Bound:
    family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(where)
    except OSError:
        bound.close()
        raise
    host, port = bound.getsockname()[:2]
    return Bound(bound, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def _bind_path(path: Path) -> Bound:
    _remove_abandoned(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(str(path))
        path.chmod(_SOCKET_MODE)
        return Bound(bound, f"unix:{path}", path.stat().st_ino)
    except OSError:
        bound.close()
        raise


def _remove_abandoned(path: Path) -> None:
    """Remove the socket of a process that ended without doing so; one that somebody listens at stays."""
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
