"""The first contact with Redis: a run that cannot deliver anything should not begin."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from edgeprofile.errors import RedisUnavailable, ServerRefused
from edgeprofile.store.lanes import Lanes
from edgeprofile.store.writer import raise_unless_passing

if TYPE_CHECKING:
    from edgeprofile.config import RedisConfig

__all__ = ["reach"]

_LONGEST = 5.0
_ADVICE = (
    "no snapshot was taken and nothing sent; check address and secure of the destination (destinations.config) and the "
    "network, or run `edgeprofile doctor`"
)


def reach(redis: RedisConfig, timeout: float) -> None:
    """Connect and log in once, within ``timeout`` or a few seconds; what a run may wait for is left to it.

    Raises ``RedisUnavailable``, ``AccessDenied``, ``ServerRefused`` and ``ConfigurationError``.
    """
    with closing(Lanes(redis, min(timeout, _LONGEST))) as lanes:
        try:
            lanes.greet()
        except ServerRefused as error:
            raise_unless_passing(error)
        except RedisUnavailable as error:
            raise RedisUnavailable(f"{error}: {_ADVICE}", node=error.node) from error
