"""The report: a line for each check, with a tick or a cross and what to do, or JSON for scripts."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from edgeprofile.doctor.findings import Verdict, counted, exit_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from edgeprofile.doctor.findings import Finding, Section

__all__ = ["as_json", "section_text", "summary"]

_SIGNS: Final = {Verdict.FINE: "✓", Verdict.WARNING: "!", Verdict.FAILURE: "✗", Verdict.SKIPPED: "·"}
_PLAIN: Final = str.maketrans({"✓": "+", "✗": "x", "·": "-", "→": ">", "…": "..."})
_NAME: Final = 18
_MARGIN: Final = " " * (_NAME + 5)


def section_text(section: Section, *, width: int = 120, plain: bool = False) -> str:
    """One section for people. ``plain``: in characters that every encoding has."""
    lines = [section.title, *(line for finding in section.findings for line in _lines(finding, width))]
    text = "\n".join([*lines, "", ""])
    return text.translate(_PLAIN) if plain else text


def summary(sections: Sequence[Section]) -> str:
    """The last line."""
    counts = Counter(finding.verdict for section in sections for finding in section.findings)
    warnings, failures = counts[Verdict.WARNING], counts[Verdict.FAILURE]
    if failures:
        return f"It does not work: {counted(failures, 'failure')}, {counted(warnings, 'warning')}.\n"
    if warnings:
        return f"It works, with {counted(warnings, 'warning')}.\n"
    return "All is well.\n"


def as_json(sections: Iterable[Section]) -> bytes:
    """Everything for scripts, in one line."""
    found = list(sections)
    return msgspec.json.encode({"exitCode": exit_code(found), "sections": found}) + b"\n"


def _lines(finding: Finding, width: int) -> Iterator[str]:
    head = f"  {_SIGNS[finding.verdict]} {finding.name:<{_NAME}} "
    yield from _wrapped(head, finding.what, width)
    if finding.do:
        yield from _wrapped(f"{_MARGIN}→ ", finding.do, width)


def _wrapped(head: str, text: str, width: int) -> list[str]:
    """Long text under its own beginning; words stay whole, so that commands can be copied."""
    return textwrap.wrap(
        text,
        max(width, 60),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [head.rstrip()]
