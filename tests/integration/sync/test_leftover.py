"""What a view leaves in Redis that is no longer in the project: told, and removed on demand."""

import json
from contextlib import contextmanager

import msgspec
import pytest

from edgeprofile.config import Destination, RedisConfig
from edgeprofile.reverse_etl.errors import SyncCancelled, WarehouseError
from edgeprofile.reverse_etl.jobs import make_job
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


def remove(syncing, observe=lambda _report, _phase: None):
    with looking(syncing) as (session, destination, (left,)):
        job = removal(session, left, destination)
        return SourceSync(session, syncing.config, syncing.redis, observe).run(job)


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


@pytest.mark.parametrize("left", ["Features_By_Email", "FEATURES_BY_EMAIL"])
def test_a_view_whose_name_has_another_case_takes_its_place(people, left):
    people.execute("DROP TABLE features_by_email")
    people.execute(f"""CREATE TABLE "{left}" AS SELECT 'a' AS email, 1 AS n""")
    people.sync()
    people.execute(f"""DROP TABLE "{left}"; CREATE TABLE features_by_email AS SELECT 'a' AS email, 1 AS n""")
    assert found(people, SOURCE) == [(left, 1)]


def test_removal_from_another_place_than_it_was_sent_to_is_told(people):
    people.redis = msgspec.structs.replace(people.redis, database="1")
    with looking(people) as (session, destination, (left,)):
        (notice,) = removal(session, left, destination).notices
    address = people.redis.address
    assert f"was last sent to {address}/0; it is removed from {address}/1" in notice


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


def cut_short(syncing):
    def die(_report, phase):
        if phase == "delivering":
            raise SyncCancelled

    with pytest.raises(SyncCancelled):
        remove(syncing, observe=die)


def test_a_removal_is_told_from_other_runs(people):
    report = remove(people)
    assert (report.kind, report.reason) == ("removal", "asked for")


def test_what_another_run_brings_just_before_is_removed_too(people):
    """One of another project, say, which still has the view."""
    with looking(people) as (session, destination, (left,)):
        job = removal(session, left, destination)
        session.run("INSERT INTO features_by_email VALUES ('d', 1)")
        another = make_job(session, SOURCE, people.config, destination)
        for one in (another, job):
            SourceSync(session, people.config, people.redis, lambda _report, _phase: None).run(one)
    assert (people.profiles(), found(people)) == ({}, [])


@pytest.mark.parametrize("remove", [remove, cut_short])
def test_the_time_to_live_that_keys_still_have_is_taken_when_the_view_comes_back_without(people, remove):
    people.configure(sources=(SourceConfig(entity="user", id="email", ttl=3_600),))
    people.sync()
    people.server.command("HSET", f"{PREFIX}b", "another", "{}")
    remove(people)
    assert people.server.command("TTL", f"{PREFIX}b") > 0
    people.configure(sources=())
    people.sync()
    assert people.server.command("TTL", f"{PREFIX}b") == -1


def forget(syncing, *reports):
    for report in reports:
        syncing.execute(f"DROP TABLE {syncing.table('SNAPSHOT', report)}")


def test_without_its_snapshot_the_log_tells(people):
    people.execute("INSERT INTO features_by_email VALUES ('d', 1)")
    people.sync()
    forget(people, *people.reports)
    report = remove(people)
    assert (report.status, report.deleted, people.profiles(), found(people)) == ("succeeded", 4, {}, [])


@pytest.mark.parametrize("log", ["off", "failed"])
def test_without_snapshot_and_log_nobody_knows_the_keys(people, log):
    people.configure(sync_log=log)
    report = people.sync(full=True)
    forget(people, report)
    with looking(people) as (session, destination, (left,)):
        assert "because neither the snapshot of its run 00000002 is left nor all of its log" in str(left)
        assert "put it back and sync it with --full before it is removed" in str(left)
        assert f"delete it yourself from the keys {PREFIX}*" in str(left)
        with pytest.raises(WarehouseError, match=f"delete {left.connection_id} from SYNC_RUNS"):
            removal(session, left, destination)
    people.sync(full=True)
    assert remove(people).deleted == 3


