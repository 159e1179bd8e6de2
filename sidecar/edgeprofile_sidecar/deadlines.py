"""One deadline for every request, without a timer for each: all may take equally long, so the oldest ends first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["Deadlines"]


class Deadlines:
    """The requests that are being answered, in the order in which they came; ``seconds`` is what each may take."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()

    def begin(self, task: asyncio.Task[object], now: float) -> None:
        """A task begins to answer a request, or may begin anew."""
        self._due.pop(task, None)
        self._due[task] = now + self._seconds

    def exempt(self, task: asyncio.Task[object]) -> None:
        """This answer may take as long as it likes, or is complete."""
        self._due.pop(task, None)

    def expire(self, now: float) -> None:
        """Cancel what is overdue."""
        late = []
        for task, due in self._due.items():
            if now < due:
                break
            late.append(task)
        for task in late:
            del self._due[task]
            self._late.add(task)
            task.cancel()

    def caught(self, task: asyncio.Task[object]) -> bool:
        """Whether the cancellation that a task has just caught came from here; then it is taken back."""
        if task not in self._late:
            return False
        self._late.remove(task)
        task.uncancel()
        return True
