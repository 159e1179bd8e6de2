"""The rig of each fault test, for every feed mode and every server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.callers import KINDS, Caller, Kind
from tests.support.proxy import Proxy
from tests.support.rig import MODES, Mode, Rig
from tests.support.servers import Server


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    chosen: Mode = request.param
    return chosen


@pytest.fixture
def make_rig(mode: Mode, make_proxy: Callable[..., Proxy]) -> Iterator[Callable[..., Rig]]:
    """`make_rig(server, bound=0.3)`: a rig around a server of the test's own; its history is checked with the test."""
    with ExitStack() as stack:

        def make(server: Server, **how: Any) -> Rig:
            return stack.enter_context(Rig(server, make_proxy(server), mode=mode, **how))

        yield make


@pytest.fixture
def rig(make_rig: Callable[..., Rig], redis_db: Server) -> Rig:
    """A rig around the shared server, without a client yet."""
    return make_rig(redis_db)


@pytest.fixture
def live(rig: Rig) -> Rig:
    """The same with a client that is live and has everything cached."""
    rig.begin()
    return rig


@pytest.fixture(params=KINDS)
def caller(request: pytest.FixtureRequest, live: Rig) -> Caller:
    """Threads, or tasks, that use the live client."""
    kind: Kind = request.param
    return live.caller(kind)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Whether threads or tasks ask."""
    chosen: Kind = request.param
    return chosen
