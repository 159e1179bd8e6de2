"""Waiting by condition: polled and bounded, so that a test is as fast as the machine and still ends."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from inspect import isawaitable
from typing import TypeVar

T = TypeVar("T")
Errors = tuple[type[BaseException], ...]

_FIRST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.02


def until(
    predicate: Callable[[], T],
    timeout: float = 10.0,
    message: str | Callable[[], str] = "",
    *,
    ignoring: Errors = (),
) -> T:
    """Return the predicate's first truthy answer.

    Args:
        predicate: Asked again and again, the last time when the time is over: whoever was kept from asking is not
            failed for that.
        timeout: Seconds after which a false answer is the last one.
        message: What was waited for; a callable is asked at the time of the failure.
        ignoring: Exceptions of the predicate that count as "not yet".

    Raises:
        AssertionError: The time is over; names the condition and the last answer.
    """
    deadline = time.monotonic() + timeout
    for pause in _pauses():
        over = time.monotonic() >= deadline
        answer, failure = _ask(predicate, ignoring)
        if answer:
            return answer
        if over:
            raise _failed(message, timeout, failure or answer)
        time.sleep(pause)
    raise AssertionError("unreachable")


async def auntil(
    predicate: Callable[[], T | Awaitable[T]],
    timeout: float = 10.0,  # the failure names the condition, a cancelled scope could not
    message: str | Callable[[], str] = "",
) -> T:
    """As `until`, for asyncio; the predicate may be a coroutine function."""
    deadline = time.monotonic() + timeout
    for pause in _pauses():
        over = time.monotonic() >= deadline
        answer = predicate()
        value = await answer if isawaitable(answer) else answer
        if value:
            return value
        if over:
            raise _failed(message, timeout, value)
        await asyncio.sleep(pause)
    raise AssertionError("unreachable")


def _ask(predicate: Callable[[], T], ignoring: Errors) -> tuple[T | None, BaseException | None]:
    try:
        return predicate(), None
    except ignoring as error:
        return None, error


def _pauses() -> Iterator[float]:
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _failed(message: str | Callable[[], str], timeout: float, last: object) -> AssertionError:
    what = message() if callable(message) else message
    return AssertionError(f"{what or 'the condition'}: not within {timeout:g} s; last answer {last!r}")
