"""Whatever ends an epoch, the next one begins: also what nobody thought of. And soon, when Redis is back."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import pytest

from edgeprofile import Client, RedisUnavailable
from edgeprofile.core.backoff import Backoff
from tests.support.clients import configuration
from tests.support.faults import TO_CLIENT
from tests.support.ports import HOST, free_port
from tests.support.wait import until


@pytest.fixture
def proxy(redis_db, make_proxy):
    return make_proxy(redis_db)


def session_of(client):
    (session,) = client._engine._sessions.values()
    return session


def losses(client):
    return sum(client.stats().feed_losses.values())


def is_live(client):
    return client.status()["2Dest"].state == "live"


def answers(client):
    try:
        return client.get("user", "email", f"{time.monotonic()}") is None
    except RedisUnavailable:
        return False


@contextmanager
def lookups(client):
    """Of ever new profiles, until the block ends."""
    over = Event()

    def go_on():
        while not over.wait(0.01):
            answers(client)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(go_on)
        try:
            yield
        finally:
            over.set()
        running.result(10)


def test_an_error_that_nobody_thought_of_ends_an_epoch_and_no_more(redis_db, monkeypatch, caplog):
    caplog.set_level(logging.WARNING, "edgeprofile")
    with Client(configuration(redis_db.address)) as client:
        client.start()
        session = session_of(client)
        epoch = session._node.keeper.authority.epoch

        async def stumble():
            monkeypatch.undo()
            raise KeyError("unheard of")

        monkeypatch.setattr(session._inspector, "inspect", stumble)
        until(lambda: session._node.keeper.authority.epoch > epoch, 5, "the epoch ends")
        until(lambda: is_live(client), 5, "the next one is live")
        assert client.stats().feed_losses["KeyError"] == 1
    assert "unheard of" in caplog.text


def test_the_first_answer_after_an_outage_ends_a_long_pause(make_client, redis_db, proxy):
    client = make_client(configuration(proxy.address))
    client.start()
    proxy.retarget(HOST, free_port())
    proxy.all.reset()
    until(lambda: losses(client) >= 2, 5, "nobody is there any more")
    session = session_of(client)
    session._backoff = long = Backoff(first=120.0, cap=120.0)
    until(lambda: long._failures, 5, "the long pause begins")
    proxy.retarget(redis_db.host, redis_db.port)
    until(lambda: answers(client), 10, "lookups are answered again")
    until(lambda: is_live(client), 15, "the feed is live again")
    assert session._node.lookout is None


def test_answers_end_no_pause_where_it_is_the_feed_that_is_refused(proxy):
    with Client(configuration(proxy.address)) as client, lookups(client):
        client.start()
        session_of(client)._backoff = Backoff(first=2.0, cap=2.0)
        proxy.feed.cut(0, TO_CLIENT)
        proxy.feed.reset()
        until(lambda: losses(client) == 1, 5, "the epoch ends")
        begun = time.monotonic()
        until(lambda: losses(client) >= 3, 15, "attempts go on")
        assert time.monotonic() - begun > 1.0 + 1.0


def test_attempts_become_rarer_where_only_connections_that_are_open_are_answered(proxy):
    """As of a server that has none to spare. Pauses double as ever, and answers end them later each time."""
    with Client(configuration(proxy.address)) as client, lookups(client):
        client.start()
        until(lambda: answers(client), 5, "a connection is open")
        begun = time.monotonic()
        proxy.refuse()
        proxy.feed.reset()
        until(lambda: losses(client) >= 9, 60, "attempts go on")
        assert time.monotonic() - begun > 0.025 + 0.05 + 0.1 + 0.2 + 0.25 + 0.5 + 1.0 + 2.0
