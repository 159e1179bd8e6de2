"""When to sync again: every so often, or by a cron expression in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError

from edgeprofile.errors import ConfigurationError
from edgeprofile.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["by_cron", "every"]


_SHORTEST, _LONGEST = 1.0, 86_400.0


def every(text: str) -> Callable[[datetime], datetime]:
    """A schedule from a duration such as ``"15m"``, counted from the start of a run. Raises ``ConfigurationError``."""
    seconds = parse_duration(text, option="--watch")
    if not _SHORTEST <= seconds <= _LONGEST:
        raise ConfigurationError(f'"{text}" must lie between 1s and 24h, such as "15m"', option="--watch")
    return lambda start: start + timedelta(seconds=seconds)


def by_cron(expression: str) -> Callable[[datetime], datetime]:
    """A schedule from a cron expression of five fields, in UTC. Raises ``ConfigurationError``."""
    try:
        CronSim(expression, datetime.now(UTC))
    except CronSimError as error:
        raise ConfigurationError(
            f'"{expression}" is no cron expression ({error}): write five fields, as in "0 * * * *"', option="--cron"
        ) from error
    return lambda start: next(CronSim(expression, start))
