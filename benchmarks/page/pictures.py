"""The page's charts as PNG, for where no style sheet reaches: one for light grounds, one for dark."""

import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.page.sections import Section

_SHEET = Path(__file__).with_name("style.css")
_VALUES = re.compile(r":root \{([^}]*--[^}]*)\}")
_VALUE = re.compile(r"--(\w+): (#\w+)")
_RULE = re.compile(r"^svg (\..*)$", re.MULTILINE)
_ZOOM = 2
THEMES = ("light", "dark")


def pictures(section: Section) -> Iterator[tuple[str, bytes]]:
    """A file's name and its bytes, for each theme.

    Raises:
        ModuleNotFoundError: resvg-py, which draws them, is not installed.
    """
    from resvg_py import svg_to_bytes

    stem = re.sub(r"\W+", "-", section.title.lower()).strip("-")
    for theme in THEMES:
        colours = _colours(theme)
        rules = re.sub(r"var\(--(\w+)\)", lambda found: colours[found[1]], "\n".join(_RULE.findall(_sheet())))  # noqa: B023
        drawn = svg_to_bytes(
            svg_string=section.chart,
            style_sheet=rules,
            background=colours["panel"],
            zoom=_ZOOM,
            font_size=13,
            font_family="DejaVu Sans",
        )
        yield f"{stem}-{theme}.png", bytes(drawn)


def _colours(theme: str) -> dict[str, str]:
    light, dark = (dict(_VALUE.findall(values)) for values in _VALUES.findall(_sheet()))
    return dark if theme == "dark" else light


def _sheet() -> str:
    return _SHEET.read_text(encoding="utf-8")
