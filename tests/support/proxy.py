"""A TCP proxy between the product and a Redis server that does to the bytes what networks do.

    with Proxy(server.host, server.port) as proxy:
        client = connect(proxy.address)
        proxy.feed.hold(TO_CLIENT)                 # nothing reaches the client on its feed, now and after a reconnect
        until(lambda: proxy.data.seen("HGETALL"))
        proxy.data.reset()                         # RST on every data connection
        proxy.heal()

A connection is *new* until a command tells what it is for: the *feed* is where SUBSCRIBE, PSUBSCRIBE or CLIENT TRACKING
was seen, a *replica* synchronises, everything else carries *data*. Faults stand for present and future connections of
their group until they are taken back; `proxy.all` is every connection, new ones included.

The proxy runs in a thread of its own; every method may be called from any other and has happened when it returns.
"""

import asyncio
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from tests.support.faults import TO_CLIENT, TO_SERVER, Controls, Direction, Scope, conduct
from tests.support.pipe import Ending, Pipe
from tests.support.ports import HOST, free_port
from tests.support.resp import CommandReader, Frame

T = TypeVar("T")
Kind = Literal["new", "data", "feed", "replica"]

_FEED = {b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE"}
_REPLICA = {b"PSYNC", b"SYNC", b"REPLCONF"}
_SAYS_NOTHING = {b"HELLO", b"AUTH", b"CLIENT", b"SELECT", b"PING", b"READONLY", b"INFO", b"CONFIG", b"ROLE", b"CLUSTER"}
_SAYS_NOTHING |= {b"COMMAND", b""}
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
_CONTROL_TIMEOUT = 10.0


class Connection(Controls):
    """One connection through the proxy, open or ended.

    Attributes:
        kind: What it is for, as far as its commands told.
        commands: What the client sent, in order, handshake included; the last hundred thousand.
        pipes: The two directions, with the numbers of bytes `read`, `written` and `waiting`.
    """

    def __init__(self, proxy: "Proxy") -> None:
        self.kind: Kind = "new"
        self.commands: deque[tuple[bytes, ...]] = deque(maxlen=100_000)
        self.pipes = {direction: Pipe(self.end, self._drained) for direction in Direction}
        self.scope = Scope()
        self._proxy = proxy
        self._reader = CommandReader()
        self._sides: dict[asyncio.Transport, socket.socket] = {}
        self._over: Ending | None = None
        self._flowing = len(self.pipes)
        self.update()

    def __repr__(self) -> str:
        return f"<Connection {self.kind} {'open' if self.is_open else 'ended'} {len(self.commands)} commands>"

    @property
    def is_open(self) -> bool:
        return self._over is None

    def join(self, side: asyncio.Transport) -> None:
        self._sides[side] = sock = side.get_extra_info("socket")
        if self._over:  # before this side was there
            _close(side, sock, self._over)

    def leave(self, side: asyncio.Transport) -> None:
        del self._sides[side]
        if not self._sides:
            self.end(Ending.FIN)

    def received(self, direction: Direction, data: bytes) -> None:
        if direction is TO_CLIENT:
            self.pipes[TO_CLIENT].feed(data)
            return
        for frame in self._reader.feed(data):
            self._command(frame)

    def ended(self, direction: Direction, ending: Ending) -> None:
        if direction is TO_SERVER and (rest := self._reader.rest()):
            self.pipes[TO_SERVER].feed(rest)
        self.pipes[direction].finish(ending)

    def end(self, how: Ending) -> None:
        self._over = self._over or how
        for pipe in self.pipes.values():
            pipe.close()
        for side, sock in self._sides.items():
            _close(side, sock, how)

    def update(self) -> None:
        """Take over the faults in force; the nearest scope counts most."""
        scopes = (self._proxy.all.scope, self._proxy.groups[self.kind].scope, self.scope)
        for direction, pipe in self.pipes.items():
            pipe.set(conduct(direction, *scopes))

    def _drained(self) -> None:
        self._flowing -= 1
        if not self._flowing:
            self.end(Ending.FIN)

    def _command(self, frame: Frame) -> None:
        self._classify(frame)
        if frame.arguments:
            self.commands.append(frame.arguments)
        reply = self.pipes[TO_SERVER].conduct.answers.get(frame.name)
        if reply is None:
            self.pipes[TO_SERVER].feed(frame.raw)
        else:
            self.pipes[TO_CLIENT].feed(reply)

    def _classify(self, frame: Frame) -> None:
        kind = _kind(frame, self.kind)
        if kind != self.kind:
            self.kind = kind
            self.update()

    def _rule(self, direction: Direction | None, **fields: Any) -> None:
        def change() -> None:
            self.scope.set(direction, fields)
            self.update()

        self._run(change)

    def _open(self) -> "list[Connection]":
        return [self] if self.is_open else []

    def _run(self, function: Callable[[], T]) -> T:
        return self._proxy.run(function)


def _kind(frame: Frame, now: Kind) -> Kind:
    if frame.name in _FEED or (frame.name == b"CLIENT" and frame.arguments[1:2] == (b"TRACKING",)):
        return "feed"
    if frame.name in _REPLICA:
        return "replica"
    return "data" if now == "new" and frame.name not in _SAYS_NOTHING else now


class Group(Controls):
    """The connections of one kind, present and future."""

    def __init__(self, proxy: "Proxy", kind: Kind | None) -> None:
        self.scope = Scope()
        self._proxy = proxy
        self._kind = kind

    @property
    def connections(self) -> list[Connection]:
        """The open ones, oldest first."""
        return [c for c in self.ever if c.is_open]

    @property
    def ever(self) -> list[Connection]:
        """All since the proxy was made, oldest first."""
        return [c for c in self._proxy.accepted.copy() if self._kind in {None, c.kind}]

    def seen(self, *command: str | bytes) -> list[tuple[bytes, ...]]:
        """The commands so far that begin with these words (without regard to the case of the first), by connection."""
        words = tuple(word.encode() if isinstance(word, str) else word for word in command)
        return [c for connection in self.ever for c in connection.commands.copy() if _begins(c, words)]

    def waiting(self, direction: Direction) -> int:
        """Bytes that the proxy has read and not yet passed on."""
        return sum(c.pipes[direction].waiting for c in self.connections)

    def read(self, direction: Direction) -> int:
        """Bytes that ever came in that direction."""
        return sum(c.pipes[direction].read for c in self.ever)

    def _rule(self, direction: Direction | None, **fields: Any) -> None:
        def change() -> None:
            self.scope.set(direction, fields)
            for inner in self._inner_scopes():
                inner.forget(direction, fields)
            for connection in self._open():
                connection.update()

        self._run(change)

    def _inner_scopes(self) -> Iterator[Scope]:
        yield from (connection.scope for connection in self._open())
        if self._kind is None:
            yield from (group.scope for group in self._proxy.groups.values())

    def _open(self) -> list[Connection]:
        return self.connections

    def _run(self, function: Callable[[], T]) -> T:
        return self._proxy.run(function)


def _begins(command: tuple[bytes, ...], words: tuple[bytes, ...]) -> bool:
    first, *others = words
    return command[0].upper() == first.upper() and list(command[1 : len(words)]) == others


class _Side(asyncio.Protocol):
    """One socket of a connection: its bytes go into one pipe, the other pipe's bytes come out of it."""

    transport: asyncio.Transport

    def __init__(self, connection: Connection, into: Direction) -> None:
        self._connection = connection
        self._into = into
        self._in = connection.pipes[into]
        self._out = connection.pipes[TO_CLIENT if into is TO_SERVER else TO_SERVER]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._connection.join(transport)
        self._in.attach(source=transport)
        self._out.attach(sink=transport)

    def data_received(self, data: bytes) -> None:
        self._connection.received(self._into, data)

    def eof_received(self) -> bool:
        self._connection.ended(self._into, Ending.FIN)
        return self.transport.get_extra_info("ssl_object") is None  # TLS cannot be closed by halves

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._connection.ended(self._into, Ending.RST)
        self._connection.leave(self.transport)

    def pause_writing(self) -> None:
        self._out.sink_full(True)

    def resume_writing(self) -> None:
        self._out.sink_full(False)


class Proxy:
    """Listens on a loopback port and connects each client to the server; a context manager.

    Attributes:
        host, port, address: Where clients connect.
        all, data, feed, replica: The groups of connections.
        accepted: Every connection since the start, oldest first.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_tls: ssl.SSLContext | None = None,
    ) -> None:
        """Start the proxy.

        Args:
            host: The server's.
            port: The server's.
            tls: Speak TLS with the clients.
            server_tls: Speak TLS with the server.
        """
        self.host = HOST
        self.port = 0
        self.accepted: list[Connection] = []
        self.groups: dict[Kind, Group] = {kind: Group(self, kind) for kind in ("new", "data", "feed", "replica")}
        self.all = Group(self, None)
        self.data, self.feed, self.replica = (self.groups[kind] for kind in ("data", "feed", "replica"))
        self._target = (host, port)
        self._tls, self._server_tls = tls, server_tls
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listener: socket.socket | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._thread.start()
        self._await(self._listen_on_free_port())

    def __repr__(self) -> str:
        return f"<Proxy {self.address} to {self._target[0]}:{self._target[1]}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    def heal(self) -> None:
        """End every fault of every connection, and accept new ones."""
        self.all.heal()
        self.accept()

    def refuse(self) -> None:
        """Let new connections be refused by the system; open ones stay."""
        self.run(self._unlisten)

    def accept(self) -> None:
        """Accept new connections again, on the same port."""
        self._await(self._listen())

    def retarget(self, host: str, port: int) -> None:
        """Connect new connections to another server; open ones stay where they are."""
        self._target = (host, port)

    def close(self) -> None:
        """Reset every connection and end the thread; may be called again."""
        if self._loop.is_closed():
            return
        self._await(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, function: Callable[[], T]) -> T:
        """Call a function in the proxy's thread and return what it returns."""

        async def call() -> T:
            return function()

        return self._await(call())

    def _await(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_CONTROL_TIMEOUT)

    async def _listen_on_free_port(self) -> None:
        while self._listener is None:
            self.port = free_port()
            with suppress(OSError):  # somebody was faster
                await self._listen()

    async def _listen(self) -> None:
        """Not by an asyncio server: one that is closed leaks the connections that it is about to accept."""
        if self._listener is None:
            self._listener = socket.create_server((self.host, self.port), backlog=100)
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._accept, self._listener)

    def _unlisten(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        try:
            accepted, _ = listener.accept()
        except OSError:  # it has gone again
            return
        accepted.setblocking(False)
        taking = self._task(self._loop.connect_accepted_socket(self._client, accepted, ssl=self._tls))
        taking.add_done_callback(lambda done: _release(done, accepted))

    def _client(self) -> _Side:
        connection = Connection(self)
        self.accepted.append(connection)
        self._task(self._connect(connection))
        for pipe in connection.pipes.values():
            self._task(pipe.run())
        return _Side(connection, TO_SERVER)

    async def _connect(self, connection: Connection) -> None:
        host, port = self._target
        try:
            await self._loop.create_connection(lambda: _Side(connection, TO_CLIENT), host, port, ssl=self._server_tls)
        except OSError:
            connection.end(Ending.RST)

    def _task(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _shut(self) -> None:
        self._unlisten()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in self.accepted:
            connection.end(Ending.RST)
        await asyncio.sleep(0)  # transports close in the next turn of the loop


def _release(taking: asyncio.Task[Any], accepted: socket.socket) -> None:
    """Close an accepted socket that came to be nobody's: its handshake failed, or the proxy ended."""
    if taking.cancelled() or taking.exception() is not None:
        accepted.close()


def _close(side: asyncio.Transport, sock: socket.socket, how: Ending) -> None:
    if how is Ending.FIN:
        side.close()
        return
    with suppress(OSError):  # closed already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    side.abort()
