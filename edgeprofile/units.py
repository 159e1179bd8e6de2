"""Durations and sizes as people write them: ``"500ms"``, ``"1h30m"``, ``"64MiB"``.

A number without a unit is refused, because nobody can tell whether ``300`` was meant in seconds or in milliseconds.
"""

from __future__ import annotations

import math
import re

from edgeprofile.errors import ConfigurationError

__all__ = ["format_duration", "format_size", "parse_duration", "parse_size"]

_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
_BYTES: dict[str, float] = {
    "TiB": 1 << 40,
    "GiB": 1 << 30,
    "MiB": 1 << 20,
    "KiB": 1 << 10,
    "TB": 10**12,
    "GB": 10**9,
    "MB": 10**6,
    "kB": 10**3,
    "B": 1,
}
_TERM = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([A-Za-z]+)\s*", re.ASCII)
_NUMBER = re.compile(r"\s*[0-9]{1,15}(?:\.[0-9]{1,15})?\s*", re.ASCII)


def parse_duration(text: object, *, option: str | None = None) -> float:
    """Read a duration such as ``"500ms"``, ``"1.5s"`` or ``"1h30m"``.

    Units: ``d``, ``h``, ``m``, ``s``, ``ms``, ``us``. Returns seconds. Raises `ConfigurationError` for anything else,
    a number without a unit included; ``option`` is then named in it, such as ``--timeout``.
    """
    try:
        return sum(number * _SECONDS[unit] for number, unit in _terms(text, _SECONDS, "duration", "s"))
    except ConfigurationError as error:
        raise ConfigurationError(str(error), option=option) from None


def parse_size(text: object) -> int:
    """Read a size such as ``"64MiB"`` or ``"1.5GB"``.

    Units: ``B``, ``kB``, ``MB``, ``GB``, ``TB`` (powers of 1000), ``KiB``, ``MiB``, ``GiB``, ``TiB`` (of 1024).
    Returns whole bytes, rounded down. Raises `ConfigurationError` for anything else, a bare number included.
    """
    return sum(int(number * _BYTES[unit]) for number, unit in _terms(text, _BYTES, "size", "B"))


def format_duration(seconds: float) -> str:
    """Write seconds in the largest unit that keeps the number whole: ``300.0`` becomes ``"5m"``."""
    if not math.isfinite(seconds):
        return f"{seconds}s"
    micros = round(seconds * 1e6)
    for unit, size in _SECONDS.items():
        whole, rest = divmod(micros, round(size * 1e6))
        if whole and not rest:
            return f"{whole}{unit}"
    return "0s" if not micros else f"{seconds:g}s"


def format_size(count: int) -> str:
    """Write bytes in the largest unit that keeps the number whole: ``67108864`` becomes ``"64MiB"``."""
    for unit, size in _BYTES.items():
        if count >= size and count % size == 0:
            return f"{count // size}{unit}"
    return f"{count}B"


def _terms(text: object, units: dict[str, float], what: str, base: str) -> list[tuple[float, str]]:
    """Split ``"1h30m"`` into ``[(1.0, "h"), (30.0, "m")]``, refusing what is no such text."""
    allowed = ", ".join(reversed(units))
    if not isinstance(text, str):
        raise ConfigurationError(_without_unit(text, what, base, allowed))
    if _NUMBER.fullmatch(text):
        raise ConfigurationError(_without_unit(text.strip(), what, base, allowed))
    terms, position = [], 0
    while match := _TERM.match(text, position):
        number, unit = match.groups()
        if unit not in units:
            raise ConfigurationError(f'"{text}" has the unknown unit "{unit}"; the units of a {what} are {allowed}')
        terms.append((float(number), unit))
        position = match.end()
    if not terms or position != len(text):
        raise ConfigurationError(f'"{text}" is no {what}: write a number and a unit ({allowed})')
    return terms


def _without_unit(value: object, what: str, base: str, allowed: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return f'this is no {what}: write text with a number and a unit ({allowed}), such as "5{base}"'
    return f'{value} has no unit: write "{value}{base}" if that is what was meant (units: {allowed})'
