"""``python -m benchmarks``: measure, print, write; with ``--check``, fail where ratios fell short of the baseline twice.

A figure of ours that could not be measured fails as well, and so does a check against a baseline that is not there. On a
machine with another processor than the baseline's, ratios that fell short are told and fail nothing.
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

RUNS = 5
TOLD_ONLY = "; that fails nothing, for the baseline is of another machine"


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 1 where ``--check`` found the same shortfall in two runs that count, 2 without a baseline."""
    options = _options(arguments)
    settings = QUICK if options.quick else FULL
    known = baseline.load() if options.check else baseline.Baseline()
    if options.check and not known.rows.get(settings.mode):
        print(f"no baseline of a {settings.mode} run to check against: --write-baseline makes one", file=sys.stderr)
        return 2
    names = options.only or list(MAIN if options.quick else FIGURES)
    runs = [_run(names, settings) for _ in range(options.runs if options.write_baseline else 1)]
    print("\n" + report.markdown(runs[-1]))
    report.write(runs[-1], _stem(options.quick, bool(options.only)))
    if options.write_baseline:
        for gap in baseline.gaps(result for run in runs for result in run.results):
            print(f"not in every run of the baseline: {gap}", file=sys.stderr)
        baseline.write(runs)
    return _checked(runs[-1], known) if options.check else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="EdgeProfile against its peers.")
    parser.add_argument("--quick", action="store_true", help="less data and fewer rounds, for CI")
    parser.add_argument("--only", action="append", choices=list(FIGURES), metavar="NAME", help=", ".join(FIGURES))
    baselines = parser.add_mutually_exclusive_group()
    baselines.add_argument("--check", action="store_true", help="fail if a ratio falls short of the baseline twice")
    baselines.add_argument("--write-baseline", action="store_true", help="make so many runs the baseline")
    parser.add_argument(
        "--runs", type=int, default=RUNS, metavar="N", help=f"for --write-baseline; {RUNS} if not given"
    )
    options = parser.parse_args(arguments)
    if options.runs < baseline.FEWEST:
        parser.error(f"fewer than {baseline.FEWEST} runs do not tell how far they differ though nothing changed")
    return options


def _run(names: Sequence[str], settings: Settings) -> report.Report:
    about = machine.description()  # of the time before the first figure, for the load is not ours then
    return report.report(settings, [_measured(name, settings) for name in names], about)


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


def _checked(found: report.Report, known: baseline.Baseline) -> int:
    rows = known.rows[found.settings.mode]
    for remark in baseline.remarks(found, known):
        print(remark, file=sys.stderr)
    first = _complaints(found.results, rows)
    for complaint in first.values():
        print(f"measuring again: {complaint}", file=sys.stderr)
    figures = dict.fromkeys(complaint.figure for complaint in first.values())
    again = [_measured(name, found.settings) for name in figures]
    confirmed = [complaint for name, complaint in _complaints(again, rows).items() if name in first]
    elsewhere = bool(baseline.differences(known.machine, found.machine))
    failing = [complaint for complaint in confirmed if isinstance(complaint, baseline.Gap) or not elsewhere]
    for complaint in confirmed:
        print(f"in two runs: {complaint}{'' if complaint in failing else TOLD_ONLY}", file=sys.stderr)
    if not confirmed:
        print(f"no ratio falls short of the baseline of {known.finished[:10]} in two runs", file=sys.stderr)
    return 1 if failing else 0


def _complaints(
    results: Sequence[Result], known: Mapping[str, baseline.Known]
) -> dict[tuple[str, str], baseline.Shortfall | baseline.Gap]:
    found: list[baseline.Shortfall | baseline.Gap] = [*baseline.shortfalls(results, known), *baseline.gaps(results)]
    return {(complaint.figure, complaint.row): complaint for complaint in found}


if __name__ == "__main__":
    sys.exit(main())
