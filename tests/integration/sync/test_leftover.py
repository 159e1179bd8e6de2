"""What a view leaves in Redis that is no longer in the project: told, and removed on demand."""

import json
from contextlib import contextmanager

import pytest

from edgeprofile.config import Destination, RedisConfig
from edgeprofile.reverse_etl.errors import WarehouseError
from edgeprofile.reverse_etl.leftover import leftovers, removal
from edgeprofile.reverse_etl.project import Source
from edgeprofile.reverse_etl.settings import SourceConfig
from edgeprofile.reverse_etl.siteconfig import locate
from edgeprofile.reverse_etl.sync import SourceSync
from edgeprofile.reverse_etl.warehouse import Warehouse
from tests.support.json_server import JsonServer
from tests.support.sync import PREFIX, SOURCE, VIEW, DuckDB, Syncing

OTHER = Source("user", "phone", ("features_by_phone",), "phone", "pb_project.yaml:9")


@pytest.fixture
def people(syncing):
    syncing.execute("CREATE TABLE features_by_email (email VARCHAR(9), n INTEGER)")
    syncing.execute("INSERT INTO features_by_email VALUES ('a', 1), ('b', 1), ('c', 1)")
    syncing.sync()
    return syncing


@contextmanager
def looking(syncing, *sources, destination="2Dest"):
    where = Destination(id=destination, workspace_id="1Wsp", config=syncing.redis)
    with Warehouse(locate(syncing.config, None)).open() as session:
        yield session, where, leftovers(session, sources, where)


def found(syncing, *sources, **options):
    with looking(syncing, *sources, **options) as (_, _, left):
        return [(one.view, one.keys) for one in left]


def remove(syncing):
    with looking(syncing) as (session, destination, (left,)):
        job = removal(session, left, destination)
        return SourceSync(session, syncing.config, syncing.redis, lambda _report, _phase: None).run(job)


def test_it_is_found_by_what_its_runs_left(people):
    assert found(people, SOURCE) == []
    assert found(people) == [(VIEW, 3)]
    assert found(people, OTHER) == [(VIEW, 3)]
    assert found(people, destination="2Other") == []


def test_nothing_was_ever_synced(syncing):
    syncing.execute("CREATE TABLE features_by_email AS SELECT 1 AS email")
    assert found(syncing, SOURCE) == []


def test_a_view_that_the_warehouse_lacks_for_the_moment_has_not_left(people):
    people.execute("DROP TABLE features_by_email")
    assert found(people, SOURCE) == []


def test_a_view_of_another_name_takes_its_place(people):
    people.execute("CREATE TABLE user_features_by_email AS SELECT * FROM features_by_email")
    assert found(people, Source("user", "email", (f"user_{VIEW}", VIEW), "email", "")) == [(VIEW, 3)]


def test_removal_takes_its_field_and_no_other(people):
    people.server.command("HSET", f"{PREFIX}b", "another", "{}")
    people.execute("DELETE FROM features_by_email WHERE email = 'c'")  # which upsert leaves
    people.sync()
    report = remove(people)
    assert (report.status, report.deleted, report.delivered) == ("succeeded", 3, 3)
    assert people.profiles() == {"b": {"another": {}}}
    assert found(people) == []


def test_what_could_not_be_removed_is_found_again(people):
    people.server.command("SET", f"{PREFIX}b", "not a hash")
    assert remove(people).failed == 1
    assert found(people) == [(VIEW, 1)]
    people.server.command("DEL", f"{PREFIX}b")
    assert remove(people).delivered == 1
    assert found(people) == []


def test_a_view_that_comes_back_is_sent_anew(people):
    remove(people)
    assert people.sync().inserted == 3
    assert set(people.traits()) == {"a", "b", "c"}
    assert people.sync().unchanged == 3


def test_without_its_snapshot_nobody_knows_the_keys(people):
    people.execute(f"DROP TABLE {people.table('SNAPSHOT', people.reports[-1])}")
    with looking(people) as (session, destination, (left,)):
        assert "its last snapshot is gone" in str(left)
        with pytest.raises(WarehouseError, match=f"delete {left.connection_id} from SYNC_RUNS"):
            removal(session, left, destination)


def test_a_cursor_does_not_see_all_keys(people):
    people.configure(sources=(SourceConfig(entity="user", id="email", cursor_column="n"),))
    people.sync()
    people.execute("UPDATE features_by_email SET n = 2 WHERE email = 'a'")
    people.sync()
    people.sync()
    with looking(people) as (_, _, (left,)):
        assert "under 1 keys, and under those that its last run did not look at" in str(left)


def test_of_documents_the_other_members_stay(tmp_path):
    with JsonServer() as server, server.client() as client:
        config = RedisConfig(address=server.address, cluster_mode=False, use_json_module=True)
        syncing = Syncing(DuckDB(tmp_path / "warehouse.duckdb"), config, server)
        syncing.execute("CREATE TABLE features_by_email AS SELECT unnest(['a', 'b']) AS email, 1 AS n")
        client.execute_command("JSON.SET", f"{PREFIX}b", "$", '{"other":{}}')
        syncing.sync()
        assert remove(syncing).delivered == 2
        assert client.keys() == [f"{PREFIX}b".encode()]
        assert json.loads(client.execute_command("JSON.GET", f"{PREFIX}b", "$")) == [{"other": {}}]
        assert found(syncing) == []
