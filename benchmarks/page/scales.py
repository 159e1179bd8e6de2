"""Numbers to positions on an axis, and to words."""

import math
from collections.abc import Iterable

import msgspec


class Scale(msgspec.Struct, frozen=True):
    """Maps [low, high] to [start, end], linearly or by logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, max(value, self.low)))
        return self.start + (at - low) / ((high - low) or 1) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """Powers of ten on a logarithmic axis, about five round numbers on a linear one."""
        if self.log:
            return [10.0**power for power in range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)]
        step = _round_step((self.high - self.low) / 5)
        return [self.low + step * number for number in range(int((self.high - self.low) / step + 1e-9) + 1)]


def decades(values: Iterable[float], start: float, end: float) -> Scale:
    """A logarithmic scale over whole powers of ten that hold all the values."""
    known = [value for value in values if value > 0]
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    return Scale(10.0**low, 10.0 ** max(high, low + 1), start, end, log=True)


def from_zero(values: Iterable[float], start: float, end: float) -> Scale:
    """A linear scale from zero, with a little room above the largest value."""
    return Scale(0.0, max(values, default=0) * 1.08 or 1.0, start, end)


def seconds(value: float) -> str:
    """A duration with the unit that suits it."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 0.9995:
            return f"{_short(value * factor)} {unit}"
    return f"{_short(value * 1e9)} ns"


def count(value: float) -> str:
    """A number with k or M where it is large."""
    for factor, unit in ((1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{_short(value / factor)}{unit}"
    return _short(value)


def percent(value: float) -> str:
    """A share in percent."""
    return f"{_short(value * 100)}%"


def _short(value: float) -> str:
    return f"{float(f'{value:.3g}'):g}"


def _round_step(rough: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return next(magnitude * times for times in (1, 2, 5, 10) if magnitude * times >= rough)
