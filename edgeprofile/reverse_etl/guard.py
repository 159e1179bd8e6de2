"""A mirror deletes what left the view, and an empty or half-read view must not empty Redis: many deletions are refused."""

from __future__ import annotations

from edgeprofile.reverse_etl.errors import DeletionsRefused

__all__ = ["refuse_deletions"]

_FEW = 100
"""So many rows may always go, whatever their share."""


def refuse_deletions(deleted: int, known: int, most: float, *, aside: tuple[int, int] = (0, 0)) -> None:
    """Raise ``DeletionsRefused`` where more than the share ``most`` of the ``known`` rows is to be deleted.

    ``aside``: how many of both the last run set aside. Earlier runs may have sent them, so they count, but are told apart.
    """
    if deleted <= _FEW or deleted <= most * known:
        return
    also = f" (and {aside[0]:,} of {aside[1]:,} that the last run set aside)" if aside[0] else ""
    raise DeletionsRefused(
        f"the view lacks {deleted - aside[0]:,} of the {known - aside[1]:,} rows that were sent to Redis{also}, and mirror "
        "would delete them: more "
        f"than maxDeletedShare = {most:g} lets go, so nothing was sent; if the view is right, run it once with "
        "--allow-deletions"
    )
