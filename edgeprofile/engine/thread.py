"""The engine's own thread: one event loop for feeds, heartbeats and refreshes, started once and joined at the end."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from edgeprofile.engine.voice import flush

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["LoopThread"]

_JOIN = 5.0


class LoopThread:
    """A daemon thread that runs one event loop from `start` to `stop`."""

    def __init__(self, name: str) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failure: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop

    def start(self) -> None:
        """Start the thread; its loop runs when this returns. Raises what kept it from that, such as `OSError`."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        """Run a coroutine as a task of the loop, from any thread."""
        self.call(lambda: self._keep(self.loop.create_task(coroutine, name=name)))

    def call(self, function: Callable[[], object]) -> None:
        """Call a function on the loop soon, from any thread."""
        self.loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        """Cancel every task, close the loop, join the thread, and let it have said its last words."""
        if self._thread.is_alive() and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._stopping.set)
            if threading.current_thread() is not self._thread:
                self._thread.join(_JOIN)
                flush()

    @property
    def inside(self) -> bool:
        """Whether the caller is on this thread."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.get_loop()  # where it cannot be made, there is no coroutine yet
                runner.run(self._main())
        except BaseException as error:
            if self._ready.is_set():
                raise
            self._failure = error
            self._ready.set()

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._ready.set()
        await self._stopping.wait()

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
