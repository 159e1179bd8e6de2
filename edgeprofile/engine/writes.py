"""Deletes of our own: nothing older may be served from before they are sent, whatever becomes of them.

A delete asks each node once, and again for what has moved or was refused for the moment. What may have happened is not
repeated: how many keys there were could not be told.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from edgeprofile.engine.batch import given_up
from edgeprofile.errors import ClosedError, EdgeProfileError, LookupTimeout, RedisUnavailable
from edgeprofile.store.endpoint import ConnectionLost
from edgeprofile.store.refusals import Redirected, refusal
from edgeprofile.store.resp import ErrorReply, pack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgeprofile.core.keeper import Identity
    from edgeprofile.engine.engine import Engine
    from edgeprofile.engine.node import Node

__all__ = ["Writes"]

_PAUSE: Final = 0.02
"""Seconds before asking again who has a profile, where the first answer did not help."""
_UNCONFIRMED: Final = "Redis did not confirm the delete before its deadline; it may have happened"
_Failed: TypeAlias = "list[tuple[Identity, EdgeProfileError]]"
_Step: TypeAlias = "list[_Question] | float"


class Writes:
    """Deletes profiles for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def delete(self, identities: Sequence[Identity], deadline: float) -> int:
        """Delete the keys of these profiles, for a thread; how many there were. Raises the `ServiceError` family."""
        tally = _Tally()
        try:
            for step in self._steps(identities, tally, deadline):
                if isinstance(step, float):
                    time.sleep(step)
                    continue
                for question in step:
                    ask = question.node.blocking.call
                    with self._asking(question, tally):
                        question.check_node()
                        tally.take(question, ask(question.payload, question.expects, deadline, question.sound))
        finally:
            self._overwrite(identities)
        return tally.removed

    async def adelete(self, identities: Sequence[Identity], deadline: float) -> int:
        """As `delete`, for a task; the nodes work at the same time."""
        tally = _Tally()
        try:
            for step in self._steps(identities, tally, deadline):
                if isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    await asyncio.gather(*(self._ask(question, tally, deadline) for question in step))
        finally:
            self._overwrite(identities)
        return tally.removed

    async def _ask(self, question: _Question, tally: _Tally, deadline: float) -> None:
        with self._asking(question, tally):
            async with asyncio.timeout(deadline - self._engine.clock()):
                question.check_node()
                wire = await question.node.attach()
                tally.take(question, await wire.ask(question.payload, question.expects, question.sound))

    def _steps(self, identities: Sequence[Identity], tally: _Tally, deadline: float) -> Iterator[_Step]:
        """Questions to be asked at the same time, and pauses, until all is deleted. Raises what time does not mend."""
        left, least = list(identities), 0.0
        while left:
            self._overwrite(left)
            for questions in (self._at_home, self._elsewhere):
                yield [each for each in questions(left, tally) if self._admits(each, tally)]
            failed = tally.failed()
            left = [who for who, _ in failed]
            if left:
                yield self._pause(failed, deadline, least)
                least = _PAUSE

    def _at_home(self, identities: Sequence[Identity], tally: _Tally) -> list[_Question]:
        """One for each node that has some of these."""
        parts: dict[Node, list[Identity]] = {}
        for identity in identities:
            try:
                parts.setdefault(self._engine.node(identity), []).append(identity)
            except RedisUnavailable as error:
                tally.fail([identity], error)
        return [_Question(node, some) for node, some in parts.items()]

    def _elsewhere(self, _identities: Sequence[Identity], tally: _Tally) -> list[_Question]:
        """One for each profile of which a node said where it is going to."""
        referred = tally.referred()
        return [_Question(self._engine.upstream(who).at(to.address), [who], there=True) for who, to in referred]

    def _admits(self, question: _Question, tally: _Tally) -> bool:
        engine, node = self._engine, question.node
        now = engine.clock()
        with engine.lock:
            if node.breaker.admits(now):
                return True
            tally.fail(question.identities, node.refused(now))
        return False

    @contextmanager
    def _asking(self, question: _Question, tally: _Tally) -> Iterator[None]:
        """Tell the circuit breaker how a question ended; its failure is tallied, an interrupt is the caller's own."""
        engine, node = self._engine, question.node
        begun = engine.clock()
        try:
            yield
        except BaseException as caught:
            error = caught
            if isinstance(caught, TimeoutError):
                error = LookupTimeout(_UNCONFIRMED, node=node.name)
                error.__cause__ = caught
            now = engine.clock()
            with engine.lock:
                node.judge(given_up(error, node), now, now - begun)
            if not isinstance(error, EdgeProfileError):
                raise
            tally.fail(question.identities, error)
        else:
            with engine.lock:
                node.breaker.succeeded()

    def _pause(self, failed: _Failed, deadline: float, least: float) -> float:
        """Have the map corrected; raises what another attempt would not mend, or has no time to.

        ``least`` is for nodes that refer to each other.
        """
        pause = least
        for who, error in failed:
            wait = self._engine.upstream(who).amend(error)
            if self._engine.closed:
                raise ClosedError("the client was closed during this delete") from error
            if wait is None or isinstance(error, ConnectionLost | LookupTimeout):
                raise error
            pause = max(pause, wait)
        if self._engine.clock() + pause >= deadline:
            raise failed[0][1]
        return pause

    def _overwrite(self, identities: Sequence[Identity]) -> None:
        """At all nodes known now; so before each round: others may have come, and been read from, since the last."""
        engine = self._engine
        with engine.lock:
            for identity in identities:
                for node in engine.upstream(identity).nodes:
                    node.keeper.overwrite(identity)


