"""Servers that take a connection and end it without a word: a balancer with nobody behind it, a server that is full."""

import re
import time
from math import log2

import pytest

import edgeprofile
from edgeprofile.core.breaker import State
from edgeprofile.store.endpoint import ConnectionLost
from tests.support.clients import configuration
from tests.support.faults import TO_CLIENT
from tests.support.ports import HOST, free_port
from tests.support.wait import until

ADA = ("user", "email", "ada@example.com")


@pytest.fixture
def balancer(redis_db, make_proxy):
    """Nobody is behind it, until it is retargeted."""
    proxy = make_proxy(redis_db)
    proxy.retarget(HOST, free_port())
    return proxy


def attempt(client, timeout=None):
    with pytest.raises(edgeprofile.RedisUnavailable) as caught:
        client.get(*ADA, timeout=timeout)
    return caught.value


def answers(client):
    try:
        return client.get(*ADA) is None
    except edgeprofile.RedisUnavailable:
        return False


def test_lookups_fail_fast_after_a_few_and_are_answered_when_somebody_is_behind(make_client, balancer, redis_db):
    client = make_client(configuration(balancer.address))
    begun = time.monotonic()
    errors = [attempt(client) for _ in range(300)]
    probes = [error for error in errors[10:] if not isinstance(error, edgeprofile.CircuitOpen)]
    assert len(probes) <= log2(1 + (time.monotonic() - begun) / 0.1)
    assert re.search("lost before it answered|ended the connection at once", str(errors[-1]))
    assert len(balancer.accepted) < 30, f"in {time.monotonic() - begun} s"
    balancer.retarget(redis_db.host, redis_db.port)
    until(lambda: answers(client), 10, "lookups are answered again")


@pytest.fixture
def mute(redis_db, make_proxy):
    """Takes what is asked, and ends the connection."""
    proxy = make_proxy(redis_db)
    proxy.all.cut(0, TO_CLIENT)
    return proxy


def test_deletes_fail_fast_as_well(make_client, balancer, redis_db):
    client = make_client(configuration(balancer.address))
    errors = [undeleted(client) for _ in range(100)]
    assert isinstance(errors[-1], edgeprofile.CircuitOpen)
    assert len(balancer.accepted) < 30
    balancer.retarget(redis_db.host, redis_db.port)
    until(lambda: answers(client), 10, "lookups are answered again")
    assert client.delete("user", [ADA[1:]]) == 0


def undeleted(client):
    with pytest.raises(edgeprofile.RedisUnavailable) as caught:
        client.delete("user", [ADA[1:]])
    return caught.value


def test_one_lookup_does_not_connect_again_at_once(make_client, mute):
    client = make_client(configuration(mute.address))
    begun = time.monotonic()
    attempt(client)
    assert time.monotonic() - begun >= 0.025 + 0.05
    assert len(mute.data.ever) <= 5


def test_one_lookup_keeps_its_deadline(make_client, mute):
    client = make_client(configuration(mute.address))
    begun = time.monotonic()
    attempt(client, timeout=0.02)
    assert time.monotonic() - begun < 1


def test_a_connection_that_is_lost_in_the_middle_of_work_is_made_anew_at_once(make_client, redis_db, make_proxy):
    proxy = make_proxy(redis_db)
    client = make_client(configuration(proxy.address, cache={"maxStaleness": "50ms"}))
    client.start()
    for n in range(10):
        proxy.data.reset()
        assert client.get("user", "email", f"u{n}") is None
    assert client.stats().fetch_errors.keys() <= {"ConnectionLost"}


@pytest.mark.parametrize("call", [attempt, undeleted])
def test_a_server_without_room_is_unavailable_and_soon_not_asked_any_more(make_client, redis_db, call):
    client = make_client(configuration(redis_db.address))
    redis_db.config_set("maxclients", "1")
    try:
        errors = [call(client) for _ in range(100)]
        assert "maxclients" in str(errors[0])
        assert isinstance(errors[-1], edgeprofile.CircuitOpen)
    finally:
        redis_db.config_set("maxclients", "1000")
    until(lambda: answers(client), 10, "lookups are answered again")


def test_a_server_that_speaks_something_else_is_named(make_client, redis_db, make_proxy):
    proxy = make_proxy(redis_db)
    proxy.all.rewrite(lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", TO_CLIENT)
    client = make_client(configuration(proxy.address))
    with pytest.raises(edgeprofile.ProtocolViolation, match="does Redis listen there") as caught:
        client.get(*ADA)
    assert proxy.address in str(caught.value)
    assert caught.value.node == proxy.address


@pytest.mark.parametrize(
    ("heard", "connections", "state"),
    [(False, 3, State.OPEN), (False, 2, State.CLOSED), (True, 10, State.CLOSED)],
)
def test_connections_without_a_word_count_once_each_and_others_do_not(heard, connections, state):
    with edgeprofile.Client(configuration(f"{HOST}:1")) as client:
        (node,) = client._engine.nodes
        for _ in range(connections):
            lost = ConnectionLost("lost", heard=heard)
            for _sharer in range(50):
                node.judge(lost, 0.0, 0.0)
        assert node.breaker.state is state
