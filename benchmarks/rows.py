"""What a figure reports: rows that compare, each with what must be reached, and contenders that could not take part."""

from typing import Any, Literal

import msgspec

from benchmarks.rounds import Spread, ratio, spread


class Target(msgspec.Struct, frozen=True):
    """The bound for a row's value."""

    bound: float
    sense: Literal["<=", ">="]

    def met_by(self, value: float) -> bool:
        return value <= self.bound if self.sense == "<=" else value >= self.bound


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison. `value` is what the target is about: a ratio (unit "x") or a quantity of our own."""

    name: str
    value: Spread
    unit: str = "x"
    ours: float | None = None
    peer: float | None = None
    peer_name: str = ""
    measure: str = ""
    target: Target | None = None
    note: str = ""
    sense: Literal["<=", ">="] = "<="  # which way is better where there is no target

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.target.met_by(self.value.median)

    @property
    def score(self) -> float | None:
        """The ratio as "more is better", for the comparison with a baseline; None for quantities that depend on the machine."""
        if self.unit != "x" or self.value.median <= 0:
            return None
        sense = self.sense if self.target is None else self.target.sense
        return 1 / self.value.median if sense == "<=" else self.value.median


class Missing(msgspec.Struct, frozen=True):
    """A contender, or one of our own ways, that could not take part, and why."""

    contender: str
    reason: str
    ours: bool = False  # whether it had to take part: then its absence is a failure


class Result(msgspec.Struct, kw_only=True):
    """Everything that one figure found."""

    figure: str
    title: str
    rows: list[Row] = []
    missing: list[Missing] = []
    samples: dict[str, dict[str, Any]] = {}
    versions: dict[str, dict[str, str]] = {}
    settings: dict[str, Any] = {}


def at_most(bound: float) -> Target:
    return Target(bound, "<=")


def at_least(bound: float) -> Target:
    return Target(bound, ">=")


def times_the_cost(
    name: str, ours: list[float], peer: list[float], target: Target | None, peer_name: str, note: str = ""
) -> Row:
    """Our cost as a multiple of the peer's (both in seconds)."""
    row = _compared(name, ratio(ours, peer), (ours, peer), target, (peer_name, "s"))
    return msgspec.structs.replace(row, note=note)


def times_faster(name: str, ours: list[float], peer: list[float], target: Target | None, peer_name: str) -> Row:
    """How many of our lookups fit into one of the peer's (both in seconds)."""
    row = _compared(name, ratio(peer, ours), (ours, peer), target, (peer_name, "s"))
    return msgspec.structs.replace(row, sense=">=")


def times_the_rate(name: str, ours: list[float], peer: list[float], target: Target | None, peer_name: str) -> Row:
    """Our rate as a multiple of the peer's (both a second)."""
    row = _compared(name, ratio(ours, peer), (ours, peer), target, (peer_name, "/s"))
    return msgspec.structs.replace(row, sense=">=")


def quantity(name: str, values: list[float], unit: str, target: Target | None = None, note: str = "") -> Row:
    """A figure of our own that is compared with nothing but its bound."""
    middle = spread(values)
    return Row(name=name, value=middle, unit=unit, ours=middle.median, measure=unit, target=target, note=note)


def _compared(
    name: str, value: Spread, pair: tuple[list[float], list[float]], target: Target | None, peer: tuple[str, str]
) -> Row:
    ours, theirs = (spread(values).median for values in pair)
    return Row(name=name, value=value, ours=ours, peer=theirs, peer_name=peer[0], measure=peer[1], target=target)
