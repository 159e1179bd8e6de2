"""The arithmetic of the demo's figures."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.demo.measure import Distribution, Sightings

durations = st.lists(st.integers(0, 10**11), min_size=1, max_size=200)
shares = st.floats(0.01, 1.0)


def distribution(values):
    made = Distribution()
    for value in values:
        made.add(value)
    return made


@given(durations, shares)
def test_a_quantile_is_within_half_a_percent_of_the_sorted_value(values, share):
    exact = sorted(values)[math.ceil(share * len(values)) - 1]
    assert distribution(values).quantile(share) == pytest.approx(exact, rel=0.0051)


@given(durations, durations, shares)
def test_what_came_since_is_the_difference(before, since, share):
    all_of_them = distribution([*before, *since])
    difference = all_of_them - distribution(before)
    assert difference.counts == distribution(since).counts
    assert (difference + distribution(before)).counts == all_of_them.counts
    assert difference.quantile(share) == distribution(since).quantile(share)


def test_without_durations_there_is_no_quantile():
    assert Distribution().quantile(0.5) is None
    assert len(Distribution()) == 0


def test_a_copy_stays_as_it_was():
    made = distribution([5, 5])
    copy = Distribution(made.counts)
    made.add(5)
    assert (len(copy), len(made)) == (2, 3)


def test_negative_durations_count_as_none():
    assert distribution([-7]).quantile(1) == 0


def ten_percent(expected):
    return pytest.approx(expected, rel=0.1)


def test_a_change_is_seen_after_its_acknowledgement():
    seen = Sightings()
    assert seen.awaited == (1, 2)
    seen.read(1, revision=0, began=50, ended=60)
    seen.acknowledged(1, at=100)
    seen.read(1, revision=0, began=300, ended=310)
    seen.read(1, revision=1, began=390, ended=400)
    assert seen.delays.quantile(1) == ten_percent(300)
    assert seen.oldest == 200
    assert seen.awaited == (2, 3)
    assert seen.acknowledged_count == 1


def test_late_news_of_an_acknowledgement_change_nothing():
    seen = Sightings()
    seen.read(1, revision=0, began=300, ended=310)
    seen.read(1, revision=1, began=390, ended=400)
    assert seen.awaited == (2,)
    seen.acknowledged(1, at=100)
    assert seen.delays.quantile(1) == ten_percent(300)
    assert seen.oldest == 200


def test_a_change_that_is_seen_before_its_acknowledgement_is_not_stale():
    seen = Sightings()
    seen.read(1, revision=0, began=80, ended=90)
    seen.read(1, revision=1, began=91, ended=95)
    seen.acknowledged(1, at=100)
    assert seen.delays.quantile(1) == 0
    assert seen.oldest == 0


def test_a_change_that_is_never_seen_shows_in_the_oldest_value():
    seen = Sightings()
    seen.acknowledged(1, at=100)
    seen.read(1, revision=0, began=5_000_000_100, ended=5_000_000_200)
    assert seen.oldest == 5_000_000_000
    assert seen.delays.quantile(1) is None
    assert 1 in seen.awaited


def test_a_later_change_of_the_same_user_shows_the_earlier_one():
    seen = Sightings()
    seen.acknowledged(1, at=100)
    seen.read(1, revision=7, began=200, ended=210)
    assert seen.delays.quantile(1) == ten_percent(110)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.booleans()), max_size=50))
def test_nothing_is_kept_of_changes_that_are_done(changes):
    seen = Sightings()
    for number, (acknowledged, read, news_first) in enumerate(changes, 1):
        if news_first:
            seen.acknowledged(number, acknowledged)
        seen.read(number, number, read, read)
        if not news_first:
            seen.acknowledged(number, acknowledged)
    assert seen.awaited == (len(changes) + 1, len(changes) + 2)
    assert len(seen._pending) == 2
    assert len(seen.delays) == len(changes)
