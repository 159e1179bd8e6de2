"""The page's charts as PNG, for where no style sheet reaches: one for light grounds, one for dark."""

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from benchmarks.page.charts import WIDTH
from benchmarks.page.sections import Section

_SHEET = Path(__file__).with_name("style.css")
_VALUES = re.compile(r":root \{([^}]*--[^}]*)\}")
_VALUE = re.compile(r"--(\w+): (#\w+)")
_RULE = re.compile(r"^svg \..*$", re.MULTILINE)
_HEIGHT = re.compile(r'<svg viewBox="0 0 \d+ ([\d.]+)"[^>]*>(.*)</svg>', re.DOTALL)
_ZOOM = 2
_HEAD, _FOOT = 44, 28  # pixels
THEMES = ("light", "dark")


def pictures(section: Section, circumstances: str) -> Iterator[tuple[str, bytes]]:
    """A file's name and its bytes, for each theme; `circumstances` stand in a line below the chart.

    Raises:
        ModuleNotFoundError: resvg-py, which draws them, is not installed.
    """
    from resvg_py import svg_to_bytes

    for theme in THEMES:
        drawn = svg_to_bytes(
            svg_string=_framed(section, circumstances),
            style_sheet=_rules(theme),
            background=_colours(theme)["panel"],
            zoom=_ZOOM,
            font_size=13,
            font_family="DejaVu Sans",
        )
        yield file_name(section, theme), bytes(drawn)


def file_name(section: Section, theme: str) -> str:
    """What the picture of that section is called."""
    stem = re.sub(r"\W+", "-", section.title.lower()).strip("-")
    return f"{stem}-{theme}.png"


def _framed(section: Section, circumstances: str) -> str:
    """The chart with its title above it, for a picture stands without the page's text."""
    chart = _HEIGHT.fullmatch(section.chart)
    assert chart is not None
    height = _HEAD + float(chart[1]) + _FOOT
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" xmlns="http://www.w3.org/2000/svg">'
        f'<text class="heading" x="12" y="28">{escape(section.title)}</text>'
        f'<g transform="translate(0 {_HEAD})">{chart[2]}</g>'
        f'<text class="small" x="12" y="{height - 10}">{escape(circumstances)}</text></svg>'
    )


def _rules(theme: str) -> str:
    """The page's rules for charts, all for plain classes: a chart is the whole picture, and alike rules must weigh alike."""
    colours = _colours(theme)
    rules = "\n".join(_RULE.findall(_sheet())).replace("svg .", ".")
    return re.sub(r"var\(--(\w+)\)", lambda found: colours[found[1]], rules)


def _colours(theme: str) -> dict[str, str]:
    light, dark = (dict(_VALUE.findall(values)) for values in _VALUES.findall(_sheet()))
    return dark if theme == "dark" else light


def _sheet() -> str:
    return _SHEET.read_text(encoding="utf-8")
