"""Totals, and the pace between two of them."""

import pytest

from edgeprofile.demo.figures import Figures, Track, pace
from edgeprofile.demo.measure import Distribution


def figures(at, lookups=0, **others):
    return Figures(at=at, hits=lookups, **others)


def test_the_pace_is_what_happened_between_two_moments():
    durations = Distribution({100: 4})
    earlier = Figures(at=10, hits=100, misses=10, events=5, changes=6, requests=7)
    later = Figures(at=12, hits=198, misses=12, events=9, changes=16, requests=27, hit_latencies=durations)
    between = pace(earlier, later)
    assert between.seconds == 2
    assert between.lookups == 50
    assert between.hit_ratio == 0.98
    assert (between.events, between.changes, between.requests) == (2, 5, 10)
    assert between.hit_latencies.counts == {100: 4}


def test_no_time_and_no_lookups_are_no_error():
    nothing = pace(figures(1), figures(1))
    assert (nothing.lookups, nothing.hit_ratio) == (0, 0)


def test_a_track_knows_the_last_seconds_and_the_whole():
    track = Track(figures(0), window=2)
    for second in range(1, 11):
        track.add(figures(second, lookups=second**2))
    assert track.elapsed == 10
    assert track.now.seconds == 2
    assert track.now.lookups == pytest.approx((100 - 64) / 2)
    assert track.whole.lookups == 10
    assert list(track.lookups) == [2 * second - 1 for second in range(1, 11)]


def test_a_track_is_bounded():
    track = Track(figures(0), window=2, curve=5)
    for step in range(1, 1_000):
        track.add(figures(step / 4))
    assert len(track.lookups) == 5
    assert len(track._recent) == 9


def test_the_first_moments_of_a_track():
    track = Track(figures(3))
    assert (track.elapsed, track.now.lookups, track.whole.lookups) == (0, 0, 0)
    track.add(figures(3.5, lookups=100))
    assert track.now.lookups == track.whole.lookups == 200


def test_steps_longer_than_the_window_are_looked_at_one_by_one():
    track = Track(figures(0), window=2)
    track.add(figures(10, lookups=10))
    track.add(figures(20, lookups=30))
    assert track.now.lookups == 2
