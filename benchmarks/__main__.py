"""``python -m benchmarks``: measure, print, write; with ``--check``, fail where ratios fell short of the baseline twice.

A figure of ours that could not be measured fails as well, and so does a check against a baseline that is not there.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence

from benchmarks import baseline, machine, report
from benchmarks.bench import FULL, QUICK, Bench, Settings
from benchmarks.children import Absent, ContenderFailed
from benchmarks.figures import FIGURES, MAIN
from benchmarks.rows import Missing, Result


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 1 only where ``--check`` found the same shortfall in two runs, 2 where it had no baseline."""
    options = _parser().parse_args(arguments)
    settings = QUICK if options.quick else FULL
    about = machine.description()  # of the time before the first figure, for the load is not ours then
    if options.check and not baseline.load().scores.get(settings.mode):
        print(f"no baseline of a {settings.mode} run to check against: --write-baseline makes one", file=sys.stderr)
        return 2
    names = options.only or list(MAIN if options.quick else FIGURES)
    found = report.report(settings, [_measured(name, settings) for name in names], about)
    print("\n" + report.markdown(found))
    report.write(found, _stem(options.quick, bool(options.only)))
    if options.write_baseline:
        baseline.write(found)
    return _checked(found, settings) if options.check else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="EdgeProfile against its peers.")
    parser.add_argument("--quick", action="store_true", help="less data and fewer rounds, for CI")
    parser.add_argument("--only", action="append", choices=list(FIGURES), metavar="NAME", help=", ".join(FIGURES))
    parser.add_argument("--check", action="store_true", help="fail if a ratio falls short of the baseline in two runs")
    parser.add_argument("--write-baseline", action="store_true", help="make this run the baseline")
    return parser


def _stem(quick: bool, partial: bool) -> str:  # noqa: FBT001
    return "partial" if partial else "quick" if quick else "latest"


def _measured(name: str, settings: Settings) -> Result:
    heading, measure = FIGURES[name]
    result = Result(figure=name, title=heading)
    print(f"{heading} …", file=sys.stderr, flush=True)
    start = time.monotonic()
    try:
        measure(Bench(settings, result))
    except (Absent, ContenderFailed) as reason:
        result.missing.append(Missing("the whole figure", str(reason), ours=True))
    print(f"{heading}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return result


def _checked(found: report.Report, settings: Settings) -> int:
    known = baseline.load().scores.get(settings.mode, {})
    first = _complaints(found.results, known)
    for complaint in first.values():
        print(f"measuring again: {complaint}", file=sys.stderr)
    again = [_measured(name, settings) for name in dict.fromkeys(complaint.figure for complaint in first.values())]
    confirmed = [complaint for name, complaint in _complaints(again, known).items() if name in first]
    for complaint in confirmed:
        print(f"in two runs: {complaint}", file=sys.stderr)
    return 1 if confirmed else 0


def _complaints(
    results: Sequence[Result], known: Mapping[str, float]
) -> dict[tuple[str, str], baseline.Shortfall | baseline.Gap]:
    found: list[baseline.Shortfall | baseline.Gap] = [*baseline.shortfalls(results, known), *baseline.gaps(results)]
    return {(complaint.figure, complaint.row): complaint for complaint in found}


if __name__ == "__main__":
    sys.exit(main())
