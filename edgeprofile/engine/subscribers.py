"""Who wants to be told of changes, whether or not the profiles are cached.

The feed's consumer asks whether there is anybody at all, and goes on if not. What waits to be told is bounded by what
was asked for: a profile that changes again before its subscriber came to read of it is told once.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

__all__ = ["Change", "Changes", "Subscribers"]

Change: TypeAlias = tuple[str, str] | None
"""Id type and id value of a profile that may have changed; `None`: changes may have been missed, read everything again."""


class Subscribers:
    """The subscriptions of one engine. Written from any thread, read on the engine's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[bytes, tuple[Changes, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def add(self, changes: Changes, keys: Iterable[bytes]) -> None:
        """Tell these changes of these keys from now on."""
        with self._lock:
            for key in keys:
                self._by_key[key] = (*self._by_key.get(key, ()), changes)

    def remove(self, changes: Changes, keys: Iterable[bytes]) -> None:
        """Tell them no more."""
        with self._lock:
            for key in keys:
                left = tuple(each for each in self._by_key.get(key, ()) if each is not changes)
                if left:
                    self._by_key[key] = left
                else:
                    self._by_key.pop(key, None)

    def changed(self, keys: Iterable[bytes]) -> None:
        """Events named these keys."""
        by_key = self._by_key
        for key in filter(by_key.__contains__, keys):
            for changes in by_key.get(key, ()):
                changes.tell(key)

    def lost(self) -> None:
        """Events may have been missed."""
        for changes in self._everybody():
            changes.tell(None)

    def close(self) -> None:
        """Nothing more will be heard."""
        for changes in self._everybody():
            changes.end()

    def _everybody(self) -> set[Changes]:
        with self._lock:
            return {changes for some in self._by_key.values() for changes in some}


class Changes:
    """Changes of some profiles, for one task: ``async for change in changes``, within ``with changes:``.

    A change names an id type and value, or is `None` where changes may have been missed: then everything that was read
    before has to be read again. Nothing is told of what happened before the block was entered. It ends when the client is
    closed.
    """

    def __init__(self, subscribers: Subscribers, names: Mapping[bytes, tuple[str, str]]) -> None:
        self._subscribers = subscribers
        self._names = dict(names)
        self._lock = threading.Lock()
        self._waiting: dict[Change, None] = {}
        self._told = asyncio.Event()
        self._ended = False

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._subscribers.add(self, self._names)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._subscribers.remove(self, self._names)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while True:
            with self._lock:
                if self._waiting:
                    change = next(iter(self._waiting))
                    del self._waiting[change]
                    return change
                if self._ended:
                    raise StopAsyncIteration
                self._told.clear()
            await self._told.wait()

    def tell(self, key: bytes | None) -> None:
        """Have the task told of a key's change, or of a loss; from any thread."""
        with self._lock:
            first = not self._waiting
            if key is None:
                self._waiting.clear()  # which everything includes
            self._waiting[None if key is None else self._names[key]] = None
        if first:
            self._wake()

    def end(self) -> None:
        """Have the task come to an end; from any thread."""
        with self._lock:
            self._ended = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # its loop has been closed
            self._loop.call_soon_threadsafe(self._told.set)
