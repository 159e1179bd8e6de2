"""An event loop in a thread, so that a contender's background tasks keep running between the rounds."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Loop:
    """A running loop. A context manager: what was held is released, in reverse order, and the thread ends."""

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop) -> None:
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="benchmark-loop")
        self._held: list[tuple[asyncio.Event, asyncio.Task[None]]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            self.run(self._release())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def hold(self, context: AbstractAsyncContextManager[T]) -> T:
        """Enter an async context manager until the loop ends; enter and exit happen in one task, as anyio demands."""
        return self.run(self._hold(context))

    async def _hold(self, context: AbstractAsyncContextManager[T]) -> T:
        entered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        over = asyncio.Event()

        async def keep() -> None:
            try:
                async with context as value:
                    entered.set_result(value)
                    await over.wait()
            except BaseException as error:
                if entered.done():
                    raise
                entered.set_exception(error)

        task = asyncio.create_task(keep())
        value = await entered
        self._held.append((over, task))
        return value

    async def _release(self) -> None:
        for over, task in reversed(self._held):
            over.set()
            await task
