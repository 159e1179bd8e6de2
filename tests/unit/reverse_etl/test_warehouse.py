"""Sessions in warehouses that no test can reach, as far as their ibis backends differ."""

from types import SimpleNamespace

import duckdb
import pytest
import sqlglot.expressions as sge
from ibis.common.exceptions import TableNotFound

from edgeprofile.reverse_etl.dialects import DIALECTS
from edgeprofile.reverse_etl.errors import SyncCancelled, WarehouseError
from edgeprofile.reverse_etl.siteconfig import Locator
from edgeprofile.reverse_etl.warehouse import Session, Warehouse


class BigQuery:
    """As ibis' backend: a ``client``, no ``con``; statements answer with an iterator of rows, which cannot be closed."""

    dialect = "bigquery"

    def __init__(self, datasets):
        self.client = object()
        self.datasets = datasets
        self.statements = []

    def raw_sql(self, query):
        self.statements.append(query)
        return iter([])

    def list_databases(self):
        return list(self.datasets)

    def list_tables(self, *, database):
        return self.datasets[database]


def session(backend, dialect="bigquery"):
    return Session(backend, Warehouse(Locator(DIALECTS[dialect])))


def test_bigquery_runs_statements():
    backend = BigQuery({})
    session(backend).run(sge.delete(sge.table_("SYNC_LOG", db="rudderstack_", quoted=True)))
    session(backend).drop("SNAPSHOT_c_1")
    assert backend.statements == [
        "DELETE FROM `rudderstack_`.`SYNC_LOG`",
        "DROP TABLE IF EXISTS `rudderstack_`.`SNAPSHOT_c_1`",
    ]


def test_bigquery_has_no_tables_where_the_dataset_is_missing():
    assert session(BigQuery({})).tables() == set()
    assert session(BigQuery({"rudderstack_": ["SYNC_RUNS"]})).tables() == {"SYNC_RUNS"}


def test_a_cursor_is_closed_and_the_connection_is_not():
    closed = []
    cursor = SimpleNamespace(close=lambda: closed.append("cursor"))
    connection = SimpleNamespace(close=lambda: closed.append("connection"))
    session(SimpleNamespace(con=connection, raw_sql=lambda _: cursor, dialect="postgres"), "postgres").run("SELECT 1")
    session(SimpleNamespace(con=connection, raw_sql=lambda _: connection, dialect="duckdb"), "duckdb").run("SELECT 1")
    assert closed == ["cursor"]


@pytest.mark.parametrize(("columns", "threads"), [(1_000, 1), (200, 2), (0, 8), (20, 8)])
def test_a_wide_table_is_written_by_few_threads(monkeypatch, tmp_path, columns, threads):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    duckdb.connect(tmp_path / "a.duckdb").close()
    warehouse = Warehouse(Locator(DIALECTS["duckdb"], url=f"duckdb://{tmp_path}/a.duckdb"), memory=512 << 20)
    with warehouse.open() as opened:
        (usual,) = opened.backend.con.sql("SELECT current_setting('threads')").fetchone()
        opened.run("SET threads = 7")
        opened.make_room(columns)
        (found,) = opened.backend.con.sql("SELECT current_setting('threads')").fetchone()
    assert found == (threads if threads < 8 else usual)


def test_out_of_memory_names_the_option():
    with pytest.raises(WarehouseError, match="raise `warehouseMemory`"):
        failing(duckdb.OutOfMemoryException("Out of Memory Error: could not allocate block")).run("SELECT 1")


def failing(error):
    def raw_sql(_query):
        raise error

    return session(SimpleNamespace(con=None, raw_sql=raw_sql, dialect="duckdb"), "duckdb")


def test_a_missing_table_is_a_refusal():
    with pytest.raises(WarehouseError, match="refused to run a statement: SNAPSHOT_c_1"):
        failing(TableNotFound("SNAPSHOT_c_1")).run("SELECT 1")


def test_an_error_that_speaks_of_interruption_is_no_cancel():
    with pytest.raises(WarehouseError, match="column INTERRUPTED does not exist"):
        failing(duckdb.BinderException("column INTERRUPTED does not exist")).run("SELECT 1")


def test_what_the_handler_of_a_signal_raised_is_one():
    error = RuntimeError("Query interrupted")
    error.__cause__ = SyncCancelled()
    with pytest.raises(SyncCancelled):
        failing(error).run("SELECT 1")
