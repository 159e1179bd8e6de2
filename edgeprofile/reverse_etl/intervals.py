"""ISO 8601 durations, spelled as PostgreSQL's ``intervalstyle = 'iso_8601'`` spells them."""

from __future__ import annotations

__all__ = ["iso_duration"]

_SECOND = 10**9


def iso_duration(months: int, days: int, nanoseconds: int) -> str:
    """``(14, 2, 3_500_000_000)`` becomes ``P1Y2M2DT3.5S``; nothing at all is ``PT0S``."""
    date = _terms((_quotient(months, 12), "Y"), (_remainder(months, 12), "M"), (days, "D"))
    hours, rest = _quotient(nanoseconds, 3600 * _SECOND), _remainder(nanoseconds, 3600 * _SECOND)
    minutes, rest = _quotient(rest, 60 * _SECOND), _remainder(rest, 60 * _SECOND)
    time = _terms((hours, "H"), (minutes, "M")) + _seconds(rest)
    if not date and not time:
        return "PT0S"
    return f"P{date}{'T' if time else ''}{time}"


def _terms(*terms: tuple[int, str]) -> str:
    return "".join(f"{number}{unit}" for number, unit in terms if number)


def _seconds(nanoseconds: int) -> str:
    if not nanoseconds:
        return ""
    whole, fraction = divmod(abs(nanoseconds), _SECOND)
    text = f"{whole}.{fraction:09d}".rstrip("0").rstrip(".")
    return f"{'-' if nanoseconds < 0 else ''}{text}S"


def _quotient(number: int, by: int) -> int:
    """Rounded towards zero, as every part of a negative interval is negative."""
    return abs(number) // by * (1 if number >= 0 else -1)


def _remainder(number: int, by: int) -> int:
    return number - _quotient(number, by) * by
