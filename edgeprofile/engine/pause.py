"""The pause between two attempts to listen to a node, and what ends it early."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading

    from edgeprofile.core.backoff import Backoff
    from edgeprofile.engine.node import Node

__all__ = ["pause"]


async def pause(backoff: Backoff, node: Node, lock: threading.Lock, *, unheard: bool) -> None:
    """Until another attempt is due: soon, if nobody answered the last one (``unheard``), and somebody answers a lookup.

    Where the feed alone failed, an answered lookup is no news. ``lock`` is the engine's.
    """
    answered = asyncio.Event()
    told = partial(asyncio.get_running_loop().call_soon_threadsafe, answered.set)
    with lock:
        node.lookout = told if unheard else None
    try:
        async with asyncio.timeout(backoff.next(random.random())):  # noqa: S311 (jitter)
            await answered.wait()
            await asyncio.sleep(backoff.hinted(random.random()))  # noqa: S311
    except TimeoutError:
        return
    finally:
        with lock:
            node.lookout = None
