"""Many deadlines under one timer: each is kept, none is early, and those that are not needed any more do not pile up."""

import asyncio
import time
from collections.abc import Callable, Coroutine

from edgeprofile.store.alarms import Alarms


class Sleeper:
    """Calls a function when it is late."""

    def __init__(self, late: Callable[[], object] = lambda: None) -> None:
        self.late = late


def on_a_loop(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    return lambda: asyncio.run(test())


@on_a_loop
async def test_each_rings_once_and_none_is_early() -> None:
    alarms = Alarms(asyncio.get_running_loop())
    rung: list[tuple[int, float]] = []
    begun = time.monotonic()
    deadlines = [begun + 0.02 * number for number in (3, 1, 2, 1, -1)]
    for number, deadline in enumerate(deadlines):
        alarms.set(Sleeper(lambda number=number: rung.append((number, time.monotonic()))), deadline)
    await asyncio.sleep(0.2)
    assert [number for number, _ in rung] == [4, 1, 3, 2, 0]
    assert all(at >= deadlines[number] for number, at in rung)
    assert len(alarms) == 0


@on_a_loop
async def test_one_that_is_cleared_does_not_ring_and_one_that_rang_can_be_cleared() -> None:
    alarms = Alarms(asyncio.get_running_loop())
    rung: list[str] = []
    cleared, kept = Sleeper(lambda: rung.append("cleared")), Sleeper(lambda: rung.append("kept"))
    alarms.set(cleared, time.monotonic() + 0.01)
    alarms.set(kept, time.monotonic() + 0.02)
    alarms.clear(cleared)
    alarms.clear(cleared)
    await asyncio.sleep(0.1)
    assert rung == ["kept"]
    alarms.clear(kept)
    alarms.set(Sleeper(lambda: rung.append("next")), time.monotonic() + 0.01)
    await asyncio.sleep(0.1)
    assert rung == ["kept", "next"]


@on_a_loop
async def test_an_earlier_deadline_is_not_kept_waiting_by_a_later_one() -> None:
    alarms = Alarms(asyncio.get_running_loop())
    rung = asyncio.Event()
    alarms.set(Sleeper(), time.monotonic() + 60)
    alarms.set(Sleeper(rung.set), time.monotonic() + 0.01)
    await asyncio.wait_for(rung.wait(), 10)


@on_a_loop
async def test_one_that_rings_may_clear_another_that_is_due() -> None:
    alarms = Alarms(asyncio.get_running_loop())
    rung: list[str] = []
    second = Sleeper(lambda: rung.append("second"))
    now = time.monotonic()
    alarms.set(second, now)
    alarms.set(Sleeper(lambda: (rung.append("first"), alarms.clear(second))), now - 1)
    await asyncio.sleep(0.05)
    assert rung == ["first"]


@on_a_loop
async def test_alarms_that_are_cleared_leave_nothing_behind() -> None:
    alarms = Alarms(asyncio.get_running_loop())
    alarms.set(Sleeper(), time.monotonic() + 30)
    for _ in range(10_000):
        sleeper = Sleeper()
        alarms.set(sleeper, time.monotonic() + 60)
        alarms.clear(sleeper)
    assert len(alarms) == 1


@on_a_loop
async def test_one_may_set_another_while_it_rings() -> None:
    alarms = Alarms(asyncio.get_running_loop())
    rung: list[float] = []

    def again() -> None:
        rung.append(time.monotonic())
        if len(rung) < 3:
            alarms.set(Sleeper(again), time.monotonic() - 1)

    alarms.set(Sleeper(again), time.monotonic())
    await asyncio.sleep(0.05)
    assert len(rung) == 3
