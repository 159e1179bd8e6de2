"""Fill tokens: which fetch may be joined, and whose reply may be stored."""

import pytest

from edgeprofile.core.fills import Fill, Fills


def opened(fills, *keys):
    fill = Fill("who", keys, 1.0, None)
    fills.open(fill)
    return fill


@pytest.fixture
def fills():
    return Fills()


def test_a_fetch_under_way_can_be_joined_under_each_of_its_keys(fills):
    fill = opened(fills, b"a", b"b")
    assert fills.live(b"a") is fills.live(b"b") is fill
    assert fills.live(b"c") is None
    assert list(fills) == [fill]
    assert len(fills) == 1
    assert set(fills.keys()) == {b"a", b"b"}


def test_a_fetch_that_ends_unspoiled_may_be_stored_once(fills):
    fill = opened(fills, b"a", b"b")
    assert fills.close(fill)
    assert not fills.close(fill)
    assert len(fills) == 0


@pytest.mark.parametrize("key", [b"a", b"b"])
def test_a_change_of_any_key_spoils_the_fetch_as_a_whole(fills, key):
    fill = opened(fills, b"a", b"b")
    assert fills.poison(key)
    assert fill.poisoned
    assert fills.live(b"a") is fills.live(b"b") is None
    assert not fills.close(fill)


def test_a_change_of_another_key_spoils_nothing(fills):
    fill = opened(fills, b"a")
    assert not fills.poison(b"b")
    assert fills.close(fill)


def test_a_newer_fetch_takes_the_place_of_an_older_one(fills):
    older = opened(fills, b"a", b"b")
    newer = opened(fills, b"a")
    assert older.poisoned
    assert fills.live(b"b") is None
    assert not fills.close(older)
    assert fills.live(b"a") is newer
    assert fills.close(newer)


def test_anything_may_have_changed(fills):
    both = [opened(fills, b"a", b"b"), opened(fills, b"c")]
    assert fills.poison_all() == 2
    assert fills.poison_all() == 0
    assert all(fill.poisoned for fill in both)
    assert not any(fills.close(fill) for fill in both)


def test_a_fill_begins_with_nobody_waiting_and_nothing_brought():
    fill = Fill("who", (b"a",), 1.0, None, refresh=True)
    assert (fill.identity, fill.keys, fill.sent, fill.lease, fill.refresh) == ("who", (b"a",), 1.0, None, True)
    assert (fill.poisoned, fill.outcome, fill.waiters) == (False, None, [])
