"""Write the tables of docs/scale.md: what the feed was measured to cost Redis, and what follows for fleets.

``python -m docs.scale``; ``--results FILE`` takes the measurements over from a run of the benchmarks into docs/scale.json. With ``--check``
nothing is written, and the exit code is 1 if something would be.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docs.blocks import bring

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PAGE = Path(__file__).resolve().parent / "scale.md"
MEASURED = PAGE.with_suffix(".json")

BUDGET = 0.5  # of the one core on which Redis executes commands
LINE = 5e9 / 8  # bytes a second that a node may send
PODS_PER_NODE = 30
BEATS = {"keyspace": 4 * 2, "tracking": 4 * 1}  # writes a second of each subscriber, at `maxStaleness` of one second
FETCH = 2  # commands in a read
MOST = 10_000_000


@dataclass(frozen=True)
class Costs:
    """Seconds of Redis' processor, by the measurements."""

    one: float  # a change that comes alone
    many: float  # a change among many in a round trip
    told: float  # and each subscriber that is told of it
    told_many: float  # the same among many
    untold: float  # and each subscriber that is not
    size: float  # bytes sent to each subscriber

    def beats(self, mode: str, subscribers: float) -> float:
        """The heartbeats of all: each is a change like another, that one subscriber is told of."""
        return subscribers * BEATS[mode] * (self.one + self.told + self.untold * subscribers)


@dataclass(frozen=True)
class Fleet:
    """Pods, how they listen, and the servers that they listen to."""

    name: str
    pods: int
    mode: str = "keyspace"
    pods_per_subscriber: int = 1
    shards: int = 1
    hot: int = 1_000  # profiles that a subscriber has in use

    @property
    def subscribers(self) -> float:
        """How many feeds each server has to serve."""
        return self.pods / self.pods_per_subscriber


@dataclass(frozen=True)
class Outcome:
    """What a full sync came to."""

    seconds: float
    peak: float  # rows a second, over all shards
    sent: float  # bytes a second of one shard
    beats: float  # share of a core of one shard


