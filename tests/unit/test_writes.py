"""Deletes in a cluster whose nodes do not say who has a profile."""

import asyncio
import threading
import time

import pytest

from edgeprofile.core.breaker import Breaker
from edgeprofile.core.keeper import Identity
from edgeprofile.engine.cluster import NoOwner
from edgeprofile.engine.writes import Writes
from edgeprofile.errors import (
    CircuitOpen,
    ClosedError,
    EdgeProfileError,
    LookupTimeout,
    RedisUnavailable,
    ServerRefused,
)
from edgeprofile.store.endpoint import ConnectionLost
from edgeprofile.store.refusals import Redirected
from edgeprofile.store.resp import ErrorReply

WHO = Identity("2Dest", "user", "email", "ada", (b"key",))


class ReferringNode:
    """Answers a delete with replies that it is given, or with the last of them for ever; it is its own connections."""

    name = "node"

    def __init__(self, *replies):
        self.asked = 0
        self.closed = False
        self.breaker = Breaker()
        self.blocking = self.keeper = self
        self.overwritten = 0
        self._replies = replies

    def call(self, *_):
        self.asked += 1
        reply = self._replies[min(self.asked, len(self._replies)) - 1]
        if isinstance(reply, EdgeProfileError):
            raise reply
        return [reply]

    async def attach(self):
        return self

    async def ask(self, *_):
        return self.call()

    def judge(self, error, now, _waited):
        self.breaker.failed(now, error)

    def refused(self, _now):
        return CircuitOpen("open")

    def overwrite(self, _identity):
        self.overwritten += 1


class OneNodeEngine:
    """An engine, and its upstream, which knows its node after a few questions and takes redirections as settled."""

    def __init__(self, node, unknown=0):
        self.lock = threading.Lock()
        self.clock = time.monotonic
        self.closed = False
        self.amended = 0
        self._node = node
        self._unknown = unknown

    @property
    def nodes(self):
        return [] if self._unknown else [self._node]

    def upstream(self, _identity):
        return self

    def node(self, _identity):
        if self._unknown:
            self._unknown -= 1
            raise NoOwner("nobody")
        return self._node

    def amend(self, _error):
        self.amended += 1
        return 0.0


@pytest.fixture(params=["thread", "task"])
def delete(request):
    def run(engine, timeout):
        writes, deadline = Writes(engine), time.monotonic() + timeout
        if request.param == "thread":
            return writes.delete([WHO], deadline)
        return asyncio.run(writes.adelete([WHO], deadline))

    return run


def moved():
    return ErrorReply("MOVED 5 10.0.0.1:1")


def test_only_the_first_redirection_is_followed_without_a_pause(delete, monkeypatch):
    monkeypatch.setattr("edgeprofile.engine.writes._PAUSE", 60)
    assert delete(OneNodeEngine(ReferringNode(moved(), 1)), 10) == 1
    with pytest.raises(Redirected):
        delete(OneNodeEngine(ReferringNode(moved(), moved(), 1)), 10)


def test_nodes_that_refer_to_each_other_are_asked_a_few_times(delete):
    node = ReferringNode(moved())
    with pytest.raises(Redirected):
        delete(OneNodeEngine(node), 0.3)
    assert 3 <= node.asked <= 17


def test_a_node_that_is_not_known_yet_is_waited_for_and_overwritten_before_it_is_asked(delete):
    node = ReferringNode(1)
    engine = OneNodeEngine(node, unknown=3)
    assert delete(engine, 10) == 1
    assert engine.amended == 3
    assert node.overwritten >= 2


def test_a_node_that_does_not_become_known_is_waited_for_until_the_deadline(delete):
    begun = time.monotonic()
    with pytest.raises(NoOwner):
        delete(OneNodeEngine(ReferringNode(1), unknown=10_000), 0.2)
    assert 0.1 < time.monotonic() - begun < 5


def test_nobody_waits_for_the_nodes_of_a_client_that_was_closed(delete):
    engine = OneNodeEngine(ReferringNode(1), unknown=10_000)
    engine.closed = True
    with pytest.raises(ClosedError) as caught:
        delete(engine, 60)
    assert isinstance(caught.value.__cause__, NoOwner)
    assert engine.amended == 1


def test_what_was_not_executed_is_repeated(delete):
    passing = [ErrorReply("CLUSTERDOWN Hash slot not served"), ErrorReply("TRYAGAIN soon"), RedisUnavailable("down")]
    node = ReferringNode(*passing, 1)
    assert delete(OneNodeEngine(node), 10) == 1
    assert node.asked == 4


@pytest.mark.parametrize("error", [ConnectionLost("lost"), LookupTimeout("late")])
def test_what_may_have_been_executed_is_not(delete, error):
    node = ReferringNode(error, 1)
    engine = OneNodeEngine(node)
    with pytest.raises(type(error)):
        delete(engine, 10)
    assert node.asked == engine.amended == 1


def test_what_is_refused_for_the_moment_is_raised_at_the_deadline(delete):
    node = ReferringNode(ErrorReply("CLUSTERDOWN Hash slot not served"))
    with pytest.raises(ServerRefused, match="does not serve"):
        delete(OneNodeEngine(node), 0.2)
    assert node.asked > 3


def test_a_node_that_does_not_answer_is_soon_not_asked_any_more(delete):
    node = ReferringNode(RedisUnavailable("down"))
    engine = OneNodeEngine(node)
    engine.amend = lambda error: None if isinstance(error, CircuitOpen) else 0.0
    with pytest.raises(CircuitOpen):
        delete(engine, 10)
    assert node.asked == 3


def test_a_node_that_leaves_before_it_is_asked_is_no_loss(delete, monkeypatch):
    """Others were asked first; what was not sent to it goes to whoever has its slots now."""
    gone, heir = ReferringNode(ConnectionLost("closed")), ReferringNode(1)
    gone.closed = True
    engine = OneNodeEngine(gone)

    def amend(_error):
        monkeypatch.setattr(engine, "node", lambda _identity: heir)
        return 0.0

    monkeypatch.setattr(engine, "amend", amend)
    assert delete(engine, 5.0) == 1
    assert (gone.asked, heir.asked) == (0, 1)
