"""Pace and patience, on a clock of the test's own."""

import pytest

from edgeprofile.errors import RedisUnavailable, ServerRefused
from edgeprofile.store.patience import Pace, Patience


class Clock:
    def __init__(self):
        self.now = 100.0
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


def pace(clock, rate=0.0):
    return Pace(rate, clock=clock, sleep=clock.sleep)


class TestPace:
    def test_without_a_limit_nothing_waits(self, clock):
        unlimited = pace(clock)
        for _ in range(10):
            unlimited.wait(1_000_000)
        assert clock.slept == []

    def test_the_rate_is_kept(self, clock):
        limited = pace(clock, 1_000)
        for _ in range(10):
            limited.wait(100)
        assert clock.now == pytest.approx(100.9)

    def test_idle_time_is_not_saved_up(self, clock):
        limited = pace(clock, 1_000)
        clock.now += 3_600
        limited.wait(500)
        limited.wait(500)
        assert clock.slept == [pytest.approx(0.5)]


class TestPatience:
    def test_pauses_grow_and_are_bounded(self, clock):
        patience = Patience(1_000, pace(clock))
        for _ in range(20):
            assert patience.pause(progress=False)
        assert clock.slept[0] <= 0.05
        assert 1.0 <= clock.slept[-1] <= 2.0

    def test_it_ends(self, clock):
        patience = Patience(10, pace(clock))
        attempts = 0
        while patience.pause(progress=False):
            attempts += 1
            assert attempts < 1_000
        assert 110 <= clock.now <= 112

    def test_progress_renews_it(self, clock):
        patience = Patience(10, pace(clock))
        while clock.now < 150:
            assert patience.pause(progress=True)
        assert max(clock.slept) <= 0.05

    def test_none_at_all(self, clock):
        assert not Patience(0, pace(clock)).pause(progress=False)

    def test_a_lost_connection_is_told_once_and_at_once(self, clock):
        told = []
        patience = Patience(10, Pace(clock=clock, sleep=clock.sleep, waiting=told.append))
        lost = RedisUnavailable("gone")
        while patience.pause(progress=False, why=lost):
            assert told == [lost]

    def test_what_lasts_a_moment_is_not_told(self, clock):
        told = []
        patience = Patience(10, Pace(clock=clock, sleep=clock.sleep, waiting=told.append))
        moved, busy = ServerRefused("moved", code="MOVED"), ServerRefused("busy", code="BUSY")
        for _ in range(3):
            patience.pause(progress=False, why=moved)
        assert told == []
        for _ in range(3):
            patience.pause(progress=False, why=busy)
        assert told == [busy]
