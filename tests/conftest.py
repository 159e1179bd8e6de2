"""Profiles of hypothesis, the fixtures of `tests.support`, a watchdog for each test, and a look at what tests leave.

`EDGEPROFILE_TEST_DEPTH=deep` runs property tests at full size. Random stays random in CI too: a failure prints the
blob that reproduces it.
"""

import faulthandler
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.leaks import none_left

pytest_plugins = ["tests.support.clients", "tests.support.fixtures"]

_WATCHDOG_SECONDS = 120
_WATCHED_FOR_LEAKS = {"contract", "integration", "faults"}

# A shared machine makes single examples slow by chance: the watchdog bounds the test, no deadline its examples.
_COMMON = settings(
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("fast", _COMMON, max_examples=100)
settings.register_profile("deep", _COMMON, max_examples=5_000)
settings.load_profile("deep" if os.environ.get("EDGEPROFILE_TEST_DEPTH") == "deep" else "fast")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"limit(seconds): the watchdog's limit for this test, instead of {_WATCHDOG_SECONDS}"
    )
    # A shell's background job ignores Ctrl-C, and so would the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[_STDERR] = os.dup(2)  # the terminal's: output is not yet captured here


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[_STDERR])


_STDERR = pytest.StashKey[int]()


@pytest.fixture(autouse=True)
def _watchdog(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that hangs prints every thread's stack and ends the run: a hang has no outcome worth waiting for."""
    marker = request.node.get_closest_marker("limit")
    limit = marker.args[0] if marker else _WATCHDOG_SECONDS
    faulthandler.dump_traceback_later(limit, exit=True, file=request.config.stash[_STDERR])
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    if _WATCHED_FOR_LEAKS.isdisjoint(request.path.parts):
        yield
        return
    with none_left():
        yield
