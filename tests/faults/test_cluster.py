"""A cluster under traffic: nodes die, come and go, slots move in every way, and no read is older than the bound.

All of them stand on one cluster of each flavour, which is brought back to where it began before each.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

import edgeprofile
from edgeprofile import EdgeProfileError, RedisUnavailable, ServerRefused
from tests.support.cluster import Cluster
from tests.support.fair_clock import FairClock
from tests.support.faults import TO_CLIENT, TO_SERVER
from tests.support.fixtures import require
from tests.support.fleet import ClusterRig, Fleet
from tests.support.history import ABSENT
from tests.support.rig import NAMES, Mode, key_of, version_of
from tests.support.servers import FLAVOURS, Options, Server
from tests.support.wait import until

pytestmark = pytest.mark.limit(120)

LATE = 0.2
"""Seconds beyond the bound that a machine with much else to do is allowed, where the test itself reads the clock."""
HARMLESS = {"RedisUnavailable", "CircuitOpen", "LookupTimeout", "ConnectionLost", "ServerRefused", "NoOwner"}


@pytest.fixture(scope="module", params=FLAVOURS)
def whole(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    flavour = request.param
    require(flavour)
    with Cluster(Options(flavour=flavour), primaries=3, replicas=1) as cluster, Fleet(cluster) as fleet:
        yield fleet


@pytest.fixture
def fleet(whole: Fleet) -> Fleet:
    whole.heal()
    whole.cluster.reset()
    return whole


@pytest.fixture
def rig(fleet: Fleet, mode: Mode) -> Iterator[ClusterRig]:
    with ClusterRig(fleet, mode=mode) as made:
        yield made


@pytest.fixture
def live(rig: ClusterRig) -> ClusterRig:
    rig.begin()
    return rig


@contextmanager
def losing_nothing(node: Server) -> Iterator[None]:
    """What was acknowledged before the block has reached the replica, and nothing more is acknowledged within it."""
    node.command("CLIENT", "PAUSE", "20000", "WRITE")
    wait_replicated(node)
    yield


def wait_replicated(node: Server) -> None:
    """Return when the replica has all that was written so far; heartbeats are written all the time."""
    wanted = int(node.info("replication")["master_repl_offset"])

    def offset() -> int:
        told = dict(pair.split("=") for pair in node.info("replication")["slave0"].split(","))
        return int(told["offset"])

    until(lambda: offset() >= wanted, 5, "the replica has everything")


@pytest.fixture(params=["keyspace", "tracking"])
def mode(request: pytest.FixtureRequest) -> Mode:
    chosen: Mode = request.param
    return chosen


def test_fault_16_only_the_keys_of_a_dead_node_lose_their_lease(live: ClusterRig):
    cluster = live.cluster
    victim = live.owner("ada")
    here, there = live.on(victim), live.on(live.other(victim))
    for name in (here, there):
        live.write(name)
        live.settles(name)
    lease, entry = live.lease(there), live._entry(there)
    heirs = cluster.replicas_of(victim)
    with live.traffic() as traffic:
        with losing_nothing(victim):
            victim.kill()
        assert live.stops_hitting(here) <= live.bound
        cluster.wait_promoted(*heirs)
        live.keeps(here, 20)
        assert live._entry(there) is entry, "an entry of another node was read again"
        assert live.lease(there) is lease, "another node's epoch ended"
        traffic.goes_on()
        live.recovers()
    assert traffic.errors.keys() <= HARMLESS


def test_fault_15_a_failover_with_lost_writes_and_connections_kept(live: ClusterRig):
    cluster = live.cluster
    victim = live.owner("dot")
    name = live.on(victim)
    live.write(name)
    heir = cluster.replicas_of(victim)[0]
    wait_replicated(victim)
    live.fleet.proxy(victim).replica.hold()
    with live.traffic(written=[n for n in NAMES if live.owner(n) is not victim]) as traffic:
        live.write(name)
        live.shows(name, 2, 5)
        live.keeps(name)
        lease, feeds = live.lease(name), live.fleet.proxy(victim).feed.connections
        with live.history.becoming(1, [key_of(name)]):
            heir.command("CLUSTER", "FAILOVER", "TAKEOVER")
            until(lambda: live.owner(name) is heir, 10, "the replica has taken over")
            until(lambda: victim.command("ROLE")[0] == b"slave", 10, "the old primary knows")
        live.shows(name, 1, 10)
        live.fleet.proxy(victim).replica.heal()
        live.keeps(name, 20)
        assert live.lease(name) is not lease
        assert feeds, "the old primary was listened to"
        traffic.goes_on()
        cluster.wait_settled()
    cluster._votes_forgotten = time.monotonic() + 5.0
    live.recovers()


@pytest.mark.parametrize("way", ["classic", "atomic"])
def test_fault_17_slots_move_under_load_and_nobody_notices(live: ClusterRig, way):
    """There and back again: the slot is the first node's before and after, and was another's between two heartbeats."""
    if way == "atomic" and live.cluster.nodes[0].flavour != "valkey":
        pytest.skip("Redis moves no slots at one instant")
    source = live.owner("ada")
    target = live.other(source)
    move = live.cluster.move if way == "classic" else move_at_once(live.cluster)
    epochs = live.losses
    with live.traffic(rate=500, delete_every=9) as traffic:
        for place in (target, source, target, source):
            move(live.slot("ada"), place)
            live.write("x")
            traffic.goes_on()
    assert not traffic.errors, "a retry helps, and is not left to the caller"
    live.recovers()
    assert live.losses <= epochs + 2, f"the feeds go on: {live.stats.feed_losses}"


def move_at_once(cluster: Cluster):
    return lambda slot, target: cluster.move_atomically(range(slot, slot + 1), target)


@pytest.mark.parametrize("before", ["absent", "there"])
def test_fault_17_what_is_made_elsewhere_while_its_slot_moves_is_seen_in_time(live: ClusterRig, before):
    """The slot is the source's still, and the target, where the key comes to be, is not heard."""
    source = live.owner("ada")
    target = live.other(source)
    name = live.on(source)
    if before == "there":
        live.write(name)
    live.keeps(name)
    with ExitStack() as stack:
        stack.enter_context(live.cluster.migrating(live.slot(name), target))
        live.fleet.proxy(target).feed.hold(TO_CLIENT)
        if before == "there":
            live.cluster.move_key(key_of(name), target)
        for _ in range(2):
            version = live.write(name)
            live.shows(name, version, live.bound + LATE)
        with live.traffic(written=[n for n in NAMES if live.owner(n) is not target]) as traffic:
            traffic.goes_on()
            live.shows(name, version, LATE)
        with live.history.becoming(ABSENT, [key_of(name)]):  # what was made at the target is nobody's then
            stack.close()
    live.fleet.heal()
    live.shows(name, ABSENT, live.bound + LATE)
    live.recovers()


