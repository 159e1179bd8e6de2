"""Lookups that the hit path could not answer, for threads and for tasks.

A lookup ends in one of three ways: an entry is there after all, or somebody fetches the profile already and is joined,
or this caller begins a fetch. Whoever misses does its own I/O: a thread on the node's shared blocking connection, a
task on the connection of its loop. A caller that gives up harms no other: the fill stays, and who joined it is served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from edgeprofile.engine.batch import given_up
from edgeprofile.engine.waiting import TaskWaiter, ThreadWaiter
from edgeprofile.errors import EdgeProfileError, LookupTimeout, Overloaded, RedisUnavailable
from edgeprofile.store.endpoint import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgeprofile.core.cache import Entry
    from edgeprofile.core.fills import Fill
    from edgeprofile.core.keeper import Found, Identity
    from edgeprofile.engine.batch import Batch
    from edgeprofile.engine.engine import Engine

__all__ = ["Answer", "Lookups"]

_ATTEMPTS = 3
"""How often one lookup may begin or join a fetch when connections are lost under it."""

Waiter = TypeVar("Waiter", ThreadWaiter, TaskWaiter)


class Answer(NamedTuple):
    """What a lookup found.

    ``raw`` is the encoded traits (`None`: no such profile), ``sent`` when they were asked for, on the engine's clock.
    ``entry`` is the cached entry, where there is one: its decoded view is shared. ``stale``: past the promise.
    """

    raw: bytes | None
    sent: float
    entry: Entry | None = None
    stale: bool = False


class _Plan(Generic[Waiter]):
    """What one lookup has to do: nothing (there is an answer), await the fill, or carry it out itself (``mine``)."""

    __slots__ = ("answer", "fill", "identity", "mine", "waiter")

    def __init__(
        self, identity: Identity, answer: Answer | None, fill: Fill | None, waiter: Waiter | None, *, mine: bool
    ) -> None:
        self.identity = identity
        self.answer = answer
        self.fill = fill
        self.waiter: Waiter | None = waiter
        self.mine = mine


class Lookups:
    """Reads profiles for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._limits = engine.config.limits

    def read(self, identity: Identity, deadline: float) -> Answer:
        """One profile, for a thread. ``deadline`` is on the engine's clock. Raises the `ServiceError` family."""
        for attempt in range(_ATTEMPTS):
            plan = self._plan(identity, ThreadWaiter, own=False)
            if plan.mine:
                self._fetch(plan, deadline)
            outcome = self._thread_outcome(plan, deadline)
            if isinstance(outcome, Answer):
                return outcome
            error = outcome
            if not self._again(error, attempt, deadline):
                break
        return self._stale_or_raise(identity, error)

    def read_many(self, identities: Iterable[Identity], deadline: float) -> list[Answer]:
        """Several profiles, in order, for a thread; the misses of one node share a round trip."""
        plans = self._plans(identities, ThreadWaiter, own=False)
        self._run(self._batches(plans), deadline)
        outcomes = [(plan.identity, self._thread_outcome(plan, deadline)) for plan in plans]
        return [out if isinstance(out, Answer) else self.read(who, deadline) for who, out in outcomes]

    async def aread(self, identity: Identity, deadline: float) -> Answer:
        """One profile, for a task; as `read`."""
        for attempt in range(_ATTEMPTS):
            plan = self._plan(identity, TaskWaiter, own=True)
            await self._start(self._batches([plan]))
            outcome = await self._task_outcome(plan, deadline)
            if isinstance(outcome, Answer):
                return outcome
            error = outcome
            if not self._again(error, attempt, deadline):
                break
        return self._stale_or_raise(identity, error)

    async def aread_many(self, identities: Iterable[Identity], deadline: float) -> list[Answer]:
        """Several profiles, in order, for a task; as `read_many`."""
        plans = self._plans(identities, TaskWaiter, own=True)
        await self._start(self._batches(plans))
        outcomes = [(plan.identity, await self._task_outcome(plan, deadline)) for plan in plans]
        return [out if isinstance(out, Answer) else await self.aread(who, deadline) for who, out in outcomes]

    def _plans(self, identities: Iterable[Identity], kind: type[Waiter], *, own: bool) -> list[_Plan[Waiter]]:
        """All or none: a limit that is reached halfway fails what was begun before it."""
        plans: list[_Plan[Waiter]] = []
        try:
            plans.extend(self._plan(identity, kind, own=own) for identity in identities)
        except BaseException as error:
            for batch in self._batches(plans):
                batch.fail(error)
            self._left(sum(plan.fill is not None and not plan.mine for plan in plans))
            raise
        return plans

    def _plan(self, identity: Identity, kind: type[Waiter], *, own: bool) -> _Plan[Waiter]:
        """Decide under the lock; ``own``: also those who fetch themselves have to be woken."""
        engine = self._engine
        keeper = engine.node(identity).keeper
        now = engine.clock()
        with engine.lock:
            entry = keeper.find(identity, now)
            if entry is not None:
                engine.counters.hits += 1
                return _Plan(identity, Answer(entry.raw, entry.sent, entry), None, None, mine=False)
            engine.counters.misses += 1
            fill = keeper.join(identity, now)
            if fill is not None:
                self._admit(engine.waiters, self._limits.max_waiters, "limits.maxWaiters")
                engine.counters.joins += 1
                engine.waiters += 1
                return _Plan(identity, None, fill, kind(fill), mine=False)
            self._admit(engine.in_flight, self._limits.max_in_flight, "limits.maxInFlight")
            engine.in_flight += 1
            fill = keeper.begin(identity, now)
            return _Plan(identity, None, fill, kind(fill) if own else None, mine=True)

    def _admit(self, count: int, limit: int, option: str) -> None:
        if count >= limit:
            self._engine.counters.fetch_errors["Overloaded"] += 1
            raise Overloaded(f"{limit} lookups are under way already: raise {option} or ask for less", option=option)

    def _batches(self, plans: Sequence[_Plan[Waiter]]) -> list[Batch]:
        return self._engine.batches([plan.fill for plan in plans if plan.mine and plan.fill is not None])

    def _fetch(self, plan: _Plan[ThreadWaiter], deadline: float) -> None:
        """Carry one fill out on this thread; what goes wrong becomes its outcome."""
        assert plan.fill is not None  # noqa: S101 (the plan is mine)
        engine = self._engine
        node = engine.node(plan.identity)
        fetch = engine.fetch(plan.fill, node)
        result: Found | EdgeProfileError | None = None
        try:
            while result is None:
                result = fetch.read(node.blocking.call(fetch.ask.payload, fetch.ask.expects, deadline))
        except EdgeProfileError as error:
            result = error
        except BaseException as error:
            engine.settle(node, ((plan.fill, given_up(error, node)),))
            raise
        engine.settle(node, ((plan.fill, result),))

    def _run(self, batches: list[Batch], deadline: float) -> None:
        """Carry batches out on this thread; what goes wrong becomes the outcome of their fills."""
        for batch in batches:
            try:
                further = True
                while further:
                    further = batch.take(batch.node.blocking.call(batch.payload, batch.expects, deadline))
            except EdgeProfileError as error:
                batch.fail(error)
            except BaseException as error:
                for unfinished in batches:
                    unfinished.fail(error)
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
        assert plan.fill is not None  # noqa: S101 (a plan without an answer has a fill)
        if plan.waiter is None:
            return plan.fill.outcome  # type: ignore[no-any-return]  # set when it was settled, on this thread
        try:
            settled = plan.waiter.wait(deadline)
        finally:
            self._left(1)
        return plan.fill.outcome if settled else self._late()

    async def _task_outcome(self, plan: _Plan[TaskWaiter], deadline: float) -> Answer | EdgeProfileError:
        if plan.answer is not None:
            return plan.answer
        assert plan.fill is not None and plan.waiter is not None  # noqa: S101, PT018 (a plan without an answer)
        try:
            settled = await plan.waiter.wait(deadline)
        finally:
            if not plan.mine:
                self._left(1)
        return plan.fill.outcome if settled else self._late()

    def _left(self, count: int) -> None:
        with self._engine.lock:
            self._engine.waiters -= count

    def _late(self) -> LookupTimeout:
        return LookupTimeout("Redis did not answer before the lookup's deadline (limits.timeout, or timeout=)")

    def _again(self, error: EdgeProfileError, attempt: int, deadline: float) -> bool:
        """Whether somebody else's misfortune, or a lost connection, is worth another attempt within the deadline."""
        passing = isinstance(error, ConnectionLost | LookupTimeout)
        return passing and attempt + 1 < _ATTEMPTS and self._engine.clock() < deadline

    def _stale_or_raise(self, identity: Identity, error: EdgeProfileError) -> Answer:
        if isinstance(error, RedisUnavailable):
            stale = self._engine.stale(identity)
            if stale is not None:
                return stale
        raise error.with_traceback(None)
