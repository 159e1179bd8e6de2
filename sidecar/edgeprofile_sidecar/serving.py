"""A process that serves until it is told to stop: what signals mean to it, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager
    from typing import Any

    from edgeprofile_sidecar.sidecar import Addresses

__all__ = ["CUT_SHORT", "DRAINED", "Served", "serve"]

DRAINED, CUT_SHORT = 0, 1

_log = logging.getLogger(__name__)


class Served(Protocol):
    """What serves: a sidecar, or the supervisor of several."""

    @property
    def addresses(self) -> Addresses:
        """Where it listens."""

    async def reload(self) -> None:
        """Read every file again."""

    async def drain(self) -> None:
        """Answer what is under way, and nobody new."""


def serve(what: AbstractAsyncContextManager[Served], *, print_addresses: bool = False, supervised: bool = False) -> int:
    """Serve until SIGTERM or SIGINT, on uvloop where it is installed; the exit code.

    A second signal ends it at once. Where it is ``supervised``, the end of standard input is such a signal, too.
    """
    _raise_descriptor_limit()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(what, print_addresses=print_addresses, supervised=supervised))


async def _serve(what: AbstractAsyncContextManager[Served], *, print_addresses: bool, supervised: bool) -> int:
    told, told_again = _signals(supervised=supervised)
    async with what as sidecar, _reloading(sidecar):
        addresses = sidecar.addresses._asdict()
        _log.info("listening", extra=addresses)
        if print_addresses:
            sys.stdout.write(msgspec.json.encode(addresses).decode() + "\n")
            sys.stdout.flush()
        await told.wait()
        _log.info("draining")
        drained = await _first(sidecar.drain(), told_again)
    _log.info("stopped", extra={"drained": drained})
    return DRAINED if drained else CUT_SHORT


@asynccontextmanager
async def _reloading(sidecar: Served) -> AsyncIterator[None]:
    """Read every file again at each SIGHUP."""
    loop = asyncio.get_running_loop()
    tasks = set[asyncio.Task[None]]()

    def reload() -> None:
        task = loop.create_task(sidecar.reload())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _signals(*, supervised: bool) -> tuple[asyncio.Event, asyncio.Event]:
    """Events for the first and the second request to stop."""
    told, told_again = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell() -> None:
        (told_again if told.is_set() else told).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell)
    if supervised:
        loop.add_reader(sys.stdin.fileno(), _ended, tell)
    return told, told_again


async def _first(work: Coroutine[Any, Any, None], unless: asyncio.Event) -> bool:
    """Whether the work was done before the event came; otherwise it is given up."""
    working, waiting = asyncio.create_task(work), asyncio.create_task(unless.wait())
    done, left = await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    return working in done


def _ended(tell: Callable[[], None]) -> None:
    """Standard input can be read: that it is at its end means that the supervisor is gone."""
    if not os.read(sys.stdin.fileno(), 1024):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        tell()


def _raise_descriptor_limit() -> None:
    """Connections are descriptors: take as many as the system gives without being asked for a right."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415  # an option of the platform
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
