"""What a check finds, and what all findings together mean."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Finding",
    "Section",
    "Verdict",
    "counted",
    "exit_code",
    "failure",
    "fine",
    "has_failed",
    "skipped",
    "warning",
]


class Verdict(enum.Enum):
    """How it stands."""

    FINE = "ok"
    WARNING = "warning"
    """It works, but less well than it could, or at a risk."""
    FAILURE = "failure"
    """It does not work."""
    SKIPPED = "skipped"
    """Nobody could look, and nothing depends on it."""


class Finding(msgspec.Struct, frozen=True):
    """One check: its name, how it stands, what was seen, and what to do, if anything. Never ids, traits or secrets."""

    name: str
    verdict: Verdict
    what: str
    do: str = ""


class Section(msgspec.Struct, frozen=True):
    """The findings about one thing: a node, a cluster, a destination's data."""

    title: str
    findings: tuple[Finding, ...]


def fine(name: str, what: str) -> Finding:
    """A tick."""
    return Finding(name, Verdict.FINE, what)


def warning(name: str, what: str, do: str = "") -> Finding:
    """It works, but."""
    return Finding(name, Verdict.WARNING, what, do)


def failure(name: str, what: str, do: str = "") -> Finding:
    """A cross."""
    return Finding(name, Verdict.FAILURE, what, do)


def skipped(name: str, what: str, do: str = "") -> Finding:
    """Not looked at."""
    return Finding(name, Verdict.SKIPPED, what, do)


def counted(count: int, noun: str) -> str:
    """``"1 profile"``, ``"2 profiles"``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def has_failed(findings: Iterable[Finding]) -> bool:
    """Whether there is a failure among these."""
    return any(finding.verdict is Verdict.FAILURE for finding in findings)


def exit_code(sections: Iterable[Section]) -> int:
    """0: all is well, 1: it works, with warnings, 2: it does not work."""
    verdicts = {finding.verdict for section in sections for finding in section.findings}
    return 2 if Verdict.FAILURE in verdicts else 1 if Verdict.WARNING in verdicts else 0
