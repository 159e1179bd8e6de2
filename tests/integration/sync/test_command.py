"""`edgeprofile sync` as people run it: output, exit codes, and what is said when something is wrong."""

import json
import socket
import time
from textwrap import dedent

import duckdb
import pytest

from edgeprofile.cli import main
from edgeprofile.config import RedisConfig
from edgeprofile.demo.warehouse import PROJECT, build, order
from edgeprofile.reverse_etl import command
from edgeprofile.reverse_etl.errors import SyncCancelled, WarehouseError
from edgeprofile.reverse_etl.sync import SourceSync
from edgeprofile.reverse_etl.warehouse import Warehouse
from edgeprofile.store.lanes import Lanes
from edgeprofile.store.refusals import NoRoom
from tests.support.ports import free_port
from tests.support.servers import Options, Server

USERS = 50


@pytest.fixture
def warehouse(tmp_path):
    build(tmp_path / "warehouse.duckdb", USERS)
    return tmp_path / "warehouse.duckdb"


@pytest.fixture
def config(tmp_path, warehouse, redis_config):
    def write(own="", **options):
        settings = {"project": str(PROJECT), "warehouse": f"duckdb://{warehouse}", **options}
        lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
        file = tmp_path / "edgeprofile.toml"
        file.write_text(
            dedent("""
            [[destinations]]
            id = "2Dest"
            workspaceId = "1Wsp"
            config = {{address = "{address}", clusterMode = false}}
            [sync]
            {lines}
            {own}
            """).format(address=redis_config.address, lines=lines, own=own)
        )
        return str(file)

    return write


