"""A run killed at any point, and started again, ends with the right data; and only one runs at a time."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent

import psycopg
import pytest

from edgeprofile.reverse_etl import lock
from edgeprofile.reverse_etl.errors import DeliveryStopped, LockLost, SyncCancelled, SyncRefused
from edgeprofile.reverse_etl.lock import Claim, Lock, Owner, is_alive, this_process
from edgeprofile.reverse_etl.settings import SourceConfig
from edgeprofile.reverse_etl.siteconfig import locate
from edgeprofile.reverse_etl.sync import Report
from edgeprofile.reverse_etl.warehouse import Warehouse
from tests.support.sync import PREFIX, Syncing
from tests.support.wait import until

STEPS = ("begun", "snapshot", "prepared", "delivered", "failures", "logged", "finished")


class Killed(BaseException):
    """As good as SIGKILL: nothing of ours catches it."""


def people(syncing: Syncing, mode: str) -> None:
    syncing.configure(mode=mode, batch_bytes=200, batch_rows=16)
    syncing.execute(
        "CREATE TABLE features_by_email AS SELECT 'u' || i AS email, 1 AS n FROM generate_series(1, 40) AS t(i)"
    )


def stop_at(wanted: str, error: type[BaseException], after: int = 1):
    seen = []

    def step(name: str) -> None:
        seen.append(name)
        if seen.count(wanted) == after:
            raise error

    return step


def in_view(syncing: Syncing) -> dict[str, dict[str, int]]:
    return {email: {"n": n} for email, n in syncing.execute("SELECT email, n FROM features_by_email")}


def survives(syncing: Syncing, mode: str, step: str, *, first: bool) -> None:
    people(syncing, mode)
    if not first:
        syncing.sync()
        syncing.execute("UPDATE features_by_email SET n = 2 WHERE email LIKE 'u1%'")
        syncing.execute("DELETE FROM features_by_email WHERE email = 'u7'")
    syncing.execute("INSERT INTO features_by_email VALUES ('refused', 1)")
    syncing.server.command("SET", f"{PREFIX}refused", "not a hash")
    with pytest.raises(Killed):
        syncing.sync(step=stop_at(step, Killed))
    syncing.server.command("DEL", f"{PREFIX}refused")
    # What the killed run may have delivered changes back, so that only what it left behind tells of it.
    syncing.execute("UPDATE features_by_email SET n = 1")
    syncing.sync()
    seen, wanted = syncing.traits(), in_view(syncing)
    assert {key: seen[key] for key in wanted} == wanted
    if mode == "mirror":
        assert seen == wanted
    before = syncing.writes()
    syncing.sync()
    assert syncing.writes() == before


@pytest.mark.parametrize("mode", ["upsert", "mirror"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("first", [True, False])
def test_killed_at_any_step(embedded, mode, step, first):
    survives(embedded, mode, step, first=first)


@pytest.mark.parametrize("step", ["snapshot", "prepared", "delivered", "failures"])
def test_killed_in_every_warehouse(syncing, step):
    survives(syncing, "mirror", step, first=False)


class TestCancel:
    def test_while_the_snapshot_is_prepared(self, syncing):
        people(syncing, "upsert")
        syncing.sync()
        with pytest.raises(SyncCancelled):
            syncing.sync(full=True, step=stop_at("snapshot", SyncCancelled))
        report = syncing.sync()
        assert (report.kind, report.reason) == ("incremental", "changes since the last sync")
        assert statuses(syncing) == ["succeeded", "cancelled", "succeeded"]

    def test_while_the_first_snapshot_is_prepared(self, syncing):
        people(syncing, "upsert")
        with pytest.raises(SyncCancelled):
            syncing.sync(step=stop_at("snapshot", SyncCancelled))
        assert syncing.sync().reason == "first sync of this connection"

    def test_after_the_data_is_prepared(self, syncing):
        people(syncing, "upsert")
        with pytest.raises(SyncCancelled):
            syncing.sync(step=stop_at("delivered", SyncCancelled, after=2))
        assert 0 < len(syncing.traits()) < 40
        report = syncing.sync()
        assert (report.kind, report.reason) == ("incremental", "changes, and what a cancelled sync left undone")
        assert (report.updated, report.delivered) == (40, 40)
        assert syncing.traits() == in_view(syncing)

    def test_the_lock_is_free_again(self, syncing):
        people(syncing, "upsert")
        with pytest.raises(SyncCancelled):
            syncing.sync(step=stop_at("prepared", SyncCancelled))
        assert syncing.execute('SELECT count(*) FROM _rudderstack."SYNC_LOCKS"') == [(0,)]

    def test_what_died_is_marked(self, syncing):
        people(syncing, "upsert")
        with pytest.raises(Killed):
            syncing.sync(step=stop_at("prepared", Killed))
        syncing.sync()
        assert statuses(syncing) == ["died", "succeeded"]


class TestInterrupted:
    def break_off(self, syncing: Syncing) -> Report:
        """A run in the middle of whose delivery Redis restarts, empty."""
        seen: list[str] = []

        def step(name: str) -> None:
            seen.append(name)
            if name == "delivered" and seen.count(name) == 2:
                syncing.server.restart()

        return syncing.sync(step=step)

    def test_a_redis_that_comes_back_empty_is_filled_by_the_next_run(self, syncing):
        people(syncing, "mirror")
        report = self.break_off(syncing)
        assert (report.status, report.delivered, report.failed) == ("interrupted", 40, 0)
        assert (
            report.error
            == "the connection to Redis broke during delivery: what this run sent is sent again by the next"
        )
        assert len(syncing.traits()) < 40
        again = syncing.sync()
        assert (again.kind, again.status, again.delivered) == ("incremental", "succeeded", 40)
        assert syncing.traits() == in_view(syncing)
        assert syncing.sync().unchanged == 40
        assert statuses(syncing) == ["interrupted", "succeeded", "succeeded"]
        lines = syncing.execute('SELECT sync_run_id, status, count(*) FROM _rudderstack."SYNC_LOG" GROUP BY 1, 2')
        assert sorted(lines) == [("00000001", "unfinished", 40), ("00000002", "succeeded", 40)]

    def test_a_cursor_does_not_advance(self, embedded):
        embedded.configure(sources=(SourceConfig(entity="user", id="email", cursor_column="n"),))
        people(embedded, "upsert")
        embedded.sync()
        embedded.execute("UPDATE features_by_email SET n = 2")
        assert self.break_off(embedded).status == "interrupted"
        assert embedded.sync().delivered == 40
        assert embedded.traits() == in_view(embedded)


def test_what_a_stopped_run_left_on_its_way_is_not_executed_after_a_newer_run(embedded):
    """Redis was frozen, the run gave up; then Redis finds the bytes of both runs."""
    embedded.configure(mode="mirror", timeout=0.5, retry_for=0.3)
    embedded.execute(
        "CREATE TABLE features_by_email AS SELECT 'user' || (1000 + i) AS email, 1 AS n FROM range(900) AS t(i)"
    )
    embedded.sync()
    embedded.execute("UPDATE features_by_email SET n = 2")
    server, thaw = embedded.server, threading.Timer(0.7, embedded.server.resume)
    with pytest.raises(DeliveryStopped, match="did not answer"):
        embedded.sync(step=lambda name: server.pause() if name == "prepared" else None)
    embedded.execute("DELETE FROM features_by_email WHERE email BETWEEN 'user1150' AND 'user1450'")
    embedded.configure(timeout=20.0, retry_for=20.0)
    embedded.sync(step=lambda name: thaw.start() if name == "prepared" else None)
    thaw.join()
    until(lambda: embedded.server.command("PING"))
    assert embedded.traits() == in_view(embedded)


def statuses(syncing: Syncing) -> list[str]:
    return [status for (status,) in syncing.execute('SELECT status FROM _rudderstack."SYNC_RUNS" ORDER BY sync_run_id')]


SLOW = {
    "duckdb": "SELECT 'a' AS email, count(*) AS n FROM range(1000000) AS a, range(1000000) AS b WHERE a.range * b.range = 7",
    "postgres": "SELECT CAST('a' AS TEXT) AS email, 1 AS n FROM pg_sleep(90)",
}


def command_line(syncing: Syncing, folder: Path) -> list[str]:
    (folder / "pb_project.yaml").write_text(
        "entities: [{name: user, feature_views: {using_ids: [{id: email, name: features_by_email}]}}]"
    )
    (folder / "edgeprofile.toml").write_text(
        dedent(f"""
        [[destinations]]
        id = "2Dest"
        workspaceId = "1Wsp"
        config = {{address = "{syncing.redis.address}", clusterMode = false}}
        [sync]
        project = "{folder}"
        warehouse = "{syncing.store.url}"
        mode = "mirror"
        batchRows = 8
        maxWritesPerSecond = 2
        """)
    )
    return [sys.executable, "-m", "edgeprofile", "sync", "--config", str(folder / "edgeprofile.toml")]


def test_a_signal_while_the_warehouse_works(syncing, tmp_path):
    """The statement is stopped where it runs, the lock given back, and the next run goes as if nothing had been."""
    slow = SLOW["duckdb" if syncing.store.url.startswith("duckdb") else "postgres"]
    syncing.execute(f"CREATE VIEW features_by_email AS {slow}")
    log = tmp_path / "log"
    with log.open("wb") as output, subprocess.Popen(command_line(syncing, tmp_path), stderr=output) as process:
        until(lambda: "taking a snapshot" in log.read_text(), 30, log.read_text)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 1, log.read_text()
    assert "Traceback" not in log.read_text()
    assert statuses(syncing) == ["cancelled"]
    assert syncing.execute('SELECT count(*) FROM _rudderstack."SYNC_LOCKS"') == [(0,)]
    if "postgres" in syncing.store.url:
        busy = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%CREATE TABLE%pg_sleep%' AND pid <> pg_backend_pid()"
        until(lambda: syncing.execute(busy) == [(0,)], 10, "the statement was stopped")
    syncing.execute("DROP VIEW features_by_email; CREATE VIEW features_by_email AS SELECT 'a' AS email, 1 AS n")
    assert syncing.sync().reason == "first sync of this connection"


class TestProcesses:
    """Real processes and real signals."""

    @pytest.fixture
    def command(self, embedded, tmp_path):
        people(embedded, "mirror")
        return command_line(embedded, tmp_path)

    @pytest.fixture
    def run(self, command, embedded, tmp_path):
        def start() -> subprocess.Popen[bytes]:
            with Path(tmp_path / "log").open("ab") as log:
                process = subprocess.Popen(command, stdout=log, stderr=log)
            started.append(process)
            until(lambda: len(embedded.traits()) >= 4, 30, (tmp_path / "log").read_text)
            return process

        started = []
        yield start
        for process in started:
            process.kill()
            process.wait()

    def test_sigkill(self, run, embedded):
        process = run()
        process.kill()
        process.wait()
        assert len(embedded.traits()) < 40
        report = embedded.sync()
        assert report.kind == "incremental"
        assert embedded.traits() == in_view(embedded)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_the_run_in_an_orderly_way(self, run, embedded, number):
        process = run()
        process.send_signal(number)
        assert process.wait(15) == 1
        assert statuses(embedded) == ["cancelled"]
        assert embedded.sync().kind == "incremental"
        assert embedded.traits() == in_view(embedded)

    def test_another_process_is_refused_while_one_is_alive_and_not_after_it_died(self, run, embedded):
        process = run()
        with pytest.raises(SyncRefused) as caught:
            embedded.sync()
        assert str(process.pid) in str(caught.value)
        process.kill()
        process.wait()
        assert embedded.sync().status == "succeeded"


class TestLockLost:
    """A run that was stopped for long must not write older values over those of a newer one."""

    def test_a_claim_that_is_confirmed_holds_and_one_that_is_not_does_not(self):
        now = [100.0]
        claim = Claim("token", lambda: now[0])
        now[0] = 159.0
        claim.check()
        claim.confirm(150.0, is_there=True)
        now[0] = 209.0
        claim.check()
        now[0] = 211.0
        with pytest.raises(LockLost, match="last confirmed 61 s ago"):
            claim.check()

    def test_a_claim_that_is_gone_is_lost_at_once_and_for_good(self):
        claim = Claim("token", lambda: 0.0)
        claim.confirm(0.0, is_there=False)
        claim.confirm(0.0, is_there=True)
        with pytest.raises(LockLost, match="took this one for dead"):
            claim.check()

    def test_a_beat_finds_its_claim_or_not(self, syncing):
        people(syncing, "upsert")
        syncing.sync()
        with Warehouse(locate(syncing.config, None)).open() as session:
            locks = Lock(session)
            with locks.held("c") as claim:
                locks.beat(claim, session)
                claim.check()
                session.run(f"DELETE FROM {session.table_name('SYNC_LOCKS')}")  # noqa: S608
                locks.beat(claim, session)
                with pytest.raises(LockLost):
                    claim.check()

    def test_a_run_that_lost_it_stops_and_touches_nothing_more(self, embedded, monkeypatch):
        def confirm(claim, asked_at, *, is_there):
            confirmed(claim, asked_at, is_there=is_there)
            if not is_there:
                noticed.set()

        def step(name):
            if name == "delivered" and not noticed.is_set():
                embedded.execute('DELETE FROM _rudderstack."SYNC_LOCKS"')
                assert noticed.wait(10)

        confirmed, noticed = Claim.confirm, threading.Event()
        monkeypatch.setattr(lock, "_BEAT_EVERY", 0.01)
        monkeypatch.setattr(Claim, "confirm", confirm)
        people(embedded, "mirror")
        with pytest.raises(DeliveryStopped, match="took this one for dead"):
            embedded.sync(step=step)
        assert statuses(embedded) == ["failed"]
        assert 0 < len(embedded.traits()) < 40
        assert embedded.sync().delivered == 40

    def test_a_heartbeat_survives_any_error(self, embedded, monkeypatch, caplog):
        def beat(_lock, claim, _session):
            beats.append(claim)
            if len(beats) == 1:
                raise ZeroDivisionError
            together.set()

        beats, together = [], threading.Event()
        monkeypatch.setattr(lock, "_BEAT_EVERY", 0.01)
        monkeypatch.setattr(Lock, "beat", beat)
        people(embedded, "upsert")
        embedded.sync(step=lambda name: name != "prepared" or together.wait(10))
        assert together.is_set()
        assert "a heartbeat of the lock failed: ZeroDivisionError" in caplog.text


def test_a_process_is_told_apart_by_its_namespace_too():
    """Two containers of one machine have the same boot, and may have the same name and the same process id."""
    namespace = Path("/proc/self/ns/pid")
    assert not namespace.exists() or str(namespace.readlink()) in this_process().boot_id


class TestSnapshotsOfRunsThatFail:
    def kept(self, syncing):
        rows = syncing.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = '_rudderstack'")
        return sorted(name.rpartition("_")[2] for (name,) in rows if name.startswith("SNAPSHOT"))

    def test_they_do_not_pile_up(self, embedded):
        people(embedded, "mirror")
        embedded.configure(snapshot_retention=2)
        embedded.sync()
        for number in range(2, 7):
            embedded.execute(f"UPDATE features_by_email SET n = {number}")  # noqa: S608
            with pytest.raises(SyncCancelled):
                embedded.sync(step=stop_at("delivered", SyncCancelled))
        assert self.kept(embedded) == ["00000005", "00000006"]
        for _ in range(3):
            with pytest.raises(SyncCancelled):
                embedded.sync(step=stop_at("snapshot", SyncCancelled))
        assert self.kept(embedded) == ["00000005", "00000006"]
        assert embedded.sync().kind == "incremental"
        assert embedded.traits() == in_view(embedded)

    def test_nor_where_a_run_is_killed_after_it_was_prepared(self, embedded):
        people(embedded, "mirror")
        embedded.configure(snapshot_retention=1)
        for _ in range(3):
            with pytest.raises(Killed):
                embedded.sync(full=True, step=stop_at("delivered", Killed))
        assert self.kept(embedded) == ["00000003"]

    def test_their_rows_are_in_the_log(self, embedded):
        people(embedded, "upsert")
        embedded.server.command("SET", f"{PREFIX}u1", "not a hash")
        with pytest.raises(SyncCancelled):
            embedded.sync(step=stop_at("delivered", SyncCancelled, after=6))
        lines = 'SELECT status, error_reason, count(*) FROM _rudderstack."SYNC_LOG" GROUP BY ALL ORDER BY 1'
        (failed, _, one), (unfinished, reason, rest) = embedded.execute(lines)
        assert (failed, one, unfinished, rest) == ("failed", 1, "unfinished", 39)
        assert "this one may be in" in reason
        with pytest.raises(SyncCancelled):
            embedded.sync(step=stop_at("snapshot", SyncCancelled))
        assert len(embedded.execute(lines)) == 2

    @pytest.mark.parametrize("lost", ["SNAPSHOT", "FAILED_KEYS"])
    @pytest.mark.parametrize(("mode", "told"), [("upsert", "gone"), ("mirror", "gone, and with it which rows are to")])
    def test_a_snapshot_that_somebody_dropped_is_made_anew(self, embedded, lost, mode, told):
        people(embedded, mode)
        embedded.execute(f"DROP TABLE {embedded.table(lost, embedded.sync())}")
        report = embedded.sync()
        assert (report.kind, report.delivered) == ("full", 40)
        assert report.reason.startswith(f"the last snapshot is {told}")
        assert embedded.sync().unchanged == 40


class TestLock:
    @pytest.fixture
    def warehouse(self, syncing):
        syncing.execute("CREATE TABLE features_by_email AS SELECT 'a' AS email, 1 AS n")
        syncing.sync()
        return Warehouse(locate(syncing.config, None))

    def test_of_two_at_the_same_moment_at_most_one_holds_it(self, warehouse):
        held, refused, together = [], [], threading.Barrier(2)

        def contend(session) -> None:
            together.wait()
            try:
                with Lock(session).held("c"):
                    held.append(1)
                    assert len(held) == 1
                    ended.wait(5)
                    held.pop()
            except SyncRefused:
                refused.append(1)
                ended.set()

        ended = threading.Event()
        with warehouse.open() as first, first.sibling() as second:
            threads = [threading.Thread(target=contend, args=(session,)) for session in (first, second)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert refused

    @pytest.mark.parametrize(
        ("other", "refused"),
        [
            (Owner("elsewhere", "boot", 1, "1"), True),
            (this_process(), False),
            (Owner(this_process().host, this_process().boot_id, 4_194_000, "1"), False),
            (Owner(this_process().host, this_process().boot_id, os.getppid(), "not its start"), False),
        ],
        ids=["another host, its heart beating", "a claim that we do not hold", "no such process", "its id was reused"],
    )
    def test_a_claim_lives_as_long_as_its_process(self, warehouse, syncing, other, refused):
        syncing.execute(
            f"""INSERT INTO _rudderstack."SYNC_LOCKS" VALUES
            ('c', 'token', '{other.host}', '{other.boot_id}', {other.pid}, '{other.process_start}', CURRENT_TIMESTAMP)"""  # noqa: S608
        )
        with warehouse.open() as session:
            contender = Lock(session, sleep=lambda _seconds: None)
            if refused:
                with pytest.raises(SyncRefused, match=str(other)), contender.held("c"):
                    pass
            else:
                with contender.held("c"):
                    pass

    def test_a_killed_process_that_nobody_reaped_is_dead(self):
        here = this_process()
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
            owner = Owner(here.host, here.boot_id, child.pid, lock._process_start(child.pid))
            assert is_alive(owner, 0.0, here)
            child.kill()
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            assert not is_alive(owner, 0.0, here)

    def test_a_heart_that_stopped_is_dead(self):
        elsewhere = Owner("elsewhere", "boot", 1, "1")
        assert is_alive(elsewhere, 30.0, this_process())
        assert not is_alive(elsewhere, 120.0, this_process())

    def test_a_reboot_ends_all_claims_once_they_are_silent(self):
        before = Owner(this_process().host, "another boot", os.getpid(), this_process().process_start)
        assert not is_alive(before, 120.0, this_process())


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
@pytest.mark.parametrize("table", [None, "SYNC_RUNS", "SYNC_LOG", "SYNC_LOCKS"])
def test_what_another_first_sync_makes_at_the_same_moment(syncing, table):
    """Each sees that there is none; the second to make it waits for the first, and is then refused."""
    people(syncing, "upsert")
    if table is None:
        make = "CREATE SCHEMA _rudderstack"
    else:
        syncing.sync()
        syncing.execute(f'ALTER TABLE _rudderstack."{table}" RENAME TO kept')
        make = f'CREATE TABLE _rudderstack."{table}" (LIKE _rudderstack.kept)'
    reports = []
    second = threading.Thread(target=lambda: reports.append(syncing.sync()))
    with psycopg.connect(syncing.store.url) as first:
        first.execute(make)
        second.start()
        until(lambda: syncing.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"), 10)
    second.join()
    assert [report.status for report in reports] == ["succeeded"]
