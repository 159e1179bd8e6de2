"""The server with JSON documents does what the tests of documents need."""

import pytest
import redis

from tests.support.wait import until


@pytest.fixture
def client(json_server):
    with json_server.client() as client:
        yield client


def test_documents_are_kept(client):
    client.json().set("k", "$", {"model": {"trait": 1}})
    assert client.json().get("k") == {"model": {"trait": 1}}
    assert client.json().get("absent") is None
    assert client.pexpire("k", 60_000)
    assert 0 < client.pttl("k") <= 60_000


def test_writes_notify(client):
    with client.pubsub() as feed:
        feed.psubscribe("__keyspace@0__:*")
        client.json().set("k", "$", {})
        until(lambda: (message := feed.get_message()) and message["data"] == b"json.set")


def test_a_connection_lives_on_after_an_error(client):
    with pytest.raises(redis.ResponseError, match="unknown command"):
        client.execute_command("NONSENSE")
    own = client.client_id()
    client.set("text", "x")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.hgetall("text")
    assert client.client_id() == own


def test_clients_that_go_away_leave_no_thread(json_server):
    for _ in range(3):
        with json_server.client() as client:
            client.ping()
