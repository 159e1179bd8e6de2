"""The committed baseline: what it takes from several runs, and how a new run is judged by it."""

import math
import random
from functools import partial

import pytest

from benchmarks import __main__ as command
from benchmarks import baseline, report
from benchmarks.bench import FULL, QUICK
from benchmarks.children import ContenderFailed
from benchmarks.report import cells
from benchmarks.rows import Result, at_most, quantity, times_the_cost, times_the_rate

HERE = {"cpu": "A processor", "cores": "2", "load": "0.4"}
THEINE = {"theine": {"python": "3.11.7", "theine": "2.0.0"}}


def result(cost, figure="hit", name="hit", peer="dict", versions=None):
    """A figure with one ratio: our cost as a multiple of the peer's."""
    row = times_the_cost(name, [cost], [1.0], at_most(3), peer)
    return Result(figure=figure, title="", rows=[row], versions=versions or {})


def run(*results, settings=QUICK, about=HERE):
    return report.report(settings, results, about)


def judged(known, cost):
    return baseline.shortfalls([result(cost)], known)


def test_a_row_falls_short_only_beyond_the_tolerance():
    known = baseline.known([[result(2.0)]] * 3)
    assert not judged(known, 2.3)
    (short,) = judged(known, 2.4)
    assert "17% short" in str(short)


def test_a_quiet_row_is_compared_with_the_lower_quartile_of_its_runs():
    known = baseline.known([[result(cost)] for cost in (1.96, 1.98, 2.0, 2.02, 2.1)])
    row = known["hit / dict"]
    assert (row.median, row.low, row.worst, row.best, row.runs) == (1 / 2.0, 1 / 2.02, 1 / 2.1, 1 / 1.96, 5)
    assert not row.noisy
    assert not judged(known, 2.02 / 0.851)
    assert judged(known, 2.02 / 0.849)


def test_a_row_that_differs_from_run_to_run_is_compared_with_less_than_its_worst():
    known = baseline.known([[result(cost)] for cost in (1.2, 1.2, 1.3, 1.5, 1.6)])
    row = known["hit / dict"]
    assert row.noisy
    assert row.spread == pytest.approx(0.25)
    assert row.reference == pytest.approx(0.75 / 1.6)
    assert not judged(known, 1.6 / 0.75 / 0.851)
    assert judged(known, 1.6 / 0.75 / 0.849)


def test_a_row_that_few_runs_had_is_taken_for_noisy():
    known = baseline.known([[result(2.0)], [result(2.2)], []])
    assert known["hit / dict"].noisy


def failures(spread, loss, trials=4_000):
    """The share of checks that fail when runs differ by that much (a standard deviation) and code got worse by `loss`."""
    chance, failed = random.Random(7), 0
    for _ in range(trials):
        draws = [math.exp(chance.gauss(0, spread)) for _ in range(command.RUNS + 2)]
        known = baseline.known([[result(1 / score)] for score in draws[:-2]])
        failed += all(judged(known, 1 / (score * (1 - loss))) for score in draws[-2:])
    return failed / trials


@pytest.mark.parametrize("spread", [0.02, 0.05, 0.1, 0.15, 0.2, 0.4])
def test_unchanged_code_hardly_ever_fails(spread):
    assert failures(spread, loss=0.0) < 0.002


@pytest.mark.parametrize(("spread", "loss"), [(0.02, 0.2), (0.04, 0.3), (0.08, 0.5), (0.2, 0.8)])
def test_a_loss_well_beyond_the_noise_fails(spread, loss):
    assert failures(spread, loss, trials=1_000) > 0.9


def test_a_ratio_without_a_target_is_judged_as_well():
    def rate(ours):
        return Result(figure="sidecar", title="", rows=[times_the_rate("sidecar", [ours], [1.0], None, "webdis")])

    known = baseline.known([[rate(2.0)]] * 3)
    assert known["sidecar / webdis"].reference == 2.0
    assert not baseline.shortfalls([rate(3.0)], known)
    assert baseline.shortfalls([rate(1.6)], known)


def test_a_note_is_no_part_of_the_name_by_which_a_row_is_known():
    row = times_the_cost("p99", [1.0], [1.0], None, "bare", note="24,517/s")
    assert list(baseline.known([[Result(figure="half", title="", rows=[row])]])) == ["p99 / bare"]
    assert cells(row).peer == "bare: 1 s; 24,517/s"


def test_a_quantity_of_the_machine_is_no_part_of_a_baseline():
    rows = [quantity("import", [42.0], "ms", at_most(60))]
    assert not baseline.known([[Result(figure="import", title="", rows=rows)]])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "baseline.json"


def test_a_baseline_has_the_runs_the_machine_and_the_versions_in_it(path):
    busy = {**HERE, "load": "3.1"}
    baseline.write([run(result(2.0)), run(result(2.2), about=busy), run(result(2.1, versions=THEINE))], path)
    written = baseline.load(path)
    assert written.machine == HERE
    assert written.versions == THEINE
    assert written.finished
    assert written.rows["quick"]["hit / dict"].runs == 3
    assert written.rows["quick"]["hit / dict"].worst == 1 / 2.2


def test_what_was_not_measured_anew_stays(path):
    baseline.write([run(result(2.0), result(3.0, "miss", "miss", "redis"))], path)
    baseline.write([run(result(5.0), settings=FULL)], path)
    baseline.write([run(result(4.0, name="another"))], path)
    rows = baseline.load(path).rows
    assert {mode: sorted(names) for mode, names in rows.items()} == {
        "quick": ["another / dict", "miss / redis"],
        "full": ["hit / dict"],
    }


