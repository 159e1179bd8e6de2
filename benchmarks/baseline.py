"""The committed baseline: what several runs of one state of the code reached, and whether a new run falls short of that.

A ratio differs from run to run though nothing changed. So each row is kept with its median over the runs, its lower
quartile, its worst and its best, and a new run has to stay within `TOLERANCE` of a reference that unchanged code reaches:

- the lower quartile, as a rule;
- where worst and best differ by more than `TOLERANCE`, or too few runs had the row to know, the worst run less as much
  again as it differs from the best. Such a row is noisy: each check names it, and only a loss beyond its noise is seen.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.report import Report
from benchmarks.rounds import spread
from benchmarks.rows import Result

PATH = Path(__file__).parent / "baseline.json"
TOLERANCE = 0.15
FEWEST = 3  # runs that tell how far they differ though nothing changed
KIND = ("cpu", "cores", "extension")  # what makes ratios others, whatever the code


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What one row reached over the runs, as scores: ratios turned so that more is better."""

    figure: str
    median: float
    low: float
    worst: float
    best: float
    runs: int

    @property
    def spread(self) -> float:
        """By what share of the best run the worst fell short of it."""
        return 1 - self.worst / self.best

    @property
    def noisy(self) -> bool:
        return self.spread > TOLERANCE or self.runs < FEWEST

    @property
    def reference(self) -> float:
        """What a new run is compared with."""
        return self.worst * (1 - self.spread) if self.noisy else self.low


Rows = dict[str, Known]


class Baseline(msgspec.Struct, kw_only=True):
    """Rows by mode and name, with the day, the machine and the contenders' versions that they come from."""

    finished: str = ""
    machine: dict[str, str] = {}
    versions: dict[str, dict[str, str]] = {}
    rows: dict[str, Rows] = {}


class Shortfall(msgspec.Struct, frozen=True):
    """A row whose ratio fell short."""

    figure: str
    row: str
    was: float
    now: float

    def __str__(self) -> str:
        return f"{self.row}: {1 - self.now / self.was:.0%} short of the baseline ({self.now:.3g}, was {self.was:.3g})"


class Gap(msgspec.Struct, frozen=True):
    """Something of ours that could not be measured."""

    figure: str
    row: str
    reason: str

    def __str__(self) -> str:
        return f"{self.figure}, {self.row} was not measured: {' '.join(self.reason.split())[:500]}"


def load(path: Path = PATH) -> Baseline:
    """The committed baseline; an empty one where none is."""
    return msgspec.json.decode(path.read_bytes(), type=Baseline) if path.exists() else Baseline()


def write(runs: Sequence[Report], path: Path = PATH) -> None:
    """Make these runs of one mode its baseline; rows of other figures and modes stay, if they are of such a machine."""
    last, kept = runs[-1], load(path)
    if differences(kept.machine, last.machine):
        kept = Baseline()
    measured = {result.figure for run in runs for result in run.results}
    mode = last.settings.mode
    others = {name: row for name, row in kept.rows.get(mode, {}).items() if row.figure not in measured}
    made = Baseline(
        finished=last.finished,
        machine=runs[0].machine,  # whose load is not yet ours
        versions=kept.versions | versions(last.results),
        rows={**kept.rows, mode: {**others, **known(run.results for run in runs)}},
    )
    path.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")


def known(runs: Iterable[Iterable[Result]]) -> Rows:
    """What the rows reached over the runs."""
    figures: dict[str, str] = {}
    reached: dict[str, list[float]] = {}
    for results in runs:
        for figure, name, score in _scores(results):
            figures[name] = figure
            reached.setdefault(name, []).append(score)
    return {name: _known(figures[name], scores) for name, scores in reached.items()}


def _known(figure: str, scores: Sequence[float]) -> Known:
    middle = spread(scores)
    ends = {"worst": min(scores), "best": max(scores)}
    return Known(figure=figure, median=middle.median, low=middle.low, **ends, runs=len(scores))


def versions(results: Iterable[Result]) -> dict[str, dict[str, str]]:
    """Contenders, and what they consist of."""
    return {name: parts for result in results for name, parts in result.versions.items()}


def shortfalls(results: Iterable[Result], rows: Mapping[str, Known]) -> list[Shortfall]:
    """Rows more than `TOLERANCE` below their reference; what only one of the two knows is not judged."""
    return [
        Shortfall(figure, name, rows[name].reference, score)
        for figure, name, score in _scores(results)
        if name in rows and score < rows[name].reference * (1 - TOLERANCE)
    ]


def gaps(results: Iterable[Result]) -> list[Gap]:
    """Figures, and contenders of ours, that took no part."""
    return [
        Gap(result.figure, each.contender, each.reason) for result in results for each in result.missing if each.ours
    ]


def remarks(found: Report, against: Baseline) -> Iterator[str]:
    """What one has to know to judge the comparison: other machines and versions, noise, and what could not be compared."""
    for name, was, now in differences(against.machine, found.machine, (*KIND, "python", "valkey")):
        yield f"the baseline is of another machine: {name} {was}, here {now}"
    load, cores = (float(found.machine.get(name, 0)) for name in ("load", "cores"))
    if load > 2 * cores:  # tests that ended a moment ago are no more than that
        yield f"the machine was busy before the first figure, load {load:g} on {cores:g} cores: ratios may say little"
    before = against.versions
    for contender, parts in versions(found.results).items():
        for name, was, now in differences(before.get(contender, {}), parts, tuple(parts)):
            yield f"another version than in the baseline: {contender}, {name} {was}, now {now}"
    rows = against.rows.get(found.settings.mode, {})
    scores = {name: score for _, name, score in _scores(found.results)}
    measured = {result.figure for result in found.results}
    for name, row in rows.items():
        if row.figure in measured and name not in scores:
            yield f"in the baseline, but not measured: {name}"
        elif name in scores and row.noisy:
            yield (
                f"noisy, so loosely judged: {name}, spread {row.spread:.0%} over {row.runs} runs "
                f"({scores[name]:.3g}; median {row.median:.3g}, compared with {row.reference:.3g})"
            )
    yield from (f"not in the baseline: {name}" for name in scores if name not in rows)


def differences(
    was: Mapping[str, str], now: Mapping[str, str], names: Sequence[str] = KIND
) -> list[tuple[str, str, str]]:
    """Name, old and new value of what both know and what is not the same."""
    return [(name, was[name], now[name]) for name in names if name in was and name in now and was[name] != now[name]]


def _scores(results: Iterable[Result]) -> Iterator[tuple[str, str, float]]:
    """Figure, name and score of each row that has one."""
    for result in results:
        for row in result.rows:
            if row.score:
                yield result.figure, f"{row.name} / {row.peer_name}", row.score
