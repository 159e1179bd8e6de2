"""What large answers may take together."""

import asyncio

from edgeprofile_sidecar.counters import Counters
from edgeprofile_sidecar.room import Room


def room(left: list[int]) -> tuple[Room, Counters]:
    """Room for 100 bytes; connections have the last of ``left`` unread."""
    counters = Counters()
    made = Room(counters, 100, 100)
    made.unread = lambda: left[-1]
    return made, counters


def test_what_is_sent_counts_in_full_until_the_connections_are_asked():
    left = [0]
    made, counters = room(left)
    assert made.sends(60)
    left.append(50)
    assert not made.sends(60)
    assert made.sends(50)
    left.append(100)
    assert not made.sends(1)
    left.append(0)
    made.look()
    assert made.sends(100)
    assert counters.no_room == 2


def test_who_reads_at_once_is_never_refused():
    made, counters = room([0])
    assert all(made.sends(90) for _ in range(10))
    assert counters.no_room == 0


def test_what_a_task_makes_is_taken_until_it_ends_or_is_refused():
    async def scenario() -> list[bool]:
        made, counters = room([0])

        async def making(*sizes: int) -> bool:
            fits = [made.makes(size) for size in sizes]
            made.look()
            assert counters.unread == sum(sizes) * all(fits)
            return all(fits)

        found = [await asyncio.create_task(making(*sizes)) for sizes in ((60, 40), (60, 41), (1, 99))]
        await asyncio.sleep(0)
        made.look()
        assert (counters.unread, counters.no_room) == (0, 1)
        return found

    assert asyncio.run(scenario()) == [True, False, True]


def test_what_is_made_is_taken_in_full_until_the_connections_know_of_it():
    async def scenario() -> list[bool]:
        left = [80]
        made, counters = room(left)
        found = [made.makes(80)]
        made.made()
        found += [made.sends(20), made.sends(30)]
        left.append(0)
        made.look()
        found.append(made.sends(100))
        made.look()
        assert counters.unread == 0
        return found

    assert asyncio.run(scenario()) == [True, True, False, True]
