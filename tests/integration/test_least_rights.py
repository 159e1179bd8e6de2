"""The rights that are printed for operators are enough, also when the feed falls behind."""

from itertools import count

import pytest

from edgeprofile import Client
from edgeprofile.config import from_mapping
from edgeprofile.store.rights import rules
from tests.support.clients import configuration, hears
from tests.support.faults import TO_CLIENT
from tests.support.wait import until

USER = {"username": "app", "password": "secret"}


@pytest.mark.parametrize("heartbeat", ["canary", "ping"])
@pytest.mark.parametrize("mode", ["keyspace", "tracking"])
def test_a_feed_that_falls_behind_keeps_its_epoch(make_server, make_proxy, flavour, mode, heartbeat):
    server = make_server()
    proxy = make_proxy(server)
    feed = {"mode": mode, "heartbeat": heartbeat}
    settings = configuration(proxy.address, config=USER, feed=feed, cache={"maxStaleness": "3s"})  # and 3 s of grace
    config = from_mapping(settings, "the test")
    granted = rules(config.destinations[0], config.feed, field_ttls=flavour == "valkey")
    server.command("ACL", "SETUSER", "app", "on", ">secret", "resetkeys", "resetchannels", "-@all", *granted)
    with Client(settings) as client:
        client.start()
        (session,) = client._engine._sessions.values()
        proxy.feed.hold(TO_CLIENT)
        until(lambda: proxy.feed.seen("PING"), 5, "the session asks the feed where its heartbeat is")
        proxy.heal()
        proved = session.watermark
        until(lambda: session.watermark > proved, 5, "the feed has caught up")
        assert client.status()["2Dest"].ready
        assert not client.stats().feed_losses


def test_field_ttls_that_may_not_be_read_are_said_until_they_may(make_server, flavour):
    if flavour != "valkey":
        pytest.skip("this server has no field TTLs")
    server = make_server()
    settings = configuration(server.address, config=USER)
    config = from_mapping(settings, "the test")
    granted = rules(config.destinations[0], config.feed, field_ttls=False)
    server.command("ACL", "SETUSER", "app", "on", ">secret", "resetkeys", "resetchannels", "-@all", *granted)
    server.command("HSET", "1Wsp:2Dest:user:email:ada", "m", "1")
    with Client(settings) as client:
        client.start()
        assert client.status()["2Dest"].state == "live"
        assert client.get("user", "email", "ada") == {"m": 1}
        until(lambda: client.status()["2Dest"].state == "unproven", 5, "it is said")
        assert client.status()["2Dest"].reason.endswith("grant +hpttl")
        assert client.status()["2Dest"].ready
        server.command("ACL", "SETUSER", "app", "+hpttl")
        server.kill_clients("pubsub")
        until(lambda: client.stats().feed_losses and client.status()["2Dest"].state == "live", 5, "a new epoch hopes")
        server.command("HSET", "1Wsp:2Dest:user:email:ada", "m", "2")
        server.command("HPEXPIRE", "1Wsp:2Dest:user:email:ada", "60000", "FIELDS", "1", "m")
        hears(client)
        until(lambda: client.get("user", "email", "ada") and client.peek("user", "email", "ada"), 5, "it is kept")
        assert client.peek("user", "email", "ada") == {"m": 2}
        entry = client._engine.cache.find("2Dest", "user", "email", "ada")
        assert entry.life <= 60.0
        assert client.status()["2Dest"].reason == ""


def test_the_right_to_field_ttls_is_noticed_without_a_new_epoch(make_server, flavour):
    if flavour != "valkey":
        pytest.skip("this server has no field TTLs")
    server = make_server()
    settings = configuration(server.address, config=USER, feed={"verifyInterval": "100ms"})
    config = from_mapping(settings, "the test")
    granted = rules(config.destinations[0], config.feed, field_ttls=True)
    server.command("ACL", "SETUSER", "app", "on", ">secret", "resetkeys", "resetchannels", "-@all", *granted)
    numbers = map(str, count())

    def is_read(client: Client, *, state: str) -> bool:
        new = next(numbers)
        server.command("HSET", f"1Wsp:2Dest:user:email:{new}", "m", new)
        return client.get("user", "email", new) == {"m": int(new)} and client.status()["2Dest"].state == state

    with Client(settings) as client:
        client.start()
        for rule, state in (("+hpttl", "live"), ("-hpttl", "unproven"), ("+hpttl", "live")):
            server.command("ACL", "SETUSER", "app", rule)
            until(lambda state=state: is_read(client, state=state), 5, f"{rule} is noticed")
        assert not client.stats().feed_losses


def test_a_heartbeat_whose_ttl_may_not_be_set_leaves_nothing_behind(make_server, make_proxy):
    server = make_server()
    proxy = make_proxy(server)
    settings = configuration(proxy.address, config=USER, feed={"verifyInterval": "100ms"})
    config = from_mapping(settings, "the test")
    granted = [rule for rule in rules(config.destinations[0], config.feed, field_ttls=False) if rule != "+pexpire"]
    granted += ["+config|get", "+info"]
    server.command("ACL", "SETUSER", "app", "on", ">secret", "resetkeys", "resetchannels", "-@all", *granted)
    with Client(settings) as client:
        client.start()
        status = client.status()["2Dest"]
        assert status.state == "unproven"
        assert "grant +pexpire" in status.reason
        until(lambda: len(proxy.data.seen("PEXPIRE")) >= 4, 5, "whether it may be set now is asked again and again")
        assert server.command("KEYS", "edgeprofile:canary:*") == []
        server.command("ACL", "SETUSER", "app", "+pexpire")
        until(lambda: client.status()["2Dest"].state == "live", 5, "the heartbeat is written")
        assert all(server.command("PTTL", key) > 0 for key in server.command("KEYS", "edgeprofile:canary:*"))


def connections(server):
    """The numbers of the server's connections that track."""
    lines = server.command("CLIENT", "LIST").decode().splitlines()
    told = [dict(word.split("=", 1) for word in line.split(" ") if "=" in word) for line in lines]
    return {int(each["id"]) for each in told if "t" in each["flags"]}


@pytest.mark.parametrize("permitted", [True, False])
def test_a_tracking_feed_that_hangs_is_ended_by_the_server(make_server, make_proxy, flavour, permitted):
    """The server keeps what it cannot send for as long as the connection seems to be there."""
    server = make_server()
    proxy = make_proxy(server)
    settings = configuration(proxy.address, config=USER, feed={"mode": "tracking"}, cache={"maxStaleness": "300ms"})
    config = from_mapping(settings, "the test")
    granted = rules(config.destinations[0], config.feed, field_ttls=flavour == "valkey")
    granted = [rule for rule in granted if permitted or rule != "+client|kill"]
    server.command("ACL", "SETUSER", "app", "on", ">secret", "resetkeys", "resetchannels", "-@all", *granted)
    with Client(settings) as client:
        client.start()
        (hanging,) = connections(server)
        (feed,) = proxy.feed.connections
        feed.hold()
        until(lambda: client.stats().feed_losses.get("feed silent"), 10, "it is given up")
        until(lambda: connections(server) - {hanging}, 10, "another one listens")
        if permitted:
            until(lambda: hanging not in connections(server), 5, "the server has ended it")
            until(lambda: client.status()["2Dest"].state == "live", 5, "all is well")
        else:
            until(lambda: "+client|kill" in client.status()["2Dest"].reason, 5, "it is said")
            assert hanging in connections(server)
            assert client.status()["2Dest"].ready
        feed.heal()
