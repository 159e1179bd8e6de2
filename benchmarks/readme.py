"""``python -m benchmarks.readme``: write the README's block of figures from the results of a run.

Every row with a bound is in it, met or missed, and every comparison with a peer; so is who could not take part.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.children import ROOT
from benchmarks.page import pictures, sections
from benchmarks.page.__main__ import CHARTS
from benchmarks.page.sections import Section
from benchmarks.report import Report
from docs.blocks import replaced

README = ROOT / "README.md"
BLOCK = "benchmarks"
SHOWN = (sections.LATENCY, sections.HTTP, sections.STALENESS, sections.MEMORY)
_WHAT = {"full": "Full run", "quick": "Quick run"}


def block(found: Report, charts: Path = CHARTS) -> str:
    """The text between the marks; of the pictures those that were drawn."""
    return "\n".join([*_note(found), "", *_pictures(found, charts), *_table(found), "", *_absent(found)])


def written(readme: str, found: Report, charts: Path = CHARTS) -> str:
    """The README with the block of this run."""
    return replaced(readme, BLOCK, block(found, charts))


def _note(found: Report) -> Iterator[str]:
    about = found.machine
    yield (
        f"{_WHAT[found.settings.mode]} of {found.finished[:10]} on {about['cores']} cores ({about['cpu']}, {about['memory']}, "
        f"{about['system']}, {about['python']}, Valkey {about['valkey']}),"
    )
    yield f"load {about.get('load', 'unknown')} before it began; everything on loopback. Only the ratios travel to other machines."


def _pictures(found: Report, charts: Path) -> Iterator[str]:
    for section in sections.of(found):
        files = [charts / pictures.file_name(section, theme) for theme in pictures.THEMES]
        if section.title in SHOWN and all(file.exists() for file in files):
            yield _picture(section, *(file.relative_to(charts.parents[1]).as_posix() for file in files))
            yield ""


def _picture(section: Section, light: str, dark: str) -> str:
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img alt="{section.title}" src="{light}"></picture>'
    )


def _table(found: Report) -> Iterator[str]:
    yield from report.HEAD
    for result in found.results:
        for row in result.rows:
            if row.target is not None or row.peer is not None:
                yield report.line(row)


def _absent(found: Report) -> list[str]:
    lines = [f"- {line}" for line in report.absences(found)]
    return ["Not measured:", "", *lines, ""] if lines else []


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the block; 2 without results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description="Write the README's figures.")
    parser.add_argument("--results", type=Path, help="JSON of a run; the newest of a whole run if not given")
    options = parser.parse_args(arguments)
    results = options.results or report.newest()
    if results is None or not results.exists():
        print(report.NONE_YET, file=sys.stderr)
        return 2
    README.write_text(written(README.read_text(encoding="utf-8"), report.read(results)), encoding="utf-8")
    print(f"wrote the figures of {results.name} into {README.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