def test_what_another_machine_reached_does_not_stay(path):
    baseline.write([run(result(3.0, "miss", "miss", "redis"))], path)
    baseline.write([run(result(2.0), about={**HERE, "cores": "4"})], path)
    assert list(baseline.load(path).rows["quick"]) == ["hit / dict"]


def test_without_a_file_the_baseline_is_empty(path):
    assert not baseline.load(path).rows


def remarks(found, *runs, about=HERE, versions=None):
    rows = {"quick": baseline.known(runs)}
    return list(baseline.remarks(found, baseline.Baseline(machine=about, versions=versions or {}, rows=rows)))


def test_nothing_is_remarked_where_all_is_as_it_was():
    quiet = [result(2.0, versions=THEINE)]
    assert not remarks(run(*quiet, about={**HERE, "load": "4.0"}), quiet, quiet, quiet, versions=THEINE)


def test_a_busy_machine_is_named():
    told = remarks(run(result(2.0), about={**HERE, "load": "7.5"}), *[[result(2.0)]] * 3)
    assert told == ["the machine was busy before the first figure, load 7.5 on 2 cores: ratios may say little"]


def test_another_machine_is_named():
    there, here = (
        {**HERE, "cores": cores, "python": f"CPython {python}"} for cores, python in (("2", "3.11"), ("8", "3.13"))
    )
    told = remarks(run(result(2.0), about=here), *[[result(2.0)]] * 3, about=there)
    assert told == [
        "the baseline is of another machine: cores 2, here 8",
        "the baseline is of another machine: python CPython 3.11, here CPython 3.13",
    ]


def test_another_version_of_a_contender_is_named():
    newer = {"theine": {"python": "3.11.7", "theine": "2.1.0"}, "new": {"new": "1"}}
    told = remarks(run(result(2.0, versions=newer)), *[[result(2.0)]] * 3, versions=THEINE)
    assert told == ["another version than in the baseline: theine, theine 2.0.0, now 2.1.0"]


def test_a_noisy_row_is_named_with_its_spread():
    (told,) = remarks(run(result(1.6)), *([result(cost)] for cost in (1.0, 1.0, 2.0)))
    assert told == (
        "noisy, so loosely judged: hit / dict, spread 50% over 3 runs (0.625; median 1, compared with 0.25)"
    )


def test_what_cannot_be_compared_is_named():
    known = [result(2.0), result(3.0, "miss", "miss", "redis")]
    told = remarks(run(result(2.0, peer="a new one"), Result(figure="feed", title="")), known, known, known)
    assert told == ["in the baseline, but not measured: hit / dict", "not in the baseline: hit / a new one"]


def fails(_bench):
    raise ContenderFailed("it ended")


def lacks(bench, ours):
    bench.miss("somebody", "pip cannot install it", ours=ours)


def short(bench):
    bench.add(times_the_cost("hit", [3.0], [1.0], None, "dict"))


def good(bench):
    bench.add(times_the_cost("hit", [2.0], [1.0], None, "dict"))


@pytest.mark.parametrize(
    ("measure", "known", "code", "runs"),
    [
        (good, True, 0, 1),
        (good, False, 2, 0),
        (short, True, 1, 2),
        (fails, True, 1, 2),
        (partial(lacks, ours=True), True, 1, 2),
        (partial(lacks, ours=False), True, 0, 1),
    ],
)
def test_a_check_forgives_the_absence_of_others_alone(monkeypatch, measure, known, code, runs):
    rows = {"quick": baseline.known([[result(2.0)]])} if known else {}
    assert checked(monkeypatch, measure, baseline.Baseline(rows=rows)) == (code, runs)


@pytest.mark.parametrize(("measure", "code"), [(short, 0), (fails, 1)])
def test_what_falls_short_on_another_machine_is_told_and_fails_nothing(monkeypatch, capsys, measure, code):
    known = baseline.Baseline(machine={"cpu": "Another"}, rows={"quick": baseline.known([[result(2.0)]] * 3)})
    assert checked(monkeypatch, measure, known) == (code, 2)
    assert ("fails nothing, for the baseline is of another machine" in capsys.readouterr().err) is (code == 0)


def checked(monkeypatch, measure, known):
    """The exit code of a check of one figure, and how often that was measured."""
    calls = []

    def measured(bench):
        calls.append(bench)
        measure(bench)

    monkeypatch.setattr(command, "MAIN", {"hit": ("A hit", measured)})
    monkeypatch.setattr(command, "FIGURES", {"hit": ("A hit", measured)})
    monkeypatch.setattr(command.report, "write", lambda *_: None)
    monkeypatch.setattr(baseline, "load", lambda: known)
    return command.main(["--quick", "--check"]), len(calls)


def test_a_baseline_is_made_of_so_many_runs(monkeypatch):
    calls, written = [], []
    monkeypatch.setattr(command, "MAIN", {"hit": ("A hit", lambda bench: (calls.append(bench), good(bench)))})
    monkeypatch.setattr(command, "FIGURES", command.MAIN)
    monkeypatch.setattr(command.report, "write", lambda *_: None)
    monkeypatch.setattr(baseline, "write", written.extend)
    assert command.main(["--quick", "--write-baseline", "--runs", "4"]) == 0
    assert len(calls) == len(written) == 4


@pytest.mark.parametrize("wrong", [["--write-baseline", "--runs", "2"], ["--write-baseline", "--check"]])
def test_a_baseline_that_would_tell_nothing_is_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        command.main(["--quick", *wrong])
    assert "not allowed" in (told := capsys.readouterr().err) or "fewer than 3 runs" in told
