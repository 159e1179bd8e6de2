"""The warehouse: sessions, views, statements, streams. The warehouse does the work; here it is only told what to do."""

from __future__ import annotations

import importlib
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import ibis
import sqlglot.expressions as sge
from ibis.common.exceptions import IbisError, TableNotFound

from edgeprofile.errors import ConfigurationError
from edgeprofile.reverse_etl.errors import SyncCancelled, SyncRefused, WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    import ibis.expr.types as ir
    import pyarrow as pa

    from edgeprofile.reverse_etl.dialects import Dialect
    from edgeprofile.reverse_etl.siteconfig import Locator

__all__ = ["Session", "Warehouse"]


_BYTES_PER_COLUMN = 1 << 20
"""What each thread of DuckDB holds of each column while it writes a table: blocks of 256 KiB, several of them."""


class Warehouse:
    """A warehouse and how to open sessions in it; opening does I/O, making does not.

    ``view_schema`` and ``state_schema`` may be empty: the connection's own, and the dialect's. ``memory`` bounds an
    embedded DuckDB, in bytes.
    """

    def __init__(self, locator: Locator, *, view_schema: str = "", state_schema: str = "", memory: int = 0) -> None:
        self._locator = locator
        self.memory = memory
        self.dialect: Dialect = locator.dialect
        self.view_schema = view_schema or None
        self.state_schema = state_schema or locator.dialect.state_schema

    def open(self) -> Session:
        """A session. Raises ``WarehouseError``, or ``SyncRefused`` where another process has the file."""
        with self._explained():
            backend = self._connect()
        session = Session(backend, self)
        for statement in self.dialect.session:
            session.run(statement)
        if self.dialect.name == "duckdb" and self.memory:
            session.run(f"SET memory_limit = '{self.memory}B'")
            session.run("SET preserve_insertion_order = false")
        return session

    def _connect(self) -> Any:
        self._refuse_missing_file()
        module = self._backend_module()
        if self._locator.url:
            return ibis.connect(self._locator.url)
        return module.connect(**self._locator.options)

    def _backend_module(self) -> Any:
        name = self.dialect.backend
        try:
            importlib.import_module(f"ibis.backends.{name}")
            return getattr(ibis, name)
        except ImportError as error:
            package = "edgeprofile[postgres]" if name == "postgres" else f"ibis-framework[{name}]"
            raise ConfigurationError(
                f"{self.dialect.name} needs its driver: pip install '{package}'", option="sync.warehouse"
            ) from error

    def _refuse_missing_file(self) -> None:
        """DuckDB would make the file, and then have no views in it."""
        if self.dialect.name != "duckdb":
            return
        path = self._locator.options.get("database") or self._locator.url.partition("://")[2].partition("?")[0]
        is_file = path and path != ":memory:" and not urlsplit(path).scheme and not self._locator.url.startswith("md:")
        if is_file and not Path(path).exists():
            raise ConfigurationError(f"there is no DuckDB file {path}", option="sync.warehouse")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if isinstance(error, (ConfigurationError, WarehouseError)):
                raise
            reason = _first_line(error)
            if "lock on file" in str(error):
                raise SyncRefused(
                    f"another process has the DuckDB file open, and DuckDB allows one at a time: {reason}", owner=reason
                ) from error
            raise WarehouseError(f"{self.dialect.name} cannot be reached: {reason}") from error


