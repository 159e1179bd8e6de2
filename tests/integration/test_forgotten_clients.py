"""Clients that nobody closed: they are closed when the garbage collector finds them, wherever it runs."""

import gc
import threading

import pytest

from edgeprofile import Client
from tests.support.clients import configuration
from tests.support.wait import until


@pytest.mark.parametrize("held", ["lock", "_news"])
def test_a_forgotten_client_is_closed_whatever_its_finder_holds(redis_db, held):
    client = Client(configuration(redis_db.address))
    client.start()
    engine = client._engine
    found = threading.Event()

    def collect():
        with getattr(engine, held):  # as if the collector ran in the middle of the engine's own work
            gc.collect()
        found.set()

    def collect_aside():
        threading.Thread(target=collect, daemon=True).start()
        found.wait(5)

    del client
    with pytest.warns(ResourceWarning, match="unclosed Client"):
        collect_aside()
    assert found.is_set(), "the collector hangs on a lock that its own thread holds"
    until(lambda: engine.closed and not engine.running, 5, "the engine ends")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_forgotten_client_is_closed_though_the_warning_is_an_error(redis_db):
    client = Client(configuration(redis_db.address))
    client.start()
    engine = client._engine
    del client
    gc.collect()
    until(lambda: engine.closed and not engine.running, 5, "the engine ends")
