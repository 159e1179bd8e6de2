"""Refreshes while the engine's own connection hangs: nobody is disturbed, and there is never a second one of a key."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from edgeprofile import Client
from tests.support.clients import configuration
from tests.support.faults import TO_CLIENT
from tests.support.wait import until


def key_of(name):
    return f"1Wsp:2Dest:user:email:{name}"


class Hung:
    """A live client whose refreshes are sent and not answered, until `release`."""

    def __init__(self, server, proxy, client):
        self.server = server
        self.client = client
        self.connection = next(
            each for each in proxy.data.connections if any(c[0] in {b"HINCRBY", b"SET"} for c in each.commands.copy())
        )
        self.versions = 0

    def write(self, name):
        self.versions += 1
        self.server.command("HSET", key_of(name), "m", str(self.versions))

    def read(self, name):
        return self.client.get("user", "email", name)["m"]

    def changes(self, name):
        """Write, and wait until the client knows."""
        until(lambda: self.read(name) is not None and self.cached(name), 5, "it is cached")
        self.write(name)
        until(lambda: not self.cached(name), 5, "the change was heard of")

    def cached(self, name):
        return self.client._engine.cache.find("2Dest", "user", "email", name) is not None

    def asked(self, name):
        """How often the engine asked for it."""
        return list(self.connection.commands.copy()).count((b"HGETALL", key_of(name).encode()))


@pytest.fixture
def hang(redis_db, make_proxy, feed_mode):
    """`hang(budget)`: a client of two profiles in use; only its engine's own connection hangs."""
    with ExitStack() as stack:

        def make(budget):
            for name in ("a", "b"):
                redis_db.command("HSET", key_of(name), "m", "0")  # before the feed is there to tell of it
            proxy = make_proxy(redis_db)
            limits = {"refreshInFlight": budget, "timeout": "20s"}
            feed, cache = {"mode": feed_mode}, {"maxStaleness": "20s"}
            client = stack.enter_context(Client(configuration(proxy.address, limits=limits, cache=cache, feed=feed)))
            client.start()
            hung = Hung(redis_db, proxy, client)
            for name in ("a", "b"):
                until(lambda name=name: hung.read(name) == 0 and hung.cached(name), 5, "it is cached")
            hung.connection.hold(TO_CLIENT)
            stack.callback(hung.connection.release)
            return hung

        yield make


def test_a_thread_that_ends_a_refresh_is_not_the_one_that_begins_the_next(hang):
    hung = hang(1)
    hung.changes("a")
    until(lambda: hung.asked("a") == 1, 5, "it is being refreshed")
    hung.changes("b")  # which has to wait for its turn
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(hung.client.get, "user", "email", "a", timeout=2).result(5) == {"m": 1}
    until(lambda: hung.asked("b") == 1, 5, "the next one has its turn")
    hung.connection.release()
    until(lambda: hung.client.stats().in_flight == 0, 5, "no fetch is left over")
    until(lambda: hung.cached("b"), 5, "it was refreshed")
    assert hung.client.stats().fetch_errors == {}


def test_a_profile_has_one_refresh_at_a_time_however_often_it_changes(hang):
    hung = hang(8)
    hung.changes("a")
    until(lambda: hung.asked("a") == 1, 5, "it is being refreshed")
    poisoned = hung.client.stats().poisoned
    hung.write("a")
    until(lambda: hung.client.stats().poisoned > poisoned, 5, "the refresh that is out is spoiled, and joined no more")
    for _ in range(5):
        begun = time.monotonic()
        until(lambda: time.monotonic() - begun > 0.02, 1, "another one would be due")  # noqa: B023 (called at once)
        assert hung.asked("a") == 1
        hung.changes("a")
    assert hung.asked("a") == 1
    assert hung.client.stats().in_flight == 1
    hung.connection.release()
    until(lambda: hung.asked("a") == 2, 5, "what changed meanwhile is read once more")
    until(lambda: hung.cached("a"), 5, "it was refreshed")
    assert hung.read("a") == hung.versions


@pytest.mark.parametrize(
    "look",
    [
        lambda client: client.get("user", "email", "a", destination="2Dest"),
        lambda client: client.get("user", "email", "a", model="m"),
        lambda client: client.get("user", "email", "a", model="m", type=int),
        lambda client: client.get_many("user", "email", ["a"], destination="2Dest"),
        lambda client: client.peek("user", "email", "a"),
    ],
    ids=["destination", "model", "type", "many", "peek"],
)
def test_a_profile_in_use_is_refreshed_however_it_is_looked_up(hang, look):
    hung = hang(8)
    hung.connection.release()
    for turn in range(1, 4):
        look(hung.client)
        hung.write("a")
        until(lambda turn=turn: hung.asked("a") == turn, 5, "it is refreshed")
        until(lambda: hung.cached("a"), 5, "it is cached")
    assert hung.client.stats().misses == 2, "nobody had to wait for the changes"