def main(arguments: list[str]) -> int:
    """Bring the page up to date, or look whether it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args(arguments)
    if options.results:
        MEASURED.write_text(json.dumps(_taken_over(json.loads(options.results.read_text())), indent=1) + "\n")
    measured = json.loads(MEASURED.read_text())
    tables = {"measured": _measured, "fleets": _fleets, "sync": _syncs}
    return bring(PAGE, {name: "\n".join([*rows(measured), ""]) for name, rows in tables.items()}, check=options.check)


def _taken_over(run: Mapping[str, Any]) -> dict[str, Any]:
    (figure,) = (result for result in run["results"] if result["figure"] == "subscribers")
    medians = {name: stats["median"] for name, stats in figure["samples"].items()}
    return {"finished": run["finished"], "machine": run["machine"], "medians": medians}


def costs(measured: Mapping[str, Any], mode: str) -> Costs:
    """The straight lines through the measurements with none and with most subscribers."""
    medians = measured["medians"]
    most = _counts(measured)[-1]

    def cost(how: str, count: int) -> float:
        return float(medians[f"{mode}, {how}, {count}, processor seconds"])

    def slope(how: str) -> float:
        return max(0.0, (cost(how, most) - cost(how, 0)) / most)

    size = medians[f"{mode}, in batches, {most}, bytes"] / most
    return Costs(
        cost("one by one", 0), cost("in batches", 0), slope("one by one"), slope("in batches"), slope("unheard"), size
    )


def largest(known: Costs, mode: str, changes: float) -> int:
    """The most subscribers of one Redis within the budget, while so many changes a second come one by one."""

    def fits(subscribers: int) -> bool:
        told = changes * (known.one + known.told * subscribers)
        return known.beats(mode, subscribers) + told <= BUDGET and changes * known.size * subscribers <= LINE

    low, high = 0, MOST
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def simulate(known: Costs, fleet: Fleet, rows: int) -> Outcome | None:
    """A full sync, second by second; `None` if the heartbeats alone are too much.

    Every row is told to every subscriber; who has it in use reads it again. The sync gets what the budget leaves.
    """
    beats = known.beats(fleet.mode, fleet.subscribers)
    spare = BUDGET - beats
    users = fleet.subscribers * min(1.0, fleet.hot / rows)
    each = known.many + known.told_many * fleet.subscribers + users * FETCH * known.one
    rate = min(spare / each, LINE / (known.size * fleet.subscribers)) * fleet.shards
    if rate <= 0:
        return None
    left, seconds, peak = float(rows), 0.0, 0.0
    while left > 0:
        written = min(left, rate)
        left, peak = left - written, max(peak, written)
        seconds += written / rate
    return Outcome(seconds, peak, peak / fleet.shards * known.size * fleet.subscribers, beats)


def _counts(measured: Mapping[str, Any]) -> list[int]:
    return sorted({int(name.split(", ")[2]) for name in measured["medians"]})


def _measured(measured: Mapping[str, Any]) -> Iterator[str]:
    about = measured["machine"]
    yield (
        f"Measured {measured['finished'][:10]}: Valkey {about['valkey']}, {about['cpu']}, {about['cores']} cores, load "
        f"{about.get('load', 'unknown')} before the run; medians of the server's own count."
    )
    yield ""
    yield "| subscribers | keyspace, alone | keyspace, in batches | tracking, alone | tracking, in batches | elsewhere, keyspace | elsewhere, tracking |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    heads = [(mode, how) for mode in BEATS for how in ("one by one", "in batches")]
    for count in _counts(measured):
        names = [*heads, ("keyspace", "unheard"), ("tracking", "unheard")]
        cells = [measured["medians"][f"{mode}, {how}, {count}, processor seconds"] for mode, how in names]
        yield f"| {count} | " + " | ".join(f"{float(f'{cell * 1e6:.3g}'):,g} µs" for cell in cells) + " |"
    yield ""
    for mode in BEATS:
        known = costs(measured, mode)
        yield (
            f"- {mode}: {known.told * 1e6:.3g} µs for each subscriber and change, {known.told_many * 1e6:.3g} µs in batches, "
            f"{known.untold * 1e9:.3g} ns where it is not told, {known.size:.0f} bytes"
        )


def _fleets(measured: Mapping[str, Any]) -> Iterator[str]:
    yield f"| changes a second | keyspace | tracking | once on each node of {PODS_PER_NODE} pods, keyspace |"
    yield "| --- | --- | --- | --- |"
    for changes in (0, 10, 100, 1_000, 10_000):
        found = {mode: largest(costs(measured, mode), mode, changes) for mode in BEATS}
        local = found["keyspace"] * PODS_PER_NODE
        yield f"| {changes:,} | {_about(found['keyspace'])} | {_about(found['tracking'])} | {_about(local)} |"


def _syncs(measured: Mapping[str, Any]) -> Iterator[str]:
    each = Fleet("every pod", 10_000)
    local = replace(each, name="once on each node", pods_per_subscriber=PODS_PER_NODE)
    yield "| who listens | servers | feed | heartbeats, of a core | sync takes | rows a second | sent by each server |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for fleet in (
        each,
        replace(each, shards=16),
        replace(each, mode="tracking"),
        local,
        replace(local, shards=4),
        replace(local, shards=16),
        replace(local, mode="tracking"),
    ):
        known = costs(measured, fleet.mode)
        outcome = simulate(known, fleet, 10_000_000)
        start = f"| {fleet.name}: {_about(fleet.subscribers)} | {fleet.shards} | {fleet.mode} |"
        if outcome is None:
            yield f"{start} {known.beats(fleet.mode, fleet.subscribers):.2g}, more than the budget | never | | |"
        else:
            yield (
                f"{start} {outcome.beats:.2g} | {_duration(outcome.seconds)} | {_about(outcome.peak)} | "
                f"{outcome.sent * 8 / 1e9:.2g} Gbit/s |"
            )


def _about(number: float) -> str:
    return "none" if number < 1 else f"{float(f'{number:.2g}'):,.0f}"


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
