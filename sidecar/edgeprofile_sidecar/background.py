"""Work that goes on beside the requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from edgeprofile_sidecar.logs import origin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

__all__ = ["begin", "every"]

_log = logging.getLogger(__name__)


def begin(stack: contextlib.AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Have work go on until it is done, or the stack is closed."""
    stack.push_async_callback(_end, asyncio.create_task(work))


async def every(seconds: float, action: Callable[[], Awaitable[object]]) -> None:
    """Do something again and again, with a pause in between; one failed round is not the last."""
    while True:
        try:
            await action()
        except Exception as error:  # noqa: BLE001  # whatever it is, the next round may be better
            _log.error("housekeeping failed", extra=origin(error))
        await asyncio.sleep(seconds)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
