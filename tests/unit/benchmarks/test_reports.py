"""What is written from the results of a run: the page, the pictures, the README."""

import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks import public, readme, report
from benchmarks.bench import QUICK
from benchmarks.figures.ratio import PUBLIC
from benchmarks.page import __main__ as page
from benchmarks.page import charts, pictures, sections
from benchmarks.page.document import document
from benchmarks.page.scales import percent
from benchmarks.rounds import summary
from benchmarks.rows import Missing, Result, at_least, at_most, quantity, times_the_cost, times_the_rate

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


@pytest.fixture
def weighed():
    """A run with what a profile weighs, and with hits by several policies."""
    held = {"edgeprofile, never decoded": 926.0, "the profile's JSON itself": 572.0}
    memory = Result(
        figure="memory",
        title="Memory",
        samples={f"{name}, bytes": summary([size]) for name, size in held.items()},
        settings={"profiles": 50_000, "encoded bytes": 572.25},
    )
    policies = ("edgeprofile", "edgeprofile, sieve", "exact LRU", "SIEVE")
    ratios = {f"{name}, {PUBLIC}, {share}": summary([0.5 + share]) for name in policies for share in (0.01, 0.1, 0.5)}
    return report.report(QUICK, [memory, Result(figure="ratio", title="Hits", samples=ratios)], ABOUT)


@pytest.mark.parametrize(("value", "told"), [(1.1005, "1.101 x"), (1.099, "1.1 x"), (1.1, "1.1 x"), (1.2345, "1.23 x")])
def test_a_ratio_is_told_on_its_own_side_of_the_bound(value, told):
    row = times_the_cost("memory, growth", [value], [1.0], at_most(1.1), "half as many rows")
    assert report.cells(row).ratio.startswith(f"{told} (")


def test_the_readme_tells_every_bound_and_comparison_and_who_was_absent(found, tmp_path):
    text = readme.written("before\n<!-- benchmarks -->\nold\n<!-- /benchmarks -->\nafter\n", found, tmp_path)
    assert "| feed | 8 /s | redis-py: 2 /s | 4 x (4-4) | ≥ 8 x | **missed** |" in text
    assert "| cut off | 0 times |" in text
    assert "written" not in text
    assert "- coredis (Events): pip cannot install it" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("<!-- /benchmarks -->\nafter\n")


def test_the_readme_shows_the_pictures_that_were_drawn(weighed, tmp_path):
    charts = tmp_path / "benchmarks" / "charts"
    charts.mkdir(parents=True)
    assert "<picture>" not in readme.block(weighed, charts)
    for theme in pictures.THEMES:
        charts.joinpath(f"bytes-of-memory-for-a-cached-profile-{theme}.png").touch()
    (shown,) = re.findall(r"<picture>.*</picture>", readme.block(weighed, charts))
    assert 'srcset="benchmarks/charts/bytes-of-memory-for-a-cached-profile-dark.png"' in shown
    assert 'src="benchmarks/charts/bytes-of-memory-for-a-cached-profile-light.png"' in shown


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


def test_what_a_profile_weighs_is_charted_the_lightest_first(weighed):
    chart = next(section.chart for section in sections.of(weighed) if section.title.startswith("Bytes of memory"))
    assert chart.index("JSON itself") < chart.index("edgeprofile, never decoded")
    assert ">926<" in chart
    assert "whisker" not in chart  # one measurement has no range


def test_curves_are_told_apart_and_ours_are_on_top(weighed):
    section = next(section for section in sections.of(weighed) if public.TITLE in section.title)
    curves = [found[1] for found in re.finditer(r'<g class="(\w+ \w+)">', section.chart)]
    assert curves == ["peer tone0", "peer tone1", "ours dash0", "ours dash1"]
    assert "CC-BY" in section.text


@pytest.mark.parametrize(
    ("places", "named"),
    [
        ([10, 200], [10, 200]),
        ([50, 40, 45], [76, 40, 58]),
        ([200, 200, 200], [164, 182, 200]),
        ([190, 100, 199], [182, 100, 200]),
    ],
)
def test_names_of_curves_stand_apart_and_above_the_axis(places, named):
    assert charts._apart(places, 200) == named


def test_the_page_tells_versions_load_settings_and_every_row(found, weighed):
    page = document(report.report(QUICK, [*found.results, *weighed.results], ABOUT))
    assert "quick run: EdgeProfile 0.1.0, CPython 3.12.1, Valkey 9.1.0; A processor, 2 cores" in page
    assert "load 0.4 before it began" in page
    assert "All 3 figures, also those without a bound" in page
    assert "<td>written</td>" in page
    assert f"run: mode quick, entries {QUICK.entries}, " in page
    assert "Memory: profiles 50000, encoded bytes 572.25" in page
    assert "coredis (Events): pip cannot install it" in page


def test_a_picture_stands_without_the_page(weighed):
    section = next(sections.of(weighed))
    framed = pictures._framed(section, "2 cores & more")
    root = ET.fromstring(framed)  # noqa: S314 (our own)
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == section.title
    assert texts[-1] == "2 cores & more"
    assert float(root.attrib["viewBox"].split()[3]) > float(ET.fromstring(section.chart).attrib["viewBox"].split()[3])  # noqa: S314


@pytest.mark.parametrize("theme", pictures.THEMES)
def test_rules_of_pictures_are_of_plain_classes_and_plain_colours(theme):
    rules = pictures._rules(theme)
    assert ".tone0 .curve, .tone0 .leader { stroke: #" in rules
    assert "svg" not in rules
    assert "var(" not in rules


def test_charts_are_well_formed_whatever_is_told_in_them():
    line = charts.Line("a < b", [(0.1, 0.5), (0.2, 0.6)])
    made = [
        charts.histogram([1e-6, 1e-3], [50e-6, 1e-4], "ages", "age & share"),
        charts.curves([line], "hits", "share", tell=percent, tell_across=percent, from_nothing=True),
        charts.bars([charts.Measure("a & b", 1, 2, 3)], "rates", "a second"),
        charts.dots([charts.Measure("a & b", 1, 2, 3)], "times", "time"),
    ]
    assert [ET.fromstring(chart).tag.rpartition("}")[2] for chart in made] == ["svg"] * 4  # noqa: S314 (our own)


@pytest.mark.parametrize("main", [page.main, readme.main])
def test_without_results_it_is_said_how_to_get_some(main, monkeypatch, capsys):
    monkeypatch.setattr(report, "newest", lambda: None)
    assert main([]) == 2
    assert "make bench" in capsys.readouterr().err