@pytest.fixture
def sync(config, capsys):
    def run(*arguments, **options):
        code = main(["sync", "--config", config(**options), *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_a_sync_in_plain_lines(sync, valkey):
    code, out, err = sync()
    assert (code, out) == (0, "")
    assert "user by email: taking a snapshot of features_by_email\n" in err
    assert f"user by email: succeeded, full: {USERS} inserted, 0 unchanged; " in err
    assert "rows/s" in err
    assert valkey.command("DBSIZE") == 3 * USERS


def test_the_summary_as_json(sync):
    code, out, err = sync("--json")
    summary = json.loads(out)
    assert (code, err, summary["exitCode"]) == (0, "", 0)
    first = summary["sources"][0]
    assert (first["source"], first["kind"], first["inserted"], first["status"]) == (
        "user by email",
        "full",
        USERS,
        "succeeded",
    )


def test_changes_arrive(sync, warehouse, valkey):
    sync()
    order(warehouse, ["user7@example.com"], amount=5_000.0)
    _, out, _ = sync("--json")
    assert [one["updated"] for one in json.loads(out)["sources"]] == [1, 1, 1]
    traits = json.loads(valkey.command("HGET", "1Wsp:2Dest:user:email:user7@example.com", "features_by_email"))
    assert traits["lifetime_value"] > 5_000
    assert traits["is_vip"] is True


def test_the_plan_writes_nothing(sync, valkey):
    code, out, _ = sync("--plan")
    assert code == 0
    for part in (
        "user by anonymous_id",
        "view     web_personalization, by anonymous_id",
        "key      1Wsp:2Dest:user:anonymous_id:{anonymous_id}",
        "mode     upsert",
        "next run full: first sync of this connection",
        "lifetime_value: decimal(12, 2)",
    ):
        assert part in out
    assert valkey.command("DBSIZE") == 0
    assert sync("status")[1] == "no sync has run yet\n"


def test_the_plan_as_json(sync):
    plan = json.loads(sync("--plan", "--json")[1])
    assert plan["sources"][0]["idColumn"] == "email"
    assert plan["sources"][0]["columns"]["is_vip"] == "boolean"


def test_the_plan_of_a_later_run(sync):
    sync()
    assert "next run incremental: changes since the last sync" in sync("--plan")[1]
    assert "next run full: asked for" in sync("--plan", "--full")[1]


def test_a_dry_run_prints_the_commands(sync, valkey, warehouse):
    code, out, _ = sync("--dry-run", "2")
    assert (code, len(out.splitlines())) == (0, 6)
    assert out.startswith('HSET "1Wsp:2Dest:user:email:ada@example.com"')
    assert valkey.command("DBSIZE") == 0
    sync(mode="mirror", ttl="1h")
    order(warehouse, ["user7@example.com"])
    lines = sync("--dry-run", mode="mirror", ttl="1h")[1].splitlines()
    assert [line.split()[0] for line in lines] == ["HSET", "EXPIRE"] * 3
    assert lines[1] == 'EXPIRE "1Wsp:2Dest:user:email:user7@example.com" "3600"'


def test_status_shows_the_last_runs(sync):
    sync()
    sync("--full")
    lines = sync("status")[1].splitlines()
    assert lines[0].split()[:4] == ["started", "source", "run", "status"]
    assert [line.split()[2:8] for line in lines[1:3]] == [
        ["user", "by", "user_id", "00000002", "succeeded", "full"],
        ["user", "by", "anonymous_id", "00000002", "succeeded", "full"],
    ]
    runs = json.loads(sync("status", "--json")[1])["runs"]
    assert [one["reason"] for one in runs[:3]] == ["asked for"] * 3
    assert [(one["idType"], one["syncRunId"], one["delivered"]) for one in runs[:1]] == [("user_id", "00000002", USERS)]
    assert not [name for run in runs for name in run if "_" in name]


@pytest.mark.parametrize(
    "option", ["--full", "--allow-deletions", "--plan", "--dry-run=3", "--remove=", "--watch=5m", "--cron=* * * * *"]
)
def test_status_takes_no_option_of_a_run(sync, option):
    code, out, err = sync("status", option)
    name = option.partition("=")[0]
    assert (code, out) == (2, "")
    assert (
        err == f"edgeprofile: {name}: has no meaning with status, which shows the last runs: leave one of the two out\n"
    )


class TestDeletions:
    """Of a mirror whose view came out empty."""

    @pytest.fixture
    def emptied(self, sync, tmp_path):
        file = tmp_path / "warehouse.duckdb"
        (tmp_path / "pb_project.yaml").write_text(
            "entities: [{name: user, feature_views: {using_ids: [{id: email, name: view}]}}]"
        )
        with duckdb.connect(str(file)) as connection:
            connection.execute("CREATE TABLE view AS SELECT 'u' || i AS email, i AS n FROM range(1000) AS t(i)")

        def run(*arguments, **options):
            return sync(*arguments, project=str(tmp_path), mode="mirror", **options)

        assert run()[0] == 0
        with duckdb.connect(str(file)) as connection:
            connection.execute("DELETE FROM view")
        return run

    def test_the_run_is_refused(self, emptied, valkey):
        code, out, err = emptied("--json")
        assert (code, valkey.command("DBSIZE")) == (2, 1000)
        assert "edgeprofile: user by email: the view lacks 1,000 of the 1,000 rows that were sent to Redis" in err
        (report,) = json.loads(out)["sources"]
        assert (report["status"], report["deleted"], report["delivered"]) == ("refused", 1000, 0)
        assert "refused" in emptied("status")[1]

    def test_the_preview_says_so(self, emptied):
        plan = emptied("--plan")[1]
        assert "  deletes  1,000 of 1,000 rows\n  refused  the view lacks 1,000 of the 1,000 rows" in plan
        (source,) = json.loads(emptied("--plan", "--json")[1])["sources"]
        assert (source["deletes"], source["known"], source["refused"][:15]) == (1000, 1000, "the view lacks ")
        assert "refused" not in emptied("--plan", "--allow-deletions")[1]
        assert "user by email: refused: the view lacks" in emptied("--dry-run", "1")[2]

    def test_it_can_be_allowed(self, emptied, valkey):
        assert emptied("--allow-deletions")[0] == 0
        assert valkey.command("DBSIZE") == 0
        assert "deletes" not in emptied("--plan")[1]

    def test_what_was_allowed_is_not_refused_when_it_is_made_up_for(self, emptied, valkey, monkeypatch):
        def die(*_arguments):
            raise SyncCancelled

        with monkeypatch.context() as patched:
            patched.setattr(SourceSync, "_deliver", die)
            assert emptied("--allow-deletions")[0] == 1
        plan = emptied("--plan")[1]
        assert "deletes  1,000 of 1,000 rows" in plan
        assert "refused" not in plan
        assert emptied()[0] == 0
        assert valkey.command("DBSIZE") == 0

    def test_or_limited_by_nothing(self, emptied, valkey):
        assert emptied(maxDeletedShare=1.0)[0] == 0
        assert valkey.command("DBSIZE") == 0


class TestViewsThatLeftTheProject:
    @pytest.fixture
    def narrowed(self, sync, tmp_path):
        def run(*arguments, **options):
            return sync(*arguments, project=str(tmp_path), **options)

        sync()
        (tmp_path / "pb_project.yaml").write_text(
            "entities: [{name: user, feature_views: {using_ids: [{id: email, name: features_by_email}]}}]"
        )
        return run

    def test_every_run_tells_of_them(self, narrowed):
        told = f"web_personalization (user by anonymous_id) is no longer in the project, but what it sent stays in Redis, under {USERS} keys"
        for arguments in ((), ("--json",), ("--full",)):
            code, _, err = narrowed(*arguments)
            assert code == 0
            assert told in err
            assert err.count("is no longer in the project") == 2
        assert f"note: {told}" in narrowed("--plan")[1]
        assert told in json.loads(narrowed("--plan", "--json")[1])["notices"][0]

    def test_they_are_removed_one_by_one(self, narrowed, valkey):
        code, out, _ = narrowed("--remove", "web_personalization", "--json")
        (report,) = json.loads(out)["sources"]
        assert (code, report["source"], report["deleted"]) == (0, "user by anonymous_id", USERS)
        assert valkey.command("DBSIZE") == 2 * USERS
        _, _, err = narrowed()
        assert "web_personalization" not in err
        assert err.count("is no longer in the project") == 1

    @pytest.mark.parametrize("view", ["nothing", ""])
    def test_what_did_not_leave_is_not_removed(self, narrowed, valkey, view):
        code, _, err = narrowed("--remove", view)
        assert code == 2
        assert f"anything of '{view}' in Redis that it knows of; what left the project: user_feature_view_using" in err
        assert valkey.command("DBSIZE") == 3 * USERS

    def test_what_is_still_there_is_not_removed(self, narrowed, valkey):
        code, _, err = narrowed("--remove", "features_by_email")
        assert (code, "features_by_email is still in the project: take it out" in err) == (2, True)
        assert valkey.command("DBSIZE") == 3 * USERS

    @pytest.mark.parametrize("entity", ["{name: user}", "{name: user, feature_views: {using_ids: []}}"])
    def test_all_of_them_left(self, narrowed, tmp_path, valkey, entity):
        (tmp_path / "pb_project.yaml").write_text(f"entities: [{entity}]")
        code, _, err = narrowed()
        assert (code, "so there is nothing to sync" in err) == (2, True)
        code, out, _ = narrowed("--remove", "features_by_email", "--json")
        (report,) = json.loads(out)["sources"]
        assert (code, report["source"], report["deleted"]) == (0, "user by email", USERS)
        assert valkey.command("DBSIZE") == 2 * USERS
        code, out, _ = narrowed("status")
        assert (code, out.count("user by email")) == (0, 2)

    def test_one_whose_options_are_still_configured(self, narrowed, valkey):
        own = 'sources = [{entity = "user", id = "anonymous_id", ttl = "30d"}]'
        code, _, err = narrowed(own=own)
        assert (code, "the project has no feature view of user by anonymous_id" in err) == (2, True)
        assert narrowed("--remove", "web_personalization", own=own)[0] == 0
        assert valkey.command("DBSIZE") == 2 * USERS

    def test_that_they_cannot_be_looked_for_ends_no_sync(self, narrowed, monkeypatch):
        def refuse(_self, _session):
            raise WarehouseError("not now")

        monkeypatch.setattr(command.Sync, "_left", refuse)
        code, _, err = narrowed()
        assert code == 0
        assert "what is no longer in the project was not looked for: not now" in err


class TestFirstContact:
    """Before there is a snapshot."""

    @pytest.fixture
    def sync(self, config, capsys, redis_config, tmp_path):
        def run(address, *arguments, cluster=False, **options):
            file = tmp_path / "edgeprofile.toml"
            config(**options)
            text = file.read_text().replace(redis_config.address, address)
            file.write_text(text.replace("clusterMode = false", "clusterMode = true") if cluster else text)
            code = main(["sync", "--config", str(file), *arguments])
            out, err = capsys.readouterr()
            return code, out, err

        return run

    @pytest.mark.parametrize("cluster", [False, True])
    def test_a_redis_that_is_not_there_ends_it_at_once(self, sync, cluster):
        address, began = f"127.0.0.1:{free_port()}", time.monotonic()
        code, _, err = sync(address, cluster=cluster)
        assert (code, time.monotonic() - began < 10) == (2, True)
        assert f"edgeprofile: {address} cannot be reached: nothing listens there: no snapshot was taken" in err
        assert "check address and secure of the destination" in err
        assert "taking a snapshot" not in err
        assert sync(address, "status")[1] == "no sync has run yet\n"

    def test_one_that_is_silent_ends_it_soon(self, sync):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            code, out, err = sync(f"127.0.0.1:{silent.getsockname()[1]}", "--json", timeout="200ms")
        assert (code, json.loads(out)) == (2, {"sources": [], "exitCode": 2})
        assert "did not answer within 0.2 s" in err

    def test_one_that_asks_for_a_password(self, sync):
        with Server(Options(requirepass="secret")) as server:
            code, _, err = sync(server.address)
        assert (code, "asks for a password: set password or passwordFile" in err) == (2, True)

    def test_one_that_is_no_cluster(self, sync, redis_config):
        code, _, err = sync(redis_config.address, cluster=True)
        assert code == 2
        assert "destinations.config.clusterMode: " in err
        assert f"{redis_config.address} is no cluster: set clusterMode = false" in err

    def test_no_further_right_is_needed(self, sync, redis_config, valkey):
        valkey.command("ACL", "SETUSER", "default", "-@all", "+hset")
        assert sync(redis_config.address)[0] == 0

    def test_what_passes_is_waited_for(self, sync, redis_config, monkeypatch):
        def full(_lanes):
            raise NoRoom("no connection to spare", code="MAXCLIENTS")

        monkeypatch.setattr(Lanes, "greet", full)
        assert sync(redis_config.address)[0] == 0


class TestExitCodes:
    @pytest.fixture
    def gone(self, monkeypatch):
        """The address of a Redis that goes when the snapshot is there."""
        address = f"127.0.0.1:{free_port()}"

        def deliver(self, *arguments):
            self.redis = RedisConfig(address=address, cluster_mode=False)
            whole(self, *arguments)

        whole = SourceSync._deliver
        monkeypatch.setattr(SourceSync, "_deliver", deliver)
        return address

    def test_1_some_rows_failed(self, sync, valkey):
        valkey.command("SET", "1Wsp:2Dest:user:email:user7@example.com", "not a hash")
        code, _, err = sync()
        assert code == 1
        assert "1 failed" in err

    def test_1_redis_went_away(self, sync, gone):
        code, _, err = sync(retryFor="300ms")
        assert code == 1
        waits = (
            f"user by email: waits for Redis, and tries again for up to 300ms (sync.retryFor): {gone} cannot be reached"
        )
        assert err.count(waits) == 1
        assert f"user by email: stopped: {gone} cannot be reached" in err
        assert f"user by email: failed, full: 0 of {USERS} delivered (planned: {USERS} inserted), 0 unchanged; " in err
        runs = [line.split() for line in sync("status")[1].splitlines()[:4]]
        assert runs[0][6:10] == ["to", "insert", "to", "update"]
        assert {tuple(run[-8:-1]) for run in runs[1:]} == {(str(USERS), "0", "0", "0", "0", "0", "0")}

    def test_2_no_view(self, sync, tmp_path):
        (tmp_path / "pb_project.yaml").write_text("entities: [{name: user, feature_views: {using_ids: [{id: phone}]}}]")
        code, _, err = sync(project=str(tmp_path))
        assert code == 2
        assert "the warehouse has no view user_feature_view_using_phone" in err

    def test_2_a_mistake_of_ours_ends_its_source_and_no_other(self, sync, monkeypatch, valkey):
        def broken(self, state, run, job, *rest, **options):
            if job.source.id_type == "email":
                raise KeyError("_key")
            return whole(self, state, run, job, *rest, **options)

        whole = SourceSync._run  # where a mistake would be made
        monkeypatch.setattr(SourceSync, "_run", broken)
        code, _, err = sync()
        assert code == 2
        assert "user by email: KeyError: '_key' (this is a bug of ours)" in err
        assert valkey.command("DBSIZE") == 2 * USERS
        runs = json.loads(sync("status", "--json")[1])["runs"]
        assert sorted((one["idType"], one["status"]) for one in runs) == [
            ("anonymous_id", "succeeded"),
            ("email", "failed"),
            ("user_id", "succeeded"),
        ]

    def test_2_the_summary_tells_of_a_source_that_did_not_run(self, sync, tmp_path):
        (tmp_path / "pb_project.yaml").write_text(
            "entities: [{name: user, feature_views: {using_ids: [{id: phone}, {id: email, name: features_by_email}]}}]"
        )
        code, out, _ = sync("--json", project=str(tmp_path))
        summary = json.loads(out)
        assert (code, summary["exitCode"]) == (2, 2)
        assert [(one["source"], one["status"]) for one in summary["sources"]] == [
            ("user by phone", "refused"),
            ("user by email", "succeeded"),
        ]
        assert "has no view user_feature_view_using_phone" in summary["sources"][0]["error"]

    def test_2_the_summary_of_a_warehouse_that_cannot_be_opened(self, sync, tmp_path):
        (tmp_path / "no.duckdb").write_text("no database")
        code, out, _ = sync("--json", warehouse=f"duckdb://{tmp_path}/no.duckdb")
        assert (code, json.loads(out)) == (2, {"sources": [], "exitCode": 2})

    def test_a_feature_that_the_view_does_not_have_is_told(self, sync, tmp_path):
        (tmp_path / "pb_project.yaml").write_text(
            "entities: [{name: user, feature_views: {using_ids: [{id: email, name: features_by_email}],"
            " features: [{from: models/x, include: [shoe_size]}]}}]"
        )
        code, _, err = sync(project=str(tmp_path))
        assert code == 0
        assert "the view features_by_email has no column shoe_size" in err

    def test_the_other_sources_are_synced_all_the_same(self, sync, tmp_path, valkey):
        (tmp_path / "pb_project.yaml").write_text(
            "entities: [{name: user, feature_views: {using_ids: [{id: phone}, {id: email, name: features_by_email}]}}]"
        )
        assert sync(project=str(tmp_path))[0] == 2
        assert valkey.command("DBSIZE") == USERS

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"warehouse": "duckdb://nowhere.duckdb"}, "there is no DuckDB file nowhere.duckdb"),
            ({"warehouse": "nobody"}, "a connection of ~/.pb/siteconfig.yaml"),
            ({"project": "/nowhere"}, "cannot be read: No such file"),
            ({"destination": "2Other"}, "2Other"),
            ({"sources": [{"entity": "user", "id": "phone"}]}, "no feature view of user by phone"),
        ],
    )
    def test_2_a_wrong_configuration(self, sync, monkeypatch, options, words):
        if "sources" in options:
            monkeypatch.setattr(
                json,
                "dumps",
                lambda value: '[{entity = "user", id = "phone"}]' if isinstance(value, list) else f'"{value}"',
            )
        code, _, err = sync(**options)
        assert code == 2
        assert words in err

    def test_2_no_sync_section(self, config, tmp_path, capsys):
        file = config()
        (tmp_path / "edgeprofile.toml").write_text((tmp_path / "edgeprofile.toml").read_text().partition("[sync]")[0])
        assert main(["sync", "--config", file]) == 2
        assert "say where the Profiles project and its warehouse are" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--dry-run", "x"], 'argument --dry-run: "x" is no number of rows: write 1 or more'),
            (["--dry-run", "0"], 'argument --dry-run: "0" is no number of rows: write 1 or more'),
        ],
    )
    def test_2_a_number_that_is_none(self, config, capsys, arguments, words):
        with pytest.raises(SystemExit) as caught:
            main(["sync", "--config", config(), *arguments])
        assert caught.value.code == 2
        assert words in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--watch", "5"], '--watch: 5 has no unit: write "5s" if that is what was meant'),
            (["--watch", ""], '--watch: "" is no duration: write a number and a unit'),
            (["--watch", "soon"], '--watch: "soon" is no duration: write a number and a unit'),
            (["--watch", "0s"], '--watch: "0s" must lie between 1s and 24h'),
            (["--cron", ""], '--cron: "" is no cron expression'),
        ],
    )
    def test_2_no_schedule(self, sync, valkey, arguments, words):
        code, _, err = sync(*arguments)
        assert (code, valkey.command("DBSIZE")) == (2, 0)
        assert words in err

    @pytest.mark.parametrize("arguments", [["--plan", "--watch", "5m"], ["--cron"]])
    def test_2_wrong_arguments(self, config, arguments):
        with pytest.raises(SystemExit) as caught:
            main(["sync", "--config", config(), *arguments])
        assert caught.value.code == 2