class _Question:
    """The delete of some profiles at one node; ``there``: at one that another named, where their slot is going to."""

    def __init__(self, node: Node, identities: Sequence[Identity], *, there: bool = False) -> None:
        self.node = node
        self.identities = identities
        self.there = there
        deletes = [(b"DEL", key) for identity in identities for key in identity.keys]
        self.payload = pack((b"ASKING",), *deletes) if there else pack(*deletes)
        self.expects = len(deletes) + there

    def check_node(self) -> None:
        """Raise `RedisUnavailable` where the node has left meanwhile: nothing was asked of it, so another may be."""
        if self.node.closed:
            raise RedisUnavailable(f"{self.node.name} has left the cluster", node=self.node.name)

    def sound(self, replies: list[Any]) -> bool:
        """Whether these can be the replies."""
        return all(isinstance(reply, int | ErrorReply) for reply in replies[self.there :])


class _Tally:
    """What the nodes answered: keys removed, and what is left with the reason."""

    def __init__(self) -> None:
        self.removed = 0
        self._referred: list[tuple[Identity, Redirected]] = []
        self._failed: _Failed = []

    def take(self, question: _Question, replies: list[Any]) -> None:
        """Count the replies of one node. Raises what is none, but the end of the connection."""
        rest = iter(replies[question.there :])
        for identity in question.identities:
            for reply in islice(rest, len(identity.keys)):
                if not isinstance(reply, ErrorReply):
                    self.removed += reply
                    continue
                error = refusal(reply, question.node.name, doing="DEL")
                if isinstance(error, RedisUnavailable):
                    raise error
                if isinstance(error, Redirected) and error.ask and not question.there:
                    self._referred.append((identity, error))
                else:
                    self._failed.append((identity, error))

    def fail(self, identities: Sequence[Identity], error: EdgeProfileError) -> None:
        """These were not asked for, or not answered."""
        self._failed += [(identity, error) for identity in identities]

    def referred(self) -> list[tuple[Identity, Redirected]]:
        """Profiles whose slot is on its way to the node that is named, where they are to be deleted: given once."""
        referred, self._referred = self._referred, []
        return referred

    def failed(self) -> _Failed:
        """Profiles that are left, with the reason: given once."""
        failed, self._failed = self._failed, []
        return failed
