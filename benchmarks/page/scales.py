"""Numbers to positions on an axis, and to words."""

import math
from collections.abc import Iterable

import msgspec

_DIGITS = (1, 2, 5)
_SLACK = 1 + 1e-9  # powers of ten are not exact


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
        """On a logarithmic axis powers of ten, or 1, 2, 5 of each where these are few; about five on a linear one."""
        if self.log:
            tens, all_ = (_steps(self.low, self.high, digits) for digits in ((1,), _DIGITS))
            return tens if len(tens) > 3 else all_
        step = _round_step((self.high - self.low) / 5)
        return [self.low + step * number for number in range(int((self.high - self.low) / step + 1e-9) + 1)]


def decades(values: Iterable[float], start: float, end: float) -> Scale:
    """A logarithmic scale over whole powers of ten that hold all the values."""
    known = [value for value in values if value > 0]
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    return Scale(10.0**low, 10.0 ** max(high, low + 1), start, end, log=True)


def around(values: Iterable[float], start: float, end: float) -> Scale:
    """A logarithmic scale between the nearest of 1, 2, 5 times a power of ten that hold all the values."""
    known = [value for value in values if value > 0]
    low, high = min(known), max(known)
    steps = _steps(low / 10, high * 10, _DIGITS)
    first = max(step for step in steps if step <= low * _SLACK)
    last = min(step for step in steps if step * _SLACK >= high and step > first)
    return Scale(first, last, start, end, log=True)


def _steps(low: float, high: float, digits: Iterable[int]) -> list[float]:
    """These digits times powers of ten, from low to high."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = [digit * 10.0**power for power in powers for digit in digits]
    return [step for step in steps if low <= step * _SLACK and step <= high * _SLACK]


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


def whole(value: float) -> str:
    """A number without a fraction, thousands separated."""
    return f"{value:,.0f}"


def percent(value: float) -> str:
    """A share in percent."""
    return f"{_short(value * 100)}%"


def _short(value: float) -> str:
    return f"{float(f'{value:.3g}'):g}"


def _round_step(rough: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return next(magnitude * times for times in (1, 2, 5, 10) if magnitude * times >= rough)
