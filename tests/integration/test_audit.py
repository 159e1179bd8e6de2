"""Audits of a running client: silent in a storm of writes, loud about a promise that was broken, absent unless asked for."""

import asyncio
import json
import logging
import sys
import threading
from contextlib import ExitStack, contextmanager

import pytest

import edgeprofile
from tests.support.clients import configuration
from tests.support.wait import auntil, until

NAMES = [f"u{n}" for n in range(8)]
BOUND = "100ms"
CALM = "2s"
"""A bound that a busy machine keeps: what has to be a hit is no lookup, which would find out."""
CANARY = {"heartbeat": "canary"}
PING = {"heartbeat": "ping", "verifyInterval": "1h"}
TRACKING = {"mode": "tracking"}


def key(name):
    return f"1Wsp:2Dest:user:email:{name}"


def write(server, name, version):
    server.command("HSET", key(name), "m", json.dumps({"version": version}))


def settings(address, *, feed=CANARY, fraction=1.0, **cache):
    cache = {"maxStaleness": BOUND, "auditFraction": fraction, **cache}
    return configuration(address, cache=cache, feed=feed, limits={"timeout": "10s"})


@pytest.fixture
def make_client():
    with ExitStack() as stack:
        yield lambda config: stack.enter_context(edgeprofile.Client(config))


def cached(client, name):
    client.get("user", "email", name)
    return client.peek("user", "email", name) is not None


@contextmanager
def writing(server):
    """Somebody writes all profiles, over and over, with little time between for a hit."""
    over = threading.Event()

    def write_on():
        version = 0
        while not over.is_set():
            version += 1
            for name in NAMES:
                write(server, name, version)
                over.wait(0.001)

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


@pytest.mark.parametrize("feed", [CANARY, PING, TRACKING], ids=["canary", "ping", "tracking"])
def test_no_false_alarm_in_a_storm_of_writes(make_client, redis_db, feed):
    client = make_client(settings(redis_db.address, feed=feed))
    client.start()
    with writing(redis_db):

        def audited():
            for name in NAMES:
                client.get("user", "email", name)
            return client.stats().audits >= 150

        until(audited, 60, lambda: f"hits are audited: {client.stats()}")
    assert client.stats().audit_violations == 0


def test_a_broken_promise_is_found_and_said_once_without_ids(make_client, redis_db, caplog):
    """A flush sends no event: where the heartbeat may not be written and nothing is verified, it goes unseen."""
    for name in NAMES:
        write(redis_db, name, 1)
    client = make_client(settings(redis_db.address, feed=PING, maxStaleness=CALM))
    client.start()
    for name in NAMES:
        until(lambda: cached(client, name), 5, "the profile is cached")  # noqa: B023
    redis_db.flushall()

    def found():
        for name in NAMES:
            client.get("user", "email", name)
        return client.stats().audit_violations > 2

    with caplog.at_level(logging.ERROR, "edgeprofile"):
        until(found, 10, "the violation is counted")
        until(lambda: any("audit" in record.message for record in list(caplog.records)), 5, "it is said")
    (record,) = [record for record in caplog.records if "audit" in record.message]
    assert "destination 2Dest: an audit found" in record.message
    assert not any(name in record.getMessage() for name in NAMES)


def test_a_profile_that_turned_into_something_else_is_another_profile(make_client, redis_db):
    write(redis_db, "u0", 1)
    client = make_client(settings(redis_db.address, feed=PING, maxStaleness=CALM))
    client.start()
    until(lambda: cached(client, "u0"), 5, "the profile is cached")
    redis_db.notify("")
    redis_db.command("SET", key("u0"), "text")
    until(lambda: client.get("user", "email", "u0") and client.stats().audit_violations, 10, "the violation is counted")


def test_what_cannot_be_read_again_is_counted_and_no_violation(make_client, redis_db, make_proxy):
    proxy = make_proxy(redis_db)
    write(redis_db, "u0", 1)
    client = make_client(settings(proxy.address, maxStaleness="30s"))
    client.start()
    until(lambda: cached(client, "u0"), 5, "the profile is cached")

    def skipped():
        proxy.data.reset()
        client.get("user", "email", "u0")
        return client.stats().audits_skipped

    until(skipped, 20, "an audit fails")
    assert client.stats().audit_violations == 0


def test_the_share_of_hits_that_was_asked_for_is_audited(make_client, redis_db):
    write(redis_db, "u0", 1)
    client = make_client(settings(redis_db.address, fraction=0.1, maxStaleness="5s"))
    client.start()
    until(lambda: cached(client, "u0"), 5, "the profile is cached")
    for _ in range(5_000):
        client.get("user", "email", "u0")
    until(lambda: client.stats().audits >= 350, 10, lambda: f"a tenth is audited: {client.stats()}")
    assert client.stats().audits <= 650
    assert (client.stats().audits_skipped, client.stats().audit_violations) == (0, 0)


