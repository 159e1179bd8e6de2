"""A mirror deletes what left the view, and an empty or half-read view must not empty Redis: many deletions are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprofile.reverse_etl.errors import DeletionsRefused

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["refuse_deletions"]

_FEW = 100
"""So many rows may always go, whatever their share."""


def refuse_deletions(
    deleted: int, known: int, most: float, *, aside: Callable[[], tuple[int, int]] = lambda: (0, 0)
) -> None:
    """Raise ``DeletionsRefused`` where more than the share ``most`` of the ``known`` rows is to be deleted.

    ``aside`` tells how many of both the last run set aside. Earlier runs may have sent them, so they count, but are told
    apart.
    """
    if deleted <= _FEW or deleted <= most * known:
        return
    lacking, set_aside = aside()
    also = f" (and {lacking:,} of {set_aside:,} that the last run set aside)" if lacking else ""
    raise DeletionsRefused(
        f"the view lacks {deleted - lacking:,} of the {known - set_aside:,} rows that were sent to Redis{also}, and mirror "
        f"would delete them: more than maxDeletedShare = {most:g} lets go, so nothing was sent; if the view is right, run it "
        "once with --allow-deletions"
    )