class TestCursor:
    """Each snapshot has only the rows that its run looked at, and five are kept."""

    @pytest.fixture
    def people(self, syncing):
        syncing.configure(sources=(SourceConfig(entity="user", id="email", cursor_column="n"),))
        syncing.execute("CREATE TABLE features_by_email (email VARCHAR(9), n INTEGER)")
        syncing.execute("INSERT INTO features_by_email VALUES ('a', 1), ('b', 1), ('c', 1), (NULL, 1), ('', 1)")
        syncing.sync()
        return syncing

    def grow(self, syncing, *names):
        for name in names:
            syncing.execute(f"INSERT INTO features_by_email SELECT '{name}', max(n) + 1 FROM features_by_email")  # noqa: S608
            syncing.sync()

    def test_all_its_snapshots_tell_together(self, people):
        people.configure(sync_log="off")
        self.grow(people, "d", "e")
        people.execute("DELETE FROM features_by_email WHERE email = 'd'")
        people.sync()
        with looking(people) as (_, _, (left,)):
            assert "under 5 keys, and maybe those of rows that left it before its last full run" in str(left)
        report = remove(people)
        assert (report.deleted, report.delivered, people.profiles(), found(people)) == (5, 5, {}, [])

    def test_what_left_meanwhile_may_be_there_after_a_full_run_without_cursor(self, people):
        people.execute("DELETE FROM features_by_email WHERE email = 'a'")
        people.sync()
        people.configure(sources=())
        people.sync()
        with looking(people) as (_, _, (left,)):
            assert "under 2 keys, and maybe those of rows that left it before its last full run" in str(left)

    def test_the_log_tells_of_what_was_swept(self, people):
        self.grow(people, *"defghijk")
        assert found(people) == [(VIEW, 11)]
        assert remove(people).delivered == 11
        assert people.profiles() == {}

    def test_more_than_a_share_of_what_the_last_run_saw(self, people):
        people.execute("INSERT INTO features_by_email SELECT 'x' || i, 0 FROM generate_series(1, 200) AS t(i)")
        people.sync(full=True)
        self.grow(people, "d")
        assert remove(people).delivered == 204

    def test_what_was_cut_short_is_finished(self, people):
        self.grow(people, "d")
        cut_short(people)
        assert set(people.traits()) == set("abcd")
        forget(people, *people.reports)
        assert remove(people).delivered == 4
        assert found(people) == []

    def test_a_removal_that_was_cut_short_is_no_full_run(self, people):
        self.grow(people, "d")
        cut_short(people)
        (snapshot,) = (name for name in self.tables(people) if name.startswith("SNAPSHOT") and name.endswith("3"))
        people.execute(f"""DROP TABLE _rudderstack."{snapshot}" """)
        forget(people, *people.reports)
        people.execute("""DELETE FROM _rudderstack."SYNC_LOG" WHERE sync_run_id = '00000001'""")
        assert found(people) == [(VIEW, None)]

    def test_what_a_removal_did_not_get_done_is_in_its_log(self, people):
        """Also where the run before it was killed, and wrote none."""

        def die(name):
            if name == "delivered":
                raise KeyboardInterrupt

        people.execute("INSERT INTO features_by_email VALUES ('d', 1)")
        with pytest.raises(KeyboardInterrupt):
            people.sync(full=True, step=die)
        cut_short(people)
        for name in self.tables(people):
            if name.startswith("SNAPSHOT"):
                people.execute(f"""DROP TABLE _rudderstack."{name}" """)
        assert found(people) == [(VIEW, 4)]

    def tables(self, syncing):
        rows = syncing.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = '_rudderstack'")
        return [name for (name,) in rows]

    def test_a_full_run_that_died_was_made_up_for(self, people):
        def die(name):
            if name == "prepared":
                raise SyncCancelled

        with pytest.raises(SyncCancelled):
            people.sync(full=True, step=die)
        self.grow(people, *"defghijk")
        assert remove(people).delivered == 11

    def test_without_its_log_it_is_refused(self, people):
        people.configure(sync_log="failed")
        people.sync(full=True)
        self.grow(people, *"defghi")
        with looking(people) as (session, destination, (left,)):
            assert left.keys is None
            with pytest.raises(WarehouseError, match="snapshot of its run 00000003 is left nor all of its log"):
                removal(session, left, destination)

    def test_without_its_full_run_it_is_refused(self, people):
        self.grow(people, *"defghij")
        people.execute("""DELETE FROM _rudderstack."SYNC_RUNS" WHERE sync_run_id = '00000001'""")
        with looking(people) as (_, _, (left,)):
            assert "because its last full run is no longer in SYNC_RUNS" in str(left)

    def test_of_a_run_without_rows_it_knows_the_earlier_ones(self, people):
        people.execute("DELETE FROM features_by_email")
        assert people.sync().delivered == 0
        assert found(people) == [(VIEW, 3)]


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