class Session:
    """One session: statements run one after the other. A context manager; ``sibling`` opens another beside it."""

    def __init__(self, backend: Any, warehouse: Warehouse) -> None:
        self.backend = backend
        self.warehouse = warehouse
        self.dialect = warehouse.dialect

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session."""
        self.backend.disconnect()

    def recover(self) -> None:
        """After a cancelled statement: stop it where it runs, and begin anew."""
        if self.dialect.name == "duckdb":
            return
        with suppress(Exception):
            self.backend.con.cancel()
        self._begin_anew()

    def revive(self) -> None:
        """After an idle time: begin anew where the warehouse, or the network, has closed the session meanwhile."""
        if self.dialect.name == "duckdb":
            return
        try:
            self.run("SELECT 1")
        except WarehouseError:
            self._begin_anew()

    def _begin_anew(self) -> None:
        with suppress(Exception):
            self.backend.disconnect()
        self.backend = self.warehouse.open().backend

    def sibling(self) -> Session:
        """Another session of the same warehouse; in an embedded one, of the same open file."""
        if self.dialect.name == "duckdb":
            return Session(ibis.duckdb.from_connection(self.backend.con.cursor()), self.warehouse)
        return self.warehouse.open()

    def make_room(self, columns: int) -> None:
        """Let an embedded DuckDB use no more threads than fit into its memory with a table of so many columns."""
        memory = self.warehouse.memory
        if self.dialect.name != "duckdb" or not memory:
            return
        threads = memory // (max(columns, 1) * _BYTES_PER_COLUMN)
        cores = os.cpu_count() or 1
        self.run(f"SET threads = {max(threads, 1)}" if threads < cores else "RESET threads")

    # Names

    def table_name(self, name: str) -> str:
        """The quoted name of one of our tables, with its schema."""
        table = sge.table_(name, db=self.warehouse.state_schema, quoted=True)
        return str(table.sql(dialect=self.backend.dialect))

    def column_name(self, name: str) -> str:
        """A quoted column name."""
        return str(sge.to_identifier(name, quoted=True).sql(dialect=self.backend.dialect))

    def tables(self) -> set[str]:
        """The names of the tables in the RudderStack schema."""
        with self._explained("list the tables"):
            if self.dialect.raises_without_schema and self.warehouse.state_schema not in self.backend.list_databases():
                return set()
            return set(self.backend.list_tables(database=self.warehouse.state_schema))

    def table(self, name: str) -> ir.Table:
        """One of our tables, as an ibis expression."""
        with self._explained(f"read {name}"):
            found: ir.Table = self.backend.table(name, database=self.warehouse.state_schema)
        return found

    def find_view(self, candidates: tuple[str, ...]) -> tuple[str, ir.Table] | None:
        """The first of the names that the warehouse has, exactly or else in other case, and its view.

        Raises ``WarehouseError`` where several differ in case only.
        """
        schema = self.warehouse.view_schema
        with self._explained("list the views"):
            names = self.backend.list_tables(database=schema) if schema else self.backend.list_tables()
        for candidate in candidates:
            if found := _match(candidate, names):
                with self._explained(f"read the view {found}"):
                    return found, self.backend.table(found, database=schema)
        return None

    # Statements

    def ensure_schema(self) -> None:
        """Make the RudderStack schema where it does not exist. Raises ``WarehouseError`` with the grants to ask for."""
        name = self.warehouse.state_schema
        with self._explained("list the schemas"):
            if name in self.backend.list_databases():
                return
        try:
            with self._explained(
                f'make the schema "{name}"',
                advice=f'have an administrator run: CREATE SCHEMA "{name}"; and grant all rights on it to this user',
            ):
                self.backend.create_database(name, force=True)
        except WarehouseError:
            if name not in self.backend.list_databases():  # else another sync made it at the same moment
                raise

    def run(self, statement: str | sge.Expr) -> None:
        """Run one statement for its effect."""
        text = statement if isinstance(statement, str) else statement.sql(dialect=self.backend.dialect)
        with self._explained("run a statement"):
            result = self.backend.raw_sql(text)
            if result is not getattr(self.backend, "con", None):  # DuckDB answers with the connection itself
                getattr(result, "close", _nothing)()  # and BigQuery with rows that nobody has to close

    def create(self, name: str, schema: dict[str, str]) -> None:
        """Make an empty table of ours: column names to ibis types."""
        with self._explained(f"make the table {name}"):
            self.backend.create_table(name, schema=ibis.schema(schema), database=self.warehouse.state_schema)

    def ensure(self, name: str, schema: dict[str, str]) -> None:
        """Make an empty table of ours where it does not exist, whoever makes it at the same moment."""
        if name in self.tables():
            return
        try:
            self.create(name, schema)
        except WarehouseError:
            if name not in self.tables():
                raise

    def create_as(self, name: str, rows: ir.Table) -> None:
        """Make a table of ours from an expression; the rows never leave the warehouse."""
        self.run(f"CREATE TABLE {self.table_name(name)} AS {self.backend.compile(rows)}")

    def insert_from(self, name: str, rows: ir.Table) -> None:
        """Append an expression's rows to a table of ours, column by name."""
        columns = ", ".join(self.column_name(column) for column in rows.columns)
        self.run(f"INSERT INTO {self.table_name(name)} ({columns}) {self.backend.compile(rows)}")

    def drop(self, name: str) -> None:
        """Remove a table of ours, if it is there."""
        self.run(f"DROP TABLE IF EXISTS {self.table_name(name)}")

    def rows(self, expression: ir.Table) -> list[dict[str, Any]]:
        """A small result, as dicts."""
        with self._explained("read"):
            found: list[dict[str, Any]] = self.backend.to_pyarrow(expression).to_pylist()
        return found

    def count(self, expression: ir.Table) -> int:
        """How many rows it has."""
        found: int = self.rows(expression.agg(n=expression.count()))[0]["n"]
        return found

    def stream(self, expression: ir.Table, rows: int) -> Iterator[pa.RecordBatch]:
        """A large result, batch by batch of at most about ``rows`` rows, without ever holding it whole."""
        with self._explained("read the snapshot"):
            yield from self._batches(expression, rows)

    def _batches(self, expression: ir.Table, rows: int) -> Iterator[pa.RecordBatch]:
        if self.dialect.name == "duckdb":  # ibis 12 asks DuckDB in a way that DuckDB 1.5 warns about
            return iter(self.backend.raw_sql(self.backend.compile(expression)).to_arrow_reader(rows))
        return iter(self.backend.to_pyarrow_batches(expression, chunk_size=rows))

    @contextmanager
    def _explained(self, doing: str, advice: str = "") -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if isinstance(error.__cause__, SyncCancelled):  # DuckDB wraps what the signal's handler raised
                raise SyncCancelled from error
            if not _is_refusal(error):
                raise
            if type(error).__name__ == "OutOfMemoryException":
                advice = "raise `warehouseMemory` of [sync]"
            hint = f"; {advice}" if advice else ""
            message = f"{self.dialect.name} refused to {doing}: {_first_line(error)}{hint}"
            raise WarehouseError(message) from error


def _nothing() -> None:
    pass


def _match(candidate: str, names: list[str]) -> str | None:
    if candidate in names:
        return candidate
    found = [name for name in names if name.casefold() == candidate.casefold()]
    if len(found) > 1:
        raise WarehouseError(f"several views differ in case only: {', '.join(sorted(found))}; use the exact name")
    return found[0] if found else None


def _is_refusal(error: Exception) -> bool:
    """Whether the warehouse or its driver said no, as opposed to a mistake of ours."""
    drivers = ("duckdb", "_duckdb", "psycopg", "snowflake", "google", "databricks", "redshift", "pyarrow")
    return isinstance(error, (IbisError, TableNotFound)) or type(error).__module__.partition(".")[0] in drivers


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
