"""Numbers as people read them."""

from __future__ import annotations

__all__ = ["age", "count", "duration", "megabytes", "rate", "share"]

_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_LARGE = ((1e9, "billion"), (1e6, "million"))


def duration(nanoseconds: float | None) -> str:
    """Three digits and a unit; a dash for what is not known."""
    if nanoseconds is None:
        return "-"
    for size, unit in _UNITS:
        # From 999.5 on, three digits would read as 1000 of the smaller unit.
        if nanoseconds >= 0.9995 * size:
            return f"{_three_digits(nanoseconds / size)} {unit}"
    return "0 ms"


def count(number: float) -> str:
    """A whole number with thousands apart, or millions in words."""
    for size, name in _LARGE:
        if number >= 0.9995 * size:
            return f"{_three_digits(number / size)} {name}"
    return f"{number:,.0f}"


def rate(per_second: float) -> str:
    """So many a second."""
    return f"{count(per_second)} /s"


def share(part: float) -> str:
    """A fraction in percent; never rounded up to all."""
    percent = int(part * 10_000) / 100
    return f"{percent:.2f} %" if percent < 100 else "100 %"


def megabytes(size: float) -> str:
    """Bytes in MiB."""
    return f"{size / (1 << 20):,.1f} MiB"


def age(seconds: float) -> str:
    """Minutes and seconds, as a clock shows them."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _three_digits(number: float) -> str:
    digits = 0 if number >= 99.95 else 1 if number >= 9.995 else 2
    return f"{number:,.{digits}f}"