WAYS = {
    "get": lambda client: client.get("user", "email", "u0"),
    "a model": lambda client: client.get("user", "email", "u0", model="m"),
    "a destination": lambda client: client.get("user", "email", "u0", destination="2Dest"),
    "many": lambda client: client.get_many("user", "email", iter(["u0"])),
    "many of a destination": lambda client: client.get_many("user", "email", ["u0"], destination="2Dest"),
    "peek": lambda client: client.peek("user", "email", "u0"),
    "lookup": lambda client: client.lookup("user", "email")("u0"),
}


def all_audited(client):
    stats = client.stats()
    return stats.audits == stats.hits


def test_every_way_to_a_hit_is_audited(make_client, redis_db):
    write(redis_db, "u0", 1)
    client = make_client(settings(redis_db.address, maxStaleness="5s"))
    client.start()
    until(lambda: cached(client, "u0"), 5, "the profile is cached")
    for name, way in WAYS.items():
        until(lambda: all_audited(client), 5, "earlier audits conclude")
        before = client.stats().hits
        way(client)
        assert client.stats().hits == before + 1, name
    until(lambda: all_audited(client), 5, "all audits conclude")


def test_threads_that_count_at_the_same_time_disturb_no_lookup(make_client, redis_db):
    write(redis_db, "u0", 1)
    client = make_client(settings(redis_db.address, fraction=0.5, maxStaleness="5s"))
    client.start()
    until(lambda: cached(client, "u0"), 5, "the profile is cached")
    failures = []

    def look_up():
        try:
            for _ in range(3_000):
                client.get("user", "email", "u0")
        except Exception as error:  # noqa: BLE001 (whatever it is, it is a failure)
            failures.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=look_up) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not failures
    until(lambda: client.stats().audits + client.stats().audits_skipped > 1_000, 10, "hits are audited")


@pytest.mark.parametrize("left", [-7, 0])
def test_a_count_below_zero_is_a_count_of_zero(make_client, redis_db, left):
    client = make_client(settings(redis_db.address, maxStaleness="5s"))
    client._sampler._left = left
    client.get_many("user", "email", ["u0", "u1"])
    client._sampler._left = left
    assert client.get("user", "email", "u0") is None


def test_the_module_s_own_functions_are_audited(redis_db):
    edgeprofile.configure(settings(redis_db.address, maxStaleness="5s"))
    try:
        edgeprofile.get("user", "email", "u0")
        until(lambda: (edgeprofile.get("user", "email", "u0"), edgeprofile.stats().audits > 20)[1], 10, "audits")
    finally:
        edgeprofile.close()


def test_encoded_hits_of_tasks_are_audited(redis_db):
    async def main():
        async with edgeprofile.AsyncClient(settings(redis_db.address, maxStaleness="5s")) as client:
            await client.start()
            await client.get_json("user", "email", "u0")
            await auntil(
                lambda: client.peek_json("user", "email", "u0", destination="2Dest") and client.stats().audits > 5,
                10,
                "hits are audited",
            )
            assert client.stats().audit_violations == 0
            assert client.encoded.hold("user", "email", "u0", destination="2Dest") is None

    asyncio.run(main())


def test_a_lookup_that_names_nothing_fails_as_ever(make_client, redis_db):
    client = make_client(settings(redis_db.address))
    with pytest.raises(edgeprofile.InvalidIdentity):
        client.get("user", "email", "")
    with pytest.raises(edgeprofile.UnknownDestination):
        client.get("user", "email", "u0", destination="other")


def test_nothing_is_read_again_unless_asked_for(make_client, redis_db, make_proxy):
    proxy = make_proxy(redis_db)
    write(redis_db, "u0", 1)
    client = make_client(settings(proxy.address, fraction=0.0, maxStaleness="5s"))
    client.start()
    until(lambda: cached(client, "u0"), 5, "the profile is cached")
    before = len(proxy.all.seen("HGETALL"))
    for _ in range(1_000):
        client.get("user", "email", "u0")
    assert len(proxy.all.seen("HGETALL")) == before
    assert client.stats().audits == 0


def test_profiles_of_a_cluster_are_audited_at_their_nodes(make_client, cluster_db):
    for name in NAMES:
        cluster_db.owner(key(name)).command("HSET", key(name), "m", "{}")
    config = settings(cluster_db.address, maxStaleness="5s")
    config["destinations"][0]["config"]["clusterMode"] = True
    client = make_client(config)
    client.start()

    def audited():
        for name in NAMES:
            client.get("user", "email", name)
        return client.stats().audits > 100

    until(audited, 20, "hits are audited")
    assert (client.stats().audits_skipped, client.stats().audit_violations) == (0, 0)
