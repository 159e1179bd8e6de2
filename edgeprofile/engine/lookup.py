"""Lookups that the hit path could not answer, for threads and for tasks.

A lookup ends in one of three ways: an entry is there after all, or somebody fetches the profile already and is joined,
or this caller begins a fetch. Whoever misses does its own I/O: a thread on the node's shared blocking connection, a
task on the connection of its loop. A caller that gives up harms no other: the fill stays, and who joined it is served.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from edgeprofile.core.backoff import after
from edgeprofile.core.entries import Entry
from edgeprofile.core.fills import Fill
from edgeprofile.core.keeper import Identity
from edgeprofile.engine.batch import given_up
from edgeprofile.engine.waiting import TaskWaiter, ThreadWaiter
from edgeprofile.errors import CircuitOpen, ClosedError, EdgeProfileError, LookupTimeout, Overloaded, RedisUnavailable
from edgeprofile.store.endpoint import ConnectionLost
from edgeprofile.store.refusals import Redirected

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgeprofile.core.keeper import Found
    from edgeprofile.engine.batch import Batch
    from edgeprofile.engine.engine import Engine
    from edgeprofile.engine.node import Node
    from edgeprofile.store.reading import Reading

__all__ = ["Answer", "Lookups"]

_ATTEMPTS = 5
"""How often one lookup may begin or join a fetch when connections are lost under it: each of its own thread's, its own
loop's and the engine's loop's can be lost once, and one more made in its place."""

_A_TURN = 32
"""Lookups of one task whose answers are taken in at once: the loop's other tasks have their turn before the next."""

