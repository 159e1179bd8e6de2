"""A PostgreSQL server for tests: Debian's, started on a port of its own, as an unprivileged user where we are root.

with Postgres() as postgres:
    postgres.url          # for ibis
    postgres.execute("CREATE TABLE …")
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from tests.support.ports import HOST, free_port
from tests.support.processes import reap, spawn
from tests.support.wait import until

_USER = "postgres"
_START_TIMEOUT = 30.0


def programs() -> Path:
    """The directory of the newest PostgreSQL server.

    Raises:
        FileNotFoundError: None is installed, or we are root and there is no user to run it as.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda one: float(one.parts[-3]))
    on_path = shutil.which("postgres")
    if not found and on_path is None:
        raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql to run these tests")
    if os.geteuid() == 0:
        _account()
    return found[-1].parent if found else Path(str(on_path)).parent


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(_USER)
    except KeyError as error:
        raise FileNotFoundError("PostgreSQL does not run as root, and there is no user postgres") from error


class Postgres:
    """A running server with one database; a context manager that ends it and removes its files."""

    def __init__(self) -> None:
        """Raises `FileNotFoundError` where no server is installed."""
        self._programs = programs()
        self.directory = Path(tempfile.mkdtemp(prefix="edgeprofile-postgres-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._process is not None:
            reap(self._process)
            self._process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def url(self) -> str:
        """For ibis."""
        return f"postgres://{_USER}@{HOST}:{self.port}/postgres"

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, or several without parameters; the rows of the last."""
        with self.connect() as connection:
            cursor = connection.execute(statement, parameters or None)  # type: ignore[call-overload]  # our own text
            return cursor.fetchall() if cursor.description else []

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(host=HOST, port=self.port, user=_USER, dbname="postgres", autocommit=True)

    def reset(self) -> None:
        """Drop everything that tests have made."""
        for (schema,) in self.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        ):
            self.execute(f'DROP SCHEMA "{schema}" CASCADE')
        self.execute("CREATE SCHEMA public")

    def _start(self) -> None:
        data = self.directory / "data"
        if os.geteuid() == 0:
            shutil.chown(self.directory, _USER, _USER)
        made = subprocess.run(
            self._as_user(self._programs / "initdb", "-D", data, "-U", _USER, "-A", "trust", "--no-sync"),
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory,
        )
        assert made.returncode == 0, made.stderr
        settings = {
            "port": self.port,
            "listen_addresses": HOST,
            "fsync": "off",
            "unix_socket_directories": self.directory,
        }
        options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        command = self._as_user(self._programs / "postgres", "-D", data, *options)
        self._process = spawn(command, cwd=self.directory, log=self.directory / "log")
        until(self._answers, _START_TIMEOUT, lambda: f"PostgreSQL answers\n{(self.directory / 'log').read_text()}")

    def _as_user(self, *command: object) -> list[str]:
        account = _account() if os.geteuid() == 0 else None
        drop = (
            ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"] if account else []
        )
        return [*drop, *(str(part) for part in command)]

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True
