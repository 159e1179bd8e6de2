"""``python -m benchmarks.page``: read the results of a run, write `benchmarks/report.html` and `benchmarks/charts/*.png`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.page import pictures, sections
from benchmarks.page.document import circumstances, document
from benchmarks.report import Report

TARGET = report.RESULTS.parent / "report.html"
CHARTS = report.RESULTS.parent / "charts"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and the pictures; 2 without results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description="Write the report with charts.")
    parser.add_argument("--results", type=Path, help="JSON of a run; the newest of a whole run if not given")
    parser.add_argument("--output", type=Path, default=TARGET)
    parser.add_argument("--charts", type=Path, default=CHARTS, help="folder for the pictures")
    options = parser.parse_args(arguments)
    results = options.results or report.newest()
    if results is None or not results.exists():
        print(report.NONE_YET, file=sys.stderr)
        return 2
    found = report.read(results)
    options.output.write_text(document(found), encoding="utf-8")
    print(f"wrote {options.output.name} from {results.name}; {_drawn(found, options.charts)}")
    return 0


def _drawn(found: Report, folder: Path) -> str:
    drawn = 0
    try:
        for section in sections.of(found):
            for name, picture in pictures.pictures(section, circumstances(found)):
                folder.mkdir(parents=True, exist_ok=True)
                folder.joinpath(name).write_bytes(picture)
                drawn += 1
    except ModuleNotFoundError as error:
        return f"no pictures: {error.name} is not installed"
    return f"{drawn} pictures in {folder.name}/"


if __name__ == "__main__":
    sys.exit(main())
