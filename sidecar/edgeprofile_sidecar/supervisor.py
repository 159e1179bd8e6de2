"""Several processes that share the listeners: started, watched, started again, and ended together.

Each worker has a socket of its own at every port, all of which the supervisor keeps open: while a worker is started
again, its callers wait instead of being refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import tempfile
from time import monotonic
from typing import TYPE_CHECKING

from edgeprofile_sidecar import assembly
from edgeprofile_sidecar.background import begin, every
from edgeprofile_sidecar.guarded import serve_admin
from edgeprofile_sidecar.serving import CUT_SHORT, RELOAD
from edgeprofile_sidecar.sidecar import Addresses
from edgeprofile_sidecar.sockets import bind
from edgeprofile_sidecar.workers import Inherited, Order

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from edgeprofile.config import SidecarConfig
    from edgeprofile_sidecar.sockets import Bound

__all__ = ["Supervisor"]

_log = logging.getLogger(__name__)

_SHORTEST, _LONGEST = 0.5, 30.0  # seconds between the end of a worker and its next start
_ASKING, _SILENT = 5.0, 30.0  # seconds between two questions, and without an answer until a worker is given up
_ENDING = 2.0  # seconds for the end of a worker that has drained
_CUT = {CUT_SHORT, -signal.SIGKILL}  # codes of workers that did not answer everything
_STEADY = 60.0  # seconds after which a worker counts as having started well


class Supervisor:
    """Keeps ``count`` workers running, which are started with ``arguments``; an async context manager.

    Entering it raises `ConfigurationError` for an address that cannot be used.
    """

    addresses: Addresses

    def __init__(self, settings: SidecarConfig, count: int, arguments: Sequence[str]) -> None:
        self._settings = settings
        self._arguments = arguments
        self._count = count
        self._children: dict[int, asyncio.subprocess.Process] = {}
        self._heard: dict[int, float] = {}
        self._stopping = asyncio.Event()
        self._last = signal.SIGTERM
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        home = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeprofile-"))
        try:
            orders = self._orders(home)
        except BaseException:
            await self._stack.aclose()
            raise
        self._tasks = [asyncio.create_task(self._keep(order)) for order in orders]
        paths = [order.admin.removeprefix("unix:") for order in orders]
        await self._open_admin(paths)
        workers = assembly.Workers(paths)
        begin(self._stack, every(_ASKING, lambda: self._listen(workers)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what is left of the workers."""
        self._end(signal.SIGKILL)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    async def drain(self) -> bool:
        """Have every worker drain, and return when all have ended; one that takes longer than it may is killed.

        Whether each answered all that it had under way; what it did not, it has said.
        """
        draining = [child for child in self._children.values() if child.returncode is None]
        self._end(signal.SIGTERM)
        seconds = self._settings.drain_delay + self._settings.drain_timeout + _ENDING
        await asyncio.wait(self._tasks, timeout=seconds)
        late = [index for index, task in enumerate(self._tasks) if not task.done()]
        if late:
            _log.error("workers do not end", extra={"workers": late, "seconds": seconds})
            self._end(signal.SIGKILL)
        await asyncio.gather(*self._tasks)
        return not any(child.returncode in _CUT for child in draining)

    async def reload(self) -> None:
        """Have every worker read its files again.

        It is said through their standard input, where it waits for a worker that is starting; a signal would end that.
        """
        for child in self._children.values():
            if child.returncode is None and child.stdin is not None and not child.stdin.is_closing():
                child.stdin.write(RELOAD)

    def _end(self, number: signal.Signals) -> None:
        """Send a signal to every worker, and to those that are being started as soon as they are there."""
        self._last = number
        self._stopping.set()
        for child in self._children.values():
            _send(child, number)

    def _orders(self, home: str) -> list[Order]:
        named = [(address, f"sidecar.listen[{i}]") for i, address in enumerate(self._settings.listen)]
        rows = [self._shares(address, option) for address, option in named]
        admin = self._settings.admin_listen
        self._apart = self._bind(admin, "sidecar.adminListen", shared=False) if admin else None
        apart = self._apart.address if self._apart else None
        self.addresses = Addresses(tuple(row[0].address for row in rows), apart)
        return [
            Order(index, tuple(_inherited(row[index]) for row in rows), f"unix:{home}/{index}.sock")
            for index in range(self._count)
        ]

    def _shares(self, address: str, option: str) -> list[Bound]:
        """A socket for each worker: of its own at a port, the same for all at a path."""
        first = self._bind(address, option)
        if first.inode is not None:
            return [first] * self._count
        return [first, *(self._bind(first.address, option) for _ in range(self._count - 1))]

    def _bind(self, address: str, option: str, *, shared: bool = True) -> Bound:
        bound = bind(address, option, shared=shared)
        self._stack.callback(bound.release)
        bound.socket.listen(1024)
        return bound

    async def _open_admin(self, paths: list[str]) -> None:
        if self._apart is None:
            return
        app = assembly.application(paths, self._settings.admin_endpoints)
        await serve_admin(self._stack, app, self._apart.socket, self._settings.header_timeout)

    async def _listen(self, workers: assembly.Workers) -> None:
        """Ask every worker whether it lives; one that has been silent for long is ended, to be started again."""
        alive = await workers.alive()
        now = monotonic()
        for index, child in self._children.items():
            if alive[index]:
                self._heard[index] = now
            elif child.returncode is None and now - self._heard[index] > _SILENT and not self._stopping.is_set():
                _log.error("a worker is silent", extra={"worker": index, "seconds": round(now - self._heard[index])})
                _send(child, signal.SIGKILL)

    async def _keep(self, order: Order) -> None:
        pause = _SHORTEST
        while not self._stopping.is_set():
            begun = monotonic()
            code = await self._run(order)
            if self._stopping.is_set():
                return
            pause = _SHORTEST if monotonic() - begun > _STEADY else min(2 * pause, _LONGEST)
            _log.error("a worker ended", extra={"worker": order.index, "code": code, "again in": pause})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _run(self, order: Order) -> int | str:
        """The code with which a worker ended, or why it could not be started."""
        try:
            child = await self._start(order)
        except OSError as reason:
            return str(reason)
        return await child.wait()

    async def _start(self, order: Order) -> asyncio.subprocess.Process:
        """Start a worker; the end of its standard input tells it that nobody supervises it any more."""
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edgeprofile", "sidecar", *self._arguments, "--worker", order.write()),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=[each.descriptor for each in order.sockets],
        )
        self._children[order.index] = child
        self._heard[order.index] = monotonic()
        if self._stopping.is_set():
            _send(child, self._last)
        return child


def _send(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(number)


def _inherited(bound: Bound) -> Inherited:
    return Inherited(bound.socket.fileno(), bound.address, bound.tls)
