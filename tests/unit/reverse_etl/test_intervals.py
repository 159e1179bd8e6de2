"""ISO 8601 durations as PostgreSQL spells them."""

import pytest

from edgeprofile.reverse_etl.intervals import iso_duration

SECOND = 10**9


@pytest.mark.parametrize(
    ("months", "days", "nanoseconds", "text"),
    [
        (0, 0, 0, "PT0S"),
        (1, 0, 0, "P1M"),
        (14, 2, 3_500_000_000, "P1Y2M2DT3.5S"),
        (0, 0, 3_661 * SECOND, "PT1H1M1S"),
        (0, 400, 0, "P400D"),
        (-14, -2, 0, "P-1Y-2M-2D"),
        (0, 0, -3_661_500_000_000, "PT-1H-1M-1.5S"),
        (0, 0, 1_000, "PT0.000001S"),
        (0, 0, 100 * 3600 * SECOND, "PT100H"),
        (12, 0, 60 * SECOND, "P1YT1M"),
    ],
)
def test_spelling(months, days, nanoseconds, text):
    assert iso_duration(months, days, nanoseconds) == text
