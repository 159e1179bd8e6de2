"""How many rows a mirror may delete."""

import re

import pytest

from edgeprofile.reverse_etl.errors import DeletionsRefused
from edgeprofile.reverse_etl.guard import refuse_deletions


@pytest.mark.parametrize(
    ("deleted", "known", "most"),
    [(0, 0, 0.3), (100, 100, 0.3), (100, 100, 0.0), (300, 1_000, 0.3), (1_000, 1_000, 1.0)],
)
def test_few_rows_and_a_small_share_may_go(deleted, known, most):
    refuse_deletions(deleted, known, most)


def test_rows_that_were_set_aside_count_but_are_told_apart():
    told = "lacks 80 of the 100 rows that were sent to Redis (and 40 of 50 that the last run set aside), and mirror"
    with pytest.raises(DeletionsRefused, match=re.escape(told)):
        refuse_deletions(120, 150, 0.5, aside=lambda: (40, 50))


@pytest.mark.parametrize(("deleted", "known", "most"), [(101, 101, 0.3), (301, 1_000, 0.3), (101, 10_000, 0.0)])
def test_more_may_not(deleted, known, most):
    with pytest.raises(DeletionsRefused, match=f"lacks {deleted:,} of the {known:,} rows.*run it once with --allow-"):
        refuse_deletions(deleted, known, most)
