"""The feed goes: closed, black-holed, overrun, spoilt. Hits stop in time, and begin again when the feed is proved."""

import time

import pytest

from tests.support.faults import TO_CLIENT
from tests.support.ports import HOST
from tests.support.rig import QUIET, Rig, key_of, only_tracking
from tests.support.wait import until

HOWS = ("rst", "fin", "client kill")


def close_feed(rig: Rig, how: str) -> None:
    {"rst": rig.proxy.feed.reset, "fin": rig.proxy.feed.finish, "client kill": rig.server.kill_listeners}[how]()


@pytest.mark.parametrize("how", HOWS)
def test_fault_03_hits_stop_at_once_when_the_feed_is_closed(make_rig, redis_db, how):
    live = make_rig(redis_db, bound=10.0)  # so that no lease lapses meanwhile
    live.begin()
    live.proxy.refuse()
    close_feed(live, how)
    assert live.stops_hitting() < live.bound / 2
    until(lambda: live.losses, 5, "the loss is counted")
    until(lambda: live.status.state == "disconnected", 5, "it is said")
    assert not live.status.ready


@pytest.mark.parametrize("how", HOWS)
def test_fault_03_hits_begin_again_after_the_subscription_and_the_first_heartbeat(live: Rig, how):
    with live.traffic() as traffic:
        live.proxy.feed.hold(TO_CLIENT)
        if how == "client kill":
            live.proxy.feed.connections[0].release()
        close_feed(live, how)
        until(lambda: len(live.proxy.feed.ever) == 2, 5, "it subscribes again")
        live.read()
        assert not live.kept(), "nothing is kept before the subscription is acknowledged"
        traffic.goes_on()
        live.proxy.feed.release(TO_CLIENT)
        live.recovers()
    assert live.losses == 1


def test_fault_03_attempts_to_reconnect_become_rarer(live: Rig):
    """Pauses of 25-50, 50-100, 100-200 and 200-400 ms lie between five attempts."""
    live.proxy.retarget(HOST, 1)
    begun = time.monotonic()
    live.proxy.all.reset()
    until(lambda: live.losses >= 5, 10, "attempts go on")
    assert time.monotonic() - begun > 0.025 + 0.05 + 0.1 + 0.2
    live.proxy.retarget(live.server.host, live.server.port)
    live.recovers()


def test_fault_04_hits_stop_within_the_bound_when_the_feed_is_black_holed_and_it_is_replaced(live: Rig):
    with live.traffic() as traffic:
        traffic.goes_on()
        live.proxy.feed.connections[0].hold()
        assert live.stops_hitting() <= live.bound
        until(lambda: len(live.proxy.feed.ever) == 2, 5, "the silent connection is replaced")
        live.recovers()


def test_fault_04_a_feed_that_is_black_holed_before_its_first_word_is_given_up(rig: Rig):
    rig.begin(live=False, limits={"connectTimeout": "200ms"})
    rig.proxy.feed.hold(TO_CLIENT)
    with rig.traffic() as traffic:
        until(lambda: len(rig.proxy.feed.ever) > 2, 5, "one connection after the other is given up")
        assert "acknowledge" in rig.status.reason
        traffic.goes_on()
        rig.proxy.heal()
        rig.recovers()


def test_fault_04_a_feed_that_trickles_is_late_and_never_wrong(live: Rig):
    """Frames come byte by byte, and more slowly than they are written."""
    live.proxy.feed.split(1)
    with live.traffic(rate=50) as traffic:
        traffic.goes_on()
        live.recovers()
        live.proxy.feed.throttle(1000, TO_CLIENT)
        assert live.stops_hitting() < 3
        traffic.goes_on()
        live.proxy.heal()
        live.recovers()


CUT_OFF = {  # a subscriber has a limit of its own, this one unless set; one that tracks has what all clients share
    "keyspace": ("client-output-buffer-limit", "pubsub 32mb 8mb 60"),
    "tracking": ("maxmemory-clients", "32mb"),
}


def test_fault_07_the_backlog_of_an_overrun_connection_is_applied_before_its_end(make_rig, redis_db):
    """The server cuts off a reader that is too slow; what it had sent by then is still to be read."""
    rig = make_rig(redis_db, bound=10.0)  # so that the client does not give the connection up before the server does
    rig.begin()
    rig.server.config_set(*CUT_OFF[rig.mode])
    rig.proxy.feed.stall(TO_CLIENT)
    changes, events = rig.stats.changes, rig.stats.events
    with rig.traffic(rate=20) as traffic:
        rig.write(QUIET)
        overrun(rig)
        assert rig.stats.changes == changes, "nothing has come yet"
        rig.proxy.heal()
        until(lambda: rig.losses == 1, 5, "the end comes")
        assert rig.stats.changes > changes
        assert rig.stats.events >= events + 5
        traffic.goes_on()
        rig.recovers()
    assert rig.stats.feed_losses == {"ConnectionLost": 1}


