"""What is written from the results of a run: the page, the pictures, the README."""

from xml.etree import ElementTree as ET

import pytest

from benchmarks import readme, report
from benchmarks.bench import QUICK
from benchmarks.page import __main__ as page
from benchmarks.page import charts
from benchmarks.page.scales import percent
from benchmarks.rounds import summary
from benchmarks.rows import Missing, Result, at_least, at_most, quantity, times_the_rate

ABOUT = {
    "cpu": "A processor",
    "cores": "2",
    "memory": "8 GiB",
    "system": "Linux 6 x86_64",
    "python": "CPython 3.12.1",
    "edgeprofile": "0.1.0",
    "valkey": "9.1.0",
    "load": "0.4",
}


@pytest.fixture
def found():
    feed = Result(
        figure="feed",
        title="Events",
        rows=[
            times_the_rate("feed", [8.0], [2.0], at_least(8), "redis-py"),
            quantity("cut off", [0.0], "times", at_most(0)),
            quantity("written", [7.0], "events"),
        ],
        missing=[Missing("coredis", "pip cannot install it")],
        samples={"edgeprofile, backlog": summary([8.0, 9.0]), "redis-py, backlog": summary([2.0, 2.1])},
    )
    return report.report(QUICK, [feed], ABOUT)


def test_the_readme_tells_every_bound_and_comparison_and_who_was_absent(found):
    text = readme.written("before\n<!-- benchmarks -->\nold\n<!-- /benchmarks -->\nafter\n", found)
    assert "| feed | 8 /s | redis-py: 2 /s | 4 x (4-4) | ≥ 8 x | **missed** |" in text
    assert "| cut off | 0 times |" in text
    assert "written" not in text
    assert "- coredis (Events): pip cannot install it" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("<!-- /benchmarks -->\nafter\n")


def test_the_page_comes_with_pictures_for_both_grounds(found, tmp_path, capsys):
    report.write(found, "latest", tmp_path)
    where = ["--output", str(tmp_path / "r.html"), "--charts", str(tmp_path / "charts")]
    assert page.main(["--results", str(tmp_path / "latest.json"), *where]) == 0
    assert "<svg" in (tmp_path / "r.html").read_text("utf-8")
    names = sorted(path.name for path in (tmp_path / "charts").iterdir())
    assert names == ["change-events-taken-in-a-second-dark.png", "change-events-taken-in-a-second-light.png"]
    light, dark = ((tmp_path / "charts" / name).read_bytes() for name in reversed(names))
    assert light.startswith(b"\x89PNG")
    assert light != dark
    assert "2 pictures" in capsys.readouterr().out


def test_charts_are_well_formed_whatever_is_told_in_them():
    line = charts.Line("a < b", [(0.1, 0.5), (0.2, 0.6)])
    made = [
        charts.histogram([1e-6, 1e-3], [50e-6, 1e-4], "ages"),
        charts.curves([line], "hits", "share", tell=percent, tell_across=percent, from_nothing=True),
        charts.bars([charts.Measure("a & b", 1, 2, 3)], "rates"),
        charts.dots([charts.Measure("a & b", 1, 2, 3)], "times"),
    ]
    assert [ET.fromstring(chart).tag.rpartition("}")[2] for chart in made] == ["svg"] * 4  # noqa: S314 (our own)


@pytest.mark.parametrize("main", [page.main, readme.main])
def test_without_results_it_is_said_how_to_get_some(main, monkeypatch, capsys):
    monkeypatch.setattr(report, "newest", lambda: None)
    assert main([]) == 2
    assert "make bench" in capsys.readouterr().err
