"""The rights that are printed for operators are enough, also when the feed falls behind."""

import pytest

from edgeprofile import Client
from edgeprofile.config import from_mapping
from edgeprofile.store.rights import rules
from tests.support.clients import configuration
from tests.support.faults import TO_CLIENT
from tests.support.wait import until

USER = {"username": "app", "password": "secret"}


@pytest.mark.parametrize("heartbeat", ["canary", "ping"])
@pytest.mark.parametrize("mode", ["keyspace", "tracking"])
def test_a_feed_that_falls_behind_keeps_its_epoch(make_server, make_proxy, flavour, mode, heartbeat):
    server = make_server()
    proxy = make_proxy(server)
    settings = configuration(proxy.address, config=USER, feed={"mode": mode, "heartbeat": heartbeat})
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
