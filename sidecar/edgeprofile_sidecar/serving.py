"""A process that serves until it is told to stop: what signals mean to it, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from edgeprofile_sidecar.background import begin, every

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager
    from typing import Any

    from edgeprofile_sidecar.sidecar import Addresses

__all__ = ["CUT_SHORT", "DRAINED", "RELOAD", "Served", "serve"]

DRAINED, CUT_SHORT = 0, 1
RELOAD: Final = b"reload\n"
"""What a supervisor writes to have the files read again."""

_BETWEEN_RELOADS: Final = 0.5  # seconds

_log = logging.getLogger(__name__)


class Served(Protocol):
    """What serves: a sidecar, or the supervisor of several."""

    @property
    def addresses(self) -> Addresses:
        """Where it listens."""

    async def reload(self) -> None:
        """Read every file again."""

    async def drain(self) -> bool:
        """Answer what is under way, and nobody new; whether all of it was answered in time."""


def serve(what: AbstractAsyncContextManager[Served], *, print_addresses: bool = False, supervised: bool = False) -> int:
    """Serve until SIGTERM or SIGINT, on uvloop where it is installed; the exit code.

    A second signal ends it at once. Where it is ``supervised``, the end of standard input is such a signal, too.
    """
    _raise_descriptor_limit()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(what, print_addresses=print_addresses, supervised=supervised))


async def _serve(what: AbstractAsyncContextManager[Served], *, print_addresses: bool, supervised: bool) -> int:
    told = _Told(supervised=supervised)
    async with what as sidecar, _reloading(sidecar, told.reload):
        addresses = sidecar.addresses._asdict()
        _log.info("listening", extra=addresses)
        if print_addresses:
            sys.stdout.write(msgspec.json.encode(addresses).decode() + "\n")
            sys.stdout.flush()
        await told.stop.wait()
        _log.info("draining")
        drained = await _first(sidecar.drain(), told.stop_now)
    _log.info("stopped", extra={"drained": drained})
    return DRAINED if drained else CUT_SHORT


class _Told:
    """What this process has been told, by signals or by its supervisor; to be made before anything else is begun.

    A request to read the files again that comes while everything is being opened is kept: without a handler, the signal
    would end the process.
    """

    def __init__(self, *, supervised: bool) -> None:
        self.stop, self.stop_now, self.reload = asyncio.Event(), asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self.reload.set)
        if supervised:
            loop.add_reader(sys.stdin.fileno(), self._listen)

    def _end(self) -> None:
        (self.stop_now if self.stop.is_set() else self.stop).set()

    def _listen(self) -> None:
        """Standard input can be read: it says `RELOAD`, or that it is at its end, and so is the supervisor."""
        if os.read(sys.stdin.fileno(), 1024):
            self.reload.set()
            return
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        self._end()


@asynccontextmanager
async def _reloading(sidecar: Served, asked: asyncio.Event) -> AsyncIterator[None]:
    """Read every file again when this is asked for; what is asked soon after is done once, after a pause."""

    async def reload() -> None:
        await asked.wait()
        asked.clear()
        await sidecar.reload()

    async with AsyncExitStack() as stack:
        begin(stack, every(_BETWEEN_RELOADS, reload))
        yield


async def _first(work: Coroutine[Any, Any, bool], unless: asyncio.Event) -> bool:
    """What the work came to, if it was done before the event came; otherwise it is given up."""
    working, waiting = asyncio.create_task(work), asyncio.create_task(unless.wait())
    done, left = await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    return working in done and working.result()


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
