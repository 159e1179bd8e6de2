"""How a sync is told about: lines, bars, tables."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from edgeprofile.reverse_etl import progress
from edgeprofile.reverse_etl.preview import Preview
from edgeprofile.reverse_etl.progress import Bars, Lines, ended_line, progress_for
from edgeprofile.reverse_etl.sync import Report
from edgeprofile.reverse_etl.tables import plan_text, status_text


def report(**changes):
    return Report(
        **{
            "source": "user by email",
            "view": "features_by_email",
            "connection_id": "c",
            "kind": "full",
            "reason": "asked for",
            "inserted": 2_000,
            "delivered": 2_000,
            **changes,
        }
    )


class TestEnd:
    def test_all_is_well(self):
        done = report(status="succeeded", delivered=2_000, seconds=2.0, delivery_seconds=0.5)
        assert ended_line(done) == "user by email: succeeded, full: 2,000 inserted, 0 unchanged; 2.0 s, 4,000 rows/s"

    def test_not_all_is_well(self):
        done = report(
            status="failed",
            kind="incremental",
            inserted=0,
            delivered=0,
            invalid=3,
            failed=1,
            error="nothing listens there",
        )
        assert ended_line(done) == (
            "user by email: failed, incremental: 0 unchanged, 3 set aside, 1 failed; 0.0 s: nothing listens there"
        )

    @pytest.mark.parametrize("status", ["failed", "cancelled", "refused", "partial"])
    def test_what_was_not_delivered_is_called_planned(self, status):
        done = report(status=status, inserted=1_000, updated=999, deleted=1, delivered=1_500, unchanged=7, failed=2)
        assert ended_line(done).startswith(
            f"user by email: {status}, full: 1,500 of 2,000 delivered (planned: 1,000 inserted, 999 updated, 1 deleted),"
            " 7 unchanged, 2 failed; "
        )


class TestLines:
    @pytest.fixture
    def clock(self):
        return iter(range(0, 1_000, 2)).__next__

    def test_a_line_for_each_phase_and_one_now_and_then(self, clock):
        out = io.StringIO()
        with Lines(out, clock) as lines:
            told = report()
            lines(told, "preparing")
            for told.delivered in (0, 500, 1_000, 1_500, 2_000):
                lines(told, "delivering")
            told.status = "succeeded"
            lines(told, "ended")
        assert out.getvalue().splitlines() == [
            "user by email: taking a snapshot of features_by_email",
            "user by email: full (asked for), 0 of 2,000 rows",
            "user by email: full (asked for), 1,500 of 2,000 rows",
            "user by email: succeeded, full: 2,000 inserted, 0 unchanged; 0.0 s",
        ]


class TestBars:
    def test_a_bar_with_rows_that_makes_way_for_a_line(self):
        out = io.StringIO()
        console = Console(file=out, force_terminal=True, width=120, legacy_windows=False)
        with Bars(console) as bars:
            told = report()
            bars(told, "preparing")
            told.delivered = 1_500
            bars(told, "delivering")
            bars._progress.refresh()
            told.status, told.delivered = "succeeded", 2_000
            bars(told, "ended")
            bars(report(source="another", status="failed"), "ended")
        shown = out.getvalue()
        assert "user by email: full" in shown
        assert "1500/2000" in shown
        assert "user by email: succeeded, full: 2,000 inserted" in shown
        assert "another: failed" in shown


class TestChoice:
    @pytest.mark.parametrize(
        ("as_json", "is_terminal", "kind"), [(True, True, "_Silent"), (False, True, "Bars"), (False, False, "Lines")]
    )
    def test_it_follows_the_output(self, monkeypatch, as_json, is_terminal, kind):
        monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: is_terminal, raising=False)
        chosen = progress_for(as_json=as_json)
        assert type(chosen).__name__ == kind

    def test_silence_says_nothing(self, capsys):
        with progress_for(as_json=True) as silent:
            silent(report(), "ended")
        assert capsys.readouterr() == ("", "")


def test_a_plan():
    one = Preview(
        source="user by email",
        view="features_by_email",
        id_column="email",
        key="1Wsp:2Dest:user:email:{email}",
        columns={"country": "string"},
        mode="mirror",
        kind="incremental",
        reason="changes since the last sync",
        removed=("plan",),
        notices=("pb_project.yaml:7: the view has no column spend",),
    )
    text = plan_text([one], ["not supported: cohorts"])
    for part in (
        "  key      1Wsp:2Dest:user:email:{email}\n",
        "    country: string\n",
        "  gone     plan (stay on unchanged rows until these change, or --full)\n",
        "  note     pb_project.yaml:7: the view has no column spend\n",
        "note: not supported: cohorts\n",
    ):
        assert part in text


def test_no_runs():
    assert status_text([]) == "no sync has run yet\n"


def test_past_runs():
    started = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    row = {
        "started_at": started,
        "finished_at": started + timedelta(seconds=1.5),
        "entity": "user",
        "id_type": "email",
        "sync_run_id": "00000007",
        "status": "failed",
        "sync_kind": "full",
        "reason": "asked for",
        "inserted": 1_000,
        "updated": 0,
        "deleted": None,
        "unchanged": 0,
        "invalid": 0,
        "delivered": 750,
        "failed": 1,
        "error": "nothing listens there",
    }
    running = {**row, "finished_at": None, "status": "delivering", "sync_kind": None, "reason": None, "error": None}
    text = status_text([row, running])
    assert "2026-03-01 12:30:00  user by email  00000007  failed" in text
    assert "1,000" in text
    assert "1.5" in text
    lines = [line.split() for line in text.splitlines()]
    assert lines[1][-6:] == ["0", "0", "0", "750", "1", "1.5"]
    assert lines[2][-4:] == ["1,000", "0", "0", "0"]
    assert text.endswith("00000007: nothing listens there\n")
