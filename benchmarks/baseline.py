"""The committed baseline: ratios of an earlier run, and the judgement whether a new run falls short of them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from benchmarks.report import Report
from benchmarks.rows import Result

PATH = Path(__file__).parent / "baseline.json"
TOLERANCE = 0.15


class Baseline(msgspec.Struct, kw_only=True):
    """Scores (ratios turned so that more is better) by mode and row, with the machine that they come from."""

    machine: dict[str, str]
    scores: dict[str, dict[str, float]]


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
    if not path.exists():
        return Baseline(machine={}, scores={})
    return msgspec.json.decode(path.read_bytes(), type=Baseline)


def write(found: Report, path: Path = PATH) -> None:
    """Make this run the baseline of its mode; the other mode's scores stay."""
    kept = load(path).scores
    kept[found.settings.mode] = {**kept.get(found.settings.mode, {}), **scores(found.results)}
    encoded = msgspec.json.encode(Baseline(machine=found.machine, scores=kept))
    path.write_bytes(msgspec.json.format(encoded, indent=1) + b"\n")


def scores(results: Iterable[Result]) -> dict[str, float]:
    return {_name(row.name, row.peer_name): row.score for result in results for row in result.rows if row.score}


def shortfalls(results: Iterable[Result], baseline: Mapping[str, float]) -> list[Shortfall]:
    """Rows more than `TOLERANCE` below their baseline; what only one of the two knows is not judged."""
    found = []
    for result in results:
        for row in result.rows:
            name = _name(row.name, row.peer_name)
            if row.score and name in baseline and row.score < baseline[name] * (1 - TOLERANCE):
                found.append(Shortfall(result.figure, name, baseline[name], row.score))
    return found


def gaps(results: Iterable[Result]) -> list[Gap]:
    """Figures, and contenders of ours, that took no part."""
    return [
        Gap(result.figure, each.contender, each.reason) for result in results for each in result.missing if each.ours
    ]


def _name(row: str, peer: str) -> str:
    return f"{row} / {peer}"
