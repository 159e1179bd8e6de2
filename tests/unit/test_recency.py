import gc
from collections import deque

import pytest

from edgeprofile.config import from_mapping
from edgeprofile.core.coherence import FOREVER
from edgeprofile.core.entries import Entry
from edgeprofile.core.recency import CHUNK, Recency, Sieve
from edgeprofile.engine import Engine
from edgeprofile.errors import ConfigurationError


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


# SIEVE


@pytest.fixture
def sieve():
    return Sieve()


def test_without_spares_sieve_is_first_in_first_out(sieve):
    for name in range(3 * CHUNK):
        sieve.push(entry(name))
    assert names(sieve) == list(range(3 * CHUNK))
    assert names(sieve.pop() for _ in range(3 * CHUNK)) == list(range(3 * CHUNK))
    assert not sieve
    with pytest.raises(IndexError):
        sieve.pop()


def test_what_is_spared_keeps_its_place_before_what_comes_later(sieve):
    for name in range(4):
        sieve.push(entry(name))
    for _ in range(2):
        sieve.spare(sieve.pop())
    assert names([sieve.pop()]) == [2]
    sieve.push(entry(4))
    assert names(sieve) == [0, 1, 3, 4]
    assert names(sieve.pop() for _ in range(4)) == [3, 4, 0, 1]


def test_the_hand_begins_anew_before_what_comes_once_it_has_passed_all(sieve):
    for name in range(3):
        sieve.push(entry(name))
    for _ in range(2):
        sieve.spare(sieve.pop())
    assert names([sieve.pop()]) == [2]
    sieve.push(entry(3))
    assert names(sieve.pop() for _ in range(3)) == [0, 1, 3]


def test_a_round_sifts_both_sides_of_the_hand(sieve):
    for name in range(4 * CHUNK):
        sieve.push(entry(name))
    for _ in range(2 * CHUNK + 3):
        sieve.spare(sieve.pop())
    for _ in range(2):
        rounds(sieve, lambda entries: [found for found in entries if int(found.value) % 3 == 0])
    assert names(sieve) == list(range(0, 4 * CHUNK, 3))


def test_the_configuration_says_which():
    def made(**cache):
        destination = {"id": "2Dest", "workspaceId": "1Wsp", "config": {"address": "h"}}
        return Engine(from_mapping({"destinations": [destination], "cache": cache})).cache._recency

    assert type(made()) is Recency
    assert type(made(policy="sieve")) is Sieve
    with pytest.raises(ConfigurationError, match="policy"):
        made(policy="fifo")
