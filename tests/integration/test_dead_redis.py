"""Redis is dead: lookups say so at once, and serve again when it is back; stale answers as far as they are allowed."""

import time
from math import log2

import pytest

import edgeprofile
from edgeprofile.core.breaker import State
from tests.support.clients import configuration
from tests.support.wait import until

ADA = ("user", "email", "ada@example.com")
KEY = "1Wsp:2Dest:user:email:ada@example.com"


def cached(client):
    client.get(*ADA)
    return client.peek(*ADA) is not None


def attempt(client, name):
    with pytest.raises(edgeprofile.RedisUnavailable) as caught:
        client.get("user", "email", name)
    return caught.value


@pytest.mark.parametrize(("waited", "state"), [(0.2, State.CLOSED), (0.6, State.OPEN), (1.0, State.OPEN)])
def test_whoever_waited_for_most_of_the_time_tells_of_the_server_and_who_was_in_a_hurry_does_not(waited, state):
    with edgeprofile.Client(configuration("127.0.0.1:1", limits={"timeout": "1s"})) as client:
        (node,) = client._engine.nodes
        for _ in range(3):
            node.judge(edgeprofile.LookupTimeout("too late"), 100.0 + waited, waited)
        assert node.breaker.state is state


def test_a_probe_in_a_hurry_makes_room_for_another():
    with edgeprofile.Client(configuration("127.0.0.1:1", limits={"timeout": "1s"})) as client:
        (node,) = client._engine.nodes
        for _ in range(3):
            node.judge(edgeprofile.RedisUnavailable("down"), 100.0, 0.0)
        assert node.breaker.admits(100.2)
        assert not node.breaker.admits(100.21)
        node.judge(edgeprofile.LookupTimeout("too late"), 100.22, 0.02)
        assert node.breaker.admits(100.23)


def fail_fast(errors, seconds):
    """All but the probes, of which the first comes after a tenth of a second, and each of the others twice as late."""
    waited = [error for error in errors if not isinstance(error, edgeprofile.CircuitOpen)]
    assert len(waited) <= log2(1 + seconds / 0.1), f"{waited} in {seconds} s"
    assert len(waited) < len(errors)


def test_a_server_that_never_answers_costs_a_few_deadlines_and_then_nothing(make_client, redis_db):
    client = make_client(configuration(redis_db.address, limits={"timeout": "200ms"}))
    client.start()
    with redis_db.paused():
        begun = time.monotonic()
        for n in range(3):
            attempt(client, f"slow{n}")
        errors = [attempt(client, f"fast{n}") for n in range(50)]
        fail_fast(errors, time.monotonic() - begun)
        failed = [error for error in errors if isinstance(error, edgeprofile.CircuitOpen)]
        assert max(error.since for error in failed) >= 0.4  # two deadlines after the first that was missed
    until(lambda: answers(client), 10, "lookups are answered again")


def test_a_lookup_that_fails_fast_is_one_miss_however_many_are_asked_for(make_client, redis_db):
    client = make_client(configuration(redis_db.address, limits={"timeout": "200ms"}))
    client.start()
    with redis_db.paused():
        for n in range(3):
            attempt(client, f"slow{n}")
        before = client.stats()
        with pytest.raises(edgeprofile.RedisUnavailable):
            client.get_many("user", "email", ["a", "b", "c"])
        after = client.stats()
    assert after.misses - before.misses == 3


def test_a_lookup_whose_connection_is_lost_again_and_again_is_one_miss(make_client, redis_db):
    client = make_client(configuration(redis_db.address))
    client.start()
    redis_db.kill()
    before = client.stats().misses
    attempt(client, "lost")
    assert client.stats().misses - before == 1


def test_a_primary_that_never_answers_costs_nothing_more_in_a_cluster_and_the_others_go_on(make_client, make_cluster):
    cluster = make_cluster(primaries=3)
    config = configuration(cluster.address, config={"clusterMode": True}, limits={"timeout": "300ms"})
    client = make_client(config)
    client.start()
    victim = cluster.primaries[0]
    names = [f"u{n}" for n in range(120)]
    owners = {name: cluster.owner(f"1Wsp:2Dest:user:email:{name}") for name in names}
    there = [name for name in names if owners[name] is victim]
    elsewhere = [name for name in names if owners[name] is not victim]
    for node in cluster.nodes:
        node.config_set("cluster-node-timeout", "60000")  # else the others stop serving before long, for its sake
    with victim.paused():
        begun = time.monotonic()
        for name in there[:3]:
            attempt(client, name)
        fail_fast([attempt(client, name) for name in there[3:]], time.monotonic() - begun)
        assert all(client.get("user", "email", name, timeout=10) is None for name in elsewhere)
    until(lambda: answers(client, there), 10, "lookups are answered again")


def answers(client, names=()):
    try:
        for name in names:
            client.get("user", "email", name)
        client.get("user", "email", f"{time.monotonic()}")
    except edgeprofile.RedisUnavailable:
        return False
    return True


def test_a_server_that_is_gone_is_found_again(make_client, redis_db):
    client = make_client(configuration(redis_db.address))
    client.start()
    redis_db.kill()
    for n in range(20):
        attempt(client, f"u{n}")
    redis_db.restart()
    redis_db.notify("KA")
    until(lambda: answers(client), 10, "lookups are answered again")
    until(lambda: client.status()["2Dest"].state == "live", 10, "the feed is live again")


def test_stale_answers_are_marked_counted_and_end(make_client, redis_db):
    redis_db.command("HSET", KEY, "m", '{"a":1}')
    client = make_client(configuration(redis_db.address, cache={"maxStaleness": "200ms", "staleIfError": "1s"}))
    client.start()
    until(lambda: cached(client), 5, "the profile is cached")
    redis_db.kill()
    until(lambda: client.peek(*ADA) is None, 5, "it is no longer fresh")
    stale = client.get(*ADA)
    assert stale == {"m": {"a": 1}}
    assert stale.stale
    assert stale.age > 0
    assert client.stats().stale_served >= 1
    with pytest.raises(edgeprofile.RedisUnavailable):
        until(lambda: client.get(*ADA) is None, 0.2 + 1.0, "it is no longer served")


def test_without_permission_nothing_stale_is_served(make_client, redis_db):
    redis_db.command("HSET", KEY, "m", '{"a":1}')
    client = make_client(configuration(redis_db.address, cache={"maxStaleness": "200ms"}))
    client.start()
    until(lambda: cached(client), 5, "the profile is cached")
    redis_db.kill()
    with pytest.raises(edgeprofile.RedisUnavailable):
        until(lambda: client.get(*ADA) is None, 3, "it is no longer served")
