"""A writer, readers and the checker over a real server: honest caches pass, a dishonest one is caught."""

import json
import threading

import pytest

from tests.support.recorder import History, Writer
from tests.support.wait import until

KEYS = [f"key:{number}" for number in range(5)]


@pytest.fixture
def client(redis_db):
    with redis_db.client(protocol=2) as client:
        yield client


def fetch(client, key):
    return {model.decode(): json.loads(text) for model, text in client.hgetall(key).items()}


def test_reads_from_the_server_itself_are_never_stale(redis_db, client):
    history, stop = History(), threading.Event()

    def read():
        reader = history.reader()
        with redis_db.client(protocol=2) as own:
            while not stop.is_set():
                for key in KEYS:
                    reader.read(key, lambda key=key: fetch(own, key))

    threads = [threading.Thread(target=read) for _ in range(3)]
    with Writer(history, client, KEYS, rate=2_000, delete_every=7) as writer:
        for thread in threads:
            thread.start()
        until(lambda: writer.writes > 500, message="500 writes")
        with redis_db.client() as admin:
            history.flush(admin)
        flushed = writer.writes
        until(lambda: writer.writes > flushed + 200, message="200 writes after the flush")
    stop.set()
    for thread in threads:
        thread.join()
    report = history.check(bound=0).raise_if_any()
    assert report.reads > 100
    assert report.quantile(1) == 0
    assert not writer.errors


def test_a_cache_that_forgets_to_invalidate_is_caught(client):
    history, cache = History(), {}
    reader = history.reader()
    with Writer(history, client, KEYS[:1], rate=1_000) as writer:
        until(lambda: writer.writes)
        cache = fetch(client, KEYS[0])
        written = writer.writes
        until(lambda: writer.writes > written + 50)
        reader.read(KEYS[0], lambda: cache)
    report = history.check(bound=0)
    assert [violation.kind for violation in report.violations] == ["stale"]


def test_a_writer_survives_the_loss_of_its_server_and_the_loss_is_declared(redis_db, client):
    history = History()
    reader = history.reader()
    with Writer(history, client, KEYS, rate=1_000) as writer:
        until(lambda: writer.writes > 20)
        with history.becoming(0, KEYS):
            redis_db.restart()
        until(lambda: writer.errors, message="a write fails")
        before = writer.writes
        until(lambda: writer.writes > before + 20, message="writes go on")
    for key in KEYS:
        reader.read(key, lambda key=key: fetch(client, key))
    history.check(bound=0).raise_if_any()
    assert set(writer.errors) <= {"ConnectionError", "TimeoutError"}
