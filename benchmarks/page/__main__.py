"""``python -m benchmarks.page``: read the results of a run, write `benchmarks/report.html`."""

import argparse
from pathlib import Path

from benchmarks import report
from benchmarks.page.document import document

TARGET = report.RESULTS.parent / "report.html"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description="Write the report with charts.")
    parser.add_argument("--results", type=Path, default=report.RESULTS / "latest.json", help="JSON of a run")
    parser.add_argument("--output", type=Path, default=TARGET)
    options = parser.parse_args()
    options.output.write_text(document(report.read(options.results)), encoding="utf-8")
    print(f"wrote {options.output.name}")


if __name__ == "__main__":
    main()