Waiter = TypeVar("Waiter", ThreadWaiter, TaskWaiter)


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a lookup found.

    ``raw`` is the encoded traits (`None`: no such profile), ``sent`` when they were asked for, on the engine's clock.
    ``entry`` is the cached entry, where there is one: its decoded view is shared. ``ended``: when the promise did, of an
    answer that is past it.
    """

    raw: bytes | None
    sent: float
    entry: Entry | None = None
    ended: float | None = None

    @property
    def stale(self) -> bool:
        """Whether it is past the promise."""
        return self.ended is not None


class _Plan(msgspec.Struct, Generic[Waiter], eq=False):
    """What one lookup has to do: nothing (there is an answer), await the fill, or carry it out itself (``mine``).

    ``since``: when it began to wait.
    """

    identity: Identity
    answer: Answer | None = None
    fill: Fill | None = None
    waiter: Waiter | None = None
    mine: bool = False
    since: float = 0.0


class Lookups:
    """Reads profiles for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._limits = engine.config.limits

    def read(self, identity: Identity, deadline: float) -> Answer:
        """One profile, for a thread. ``deadline`` is on the engine's clock. Raises the `ServiceError` family."""
        outcome = self._try(identity, deadline, counts=True)
        return outcome if isinstance(outcome, Answer) else self._read_on(identity, deadline, outcome)

    def _read(self, identity: Identity, deadline: float) -> Answer:
        """One profile whose lookup is counted already."""
        return self._read_on(identity, deadline, self._try(identity, deadline, counts=False))

    def _read_on(self, identity: Identity, deadline: float, outcome: Answer | EdgeProfileError) -> Answer:
        """Try again after a first outcome, until there is an answer, or no time, or no sense in it."""
        attempt = 0
        while True:
            if isinstance(outcome, Redirected) and outcome.ask:
                outcome = self._ask_there(identity, outcome, deadline)
            if isinstance(outcome, Answer):
                return outcome
            attempt += not isinstance(outcome, LookupTimeout)
            pause = self._pause(identity, outcome, attempt, deadline)
            if pause is None:
                return self._stale_or_raise(identity, outcome)
            time.sleep(pause)
            outcome = self._try(identity, deadline, counts=False)

    def read_many(self, identities: Iterable[Identity], deadline: float) -> list[Answer]:
        """Several profiles, in order, for a thread; the misses of one node share a round trip, all nodes work at once."""
        plans = self._plans(identities, ThreadWaiter)
        try:
            batches = self._batches(plans)
            if len(batches) > 1:
                self._engine.send(batches)
            elif batches:
                self._run(batches[0], deadline)
            outcomes = [(plan.identity, self._thread_outcome(plan, deadline)) for plan in plans]
        finally:
            self._leave(plans)
        return [out if isinstance(out, Answer) else self._read(who, deadline) for who, out in outcomes]

    async def aread(self, identity: Identity, deadline: float) -> Answer:
        """One profile, for a task; as `read`."""
        outcome = await self._atry(identity, deadline, counts=True)
        return outcome if isinstance(outcome, Answer) else await self._aread_on(identity, deadline, outcome)

    async def _aread(self, identity: Identity, deadline: float) -> Answer:
        """One profile whose lookup is counted already."""
        return await self._aread_on(identity, deadline, await self._atry(identity, deadline, counts=False))

    async def _aread_on(self, identity: Identity, deadline: float, outcome: Answer | EdgeProfileError) -> Answer:
        """Try again after a first outcome, until there is an answer, or no time, or no sense in it."""
        attempt = 0
        while True:
            if isinstance(outcome, Redirected) and outcome.ask:
                outcome = await self._aask_there(identity, outcome, deadline)
            if isinstance(outcome, Answer):
                return outcome
            attempt += not isinstance(outcome, LookupTimeout)
            pause = self._pause(identity, outcome, attempt, deadline)
            if pause is None:
                return self._stale_or_raise(identity, outcome)
            await asyncio.sleep(pause)
            outcome = await self._atry(identity, deadline, counts=False)

    async def aread_many(self, identities: Iterable[Identity], deadline: float) -> list[Answer]:
        """Several profiles, in order, for a task; as `read_many`."""
        outcomes = await self._atry_many(identities, deadline)
        return [out if isinstance(out, Answer) else await self._aread(who, deadline) for who, out in outcomes]

    async def aread_each(self, identities: Iterable[Identity], deadline: float) -> list[Answer | EdgeProfileError]:
        """As `aread_many`, with the error of a profile in its place."""
        outcomes = await self._atry_many(identities, deadline)
        return [
            out if isinstance(out, Answer) else await self._aread_again(who, out, deadline) for who, out in outcomes
        ]

    async def _atry_many(
        self, identities: Iterable[Identity], deadline: float
    ) -> list[tuple[Identity, Answer | EdgeProfileError]]:
        plans = self._plans(identities, TaskWaiter)
        try:
            await self._start(self._batches(plans, _A_TURN))
            return [(plan.identity, await self._task_outcome(plan, deadline)) for plan in plans]
        finally:
            self._leave(plans)

    async def _aread_again(
        self, identity: Identity, outcome: EdgeProfileError, deadline: float
    ) -> Answer | EdgeProfileError:
        """By itself, what failed among others; where there is no time left, what may be served of it all the same."""
        try:
            if self._engine.clock() >= deadline:
                return self._stale_or_raise(identity, outcome)
            return await self._aread(identity, deadline)
        except EdgeProfileError as error:
            return error

    def _try(self, identity: Identity, deadline: float, *, counts: bool) -> Answer | EdgeProfileError:
        try:
            plan = self._plan(identity, ThreadWaiter, own=False, counts=counts)
        except RedisUnavailable as error:
            return error
        if plan.mine and plan.fill is not None:
            return self._fetch(plan.fill, deadline)
        try:
            return self._thread_outcome(plan, deadline)
        finally:
            self._leave((plan,))

    async def _atry(self, identity: Identity, deadline: float, *, counts: bool) -> Answer | EdgeProfileError:
        try:
            plan = self._plan(identity, TaskWaiter, own=False, counts=counts)
        except RedisUnavailable as error:
            return error
        fill = plan.fill
        if not plan.mine or fill is None:
            return await self._ajoin(plan, deadline)
        node: Node = fill.where
        fetch = self._engine.fetch(fill)
        try:
            wire = node.stream() or await node.attach()
        except BaseException as error:
            fetch.fail(error)
            raise
        waiter = TaskWaiter(fill, wire.loop)
        fetch.stream(wire)
        if fill.outcome is None:
            wire.alarms.set(waiter, deadline)
            try:
                if not await waiter.settled:
                    return self._overdue(fill, plan.since)
            finally:
                wire.alarms.clear(waiter)
        return fill.outcome  # type: ignore[no-any-return]  # it was settled

    async def _ajoin(self, plan: _Plan[TaskWaiter], deadline: float) -> Answer | EdgeProfileError:
        try:
            return await self._task_outcome(plan, deadline)
        finally:
            self._leave((plan,))

    def _ask_there(self, identity: Identity, to: Redirected, deadline: float) -> Answer | EdgeProfileError:
        """The slot is on its way: ask its new node for this key, once, and keep nothing."""
        node, reading, payload, sent = self._there(identity, to)
        try:
            return Answer(reading.there(node.blocking.call(payload, 2, deadline), node.name), sent)
        except EdgeProfileError as error:
            return error

    async def _aask_there(self, identity: Identity, to: Redirected, deadline: float) -> Answer | EdgeProfileError:
        node, reading, payload, sent = self._there(identity, to)
        try:
            async with asyncio.timeout(deadline - sent):
                wire = await node.attach()
                return Answer(reading.there(await wire.ask(payload, 2), node.name), sent)
        except TimeoutError:
            return self._late()
        except EdgeProfileError as error:
            return error

    def _there(self, identity: Identity, to: Redirected) -> tuple[Node, Reading, bytes, float]:
        reading = self._engine.targets[identity.destination].reading
        node = self._engine.upstream(identity).at(to.address)
        return node, reading, reading.asking(identity.keys[0]), self._engine.clock()

    def _plans(self, identities: Iterable[Identity], kind: type[Waiter]) -> list[_Plan[Waiter]]:
        """All or none: a limit that is reached halfway fails what was begun before it."""
        plans: list[_Plan[Waiter]] = []
        try:
            plans.extend(self._plan_or_none(identity, kind) for identity in identities)
        except BaseException as error:
            for batch in self._batches(plans):
                batch.fail(error)
            self._leave(plans)
            raise
        return plans

    def _plan_or_none(self, identity: Identity, kind: type[Waiter]) -> _Plan[Waiter]:
        """A plan without a fill where no node is known yet: that profile is looked up by itself."""
        try:
            return self._plan(identity, kind, own=True, counts=True)
        except RedisUnavailable:
            return _Plan(identity)

    def _plan(self, identity: Identity, kind: type[Waiter], *, own: bool, counts: bool) -> _Plan[Waiter]:
        """Decide under the lock; ``own``: also those who fetch themselves have to be woken."""
        engine = self._engine
        try:
            node = engine.node(identity)
        except RedisUnavailable:
            with engine.lock:
                engine.counters.misses += counts
            raise
        keeper = node.keeper
        now = engine.clock()
        with engine.lock:
            entry = keeper.find(identity, now)
            if entry is not None:
                engine.counters.hits += counts
                entry.used = True
                return _Plan(identity, Answer(entry.raw, entry.sent, entry))
            engine.counters.misses += counts
            fill = keeper.join(identity, now)
            if fill is not None and not node.despairs(fill):
                if engine.waiters >= self._limits.max_waiters:
                    raise self._overloaded(self._limits.max_waiters, "limits.maxWaiters")
                engine.counters.joins += 1
                engine.waiters += 1
                return _Plan(identity, None, fill, kind(fill), since=now)
            if engine.in_flight >= self._limits.max_in_flight:
                raise self._overloaded(self._limits.max_in_flight, "limits.maxInFlight")
            if not node.breaker.admits(now):
                if counts:
                    engine.counters.fetch_errors[CircuitOpen.__name__] += 1
                raise node.refused(now)
            engine.in_flight += 1
            fill = keeper.begin(identity, now)
            fill.where = node
            return _Plan(identity, None, fill, kind(fill) if own else None, True, now)

    def _overloaded(self, limit: int, option: str) -> Overloaded:
        self._engine.counters.fetch_errors["Overloaded"] += 1
        return Overloaded(f"{limit} lookups are under way already: raise {option} or ask for less", option=option)

    def _batches(self, plans: Sequence[_Plan[Waiter]], most: int = sys.maxsize) -> list[Batch]:
        return self._engine.batches([plan.fill for plan in plans if plan.mine and plan.fill is not None], most)

    def _fetch(self, fill: Fill, deadline: float) -> Answer | EdgeProfileError:
        """Carry one fill out on this thread; what goes wrong becomes its outcome."""
        try:
            result = self._carry(fill, deadline)
        except BaseException as error:
            self._engine.settle(fill.where, ((fill, given_up(error, fill.where)),))
            raise
        self._engine.settle(fill.where, ((fill, result),))
        return fill.outcome  # type: ignore[no-any-return]  # it was settled

    def _carry(self, fill: Fill, deadline: float) -> Found | EdgeProfileError:
        node: Node = fill.where
        fetch = self._engine.fetch(fill)
        while True:
            try:
                result = fetch.read(node.blocking.call(fetch.payload, fetch.expects, deadline, fetch.sound))
            except EdgeProfileError as error:
                return error
            if result is not None:
                return result

    def _help(self, fill: Fill, deadline: float) -> None:
        """Ask, too: the loop that was to read the answer may be busy with something else, or gone."""
        if self._may_help(fill, deadline):
            self._engine.contribute(fill.where, ((fill, self._carry(fill, deadline)),))

    async def _ahelp(self, fill: Fill, deadline: float) -> None:
        if self._may_help(fill, deadline):
            node: Node = fill.where
            wire = node.stream() or await node.attach()
            self._engine.fetch(fill, self._engine.contribute).stream(wire)

    def _may_help(self, fill: Fill, deadline: float) -> bool:
        """One helper is enough: where many wait long, it is Redis that is slow. Who has no time left helps nobody."""
        if self._engine.clock() >= deadline:
            return False
        with self._engine.lock:
            first, fill.helped = not fill.helped, True
        return first

    def _halfway(self, deadline: float) -> float:
        return (self._engine.clock() + deadline) / 2

    def _run(self, batch: Batch, deadline: float) -> None:
        """Carry a batch out on this thread; what goes wrong becomes the outcome of its fills."""
        try:
            further = True
            while further:
                replies = batch.node.blocking.call(batch.payload, batch.expects, deadline, batch.sound)
                further = batch.take(replies)
        except EdgeProfileError as error:
            batch.fail(error)
        except BaseException as error:
            batch.fail(error)
            raise

    async def _start(self, batches: list[Batch]) -> None:
        """Send batches off on this loop's connections; nothing is awaited but a connection's first use of the loop."""
        for batch in batches:
            try:
                wire = batch.node.stream() or await batch.node.attach()
            except BaseException as error:
                for unfinished in batches:
                    unfinished.fail(error)
                raise
            batch.stream(wire)

    def _thread_outcome(self, plan: _Plan[ThreadWaiter], deadline: float) -> Answer | EdgeProfileError:
        if plan.answer is not None:
            return plan.answer
        if plan.fill is None:
            return self._late()
        if plan.waiter is None:
            return plan.fill.outcome  # type: ignore[no-any-return]  # set when it was settled, on this thread
        if not plan.mine:
            if plan.waiter.wait(self._halfway(deadline)):
                return plan.fill.outcome  # type: ignore[no-any-return]  # set when it was settled
            self._help(plan.fill, deadline)
        return plan.fill.outcome if plan.waiter.wait(deadline) else self._overdue(plan.fill, plan.since)

    async def _task_outcome(self, plan: _Plan[TaskWaiter], deadline: float) -> Answer | EdgeProfileError:
        if plan.answer is not None:
            return plan.answer
        if plan.fill is None or plan.waiter is None:
            return self._late()
        if not plan.mine:
            if await plan.waiter.wait(self._halfway(deadline)):
                return plan.fill.outcome  # type: ignore[no-any-return]  # set when it was settled
            await self._ahelp(plan.fill, deadline)
        return plan.fill.outcome if await plan.waiter.wait(deadline) else self._overdue(plan.fill, plan.since)

    def _leave(self, plans: Sequence[_Plan[Waiter]]) -> None:
        """Whoever joined a fetch waits no longer, however that ended."""
        joined = sum(plan.fill is not None and not plan.mine for plan in plans)
        if joined:
            with self._engine.lock:
                self._engine.waiters -= joined

    def _overdue(self, fill: Fill, since: float) -> LookupTimeout:
        """A caller gives a fetch up that goes on: its node hears of that, once for each fetch."""
        engine, late = self._engine, self._late()
        with engine.lock:
            now = engine.clock()
            if fill.outcome is None and not fill.overdue:
                fill.overdue = fill.where.overdue(late, now, now - since)
        return late

    def _late(self) -> LookupTimeout:
        return LookupTimeout("Redis did not answer before the lookup's deadline (limits.timeout, or timeout=)")

    def _pause(self, identity: Identity, error: EdgeProfileError, attempt: int, deadline: float) -> float | None:
        """Seconds until another attempt within the deadline is worth it, or `None`.

        It is after a lost connection, a few times; after somebody else's haste, and for as long as a cluster settles. A
        server that ends connections without a word is not asked again at once.
        """
        if self._engine.closed:
            return None
        pause = self._engine.upstream(identity).amend(error)
        lost = isinstance(error, ConnectionLost) and attempt < _ATTEMPTS
        if pause is None and (lost or isinstance(error, LookupTimeout)):
            pause = 0.0
        if isinstance(error, ConnectionLost) and not error.heard and pause is not None:
            pause = max(pause, after(attempt, random.random()))  # noqa: S311 (jitter)
        return pause if pause is not None and self._engine.clock() + pause < deadline else None

    def _stale_or_raise(self, identity: Identity, error: EdgeProfileError) -> Answer:
        if self._engine.closed:
            raise ClosedError("the client was closed during this lookup") from error
        if isinstance(error, RedisUnavailable):
            stale = self._engine.stale(identity)
            if stale is not None:
                return stale
        raise error.with_traceback(None)
