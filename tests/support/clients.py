"""Both clients behind one synchronous face, so that one conformance suite runs over both."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from edgeprofile import AsyncClient, Client
from tests.support.servers import Server
from tests.support.wait import until

WORKSPACE, DESTINATION = "1Wsp", "2Dest"


def configuration(address: str, **changes: Any) -> dict[str, Any]:
    """A whole configuration for one server; `changes` are sections, or `config` / `destination` keys by those names."""
    destination = {
        "id": DESTINATION,
        "workspaceId": WORKSPACE,
        "config": {"address": address, "clusterMode": False, **changes.pop("config", {})},
        **changes.pop("destination", {}),
    }
    return {"destinations": [destination], **changes}


def hears(client: Any) -> None:
    """Wait until a live client has been told of every change that was acknowledged before the call.

    A heartbeat that was sent since then has come back, and events come in order. Until then an entry is in doubt, also
    one that has just been found: the event of an earlier write may still drop it.
    """
    begun = time.monotonic()

    def proved() -> bool:
        spent = time.monotonic() - begun  # before the ages are taken: a proof must not seem younger than it is
        ages = [status.watermark_age for status in client.status().values()]
        return all(age is not None and age < spent for age in ages)

    until(proved, 10, lambda: f"a heartbeat comes back: {client.status()}")


class Waiting:
    """An `AsyncClient` used from a thread: each coroutine is run to its end on a loop of its own."""

    def __init__(self, client: AsyncClient, runner: asyncio.Runner) -> None:
        self.client = client
        self.runner = runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.client, name)
        if not asyncio.iscoroutinefunction(found):
            return found
        return lambda *args, **how: self.runner.run(found(*args, **how))


MakeClient = Callable[..., Any]


@pytest.fixture(params=["keyspace", "tracking"])
def feed_mode(request: pytest.FixtureRequest) -> str:
    """How the client learns of changes."""
    return str(request.param)


@pytest.fixture(params=["sync", "async"])
def make_client(request: pytest.FixtureRequest, feed_mode: str) -> Iterator[MakeClient]:
    """`make_client(configuration)`: a `Client`, or an `AsyncClient` that waits; closed with the test.

    The feed is of each mode, unless the configuration names one.
    """
    with ExitStack() as stack:

        def make(config: Any) -> Any:
            config = {**config, "feed": {"mode": feed_mode, **config.get("feed", {})}}
            if request.param == "sync":
                return stack.enter_context(Client(config))
            runner = stack.enter_context(asyncio.Runner())
            waiting = Waiting(AsyncClient(config), runner)
            stack.callback(waiting.close)
            return waiting

        yield make


@pytest.fixture
def client(make_client: MakeClient, redis_db: Server) -> Any:
    """A client of the test's server, coherent already."""
    made = make_client(configuration(redis_db.address))
    made.start()
    return made
