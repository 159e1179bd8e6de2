"""The client in use, when its destinations change."""

import asyncio
import time

from edgeprofile import AsyncClient
from edgeprofile.config import from_mapping
from edgeprofile.testing.engine import MemoryEngine
from edgeprofile_sidecar.clients import Clients

ADA = ("user", "email", "ada")


def configured(*destinations):
    redis = {"address": "127.0.0.1:1", "clusterMode": False}
    return from_mapping(
        {"destinations": [{"id": each, "workspaceId": "1Wsp", "config": redis} for each in destinations]}
    )


def test_what_was_held_of_the_old_client_is_served_no_more(monkeypatch):
    monkeypatch.setattr(
        "edgeprofile_sidecar.clients.AsyncClient", lambda config: AsyncClient(MemoryEngine(config, {ADA: b"{}"}))
    )

    async def scenario():
        clients = Clients(AsyncClient(MemoryEngine(configured("2Dest"), {ADA: b"{}"})))
        await clients.encoded.get(*ADA, destination="2Dest")
        held = clients.encoded.hold(*ADA, destination="2Dest")
        assert held.serves(time.monotonic())
        assert await clients.replace(configured("2New"), 5.0)
        assert not held.serves(time.monotonic())
        assert clients.encoded.hold(*ADA, destination="2Dest") is None
        await clients.encoded.get(*ADA, destination="2New")
        assert clients.encoded.hold(*ADA, destination="2New").serves(time.monotonic())
        await clients.close()

    asyncio.run(scenario())