def test_fault_17_a_slot_is_seized(live: ClusterRig):
    """Its owner is not asked, and hears of it by and by; the keys are lost with it."""
    source = live.owner("ada")
    target = live.other(source)
    name = live.on(source)
    live.write(name)
    live.keeps(name)
    other = live.on(live.other(source, target))
    live.write(other)
    live.keeps(other)
    lease = live.lease(other)
    with live.traffic(written=[n for n in NAMES if live.slot(n) != live.slot(name)]) as traffic:
        with live.history.becoming(ABSENT, [key_of(name)]):
            live.cluster.seize(live.slot(name), target)
        live.shows(name, ABSENT, live.bound + LATE)
        live.keeps(name)
        live.write(name)
        live.shows(name, 2, live.bound + LATE)
        traffic.goes_on()
        assert live.lease(other) is lease
    assert not traffic.errors
    live.recovers()
    live.cluster.move(live.slot(name), source)


def refused_with(code: str):
    """A change of commands: lookups are answered with an error, in their turn."""
    script = f"return redis.error_reply('-{code} for a while')"
    words = b"*3\r\n$4\r\nEVAL\r\n$%d\r\n%s\r\n$1\r\n0\r\n" % (len(script), script.encode())
    return lambda command: words if b"HGETALL" in command else command


@pytest.mark.parametrize("code", ["TRYAGAIN", "CLUSTERDOWN"])
@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_fault_17_what_passes_is_waited_for(live: ClusterRig, kind, code):
    proxy = live.fleet.proxy(live.owner("ada"))
    name = live.on(live.owner("ada"))
    live.write(name)
    caller = live.caller(kind)
    proxy.data.rewrite(refused_with(code), TO_SERVER)
    answer = caller.ask("get", "user", "email", name)
    asked = (b"HGETALL", key_of(name).encode())
    until(lambda: proxy.data.seen(*asked)[1:], 5, "it is asked for, and again")
    assert not answer.done()
    proxy.heal()
    assert version_of(answer.result(5)) == 1
    live.recovers()


