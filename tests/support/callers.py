"""Lookups under way, as futures: the same test asks through threads and through tasks."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from edgeprofile import AsyncClient, Client

if TYPE_CHECKING:
    from concurrent.futures import Future

Kind = Literal["threads", "tasks"]
KINDS: tuple[Kind, ...] = ("threads", "tasks")


class LoopThread:
    """An event loop in a thread of its own, as an application has one."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._tidy = True
        self._thread = threading.Thread(target=self._run, name="tasks of a test")
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, Any]) -> "Future[Any]":
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def call(self, function: Callable[[], object]) -> None:
        self.loop.call_soon_threadsafe(function)

    def close(self, *, tidy: bool = True) -> None:
        """End the loop as `asyncio.run` does; otherwise close it and leave everything in it as it is."""
        self._tidy = tidy
        self.call(self.loop.stop)
        self._thread.join()

    def _run(self) -> None:
        runner = asyncio.Runner(loop_factory=lambda: self.loop)
        runner.get_loop().run_forever()
        if self._tidy:
            runner.close()
        else:
            self.loop.close()


class Caller:
    """Somebody who uses a client from many threads, or from many tasks of one loop."""

    def __init__(self, client: Client, twin: AsyncClient, kind: Kind, threads: int = 64) -> None:
        """A caller of a client, or of its twin over the same engine."""
        self.kind = kind
        self.client = client
        self.twin = twin
        self._pool = ThreadPoolExecutor(threads, "threads of a test")
        self.loop = LoopThread() if kind == "tasks" else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self, *, tidy: bool = True) -> None:
        """End its loop, `tidy` or not, and its threads; may be called again."""
        loop, self.loop = self.loop, None
        if loop is not None:
            loop.close(tidy=tidy)
        self._pool.shutdown()

    def ask(self, method: str, *args: Any, **how: Any) -> "Future[Any]":
        """Call a method of the client now, and wait for nothing."""
        if self.loop is None:
            return self._pool.submit(getattr(self.client, method), *args, **how)
        return self.loop.submit(getattr(self.twin, method)(*args, **how))

    def call(self, method: str, *args: Any, **how: Any) -> Any:
        """Call a method of the client and return what it returns."""
        return self.ask(method, *args, **how).result()
