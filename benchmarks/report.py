"""Results as JSON and as a Markdown table."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import machine
from benchmarks.bench import Settings
from benchmarks.rows import Result, Row, Target

RESULTS = Path(__file__).parent / "results"
_TIMES = ((1, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns"))
_ARROWS = {"<=": "≤", ">=": "≥"}


class Report(msgspec.Struct, kw_only=True):
    """One run."""

    finished: str
    machine: dict[str, str]
    settings: Settings
    results: list[Result]


def report(settings: Settings, results: Sequence[Result], about: dict[str, str] | None = None) -> Report:
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    return Report(finished=finished, machine=about or machine.description(), settings=settings, results=list(results))


def write(found: Report, stem: str, folder: Path = RESULTS) -> None:
    """Write `stem`.json and `stem`.md."""
    folder.mkdir(parents=True, exist_ok=True)
    encoded = msgspec.json.encode(_with_verdicts(found))
    folder.joinpath(f"{stem}.json").write_bytes(msgspec.json.format(encoded, indent=1) + b"\n")
    folder.joinpath(f"{stem}.md").write_text(markdown(found), encoding="utf-8")


def read(path: Path) -> Report:
    return msgspec.json.decode(path.read_bytes(), type=Report)


def newest(folder: Path = RESULTS) -> Path | None:
    """The results of the last run of all figures, full or quick."""
    written = [path for path in (folder / "latest.json", folder / "quick.json") if path.exists()]
    return max(written, key=lambda path: path.stat().st_mtime, default=None)


def _with_verdicts(found: Report) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(found)
    for result, told in zip(found.results, plain["results"], strict=True):
        for row, out in zip(result.rows, told["rows"], strict=True):
            out["met"] = row.met
    return plain


def markdown(found: Report) -> str:
    """The whole report, tables first."""
    lists = [
        *_listed("Not measured:", absences(found)),
        *_listed("Contenders:", contenders(found)),
        *_listed("Settings:", settings(found)),
    ]
    return "\n".join([*_heading(found), "", *table(found.results), "", *lists]).rstrip() + "\n"


NONE_YET = "no results yet: `make bench` writes them in some minutes, `make bench-quick` the main ones in two"
HEAD = ("| figure | ours | peer | ratio (quartiles) | must reach | |", "| --- | --- | --- | --- | --- | --- |")


def table(results: Sequence[Result]) -> Iterator[str]:
    """Every row, one line each."""
    yield from HEAD
    for result in results:
        for row in result.rows:
            yield line(row)


class Cells(msgspec.Struct, frozen=True):
    """A row in words."""

    name: str
    ours: str
    peer: str
    ratio: str
    target: str
    verdict: str


def cells(row: Row) -> Cells:
    """What a table says of a row."""
    return Cells(row.name, _ours(row), _peer(row), _value(row), _target(row.target, row.unit), _verdict(row))


def line(row: Row) -> str:
    return "| " + " | ".join(msgspec.structs.astuple(cells(row))) + " |"


def _ours(row: Row) -> str:
    return "" if row.ours is None else _with_unit(row.ours, row.measure)


def _peer(row: Row) -> str:
    if row.peer is None:
        return row.note
    return f"{row.peer_name}: {_with_unit(row.peer, row.measure)}" + (f"; {row.note}" if row.note else "")


def _value(row: Row) -> str:
    if row.unit != "x":
        return ""
    value = row.value
    return f"{_ratio(value.median, row.target)} x ({number(value.low)}-{number(value.high)})"


def _ratio(value: float, target: Target | None) -> str:
    """The number; with more digits where fewer would put it on the other side of the bound."""
    if target is None:
        return number(value)
    told = (number(value), *(f"{value:.{digits}g}" for digits in range(4, 18)))
    return next(each for each in told if target.met_by(float(each.replace(",", ""))) == target.met_by(value))


def _target(target: Target | None, unit: str) -> str:
    return "" if target is None else f"{_ARROWS[target.sense]} {target.bound:g} {unit}"


def _verdict(row: Row) -> str:
    return {None: "", True: "met", False: "**missed**"}[row.met]


def _with_unit(value: float, measure: str) -> str:
    if measure == "s":
        value, measure = next((value * factor, unit) for factor, unit in _TIMES if value * factor >= 1 or unit == "ns")
    return f"{number(value)} {measure}"


def number(value: float) -> str:
    """Three significant digits, thousands separated."""
    if value >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{float(f'{value:.3g}'):g}"


def _heading(found: Report) -> Iterator[str]:
    about = found.machine
    yield f"# Benchmarks, {found.finished[:10]} ({found.settings.mode} run)"
    yield ""
    yield (
        f"EdgeProfile {about['edgeprofile']}, {about['python']}, {about['cpu']}, {about['cores']} cores, {about['memory']}, "
        f"{about['system']}, load {about.get('load', 'unknown')} before the run. Everything on loopback. Medians of interleaved rounds; the quartiles are those of the ratios of "
        "neighbouring rounds. Only ratios travel to other machines."
    )


def absences(found: Report) -> Iterator[str]:
    """Who could not take part, in which figure, and why."""
    for result in found.results:
        for missing in result.missing:
            yield f"{missing.contender} ({result.title}): {' '.join(missing.reason.split())[:300]}"


def contenders(found: Report) -> Iterator[str]:
    """Who took part, with the versions of what it consists of."""
    seen = {name: versions for result in found.results for name, versions in result.versions.items()}
    for name, versions in sorted(seen.items()):
        listed = ", ".join(f"{package} {version}" for package, version in versions.items() if package != "python")
        yield f"{name}: {listed or 'standard library'}"


def settings(found: Report) -> Iterator[str]:
    """How much was measured: of the whole run, then of figures that have settings of their own."""
    yield _pairs("run", msgspec.to_builtins(found.settings))
    for result in found.results:
        if result.settings:
            yield _pairs(result.title, result.settings)


def _pairs(heading: str, values: Mapping[str, Any]) -> str:
    told = (
        f"{name.replace('_', ' ')} {value:,.6g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
        for name, value in values.items()
    )
    return f"{heading}: {', '.join(told)}"


def _listed(heading: str, lines: Iterator[str]) -> list[str]:
    items = [f"- {line}" for line in lines]
    return [heading, "", *items, ""] if items else []
