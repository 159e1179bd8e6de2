"""A mirror deletes what left the view, and an empty or half-read view must not empty Redis: many deletions are refused."""

from __future__ import annotations

from edgeprofile.reverse_etl.errors import DeletionsRefused

__all__ = ["refuse_deletions"]

_FEW = 100
"""So many rows may always go, whatever their share."""


def refuse_deletions(deleted: int, known: int, most: float) -> None:
    """Raise ``DeletionsRefused`` where more than the share ``most`` of the ``known`` rows is to be deleted."""
    if deleted <= _FEW or deleted <= most * known:
        return
    raise DeletionsRefused(
        f"the view lacks {deleted:,} of the {known:,} rows that were sent to Redis, and mirror would delete them: more "
        f"than maxDeletedShare = {most:g} lets go, so nothing was sent; if the view is right, run it once with "
        "--allow-deletions"
    )
