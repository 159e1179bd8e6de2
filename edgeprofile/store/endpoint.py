"""One Redis node as connections see it: the way there, what to say first, and what the failures mean."""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.errors import EdgeProfileError, ProtocolViolation, RedisUnavailable
from edgeprofile.store.credentials import Credentials
from edgeprofile.store.refusals import NoRoom, Unauthenticated, refusal
from edgeprofile.store.resp import ErrorReply, pack
from edgeprofile.store.route import Route
from edgeprofile.store.tls import Tls, explained

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Iterator, Sequence

    from edgeprofile.config import RedisConfig

__all__ = ["ConnectionLost", "Endpoint", "Login", "TlsRefused", "descriptor", "sever"]

_OK: Final = b"OK"
_HINTS: Final = {
    False: "does it expect TLS (secure = true)?",
    True: "does it ask for another client certificate (clientCertificate)?",
}
_STEPS: Final = {"AUTH": "AUTH", "SELECT": "SELECT (destinations.config.database)"}


class ConnectionLost(RedisUnavailable):
    """The connection ended while commands were under way: whether they were executed is not known.

    ``heard``: whether the server said anything on it before. One that never does may have nobody behind it.
    """

    def __init__(self, message: str, *, node: str | None = None, heard: bool = True) -> None:
        super().__init__(message, node=node)
        self.heard = heard


class TlsRefused(RedisUnavailable):
    """One side does not accept the other's certificate: somebody has to change something."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One Redis node. ``address`` is ``(host, port)``, or the path of a Unix socket."""

    address: tuple[str, int] | str
    credentials: Credentials = field(default_factory=Credentials, repr=False, compare=False)
    db: int = 0
    tls: Tls | None = None
    route: Route = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "route", Route(self.address, self.tls))

    @classmethod
    def of(cls, config: RedisConfig, address: tuple[str, int] | str) -> Endpoint:
        """The endpoint at an address, with everything else as the destination is configured."""
        return cls(address, Credentials.of(config), config.db, Tls(config) if config.secure else None)

    def at(self, address: tuple[str, int] | str) -> Endpoint:
        """The same way in, to another node."""
        return Endpoint(address, self.credentials.again(), self.db, self.tls)

    @property
    def name(self) -> str:
        """The address as people write it."""
        if isinstance(self.address, str):
            return f"unix:{self.address}"
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def connect(self, timeout: float) -> socket.socket:
        """A blocking socket, TLS included, within ``timeout`` seconds. Raises `RedisUnavailable` with its cause."""
        try:
            return self.route.connect(timeout)
        except OSError as error:
            raise self.unreachable(error) from error

    async def stream(self, protocol: asyncio.Protocol, timeout: float) -> None:
        """Connect a protocol of the running loop within ``timeout`` seconds. Raises as `connect` does."""
        try:
            await self.route.attach(protocol, timeout)
        except OSError as error:
            raise self.unreachable(error) from error

    def login(self) -> Login:
        """What a new connection says first. Raises `AccessDenied` while there is no use in saying it."""
        return Login(self.name, self.credentials, self.credentials.password(self.name), self.db)

    def unreachable(self, error: BaseException) -> EdgeProfileError:
        """What a failed connect means, in words that say which part failed; our own errors say so already."""
        if isinstance(error, EdgeProfileError):
            return error
        why = explained(error)
        if why:
            return TlsRefused(f"{self.name} cannot be reached: {why}", node=self.name)
        return RedisUnavailable(f"{self.name} cannot be reached: {_reason(error)}", node=self.name)

    def unadmitted(self) -> RedisUnavailable:
        """The login was not answered in time."""
        return RedisUnavailable(
            f"{self.name} cannot be reached: it did not answer AUTH or SELECT in time", node=self.name
        )

    def lost(self, cause: BaseException | None, *, heard: bool = True, said: Sequence[Any] = ()) -> EdgeProfileError:
        """What the end of a connection means; ``heard``: whether it ever answered anything.

        ``said``: the answers to a question that others of its answers are missing of. One may say why it ended.
        """
        if cause is not None and (explained(cause) or isinstance(cause, EdgeProfileError)):
            return self.unreachable(cause)
        if said and isinstance(said[0], ErrorReply):
            refused = refusal(said[0], self.name, doing="a connection")
            if isinstance(refused, NoRoom | Unauthenticated):
                return refused
        hint = "" if heard else f" before it answered: {_HINTS[self.tls is not None]}"
        lost = ConnectionLost(f"the connection to {self.name} was lost{hint}", node=self.name, heard=heard)
        lost.__cause__ = cause
        return lost


class Login:
    """The first commands of one connection, packed, and how many answers they get."""

    __slots__ = ("_credentials", "_node", "_password", "_steps", "expects", "payload")

    def __init__(self, node: str, credentials: Credentials, password: str, db: int) -> None:
        self._node = node
        self._credentials = credentials
        self._password = password
        commands = list(_commands(credentials.username, password, db))
        self._steps = iter([command[0] for command in commands])
        self.payload = pack(*commands)
        self.expects = len(commands)

    def admit(self, replies: Iterable[Any]) -> None:
        """Check the next answers. Raises `AccessDenied`, `ServerRefused` or `ProtocolViolation`."""
        for reply in replies:
            self.expects -= 1
            self._admit(next(self._steps), reply)

    def _admit(self, step: str, reply: Any) -> None:
        if isinstance(reply, ErrorReply):
            error = refusal(reply, self._node, doing=_STEPS[step])
            if isinstance(error, Unauthenticated):
                self._credentials.refused(self._password, error)
            raise error
        if reply != _OK:
            raise ProtocolViolation(f"{self._node} answered {step} with something else than OK", node=self._node)
        if step == "AUTH":
            self._credentials.accepted()


def descriptor(transport: asyncio.BaseTransport | None) -> int:
    """The number of a transport's socket, or -1."""
    connection = transport.get_extra_info("socket") if transport is not None else None
    return connection.fileno() if connection is not None else -1


def sever(descriptors: Iterable[int]) -> None:
    """Let go of sockets inherited through a fork: their numbers stay valid, and neither peer nor parent hears of it."""
    numbers = {number for number in descriptors if number >= 0}
    if not numbers:
        return
    os.close(min(numbers))  # where there is no room for another descriptor, there is now
    blank = os.open(os.devnull, os.O_RDWR)
    for number in numbers - {blank}:
        os.dup2(blank, number)
    if blank not in numbers:
        os.close(blank)


def _commands(username: str, password: str, db: int) -> Iterator[tuple[str, ...]]:
    if password:
        yield ("AUTH", username, password) if username else ("AUTH", password)
    if db:
        yield "SELECT", str(db)


_REASONS: Final[dict[type[BaseException], str]] = {
    socket.gaierror: "its name cannot be resolved",
    ConnectionRefusedError: "nothing listens there",
    ConnectionResetError: "it ended the connection at once",
    FileNotFoundError: "there is no such socket",
    PermissionError: "this process has no right to it",
}


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error}): is `secure` right for this port?"
    if isinstance(error, TimeoutError):  # ours has words, the system's a number
        return str(error) if str(error) and not error.errno else "it did not answer in time"
    return _REASONS.get(type(error)) or str(error) or type(error).__name__
