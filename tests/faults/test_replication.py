"""A primary and its replicas, without a cluster: roles change, data sets are replaced, addresses move, links break."""

import time

import pytest

from tests.support.history import ABSENT
from tests.support.rig import NAMES, QUIET, Mode, Rig, key_of
from tests.support.wait import until

ALL = (*NAMES, QUIET)
KEYS = [key_of(name) for name in ALL]
LATE = 0.2
"""Seconds beyond the bound that a machine with much else to do is allowed, where the test itself reads the clock."""


@pytest.fixture(params=["keyspace", "tracking"])
def mode(request: pytest.FixtureRequest) -> Mode:
    chosen: Mode = request.param
    return chosen


def follow(server, primary) -> None:
    server.command("REPLICAOF", primary.host, primary.port)
    until(lambda: server.command("ROLE")[3:4] == [b"connected"], 10, "it follows")


def fill(server, rig: Rig, version: int) -> None:
    """Another server's data, of which nobody who reads the first one knows."""
    with server.client() as direct:
        for name in ALL:
            direct.execute_command("HSET", key_of(name), *rig.pairs(name, version))


def all_show(rig: Rig, version: int, patience: float) -> None:
    for name in ALL:
        until(lambda: rig.version(name) == version, patience, f"{name} shows {version}")  # noqa: B023


def writes_are_seen(rig: Rig, server) -> None:
    with server.client() as direct:
        for name in ALL:
            version = rig.history.write(direct, key_of(name))
            until(lambda: rig.version(name) == version, rig.bound + LATE, "the write is seen")  # noqa: B023


def test_fault_14_a_server_that_becomes_a_replica_has_other_data_and_the_feed_stays_up(make_rig, make_server):
    server, other = make_server(), make_server()
    rig = make_rig(server)
    rig.begin()
    fill(other, rig, 2)
    with rig.history.becoming(2, KEYS):
        follow(server, other)
    all_show(rig, 2, rig.bound + LATE)
    until(lambda: rig.status.state == "unproven", 5, lambda: f"it is said: {rig.status}")
    assert "replica" in rig.status.reason
    writes_are_seen(rig, other)
    until(rig.cached, 5, "what is read stays for a moment")
    assert not rig.kept(), "what a replica says is its own proof"
    server.command("REPLICAOF", "NO", "ONE")
    rig.recovers()
    writes_are_seen(rig, server)


def test_fault_14_a_replica_is_resynchronised_in_full(make_rig, make_server):
    primary = make_server()
    replica = make_server(replicaof=primary)
    rig = reading_from(replica, make_rig(primary))
    until(lambda: replica.command("ROLE")[3:4] == [b"connected"], 10, "it follows")
    with rig.traffic() as traffic:
        traffic.goes_on()
        with rig.history.excusing():  # a replica that loads is as old as it says, and answers
            before = int(primary.info("stats")["sync_full"])
            primary.command("DEBUG", "CHANGE-REPL-ID")
            primary.kill_clients("replica")
            until(lambda: int(primary.info("stats")["sync_full"]) > before, 15, "everything is sent again")
            rig.write(QUIET)
            latest = primary.command("HGETALL", key_of(QUIET))
            until(lambda: replica.command("HGETALL", key_of(QUIET)) == latest, 15, "it follows again")
            followed = time.monotonic()
            until(lambda: all(was_read_since(rig, name, followed) for name in NAMES), 5, "everything is read again")
        traffic.goes_on()
        assert not rig.kept()


def was_read_since(rig: Rig, name: str, moment: float) -> bool:
    entry = rig._entry(name)
    return entry is not None and entry.sent > moment


def reading_from(replica, rig: Rig) -> Rig:
    """A client whose address is a replica's. It lags, if little: its bound is set below the one that is checked."""
    rig.proxy.retarget(replica.host, replica.port)
    rig.begin(live=False, cache={"maxStaleness": "150ms"})
    return rig


def test_fault_15_a_failover_with_lost_writes_and_connections_kept(make_rig, make_server):
    """An address that follows the primary; the old one becomes a replica and keeps every connection."""
    old, new = make_server(), make_server()
    rig = make_rig(old)
    rig.begin()
    follow(new, old)
    until(lambda: new.command("DBSIZE") >= len(ALL), 5, "the replica has the first versions")
    new.command("REPLICAOF", "NO", "ONE")
    for name in ALL:
        rig.write(name)
    all_show(rig, 2, 5)
    rig.recovers()
    connections = rig.proxy.all.connections
    with rig.history.becoming(1, KEYS):
        rig.proxy.retarget(new.host, new.port)
        follow(old, new)
        until(lambda: rig.losses, 5, "the epoch ends")
        all_show(rig, 1, 5)
        assert connections
        rig.recovers()
    assert all(rig.version(name) == 1 for name in ALL)
    writes_are_seen(rig, new)


@pytest.mark.parametrize("renewed", ["data", "feed", "all"])
def test_fault_38_an_address_moves_under_live_sockets(make_rig, make_server, renewed):
    """Which connections are made anew is chance; whichever it is tells that the way has changed."""
    here, there = make_server(), make_server()
    rig = make_rig(here)
    rig.begin()
    fill(there, rig, 2)
    with rig.history.becoming(2, KEYS):
        rig.proxy.retarget(there.host, there.port)
        getattr(rig.proxy, renewed).reset()
        all_show(rig, 2, 5)
        rig.recovers()
    all_show(rig, 2, 0.1)
    writes_are_seen(rig, there)
    assert rig.losses >= 1


def test_fault_38_it_moves_back_and_forth_under_traffic(make_rig, make_server):
    """Two servers of the same data: the writer's, and its replica that nobody promoted."""
    here, there = make_server(), make_server()
    follow(there, here)
    rig = make_rig(here)
    rig.begin(cache={"maxStaleness": "150ms"})
    with rig.traffic() as traffic:
        for place in (there, here, there, here):
            rig.proxy.retarget(place.host, place.port)
            rig.proxy.data.reset()
            rig.proxy.feed.reset()
            traffic.goes_on()
        rig.recovers()


def test_fault_40_what_a_replica_says_is_never_kept(make_rig, make_server):
    primary = make_server()
    replica = make_server(replicaof=primary)
    until(lambda: replica.command("ROLE")[3:4] == [b"connected"], 10, "it follows")
    rig = reading_from(replica, make_rig(primary))
    rig.read()
    until(lambda: rig.status.state == "unproven", 5, lambda: f"it is said: {rig.status}")
    assert "is a replica" in rig.status.reason
    with rig.traffic(delete_every=7) as traffic:
        traffic.goes_on(200)
    until(rig.cached, 5, "what is read stays for a moment")
    assert not rig.kept()
    assert not rig.proxy.feed.ever, "it is not even listened to"
    rig.delete(QUIET)
    until(lambda: rig.version() == ABSENT, 0.15 + LATE, "nothing outlives the bound")