def test_fault_17_a_slot_that_nobody_serves_for_a_while(live: ClusterRig):
    """With it the whole cluster is down. No feed ends, and nothing of other slots is read again."""
    node = live.owner("ada")
    name = live.on(node)
    live.write(name)
    live.settles("quiet")
    entry = live._entry("quiet")
    with live.traffic(written=()) as traffic:
        node.command("CLUSTER", "DELSLOTS", live.slot(name))
        until(lambda: traffic.errors["ServerRefused"] or refused(live, name) == "CLUSTERDOWN", 5, "it is said")
        node.command("CLUSTER", "ADDSLOTS", live.slot(name))
        live.keeps(name)
        live.cluster.wait_settled()
    live.keeps("quiet")
    assert live._entry("quiet") is entry
    live.recovers()


def refused(live: ClusterRig, name: str) -> str:
    try:
        live.read(name, timeout=0.2)
    except ServerRefused as error:
        return error.code
    except RedisUnavailable:
        return "too late"
    return ""


def test_fault_17_nodes_that_are_black_holed_keep_nobody_from_the_map(rig: ClusterRig):
    """Of four seeds the first three accept, and never answer."""
    one, *others = rig.cluster.primaries
    seeds = [*others, rig.cluster.replicas[0], one]
    for node in seeds[:-1]:
        rig.fleet.proxy(node).all.hold()
    config = rig.configuration()
    config["destinations"][0]["config"]["address"] = ",".join(rig.fleet.proxy(node).address for node in seeds)
    with edgeprofile.Client(config) as client, FairClock() as clock:
        assert client.get("user", "email", rig.on(one)) is None
        assert clock.seconds < 1.5


def test_fault_18_a_node_is_added_and_removed(live: ClusterRig):
    source = live.owner("ada")
    nodes = live.status.nodes
    with live.traffic(rate=300) as traffic:
        fourth = live.fleet.add()
        live.cluster.move(live.slot("ada"), fourth)
        until(lambda: live.status.nodes == nodes + 1, 15, "it is listened to")
        traffic.goes_on()
        live.keeps("ada", 20)
        assert live.lease("ada") is not live.lease("dot")
        proxy = live.fleet.proxy(fourth)
        live.cluster.move(live.slot("ada"), source)
        until(lambda: live.status.nodes == nodes, 15, "it is let go")
        until(lambda: not proxy.all.connections, 5, "no connection to it is left")
        traffic.goes_on()
        live.fleet.remove(fourth)
        live.recovers()
    assert not traffic.errors


def test_fault_38_an_address_leads_to_another_node_of_the_cluster(live: ClusterRig):
    """Connections that are open stay where they are; one that is made anew tells that the way has changed."""
    here = live.owner("ada")
    there = live.other(here)
    name = live.on(here)
    live.write(name)
    live.keeps(name)
    proxy = live.fleet.proxy(here)
    with live.traffic() as traffic:
        proxy.retarget(there.host, there.port)
        proxy.data.reset()
        assert live.stops_hitting(name) <= live.bound
        live.write(name)
        with pytest.raises(EdgeProfileError):
            live.read(name, timeout=0.3)
        proxy.retarget(here.host, here.port)
        proxy.all.reset()
        live.shows(name, 2, 10)
        live.recovers()
        traffic.goes_on()


def test_fault_40_replicas_are_seeds_and_nothing_more(fleet: Fleet, mode: Mode):
    """A cluster's replicas tell where the primaries are. They are never read from, and never listened to."""
    with ClusterRig(fleet, mode=mode) as rig:
        replicas = rig.cluster.replicas
        address = ",".join(fleet.proxy(node).address for node in replicas)
        config = rig.configuration()
        config["destinations"][0]["config"]["address"] = address
        rig.configuration = lambda **_: config  # type: ignore[method-assign]
        seen = {node: len(fleet.proxy(node).data.seen("HGETALL")) for node in replicas}
        rig.begin()
        with rig.traffic() as traffic:
            traffic.goes_on()
        assert {node: len(fleet.proxy(node).data.seen("HGETALL")) for node in replicas} == seen
        assert not any(fleet.proxy(node).feed.connections for node in replicas)
