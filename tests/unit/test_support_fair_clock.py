"""The fair clock goes as fast as others, and not at all while nothing of this process gets a turn."""

import sys
import time

import pytest

from tests.support.fair_clock import FairClock
from tests.support.wait import until


def test_it_is_never_ahead():
    begun = time.monotonic()
    with FairClock() as clock:
        until(lambda: clock.seconds >= 0.1, message="time passes")
        assert time.monotonic() - begun >= 0.1


@pytest.fixture
def _no_turns():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_no_turns")
def test_it_stands_still_while_threads_get_no_turn():
    with FairClock() as clock:
        until(lambda: clock.seconds, message="it goes")
        before, begun = clock.seconds, time.monotonic()
        while time.monotonic() - begun < 0.2:
            pass
        assert clock.seconds <= before + 0.01