class TestRepeated:
    @pytest.fixture
    def slept(self, monkeypatch):
        """A sleep that only counts, and ends the third."""
        seconds = []

        def sleep(amount):
            seconds.append(amount)
            if len(seconds) == 3:
                raise SyncCancelled

        monkeypatch.setattr(command.time, "sleep", sleep)
        return seconds

    def test_watch_begins_at_once(self, sync, slept):
        code, out, _ = sync("--watch", "15m", "--json", "--full")
        assert code == 0
        assert [json.loads(line)["sources"][0]["kind"] for line in out.splitlines()] == ["full", "incremental"]
        assert slept[0] == pytest.approx(0, abs=0.1)
        assert 880 < slept[1] <= 900

    @pytest.mark.usefixtures("slept")
    def test_what_is_asked_holds_for_each_of_two_views_by_one_id(self, sync, warehouse, tmp_path):
        views = "{using_ids: [{id: email, name: first}, {id: email, name: second}]}"
        project = tmp_path / "project"
        project.mkdir()
        (project / "pb_project.yaml").write_text(
            f"entities: [{{name: user, id_types: [email], feature_views: {views}}}]"
        )
        with duckdb.connect(str(warehouse)) as connection:
            for view in ("first", "second"):
                connection.execute(f"CREATE TABLE {view} AS SELECT 'ada' AS email, 1 AS n")
        assert sync(project=str(project))[0] == 0
        _, out, _ = sync("--watch", "15m", "--json", "--full", project=str(project))
        kinds = [[one["kind"] for one in json.loads(line)["sources"]] for line in out.splitlines()]
        assert kinds == [["full", "full"], ["incremental", "incremental"]]

    @pytest.mark.usefixtures("slept")
    def test_watch_allows_deletions_to_the_first_run_only(self, sync, monkeypatch):
        def run(self, job, *, full, allow_deletions):
            allowed.append(allow_deletions)
            return whole(self, job, full=full, allow_deletions=allow_deletions)

        allowed, whole = [], SourceSync.run
        monkeypatch.setattr(SourceSync, "run", run)
        sync("--watch", "15m", "--allow-deletions")
        assert allowed == [True] * 3 + [False] * 3

    def test_cron_waits_for_its_time(self, sync, slept):
        _, out, _ = sync("--cron", "* * * * *", "--json")
        assert len(out.splitlines()) == 2
        assert 0 < slept[0] <= 60

    @pytest.mark.usefixtures("slept")
    def test_a_run_that_fails_does_not_end_it(self, sync, warehouse):
        warehouse.rename(warehouse.with_suffix(".away"))
        _, _, err = sync("--watch", "15m")
        assert err.count("there is no DuckDB file") == 2

    @pytest.fixture
    def unready(self, monkeypatch):
        """A warehouse, or a view, that is not there the first time that it is asked for."""

        def once(owner, name):
            def refuse(*_arguments, **_options):
                monkeypatch.setattr(owner, name, was)
                raise WarehouseError("not now")

            was = getattr(owner, name)
            monkeypatch.setattr(owner, name, refuse)

        return once

    @pytest.mark.usefixtures("slept")
    def test_full_is_kept_until_there_is_a_warehouse(self, sync, unready):
        sync()
        unready(Warehouse, "open")
        _, out, err = sync("--watch", "15m", "--json", "--full")
        assert err.count("not now") == 1
        first, second = (json.loads(line)["sources"] for line in out.splitlines())
        assert first == []
        assert {one["kind"] for one in second} == {"full"}

    @pytest.mark.usefixtures("slept")
    def test_full_is_kept_for_a_source_until_a_run_of_it_is_prepared(self, sync, unready):
        sync()
        unready(command, "make_job")
        _, out, _ = sync("--watch", "15m", "--json", "--full")
        kinds = [[one["kind"] for one in json.loads(line)["sources"]] for line in out.splitlines()]
        assert kinds == [["", "full", "full"], ["full", "incremental", "incremental"]]
