"""Many deadlines under one timer: each is kept, none is early, and those that are not needed any more do not pile up."""

import asyncio
import time
from collections.abc import Callable, Coroutine

from edgeprofile.store.alarms import Alarms


def on_a_loop(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    return lambda: asyncio.run(test())


@on_a_loop
async def test_each_rings_once_and_none_is_early() -> None:
    alarms = Alarms(asyncio.get_running_loop())
    rung: list[tuple[int, float]] = []
    begun = time.monotonic()
    deadlines = [begun + 0.02 * number for number in (3, 1, 2, 1, -1)]
    for number, deadline in enumerate(deadlines):
        alarms.set(deadline, lambda number=number: rung.append((number, time.monotonic())))
    await asyncio.sleep(0.2)
    assert [number for number, _ in rung] == [4, 1, 3, 2, 0]
    assert all(at >= deadlines[number] for number, at in rung)
    assert len(alarms) == 0


@on_a_loop
async def test_one_that_is_off_does_not_ring_and_one_that_rang_can_be_turned_off() -> None:
    alarms = Alarms(asyncio.get_running_loop())
    rung: list[str] = []
    off = alarms.set(time.monotonic() + 0.01, lambda: rung.append("off"))
    on = alarms.set(time.monotonic() + 0.02, lambda: rung.append("on"))
    alarms.clear(off)
    alarms.clear(off)
    await asyncio.sleep(0.1)
    assert rung == ["on"]
    alarms.clear(on)
    alarms.set(time.monotonic() + 0.01, lambda: rung.append("next"))
    await asyncio.sleep(0.1)
    assert rung == ["on", "next"]


@on_a_loop
async def test_an_earlier_deadline_is_not_kept_waiting_by_a_later_one() -> None:
    alarms = Alarms(asyncio.get_running_loop())
    rung = asyncio.Event()
    alarms.set(time.monotonic() + 60, rung.clear)
    alarms.set(time.monotonic() + 0.01, rung.set)
    await asyncio.wait_for(rung.wait(), 10)


@on_a_loop
async def test_alarms_that_are_off_do_not_pile_up_behind_one_that_is_on() -> None:
    alarms = Alarms(asyncio.get_running_loop())
    alarms.set(time.monotonic() + 30, lambda: None)
    for _ in range(10_000):
        alarms.clear(alarms.set(time.monotonic() + 60, lambda: None))
    assert len(alarms) < 100


@on_a_loop
async def test_one_may_set_another_while_it_rings() -> None:
    alarms = Alarms(asyncio.get_running_loop())
    rung: list[float] = []

    def again() -> None:
        rung.append(time.monotonic())
        if len(rung) < 3:
            alarms.set(time.monotonic() - 1, again)

    alarms.set(time.monotonic(), again)
    await asyncio.sleep(0.05)
    assert len(rung) == 3
