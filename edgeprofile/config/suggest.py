"""What somebody may have meant who wrote a name that does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["alike", "did_you_mean", "nearest"]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name``; ``max_bytes`` and ``maxbytes`` are like ``maxBytes``."""
    import difflib  # noqa: PLC0415 (for those who mistype)

    by_shape = {_squashed(candidate): candidate for candidate in known}
    found = difflib.get_close_matches(_squashed(name), by_shape, n=1, cutoff=0.7)
    return by_shape[found[0]] if found else None


def alike(name: str, other: str) -> bool:
    """Whether two names differ in nothing but capitals, underscores and hyphens."""
    return _squashed(name) == _squashed(other)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests the nearest known name, or lists them all."""
    candidates = sorted(known)
    near = nearest(name, candidates)
    return f'did you mean "{near}"?' if near else f"allowed: {', '.join(candidates)}"


def _squashed(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
