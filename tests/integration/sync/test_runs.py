"""Runs of one source, in every warehouse: what is sent, what is not, what is left behind."""

import re
import time

import pytest

from edgeprofile.reverse_etl.errors import DeletionsRefused, SyncCancelled, SyncRefused, WarehouseError
from edgeprofile.reverse_etl.settings import SourceConfig
from tests.support.sync import PREFIX, VIEW

PEOPLE = """
    CREATE TABLE people (email VARCHAR(64), country VARCHAR(64), spend DECIMAL(12, 2), seen INTEGER);
    CREATE VIEW features_by_email AS SELECT * FROM people;
    INSERT INTO people VALUES ('ada', 'UK', 1.50, 1), ('bob', NULL, 2, 1), ('cid', 'DE', NULL, 1);
"""
ADA, BOB, CID = (
    {"country": "UK", "spend": 1.5, "seen": 1},
    {"country": None, "spend": 2, "seen": 1},
    {"country": "DE", "spend": None, "seen": 1},
)

_END_IDLE = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE state = 'idle' AND datname = current_database()
"""


@pytest.fixture
def people(syncing):
    syncing.execute(PEOPLE)
    return syncing


def counts(report):
    return {name: value for name, value in report.row().items() if value}


class TestWhatIsSent:
    def test_the_first_run_sends_everything(self, people):
        report = people.sync()
        assert people.profiles() == {"ada": {VIEW: ADA}, "bob": {VIEW: BOB}, "cid": {VIEW: CID}}
        assert (report.kind, report.reason, report.status) == ("full", "first sync of this connection", "succeeded")
        assert counts(report) == {"inserted": 3, "delivered": 3}

    def test_without_a_change_nothing_is_written(self, people):
        people.sync()
        before = people.writes()
        report = people.sync()
        assert people.writes() == before
        assert (report.kind, counts(report)) == ("incremental", {"unchanged": 3})

    def test_then_only_what_changed(self, people):
        people.sync()
        before = people.writes()
        people.execute("UPDATE people SET country = 'FR' WHERE email = 'bob'")
        people.execute("UPDATE people SET spend = 7 WHERE email = 'cid'")
        people.execute("INSERT INTO people VALUES ('dot', 'IN', 3, 1)")
        report = people.sync()
        assert counts(report) == {"inserted": 1, "updated": 2, "unchanged": 1, "delivered": 3}
        assert people.writes() == before + 3
        assert people.traits() == {
            "ada": ADA,
            "bob": BOB | {"country": "FR"},
            "cid": CID | {"spend": 7},
            "dot": {"country": "IN", "spend": 3, "seen": 1},
        }

    def test_from_null_and_to_null_are_changes(self, people):
        people.sync()
        people.execute("UPDATE people SET country = CASE WHEN email = 'ada' THEN NULL ELSE 'x' END")
        assert people.sync().updated == 3
        assert people.traits()["ada"]["country"] is None

    def test_full_on_demand(self, people):
        people.sync()
        report = people.sync(full=True)
        assert (report.kind, report.reason, counts(report)) == ("full", "asked for", {"updated": 3, "delivered": 3})

    def test_other_models_on_the_key_stay(self, people):
        people.server.command("HSET", f"{PREFIX}ada", "another", '{"x":1}')
        people.sync()
        assert people.profiles()["ada"] == {"another": {"x": 1}, VIEW: ADA}

    def test_an_id_that_is_a_number_is_its_text(self, syncing):
        syncing.execute("CREATE TABLE features_by_email AS SELECT 42 AS email, 'x' AS a")
        syncing.sync()
        assert syncing.traits() == {"42": {"a": "x"}}
        syncing.execute("UPDATE features_by_email SET a = 'y'")
        assert syncing.sync().updated == 1

    def test_ids_are_kept_verbatim(self, syncing):
        syncing.execute(
            "CREATE TABLE features_by_email AS SELECT * FROM (VALUES ('a:b c', 1), (' x ', 2), ('Zoë🦊', 3), ('A', 4)) AS t (email, n)"
        )
        syncing.sync()
        assert set(syncing.traits()) == {"a:b c", " x ", "Zoë🦊", "A"}

    def test_a_view_without_traits(self, syncing):
        syncing.execute("CREATE TABLE features_by_email AS SELECT 'ada' AS email")
        assert syncing.sync().delivered == 1
        assert syncing.traits() == {"ada": {}}
        assert syncing.sync().unchanged == 1

    def test_an_empty_view(self, syncing):
        syncing.execute("CREATE TABLE features_by_email (email VARCHAR(9), n INTEGER)")
        assert counts(syncing.sync()) == {}
        syncing.execute("INSERT INTO features_by_email VALUES ('ada', 1)")
        assert counts(syncing.sync()) == {"inserted": 1, "delivered": 1}


class TestRowsThatLeave:
    def test_upsert_leaves_them(self, people):
        people.sync()
        people.execute("DELETE FROM people WHERE email = 'ada'")
        before = people.writes()
        assert counts(people.sync()) == {"unchanged": 2}
        assert people.writes() == before
        assert set(people.traits()) == {"ada", "bob", "cid"}

    def test_mirror_deletes_the_field_and_the_empty_key(self, people):
        people.configure(mode="mirror")
        people.sync()
        people.server.command("HSET", f"{PREFIX}bob", "another", "{}")
        people.execute("DELETE FROM people WHERE email IN ('ada', 'bob')")
        assert counts(people.sync()) == {"deleted": 2, "unchanged": 1, "delivered": 2}
        assert people.profiles() == {"bob": {"another": {}}, "cid": {VIEW: CID}}
        assert counts(people.sync()) == {"unchanged": 1}

    def test_one_that_comes_back_is_sent_again(self, people):
        people.configure(mode="mirror")
        people.sync()
        people.execute("DELETE FROM people WHERE email = 'ada'")
        people.sync()
        people.execute("INSERT INTO people VALUES ('ada', 'UK', 1.50, 1)")
        assert counts(people.sync()) == {"inserted": 1, "unchanged": 2, "delivered": 1}
        assert people.traits()["ada"] == ADA

    def test_mirror_remembers_what_upsert_left(self, people):
        people.sync()
        people.execute("DELETE FROM people WHERE email = 'ada'")
        people.sync()
        people.sync()
        people.configure(mode="mirror")
        report = people.sync()
        assert (report.kind, report.reason, report.deleted) == ("full", "changed configuration: mode", 1)
        assert set(people.traits()) == {"bob", "cid"}


class TestManyRowsThatLeave:
    """An empty view, or one read by half, is likelier a mistake than the wish to empty Redis."""

    @pytest.fixture
    def many(self, syncing):
        syncing.configure(mode="mirror")
        syncing.execute("CREATE TABLE features_by_email (email VARCHAR(9), n INTEGER)")
        self.fill(syncing, 200)
        syncing.sync()
        return syncing

    def fill(self, syncing, rows):
        syncing.execute("DELETE FROM features_by_email")
        syncing.execute(
            f"INSERT INTO features_by_email SELECT 'u' || i, 1 FROM generate_series(1, {rows}) AS t(i)"  # noqa: S608
        )

    @pytest.mark.parametrize("left", [0, 99])
    def test_the_run_is_refused_and_nothing_is_sent(self, many, left):
        self.fill(many, left)
        many.execute("INSERT INTO features_by_email VALUES ('new', 1)")
        before = many.writes()
        with pytest.raises(DeletionsRefused, match=f"lacks {200 - left} of the 200 rows.*maxDeletedShare = 0.5"):
            many.sync()
        assert (many.writes(), len(many.traits())) == (before, 200)
        runs = many.execute('SELECT status, deleted, error FROM _rudderstack."SYNC_RUNS" ORDER BY sync_run_id')
        assert runs[1][:2] == ("refused", 200 - left)
        assert "--allow-deletions" in runs[1][2]

    def test_it_counts_for_nothing(self, many):
        self.fill(many, 0)
        for full in (False, True, False):
            with pytest.raises(DeletionsRefused):
                many.sync(full=full)
        self.fill(many, 200)
        assert counts(many.sync()) == {"unchanged": 200}

    def test_rows_that_were_only_set_aside_are_not_told_as_sent(self, many):
        many.execute("INSERT INTO features_by_email VALUES ('twice', 1), ('twice', 2), (NULL, 1), (NULL, 2)")
        assert many.sync().invalid == 4
        self.fill(many, 0)
        told = "lacks 200 of the 200 rows that were sent to Redis (and 1 of 1 that the last run set aside)"
        with pytest.raises(DeletionsRefused, match=re.escape(told)):
            many.sync()

    def test_it_can_be_allowed_once(self, many):
        self.fill(many, 0)
        assert counts(many.sync(allow_deletions=True)) == {"deleted": 200, "delivered": 200}
        assert many.profiles() == {}

    def test_what_was_allowed_to_a_run_that_died_the_next_one_finishes(self, many):
        def die(name):
            if name == "prepared":
                raise SyncCancelled

        self.fill(many, 20)
        with pytest.raises(SyncCancelled):
            many.sync(allow_deletions=True, step=die)
        many.execute("DELETE FROM features_by_email WHERE email = 'u1'")
        assert counts(many.sync()) == {"deleted": 181, "unchanged": 19, "delivered": 181}
        assert len(many.profiles()) == 19

    def test_but_no_more_than_that(self, many):
        def die(name):
            if name == "prepared":
                raise SyncCancelled

        self.fill(many, 150)
        with pytest.raises(SyncCancelled):
            many.sync(step=die)
        self.fill(many, 10)
        with pytest.raises(DeletionsRefused, match="lacks 140 of the 150 rows"):
            many.sync()
        assert len(many.profiles()) == 200

    def test_deletions_that_redis_refuses_do_not_have_to_be_allowed_again(self, many):
        many.server.command("FLUSHALL")
        for number in range(1, 201):
            many.server.command("SET", f"{PREFIX}u{number}", "x")
        self.fill(many, 0)
        assert many.sync(allow_deletions=True).failed == 200
        assert many.sync().failed == 200

    def test_a_smaller_share_goes(self, many):
        self.fill(many, 140)
        assert counts(many.sync()) == {"deleted": 60, "unchanged": 140, "delivered": 60}
        self.fill(many, 40)
        assert many.sync().deleted == 100

    def test_the_limit_can_be_set_for_all_and_for_one_view(self, many):
        many.configure(max_deleted_share=0.0, sources=(SourceConfig(entity="user", id="email", max_deleted_share=1.0),))
        self.fill(many, 0)
        assert many.sync().deleted == 200

    def test_what_upsert_left_behind_counts_too(self, many):
        many.configure(mode="upsert")
        many.sync()
        self.fill(many, 50)
        many.sync()
        many.configure(mode="mirror")
        with pytest.raises(DeletionsRefused, match="lacks 150 of the 200 rows"):
            many.sync()


class TestFullAgain:
    def test_a_new_column(self, people):
        people.sync()
        people.execute(
            "DROP VIEW features_by_email; ALTER TABLE people ADD COLUMN plan VARCHAR(9); CREATE VIEW features_by_email AS SELECT * FROM people"
        )
        report = people.sync()
        assert (report.kind, report.reason) == ("full", "new columns: plan")
        assert people.traits()["ada"] == ADA | {"plan": None}

    def test_a_changed_type(self, people):
        people.sync()
        people.execute(
            "DROP VIEW features_by_email; CREATE VIEW features_by_email AS SELECT email, country, spend, CAST(seen AS VARCHAR(9)) AS seen FROM people"
        )
        report = people.sync()
        assert (report.kind, report.reason) == ("full", "changed types: seen (int32 to string)")
        assert people.traits()["ada"]["seen"] == "1"

    def test_a_changed_type_of_the_id(self, syncing):
        syncing.configure(mode="mirror")
        syncing.execute("CREATE TABLE features_by_email AS SELECT 1 AS email, 'x' AS a UNION ALL SELECT 2, 'y'")
        syncing.sync()
        syncing.execute(
            "DROP TABLE features_by_email; CREATE TABLE features_by_email AS SELECT 'two' AS email, 'x' AS a UNION ALL SELECT '2', 'z'"
        )
        report = syncing.sync()
        assert syncing.traits() == {"two": {"a": "x"}, "2": {"a": "z"}}
        assert (report.inserted, report.updated, report.deleted) == (1, 1, 1)

    def test_not_a_removed_column(self, people):
        people.sync()
        people.execute(
            "DROP VIEW features_by_email; CREATE VIEW features_by_email AS SELECT email, country, spend FROM people"
        )
        people.execute("UPDATE people SET country = 'FR' WHERE email = 'bob'")
        report = people.sync()
        assert (report.kind, report.updated, report.unchanged) == ("incremental", 1, 2)
        assert people.traits()["bob"] == {"country": "FR", "spend": 2}

    def test_another_redis(self, people):
        people.sync()
        people.redis = type(people.redis)(address=people.redis.address, cluster_mode=False, database="3")
        assert people.sync().reason == "changed configuration: destination"


class TestInvalidRows:
    def test_null_and_doubled_ids_are_set_aside(self, people):
        people.execute("INSERT INTO people VALUES (NULL, 'x', 1, 1), ('', 'x', 1, 1), ('bob', 'y', 9, 9)")
        report = people.sync()
        assert counts(report) == {"inserted": 2, "invalid": 4, "delivered": 2}
        assert set(people.traits()) == {"ada", "cid"}
        kept = people.execute(
            f'SELECT "PRIMARY_KEY", "ERROR_REASON", "ROW_COUNT" FROM {people.table("FAILED_KEYS", report)}'  # noqa: S608
        )
        assert sorted(kept, key=str) == sorted(
            [
                (None, "null or empty primary key", 1),
                ("", "null or empty primary key", 1),
                ("bob", "duplicate primary key", 2),
            ],
            key=str,
        )

    def test_a_doubled_id_keeps_what_it_had_until_it_is_single_again(self, people):
        people.configure(mode="mirror")
        people.sync()
        people.execute("INSERT INTO people VALUES ('bob', 'y', 9, 9)")
        people.sync()
        assert people.traits()["bob"] == BOB
        people.execute("DELETE FROM people WHERE email = 'bob' AND seen = 1")
        assert counts(people.sync()) == {"updated": 1, "unchanged": 2, "delivered": 1}
        assert people.traits()["bob"] == {"country": "y", "spend": 9, "seen": 9}

    def test_and_is_deleted_when_both_rows_are_gone(self, people):
        people.configure(mode="mirror")
        people.sync()
        people.execute("INSERT INTO people VALUES ('bob', 'y', 9, 9)")
        people.sync()
        people.execute("DELETE FROM people WHERE email = 'bob'")
        assert people.sync().deleted == 1
        assert set(people.traits()) == {"ada", "cid"}


class TestFailedRows:
    def test_they_are_kept_with_their_reason_and_retried_newest_version_only(self, people):
        people.server.command("SET", f"{PREFIX}bob", "not a hash")
        report = people.sync()
        assert (report.status, report.failed, report.delivered) == ("partial", 1, 2)
        ((key, operation, invalid, reason),) = people.execute(
            f'SELECT "PRIMARY_KEY", "RUDDER_OPERATION", "RUDDER_INVALID", "ERROR_REASON" FROM {people.table("FAILED_KEYS", report)}'  # noqa: S608
        )
        assert (key, operation, invalid) == ("bob", "insert", False)
        assert "holds another type" in reason
        people.execute("UPDATE people SET country = 'FR' WHERE email = 'bob'")
        again = people.sync()
        assert (again.status, again.failed, again.unchanged) == ("partial", 1, 2)
        people.server.command("DEL", f"{PREFIX}bob")
        assert counts(people.sync()) == {"updated": 1, "unchanged": 2, "delivered": 1}
        assert people.traits()["bob"] == BOB | {"country": "FR"}
        assert counts(people.sync()) == {"unchanged": 3}

    def test_a_failed_deletion_is_retried(self, people):
        people.configure(mode="mirror")
        people.sync()
        people.execute("DELETE FROM people WHERE email = 'bob'")
        people.server.command("SET", f"{PREFIX}bob", "not a hash")
        assert people.sync().failed == 1
        people.server.command("DEL", f"{PREFIX}bob")
        assert counts(people.sync()) == {"deleted": 1, "unchanged": 2, "delivered": 1}

    def test_an_id_with_a_nul_is_kept_as_it_is(self, embedded):
        embedded.execute(
            "CREATE TABLE features_by_email AS SELECT unnest(['a', chr(0), 'b' || chr(0) || '''c']) AS email, 1 AS x"
        )
        for name in ("\0", "b\0'c"):
            embedded.server.command("SET", f"{PREFIX}{name}", "not a hash")
        report = embedded.sync()
        assert (report.status, report.failed) == ("partial", 2)
        kept = embedded.execute(f'SELECT "PRIMARY_KEY" FROM {embedded.table("FAILED_KEYS", report)}')  # noqa: S608
        assert sorted(kept) == [("\0",), ("b\0'c",)]
        embedded.server.command("DEL", f"{PREFIX}\0", f"{PREFIX}b\0'c")
        assert counts(embedded.sync()) == {"updated": 2, "unchanged": 1, "delivered": 2}
        assert counts(embedded.sync()) == {"unchanged": 3}


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
class TestIdleSessions:
    """A warehouse that closes them, as do firewalls, while a delivery goes on for longer."""

    @pytest.fixture
    def ending_idle(self, people):
        """Ends sessions that are idle, when rows got in. A timeout would end those of a busy machine at any time."""

        def step(name):
            if name == "delivered":
                ended.extend(people.execute(_END_IDLE))

        ended = []
        people.configure(batch_rows=1)
        yield step
        assert ended

    def slowly(self, step):
        if step == "delivered":
            time.sleep(0.5)

    def test_a_run_ends_as_any_other(self, people, ending_idle):
        report = people.sync(step=ending_idle)
        assert (report.status, report.delivered) == ("succeeded", 3)
        assert people.execute('SELECT status FROM _rudderstack."SYNC_RUNS"') == [("succeeded",)]
        assert people.execute('SELECT count(*) FROM _rudderstack."SYNC_LOG"') == [(3,)]
        assert people.execute('SELECT * FROM _rudderstack."SYNC_LOCKS"') == []
        assert counts(people.sync()) == {"unchanged": 3}

    def test_failed_rows_are_kept(self, people, ending_idle):
        for name in ("ada", "bob", "cid"):
            people.server.command("SET", f"{PREFIX}{name}", "not a hash")
        report = people.sync(step=ending_idle)
        assert (report.status, report.failed) == ("partial", 3)
        assert people.execute(f"SELECT count(*) FROM {people.table('FAILED_KEYS', report)}") == [(3,)]  # noqa: S608

    def test_one_that_reads_may_wait_for_redis(self, people):
        people.execute("ALTER DATABASE postgres SET idle_in_transaction_session_timeout = '300ms'")
        people.execute("INSERT INTO people SELECT 'u' || i, 'UK', 1, 1 FROM generate_series(1, 6) AS t(i)")
        people.configure(batch_rows=1)
        try:
            assert people.sync(step=self.slowly).delivered == 9
        finally:
            people.execute("ALTER DATABASE postgres RESET idle_in_transaction_session_timeout")

    def test_a_run_that_is_stopped_notes_its_end(self, people, ending_idle):
        def stopped(step):
            ending_idle(step)
            if step == "delivered":
                raise RuntimeError(step)

        with pytest.raises(RuntimeError):
            people.sync(step=stopped)
        assert people.execute('SELECT status FROM _rudderstack."SYNC_RUNS"') == [("failed",)]
        assert people.execute('SELECT * FROM _rudderstack."SYNC_LOCKS"') == []


class TestIsolation:
    def test_a_profiles_run_that_ends_meanwhile_is_for_the_next_sync(self, people):
        def profiles_run(step):
            if step == "snapshot" and not changed:
                changed.append(1)
                if not people.store.url.startswith("duckdb"):  # whose file is open in the sync alone
                    people.execute("UPDATE people SET country = 'FR'; INSERT INTO people VALUES ('late', 'x', 1, 1)")

        changed = []
        people.sync(step=profiles_run)
        assert changed
        assert people.traits()["ada"] == ADA
        assert "late" not in people.traits()


class TestState:
    def test_the_snapshot_has_all_rows_and_their_operations(self, people):
        people.sync()
        people.execute(
            "UPDATE people SET country = 'FR' WHERE email = 'bob'; DELETE FROM people WHERE email = 'cid'; INSERT INTO people VALUES ('dot', 'IN', 3, 1)"
        )
        report = people.sync()
        rows = people.execute(f'SELECT email, country, "RUDDER_OPERATION_TYPE" FROM {people.table("SNAPSHOT", report)}')  # noqa: S608
        assert sorted(rows) == [
            ("ada", "UK", "unchanged"),
            ("bob", "FR", "update"),
            ("cid", None, "delete"),
            ("dot", "IN", "insert"),
        ]

    def test_the_log_has_a_line_for_each_row_that_was_sent(self, people):
        people.execute("INSERT INTO people VALUES (NULL, 'x', 1, 1)")
        people.server.command("SET", f"{PREFIX}bob", "not a hash")
        report = people.sync()
        lines = people.execute(
            'SELECT primary_key, operation, status, error_reason IS NULL, sync_run_id, sync_started_at < sync_finished_at FROM _rudderstack."SYNC_LOG"'
        )
        run = report.sync_run_id
        assert sorted(lines, key=str) == [
            ("ada", "insert", "succeeded", True, run, True),
            ("bob", "insert", "failed", False, run, True),
            ("cid", "insert", "succeeded", True, run, True),
            (None, "insert", "failed", False, run, True),
        ]

    @pytest.mark.parametrize(("log", "lines"), [("failed", [("bob",)]), ("off", [])])
    def test_the_log_can_be_kept_short(self, people, log, lines):
        people.configure(sync_log=log)
        people.server.command("SET", f"{PREFIX}bob", "not a hash")
        people.sync()
        assert people.execute('SELECT primary_key FROM _rudderstack."SYNC_LOG"') == lines

    def test_the_runs_table_says_what_happened_and_why(self, people):
        people.sync()
        people.sync(full=True)
        rows = people.execute(
            'SELECT sync_run_id, sync_mode, sync_kind, reason, status, inserted, updated, delivered, prepared_at IS NOT NULL, started_at < finished_at FROM _rudderstack."SYNC_RUNS" ORDER BY 1'
        )
        assert rows == [
            ("00000001", "upsert", "full", "first sync of this connection", "succeeded", 3, 0, 3, True, True),
            ("00000002", "upsert", "full", "asked for", "succeeded", 0, 3, 3, True, True),
        ]

    def test_old_snapshots_go(self, people):
        people.configure(snapshot_retention=2)
        for _ in range(4):
            people.sync()
        names = [
            name
            for (name,) in people.execute(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = '_rudderstack'"
            )
        ]
        kept = sorted(name.rpartition("_")[2] for name in names if name.startswith("SNAPSHOT"))
        assert kept == ["00000003", "00000004"]
        assert len([name for name in names if name.startswith("FAILED_KEYS")]) == 2

    def test_old_logs_and_runs_go(self, people):
        people.configure(snapshot_retention=1)
        people.sync()
        people.sync()
        people.configure(log_retention=1e-6)
        people.sync()
        assert people.execute('SELECT count(*) FROM _rudderstack."SYNC_LOG"') == [(0,)]
        assert people.execute('SELECT sync_run_id FROM _rudderstack."SYNC_RUNS"') == [("00000003",)]
        assert people.sync().sync_run_id == "00000004"


class TestTimeToLive:
    def test_keys_get_it_and_it_is_renewed_in_time(self, people):
        people.configure(ttl=1_000.0)
        people.sync(clock=lambda: 0.0)
        assert 990 <= people.server.command("TTL", f"{PREFIX}ada") <= 1_000
        assert people.sync(clock=lambda: 499.0).kind == "incremental"
        report = people.sync(clock=lambda: 500.0)
        assert (report.kind, report.reason) == ("full", "keys are renewed when half their ttl has passed")
        assert people.sync(clock=lambda: 900.0).kind == "incremental"
        assert people.sync(clock=lambda: 1_000.0).kind == "full"

    def test_without_it_a_row_that_comes_back_loses_what_its_key_had(self, people):
        people.configure(ttl=1_000.0)
        people.sync(clock=lambda: 0.0)
        people.execute("DELETE FROM people WHERE email = 'ada'")
        people.configure(ttl=0.0)
        people.sync(clock=lambda: 100.0)
        people.sync(clock=lambda: 200.0)
        people.execute("INSERT INTO people VALUES ('ada', 'UK', 1.50, 1)")
        assert people.sync(clock=lambda: 1_000.0).kind == "incremental"
        assert people.server.command("TTL", f"{PREFIX}ada") == -1
        people.execute("INSERT INTO people VALUES ('dot', 'IN', 3, 1)")
        before = people.server.info("commandstats")["cmdstat_persist"]
        assert people.sync(clock=lambda: 1_100.0).delivered == 1
        assert people.server.info("commandstats")["cmdstat_persist"] == before

    def test_without_it_keys_lose_what_they_had(self, people):
        people.configure(ttl=1_000.0)
        people.sync()
        people.configure(ttl=0.0)
        assert people.sync().reason == "changed configuration: ttl"
        assert {people.server.command("TTL", f"{PREFIX}{one}") for one in ("ada", "bob", "cid")} == {-1}
        before = people.writes()
        assert people.sync().kind == "incremental"
        assert people.writes() == before

    def test_a_run_that_was_to_take_it_away_and_died_is_repeated(self, people):
        def crash(step):
            if step == "prepared":
                raise RuntimeError(step)

        people.configure(ttl=1_000.0)
        people.sync()
        people.configure(ttl=0.0)
        with pytest.raises(RuntimeError):
            people.sync(step=crash)
        assert people.sync().reason == "changed configuration: ttl"
        assert {people.server.command("TTL", f"{PREFIX}{one}") for one in ("ada", "bob", "cid")} == {-1}
        assert people.sync().kind == "incremental"


class TestCursor:
    @pytest.fixture
    def cursor(self, people):
        people.configure(sources=(SourceConfig(entity="user", id="email", cursor_column="seen"),))
        return people

    def test_only_rows_at_or_beyond_the_highest_value_seen_are_read(self, cursor):
        assert counts(cursor.sync()) == {"inserted": 3, "delivered": 3}
        cursor.execute("UPDATE people SET seen = 2 WHERE email = 'bob'")
        assert counts(cursor.sync()) == {"updated": 1, "unchanged": 2, "delivered": 1}
        cursor.execute("UPDATE people SET country = 'FR' WHERE email = 'ada'")
        assert counts(cursor.sync()) == {"unchanged": 1}
        cursor.execute("UPDATE people SET country = 'IN', seen = 3 WHERE email = 'bob'")
        assert counts(cursor.sync()) == {"updated": 1, "delivered": 1}
        assert counts(cursor.sync()) == {"unchanged": 1}
        assert cursor.traits() == {"ada": ADA, "bob": BOB | {"country": "IN", "seen": 3}, "cid": CID}

    def test_a_row_that_comes_to_stand_at_the_checkpoint_later_is_sent(self, cursor):
        """Its transaction was open, or the clock that made its cursor stood still, when the run before looked."""
        cursor.sync()
        cursor.execute("INSERT INTO people VALUES ('dot', 'IN', 3, 1)")
        cursor.execute("UPDATE people SET country = 'FR' WHERE email = 'ada'")
        assert counts(cursor.sync()) == {"updated": 2, "unchanged": 2, "delivered": 2}
        assert counts(cursor.sync()) == {"unchanged": 4}
        cursor.execute("INSERT INTO people VALUES ('eve', 'IN', 3, 1)")
        assert counts(cursor.sync()) == {"updated": 1, "unchanged": 4, "delivered": 1}
        assert set(cursor.traits()) == {"ada", "bob", "cid", "dot", "eve"}

    def test_an_id_that_a_row_below_the_checkpoint_has_too_is_set_aside(self, cursor):
        cursor.sync()
        cursor.execute("INSERT INTO people VALUES ('ada', 'FR', 9, 2), (NULL, 'FR', 9, 2)")
        assert counts(cursor.sync()) == {"unchanged": 3, "invalid": 3}
        assert cursor.traits()["ada"] == ADA
        cursor.execute("DELETE FROM people WHERE email = 'ada' AND seen = 2")
        assert counts(cursor.sync()) == {"updated": 1, "delivered": 1, "invalid": 1}

    def test_a_cursor_that_is_no_trait_is_refused(self, people):
        people.configure(sources=(SourceConfig(entity="user", id="email", cursor_column="email"),))
        with pytest.raises(WarehouseError, match="cursorColumn must be one of its traits, which email is not"):
            people.sync()

    def test_failed_rows_are_retried_whatever_their_cursor(self, cursor):
        cursor.server.command("SET", f"{PREFIX}bob", "not a hash")
        assert cursor.sync().failed == 1
        cursor.execute("UPDATE people SET seen = 5 WHERE email = 'ada'")
        assert counts(cursor.sync()) == {"updated": 2, "unchanged": 1, "delivered": 1, "failed": 1}
        cursor.server.command("DEL", f"{PREFIX}bob")
        assert counts(cursor.sync()) == {"updated": 1, "unchanged": 1, "delivered": 1}
        assert counts(cursor.sync()) == {"unchanged": 1}

    def test_a_failed_row_that_leaves_the_view_is_retried_when_it_comes_back(self, cursor):
        cursor.server.command("SET", f"{PREFIX}bob", "not a hash")
        assert cursor.sync().failed == 1
        cursor.server.command("DEL", f"{PREFIX}bob")
        cursor.execute("UPDATE people SET seen = 5 WHERE email = 'ada'; DELETE FROM people WHERE email = 'bob'")
        assert counts(cursor.sync()) == {"updated": 1, "unchanged": 1, "delivered": 1}
        assert counts(cursor.sync()) == {"unchanged": 1}
        cursor.execute("INSERT INTO people VALUES ('bob', NULL, 2, 1)")
        assert counts(cursor.sync()) == {"updated": 1, "unchanged": 1, "delivered": 1}
        assert cursor.traits()["bob"] == BOB
        assert counts(cursor.sync()) == {"unchanged": 1}

    @staticmethod
    def seen(syncing, kind, *others):
        """A view of ``a``, seen at a first moment, and of others; the second moment."""
        first, second = ("1", "2") if kind == "DOUBLE PRECISION" else ("2026-01-01", "2026-02-01")
        syncing.configure(sources=(SourceConfig(entity="user", id="email", cursor_column="seen"),))
        syncing.execute(f"CREATE TABLE features_by_email (email TEXT, seen {kind})")
        rows = ", ".join(f"('{name}', '{moment}')" for name, moment in zip("abc", (first, *others), strict=False))
        syncing.execute(f"INSERT INTO features_by_email VALUES {rows}")  # noqa: S608
        return second

    @pytest.mark.parametrize("kind", ["TIMESTAMP", "DATE", "DOUBLE PRECISION"])
    def test_infinity_is_no_checkpoint(self, syncing, kind):
        second = self.seen(syncing, kind, "infinity", "-infinity")
        assert syncing.sync().delivered == 3
        syncing.execute(f"UPDATE features_by_email SET seen = '{second}' WHERE email = 'a'")  # noqa: S608
        assert counts(syncing.sync()) == {"updated": 1, "unchanged": 1, "delivered": 1}
        assert counts(syncing.sync()) == {"unchanged": 2}

    @pytest.mark.parametrize("kind", ["TIMESTAMP", "DATE", "DOUBLE PRECISION"])
    def test_one_that_an_earlier_version_left_is_put_right(self, syncing, kind):
        second = self.seen(syncing, kind, "infinity")
        syncing.sync()
        syncing.execute("UPDATE _rudderstack.\"SYNC_RUNS\" SET cursor_checkpoint = 'infinity'")
        syncing.execute(f"UPDATE features_by_email SET seen = '{second}' WHERE email = 'a'")  # noqa: S608
        report = syncing.sync()
        assert (report.kind, report.delivered) == ("full", 2)
        assert report.reason == "the checkpoint of seen is infinity, beyond which no row is looked for"
        assert counts(syncing.sync()) == {"unchanged": 2}

    def test_text_with_a_nul_is_a_checkpoint_like_any_other(self, embedded):
        embedded.configure(sources=(SourceConfig(entity="user", id="email", cursor_column="seen"),))
        embedded.execute(
            "CREATE TABLE features_by_email AS SELECT 'a' AS email, chr(0) || 'b' || chr(39) || chr(0) AS seen"
        )
        assert embedded.sync().delivered == 1
        embedded.execute("INSERT INTO features_by_email VALUES ('b', chr(0) || 'c'), ('c', chr(0) || 'a')")
        assert counts(embedded.sync()) == {"updated": 1, "unchanged": 1, "delivered": 1}
        assert counts(embedded.sync()) == {"unchanged": 1}

    def test_a_cancelled_run_is_made_up_for(self, cursor):
        cursor.sync()
        cursor.execute("UPDATE people SET country = 'XX', seen = 3")

        def crash(step):
            if step == "prepared":
                raise RuntimeError(step)

        with pytest.raises(RuntimeError):
            cursor.sync(step=crash)
        assert cursor.sync().delivered == 3
        assert {one["country"] for one in cursor.traits().values()} == {"XX"}


class TestNames:
    """A trait may be called as it likes: no alias of ours is in its way."""

    @pytest.mark.parametrize(
        "names",
        [
            ("x", "_x"),
            ("_key", "_known", "_in_view", "_failed", "_invalid", "_number"),
            ("self", "method", "table", "name"),
            ("PRIMARY_KEY", "ROW_COUNT", "RUDDER_INVALID", "RUDDER_OPERATION", "n", "highest"),
            ("rudder__key", "rudder__now_0", "rudder__then_0", "rudder__invalid"),
        ],
    )
    @pytest.mark.parametrize("cursor", [False, True])
    def test_no_name_hides_a_change(self, syncing, names, cursor):
        if cursor:
            syncing.configure(sources=(SourceConfig(entity="user", id="email", cursor_column=names[0]),))
        columns = ", ".join(f'"{name}" INTEGER' for name in names)
        syncing.execute(f"CREATE TABLE features_by_email (email VARCHAR(9), {columns})")
        zeros = ", ".join("0" for _ in names)
        syncing.execute(f"INSERT INTO features_by_email VALUES ('a', {zeros}), ('b', {zeros}), ('b', {zeros})")  # noqa: S608
        syncing.server.command("SET", f"{PREFIX}a", "not a hash")
        assert syncing.sync().failed == 1
        syncing.server.command("DEL", f"{PREFIX}a")
        for number, name in enumerate((names[0], names[-1]), 1):
            syncing.execute(f"UPDATE features_by_email SET \"{name}\" = {number} WHERE email = 'a'")  # noqa: S608
            assert syncing.sync().updated == 1
            assert syncing.traits()["a"][name] == number

    @pytest.mark.parametrize("name", ["RUDDER_OPERATION_TYPE", "Rudder_Operation_Type"])
    def test_the_name_of_the_operation_is_refused(self, syncing, name):
        syncing.execute(f"CREATE TABLE features_by_email AS SELECT 'a' AS email, 1 AS \"{name}\"")
        with pytest.raises(WarehouseError, match=f"the view features_by_email has a column {name}, which is the name"):
            syncing.sync()


class TestRefusals:
    def test_no_view(self, syncing):
        syncing.execute("CREATE TABLE something_else AS SELECT 1 AS x")
        with pytest.raises(
            WarehouseError, match=r"pb_project\.yaml:7: the warehouse has no view features_by_email or user_feat"
        ):
            syncing.sync()

    def test_no_id_column(self, syncing):
        syncing.execute("CREATE TABLE features_by_email AS SELECT 1 AS x, 2 AS y")
        with pytest.raises(WarehouseError, match="has no column email; it has: x, y"):
            syncing.sync()

    def test_a_broken_view_says_what_the_warehouse_said(self, people):
        people.execute("DROP VIEW features_by_email; CREATE TABLE gone AS SELECT 'a' AS email, '1' AS n")
        people.execute("CREATE VIEW features_by_email AS SELECT email, CAST(n AS INTEGER) AS n FROM gone")
        people.sync()
        people.execute("UPDATE gone SET n = 'x'")
        with pytest.raises(WarehouseError, match="refused to"):
            people.sync()
        people.execute("UPDATE gone SET n = '2'")
        assert counts(people.sync()) == {"updated": 1, "delivered": 1}

    def test_the_view_is_found_in_other_case_and_gives_the_model_its_name(self, syncing):
        syncing.execute('CREATE TABLE "FEATURES_BY_EMAIL" AS SELECT \'ada\' AS "EMAIL", 1 AS "N"')
        syncing.sync()
        assert syncing.profiles() == {"ada": {"FEATURES_BY_EMAIL": {"N": 1}}}

    def test_a_view_and_state_in_schemas_of_their_own(self, syncing):
        syncing.configure(schema="profiles", state_schema="keep_here")
        syncing.execute(
            "CREATE SCHEMA profiles; CREATE TABLE profiles.features_by_email AS SELECT 'ada' AS email, 1 AS n"
        )
        syncing.sync()
        assert syncing.profiles() == {"ada": {VIEW: {"n": 1}}}
        assert syncing.execute('SELECT count(*) FROM keep_here."SYNC_RUNS"') == [(1,)]

    def test_a_run_while_one_is_alive(self, people):
        def again(step):
            if step == "prepared":
                with pytest.raises(SyncRefused, match="a sync of this connection is running"):
                    people.sync()
                refused.append(step)

        refused = []
        people.sync(step=again)
        assert refused
        assert people.sync().status == "succeeded"
