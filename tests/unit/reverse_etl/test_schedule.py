"""When a sync is due."""

from datetime import UTC, datetime, timedelta

import pytest

from edgeprofile.errors import ConfigurationError
from edgeprofile.reverse_etl.schedule import by_cron, every

NOON = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


def test_every_so_often():
    assert every("15m")(NOON) == NOON + timedelta(minutes=15)


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        ("0 * * * *", datetime(2026, 3, 1, 13, 0, tzinfo=UTC)),
        ("*/15 * * * *", datetime(2026, 3, 1, 12, 15, tzinfo=UTC)),
        ("30 2 * * 1", datetime(2026, 3, 2, 2, 30, tzinfo=UTC)),
    ],
)
def test_cron_in_utc(expression, due):
    assert by_cron(expression)(NOON) == due


@pytest.mark.parametrize("text", ["0s", "25h", "500ms"])
def test_an_absurd_pause_is_refused(text):
    with pytest.raises(ConfigurationError, match="must lie between 1s and 24h"):
        every(text)


@pytest.mark.parametrize("expression", ["", "* * * *", "61 * * * *", "hourly"])
def test_no_cron_expression(expression):
    with pytest.raises(ConfigurationError, match="write five fields"):
        by_cron(expression)
