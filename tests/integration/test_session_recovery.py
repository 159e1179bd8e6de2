"""Whatever ends an epoch, the next one begins: also what nobody thought of."""

import logging

from edgeprofile import Client
from tests.support.clients import configuration
from tests.support.wait import until


def test_an_error_that_nobody_thought_of_ends_an_epoch_and_no_more(redis_db, monkeypatch, caplog):
    caplog.set_level(logging.WARNING, "edgeprofile")
    with Client(configuration(redis_db.address)) as client:
        client.start()
        (session,) = client._engine._sessions.values()
        epoch = session._node.keeper.authority.epoch

        async def stumble():
            monkeypatch.undo()
            raise KeyError("unheard of")

        monkeypatch.setattr(session._inspector, "inspect", stumble)
        until(lambda: session._node.keeper.authority.epoch > epoch, 5, "the epoch ends")
        until(lambda: client.status()["2Dest"].state == "live", 5, "the next one is live")
        assert client.stats().feed_losses["KeyError"] == 1
    assert "unheard of" in caplog.text
