"""Audits: a share of the hits is read again from Redis and compared, in the background, under `edgeprofile.core.audit`.

The hit path knows nothing of it. Where auditing is on, clients look profiles up through wrappers of it, which choose by
chance; where it is off, there are none. (Entries drawn from the cache instead of from the hits would not cost a hit
anything either way, but measure something else: a profile that answers every second lookup would count like any other.)
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.core.audit import Case, Outcome, gap
from edgeprofile.core.keeper import servable
from edgeprofile.engine.voice import say
from edgeprofile.errors import EdgeProfileError, UsageError, WrongType
from edgeprofile.store.endpoint import ConnectionLost
from edgeprofile.store.reading import Reading, Unasked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgeprofile.config import Destination
    from edgeprofile.core.keeper import Identity
    from edgeprofile.encoded import EncodedProfile
    from edgeprofile.engine.engine import Engine
    from edgeprofile.hits import BoundHits, Hits, JsonHits

__all__ = ["Auditor", "Sampler"]

_EVERY: Final = 0.02
"""Seconds between two rounds: what was chosen meanwhile is read in one round trip for each node."""
_MOST_AT_ONCE: Final = 256
"""Hits of one round: with `_EVERY` the bound of what auditing asks of Redis, 12,800 profiles a second."""
_MOST_OPEN: Final = 1_024
"""Audits that are not concluded; most of these wait for the bound to pass, in a storm of changes."""
_MARGIN: Final = 0.001
"""Seconds by which a timer may ring early."""
_NO_PROFILE: Final = b""
"""What a key of another type holds: the encoding of no profile, and not of an absent one either."""


class Sampler:
    """Chooses lookups of one client, each with the probability ``fraction``, and has those audited that are hits."""

    def __init__(self, engine: Engine, fraction: float) -> None:
        self._engine = engine
        self._fraction = fraction
        self._left = self._gap() - 1

    def watch(self, hits: Hits, json_hits: JsonHits) -> None:
        """Put wrappers before the functions that look up."""
        get, get_many, peek = hits.get, hits.get_many, json_hits.peek

        def watched_get(
            entity: str,
            id_type: str,
            value: str,
            destination: str | None = None,
            model: str | None = None,
            type: Any = None,
            timeout: float | None = None,
        ) -> Any:
            if self._left > 0:
                self._left -= 1
            else:
                self.looked_up(entity, id_type, (value,), destination)
            return get(entity, id_type, value, destination, model, type, timeout)

        def watched_get_many(
            entity: str,
            id_type: str,
            values: Iterable[str],
            destination: str | None = None,
            model: str | None = None,
            kind: Any = None,
        ) -> tuple[dict[str, Any], list[str]]:
            wanted = tuple(values)
            self.looked_up(entity, id_type, wanted, destination)
            return get_many(entity, id_type, wanted, destination, model, kind)

        def watched_peek(destination: str, entity: str, id_type: str, value: str) -> EncodedProfile | None:
            self.looked_up(entity, id_type, (value,), destination)
            return peek(destination, entity, id_type, value)

        hits.get, hits.get_many, json_hits.peek = watched_get, watched_get_many, watched_peek
        json_hits.hold = lambda *_: None  # every hit is to come by here

    def watch_bound(self, hits: BoundHits, destination: str, entity: str, id_type: str) -> None:
        """As `watch`, for a function that knows its id type already."""
        lookup = hits.lookup

        def watched_lookup(value: str) -> Any:
            self.looked_up(entity, id_type, (value,), destination)
            return lookup(value)

        hits.lookup = watched_lookup

    def looked_up(self, entity: str, id_type: str, values: Sequence[str], destination: str | None) -> None:
        """These are about to be looked up. Threads that count at the same time may lose a count, and no more.

        Two that count the last one down at the same time go below zero.
        """
        left = max(self._left, 0) - len(values)
        while left < 0:
            if self._engine.auditor is not None:
                self._engine.auditor.choose(entity, id_type, values[left], destination)
            left += self._gap()
        self._left = left

    def _gap(self) -> int:
        return gap(self._fraction, random.random())  # noqa: S311 (a sample, no secret)


class Auditor:
    """Reads chosen hits again; what comes of it is in the engine's counters, and the first violation in the log."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._max_staleness = engine.config.cache.max_staleness
        self._readings = {destination.id: _reading(destination) for destination in engine.config.destinations}
        self._chosen: list[Case] = []
        self._running = 0

    def sampler(self) -> Sampler:
        """What chooses hits, one for each client."""
        return Sampler(self._engine, self._engine.config.cache.audit_fraction)

    def choose(self, entity: str, id_type: str, value: str, destination: str | None) -> None:
        """This lookup was chosen: if it is going to be a hit, have it audited. From any thread; never waits."""
        engine = self._engine
        try:
            identity = engine.target(destination).identity(entity, id_type, value)
        except UsageError:  # the lookup itself says so
            return
        with engine.lock:
            entry = engine.cache.find(*identity[:4])
            if entry is None or not servable(entry, engine.clock()):
                return
            if len(self._chosen) + self._running < _MOST_OPEN:
                self._chosen.append(Case(identity, entry, self._max_staleness))
            else:
                engine.counters.audits_skipped += 1

    async def run(self) -> None:
        """Audit what is chosen until cancelled; on the engine's loop."""
        async with asyncio.TaskGroup() as audits:
            while True:
                await asyncio.sleep(_EVERY)
                with self._engine.lock:
                    cases, self._chosen = self._chosen[:_MOST_AT_ONCE], self._chosen[_MOST_AT_ONCE:]
                    self._running += len(cases)
                for case in cases:
                    audits.create_task(self._audit(case), name="edgeprofile-audit")

    async def _audit(self, case: Case) -> None:
        counters = self._engine.counters
        try:
            outcome = await self._outcome(case)
        except EdgeProfileError:  # what cannot be read is not judged
            counters.audits_skipped += 1
        else:
            counters.audits += 1
            if outcome is Outcome.VIOLATED:
                self._violated(case.identity.destination)
        finally:
            self._running -= 1

    async def _outcome(self, case: Case) -> Outcome:
        engine = self._engine
        found = await self._read(case.identity)
        with engine.lock:
            outcome = case.first(found, engine.clock())
        if outcome is not Outcome.CONTRADICTED:
            return outcome
        await asyncio.sleep(case.due - engine.clock() + _MARGIN)
        with engine.lock:
            outlived = case.outlived(engine.clock())
        return case.second(await self._read(case.identity)) if outlived else Outcome.GONE

    async def _read(self, identity: Identity) -> bytes | None:
        """The profile as the node has it that answers for it now. Raises `ServiceError`."""
        node = self._engine.node(identity)
        wire = node.stream()
        if wire is None:
            raise ConnectionLost(f"{node.name} is not connected yet", node=node.name)
        reading = self._readings[identity.destination]
        ask = reading.ask(identity)
        replies = await wire.ask(ask.payload, ask.expects)
        try:
            found = reading.found(ask, replies, node.name)
        except WrongType:
            return _NO_PROFILE
        return found.found.raw if isinstance(found, Unasked) else found.raw

    def _violated(self, destination: str) -> None:
        counters = self._engine.counters
        counters.audit_violations += 1
        if counters.audit_violations == 1:
            say(
                counters,
                logging.ERROR,
                "destination %s: an audit found a profile that was served for longer than cache.maxStaleness (%g s) "
                "after Redis had another; later ones are only counted (audit_violations). `edgeprofile doctor` says "
                "whether every change reaches this process",
                destination,
                self._max_staleness,
            )


def _reading(destination: Destination) -> Reading:
    """How its profiles are read once more: values alone, and models that are no JSON were counted the first time."""
    reading = Reading(
        layout=destination.layout, json_documents=destination.config.use_json_module, unreadable=lambda _models: None
    )
    reading.field_ttls = False
    return reading
