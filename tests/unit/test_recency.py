import gc
from collections import deque

import pytest

from edgeprofile.core.coherence import FOREVER
from edgeprofile.core.entries import Entry
from edgeprofile.core.recency import CHUNK, Recency


def entry(name):
    return Entry(str(name), ("d", "e", "t"), None, FOREVER, 1.0, 1.0, 1.0, None)


@pytest.fixture
def recency():
    return Recency()


def names(entries):
    return [int(found.value) for found in entries]


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_first_in_first_out(recency, count):
    for name in range(count):
        recency.push(entry(name))
    assert names(recency) == list(range(count))
    assert names(recency.pop() for _ in range(count)) == list(range(count))
    with pytest.raises(IndexError):
        recency.pop()


def test_pushes_and_pops_interleave(recency):
    expected = deque()
    for name in range(5 * CHUNK):
        recency.push(entry(name))
        expected.append(name)
        if name % 3:
            assert int(recency.pop().value) == expected.popleft()
    assert names(recency) == list(expected)


def rounds(recency, keep, count=1):
    """Sift until a round is over."""
    for _ in range(count):
        while not recency.sift(keep):
            pass


def test_a_round_sees_every_entry_once(recency):
    for name in range(4 * CHUNK + 5):
        recency.push(entry(name))
    recency.pop()
    seen = []

    def keep(entries):
        found = list(entries)
        seen.extend(found)
        return found

    rounds(recency, keep)
    assert sorted(names(seen)) == list(range(1, 4 * CHUNK + 5))
    assert names(recency) == list(range(1, 4 * CHUNK + 5))


def test_sifting_keeps_the_order_of_what_it_keeps(recency):
    count = 10 * CHUNK + 5
    for name in range(count):
        recency.push(entry(name))
    recency.pop()
    for divisor in (2, 3, 50):
        rounds(recency, lambda entries, by=divisor: [found for found in entries if int(found.value) % by == 0])
    assert names(recency) == list(range(150, count, 150))
    assert names(recency.pop() for _ in range(3)) == [150, 300, 450]


def test_sifting_merges_what_becomes_small(recency):
    for name in range(20 * CHUNK):
        recency.push(entry(name))
    rounds(recency, lambda entries: [found for found in entries if int(found.value) % CHUNK == 0])
    assert len(recency._middle) == 1
    assert names(recency) == list(range(0, 20 * CHUNK, CHUNK))


def test_a_pop_between_two_sifts_moves_the_cursor_along(recency):
    for name in range(4 * CHUNK):
        recency.push(entry(name))
    seen = []

    def keep(entries):
        found = list(entries)
        seen.extend(found)
        return found

    recency.sift(keep)
    for _ in range(CHUNK + 1):
        recency.pop()
    rounds(recency, keep)
    assert set(range(CHUNK + 1, 4 * CHUNK)) <= set(names(seen))


def test_everything_can_be_sifted_away(recency):
    for name in range(2 * CHUNK + 1):
        recency.push(entry(name))
    rounds(recency, lambda _entries: [])
    assert names(recency) == []


def test_what_follows_a_chunk_that_was_sifted_away_can_be_popped(recency):
    for name in range(2 * CHUNK + 1):
        recency.push(entry(name))
    recency.sift(lambda _entries: [])
    assert names([recency.pop()]) == [CHUNK]
    rounds(recency, lambda _entries: [])
    recency.push(entry(7))
    assert names([recency.pop()]) == [7]


def test_the_collector_stops_walking_full_chunks(recency):
    for name in range(4 * CHUNK):
        recency.push(entry(name))
    gc.collect()
    assert not any(map(gc.is_tracked, recency._middle))
    assert not any(map(gc.is_tracked, recency))
