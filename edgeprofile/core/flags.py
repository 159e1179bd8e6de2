"""The letters of ``notify-keyspace-events``, read as a set.

Servers spell the same setting differently (``KEA`` comes back as ``AKE``), and ``A`` stands for a set of its own, which
differs between versions. ``K`` and ``A`` are the smallest safe choice: with fewer classes a write of another type over a
profile's key goes unseen.
"""

from __future__ import annotations

from typing import Final

__all__ = ["missing", "with_missing"]

_CLASSES: Final = frozenset("g$lshzxetd")
_NEEDED: Final = "KA"


def missing(flags: str) -> str:
    """The letters of ``KA`` that a setting lacks, in that order; empty when it is enough."""
    have = set(flags)
    if have >= _CLASSES:
        have.add("A")
    return "".join(letter for letter in _NEEDED if letter not in have)


def with_missing(flags: str) -> str:
    """The setting that adds what is missing and takes nothing away."""
    return flags + missing(flags)
