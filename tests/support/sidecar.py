"""A sidecar for tests: in a thread of this process, on ports of its own, asked over real sockets.

with RunningSidecar(config, tokens) as sidecar:
    answer = sidecar.ask({"entity": "user", …}, token="ep_…")
"""

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import uvloop

from edgeprofile.config import Config, from_mapping
from edgeprofile_sidecar.followed import Followed
from edgeprofile_sidecar.sidecar import Sidecar
from edgeprofile_sidecar.tokens import Permission, Token, dump, fingerprint
from tests.support.clients import hears
from tests.support.wait import until

Transport = Literal["tcp", "unix"]

_PATIENCE = 10.0


@dataclass(frozen=True)
class Response:
    """An HTTP answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The header's value, None without it."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else None


class RunningSidecar:
    """A sidecar in a thread and an event loop of its own, as its command runs it."""

    def __init__(
        self, config: Config, offline: Path | None = None, *, settings: Followed[Config] | None = None
    ) -> None:
        self.sidecar = Sidecar(config, offline, settings=settings)
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._failure: BaseException | None = None
        self._opened = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sidecar under test")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._opened.wait(_PATIENCE), "the sidecar did not open"
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_PATIENCE)
        assert not self._thread.is_alive(), "the sidecar did not end"

    def settle(self, body: object, token: str) -> None:
        """Return when the sidecar is ready and has read from Redis, so that no thread of its is still to come."""
        until(lambda: self.admin("/readyz").status == 200, message=lambda: f"ready: {self.admin('/readyz').body!r}")
        until(lambda: self.ask(body, token).status == 200, message=lambda: f"an answer: {self.ask(body, token)}")

    def hears(self) -> None:
        """Wait until it has been told of every change that was acknowledged before the call; it must be ready."""
        hears(self.sidecar._clients)

    def address(self, transport: Transport = "tcp") -> str:
        """Where data is served: `host:port`, or the path of the socket."""
        unix = transport == "unix"
        found = next(each for each in self.sidecar.addresses.listen if each.startswith("unix:") == unix)
        return found.removeprefix("unix:")

    def connect(self, transport: Transport = "tcp") -> socket.socket:
        """A raw connection to the data listener."""
        return connect(self.address(transport))

    def ask(self, body: object, token: str | None = None, **how: Any) -> Response:
        """POST an activation: `body` as it is if it is bytes, otherwise as JSON. Keywords are those of `request`."""
        headers = {"Content-Type": "application/json", **how.pop("headers", {})}
        if token is not None:
            headers.setdefault("Authorization", f"Bearer {token}")
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", how.pop("path", "/v1/activation"), payload, headers, **how)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
        transport: Transport = "tcp",
    ) -> Response:
        """One request to the data listener; a header of None is left out."""
        given = {name: value for name, value in (headers or {}).items() if value is not None}
        return request(self.address(transport), method, path, body, given)

    def admin(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Response:
        """One request to the admin listener."""
        assert self.sidecar.addresses.admin is not None
        return request(self.sidecar.addresses.admin, method, path, None, headers or {})

    def metric(self, name: str, **labels: str) -> float:
        """A metric's value at this moment; 0.0 where there is none yet."""
        wanted = name + (
            "{" + ",".join(f'{key}="{value}"' for key, value in sorted(labels.items())) + "}" if labels else ""
        )
        for line in self.admin("/metrics").body.decode().splitlines():
            if line.startswith(f"{wanted} "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def unread(self) -> int:
        """Bytes of answers that the process holds for those who do not read them, most on one connection."""

        async def held() -> int:
            transports = [each.transport for each in self.sidecar._listener.server.connections]
            return max((each.get_write_buffer_size() for each in transports if each is not None), default=0)

        return asyncio.run_coroutine_threadsafe(held(), self._loop).result(_PATIENCE)

    def drain(self) -> bool:
        """Do what the first SIGTERM does, and return when it is done; whether everything was answered."""
        return asyncio.run_coroutine_threadsafe(self.sidecar.drain(), self._loop).result(_PATIENCE)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            try:
                runner.run(self._serve())
            except BaseException as error:  # noqa: BLE001 (raised where the sidecar was started)
                self._failure = error
                self._opened.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with self.sidecar:
            self._opened.set()
            await self._stop.wait()


class Caller:
    """Asks the same, in the same bytes, on one connection that stays open."""

    def __init__(self, sidecar: RunningSidecar, body: object, secret: str) -> None:
        text = json.dumps(body).encode()
        lines = f"POST /v1/activation HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n"
        self._request = lines.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(text), text)
        self._connection = sidecar.connect()
        self._answers = Answers(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def ask(self) -> tuple[int, Any]:
        """Status and body."""
        self._connection.sendall(self._request)
        status, _, body = self._answers.next()
        return status, body

    def settle(self, times: int = 5) -> None:
        """Ask until the answers come from memory."""
        for _ in range(times):
            assert self.ask()[0] == 200


class Answers:
    """The answers on a raw connection, one after the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""

    def next(self) -> tuple[int, dict[str, str], Any]:
        """Status, headers, and the body as JSON, None without one."""
        head = self._until(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers.get("Content-Length", "0"))
        while len(self._received) < length:
            self._receive()
        body, self._received = self._received[:length], self._received[length:]
        return int(first.split()[1]), headers, json.loads(body) if length else None

    def ended(self) -> bool:
        """Whether the sidecar closes the connection and sends nothing more."""
        try:
            return self._received == b"" and self._connection.recv(1) == b""
        except ConnectionResetError:
            return True

    def _until(self, end: bytes) -> bytes:
        while end not in self._received:
            self._receive()
        found, _, self._received = self._received.partition(end)
        return found

    def _receive(self) -> None:
        received = self._connection.recv(1 << 16)
        assert received, f"the connection ended within an answer: {self._received!r}"
        self._received += received


def request(
    address: str, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("sidecar.test")
    connection.sock = connect(address)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Response(response.status, tuple(response.getheaders()), response.read())
    finally:
        connection.close()


def connect(address: str) -> socket.socket:
    """A connection to `host:port` or to the path of a Unix socket."""
    if address.startswith("/"):
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(_PATIENCE)
        made.connect(address)
        return made
    host, _, port = address.rpartition(":")
    made = socket.create_connection((host, int(port)), _PATIENCE)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is sent in parts arrives in parts
    return made


def token(
    secret: str,
    destinations: Literal["all"] | tuple[str, ...] = "all",
    *,
    permissions: tuple[Permission, ...] = ("read",),
    ends_in: float | None = None,
    name: str = "",
) -> Token:
    """A token whose value is `secret`; `ends_in` in seconds, negative for one that has ended."""
    now = datetime.now(UTC)
    return Token(
        name=name or secret,
        sha256=fingerprint(secret),
        destinations=destinations,
        permissions=permissions,
        created=now,
        expires=None if ends_in is None else now + timedelta(seconds=ends_in),
    )


def configuration(
    home: Path, address: str, *tokens: Token, destinations: tuple[Mapping[str, Any], ...] = (), **sections: Any
) -> Config:
    """A configuration for a standalone Redis at `address`: destination `2Dest` of workspace `1Wsp`, unless told."""
    (home / "tokens.json").write_bytes(dump(tokens))
    rows = destinations or ({"id": "2Dest", "workspaceId": "1Wsp"},)
    redis = {"address": address, "clusterMode": False}
    sidecar = {
        "listen": ["127.0.0.1:0", f"unix:{home}/s"],
        "adminListen": "127.0.0.1:0",
        "tokensFile": str(home / "tokens.json"),
        "authFailures": 1_000_000,  # all callers of a test have one address
        **sections.pop("sidecar", {}),
    }
    return from_mapping({"destinations": [{"config": redis, **row} for row in rows], "sidecar": sidecar, **sections})


def put(file: Path, text: str) -> None:
    """Replace a file in one step: whoever reads it meanwhile does not find the half of it."""
    draft = file.with_name(f"{file.name}.draft")
    draft.write_text(text)
    draft.replace(file)


@contextmanager
def running(config: Config, offline: Path | None = None) -> Iterator[RunningSidecar]:
    """A sidecar, started and ended."""
    with RunningSidecar(config, offline) as sidecar:
        yield sidecar