def overrun(rig: Rig) -> None:
    """Write until the server has closed the feed. Valkey 9 does not count words of 16 KiB or more that it has to send."""
    keys = [key_of("x" * 10_000 + str(number)) for number in range(100)]
    with rig.server.client() as direct, direct.pipeline(transaction=False) as pipe:
        for _ in range(200):
            for key in keys:
                pipe.hset(key, "m", "1")
            pipe.execute()
            if not rig.server.listeners:
                return
    raise AssertionError("the server has not closed the feed")


def test_fault_07_a_stuck_feed_is_given_up_so_that_the_server_need_not_remember_more(live: Rig):
    """The guard for a server that would: the messages of tracking wait in a buffer without a limit of its own."""
    stuck = live.server.listeners
    with live.traffic() as traffic:
        live.proxy.feed.connections[0].stall(TO_CLIENT)
        until(lambda: not {*stuck} & {*live.server.listeners}, 5, "the stuck one is closed, on the server, too")
        traffic.goes_on()
        live.recovers()
    assert live.stats.feed_losses == {"feed silent": 1}


NONSENSE = {
    "an unknown push": b">2\r\n+nobody\r\n+asked\r\n",
    "an acknowledgement too many": b"*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n",
    "an unsubscription": b"*3\r\n$12\r\npunsubscribe\r\n$1\r\nx\r\n:1\r\n",
    "an event of another pattern": b"*4\r\n$8\r\npmessage\r\n$1\r\nx\r\n$1\r\nx\r\n$3\r\nset\r\n",
    "an event too short": b"*3\r\n$8\r\npmessage\r\n$1\r\nx\r\n$1\r\nx\r\n",
    "an event of numbers": b"*4\r\n$8\r\npmessage\r\n:1\r\n:2\r\n:3\r\n",
    "an error": b"-ERR no\r\n",
    "a reply": b"+OK\r\n",
    "a length that is none": b"$-7\r\n",
    "no protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a null": b"_\r\n",
    "an array that does not end": b"*1000000\r\n",
}


def ended_by(rig: Rig, nonsense: bytes) -> None:
    """Nonsense on the feed ends that connection, and nothing else."""
    rig.proxy.feed.inject(nonsense, TO_CLIENT)
    until(lambda: rig.losses == 1, 5, lambda: f"the epoch ends: {rig.status}")
    rig.recovers()
    assert rig.stats.feed_losses.keys() <= {"ProtocolViolation", "ServerRefused", "feed silent"}


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
def test_fault_33_nonsense_on_the_feed_ends_that_connection(live: Rig, nonsense):
    ended_by(live, nonsense)


INVALIDATE = b"$10\r\ninvalidate\r\n"
NONSENSE_3 = {
    "an invalidation that is no push": b"*2\r\n" + INVALIDATE + b"*1\r\n$1\r\nx\r\n",
    "an invalidation within a reply": b"*1\r\n>2\r\n" + INVALIDATE + b"*1\r\n$1\r\nx\r\n",
    "an invalidation within an invalidation": (b">2\r\n" + INVALIDATE) * 2 + b"*1\r\n$1\r\nx\r\n",
    "an invalidation too short": b">1\r\n" + INVALIDATE,
    "an invalidation too long": b">3\r\n" + INVALIDATE + b"*1\r\n$1\r\nx\r\n_\r\n",
    "an invalidation of a number": b">2\r\n" + INVALIDATE + b"*1\r\n:7\r\n",
    "an invalidation of a null": b">2\r\n" + INVALIDATE + b"*1\r\n_\r\n",
    "an invalidation of text": b">2\r\n" + INVALIDATE + b"$1\r\nx\r\n",
    "an invalidation of nothing": b">2\r\n" + INVALIDATE + b"$0\r\n\r\n",
    "an invalidation of true": b">2\r\n" + INVALIDATE + b"#t\r\n",
    "a message": b">3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\nx\r\n",
    "a monitored command": b">2\r\n$7\r\nmonitor\r\n$1\r\nx\r\n",
    "an empty push": b">0\r\n",
    "a push that does not end": b">1000000\r\n",
    "a greeting": b"%1\r\n$2\r\nid\r\n:1\r\n",
    "a set": b"~1\r\n$1\r\nx\r\n",
    "a double": b",1.5\r\n",
    "a boolean": b"#t\r\n",
    "a big number": b"(12345678901234567890\r\n",
    "a long error": b"!6\r\nERR no\r\n",
    "an answer to no PING": b"$1\r\n7\r\n",
}


@only_tracking
@pytest.mark.parametrize("nonsense", NONSENSE_3.values(), ids=NONSENSE_3)
def test_fault_33_nonsense_in_the_words_of_tracking_ends_that_connection(live: Rig, nonsense):
    ended_by(live, nonsense)


@only_tracking
def test_fault_33_a_flush_that_did_not_happen_is_believed_and_costs_the_epoch(live: Rig):
    live.proxy.feed.inject(b">2\r\n" + INVALIDATE + b"_\r\n", TO_CLIENT)
    until(lambda: live.losses == 1, 5, "the epoch ends")
    live.recovers()
    assert live.stats.feed_losses == {"flushed": 1}
