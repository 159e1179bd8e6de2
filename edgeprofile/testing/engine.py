"""An engine whose lookups read from memory: clients over it are the real ones, and never do any I/O."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from edgeprofile.core.coherence import FOREVER
from edgeprofile.core.keeper import servable
from edgeprofile.engine import Engine
from edgeprofile.engine.lookup import Answer, Lookups
from edgeprofile.engine.writes import Writes
from edgeprofile.errors import ClosedError, EdgeProfileError
from edgeprofile.metrics import DestinationStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from edgeprofile.config import Config
    from edgeprofile.core.keeper import Identity
    from edgeprofile.testing.source import Name

__all__ = ["MemoryEngine"]


class MemoryEngine(Engine):
    """Serves ``profiles`` for every destination; ``failure`` is what stands for Redis being in trouble."""

    def __init__(self, config: Config, profiles: dict[Name, bytes]) -> None:
        self.profiles = profiles
        self.failure: EdgeProfileError | None = None
        super().__init__(config)
        self.lookups = MemoryLookups(self)
        self.writes = MemoryWrites(self)

    def start(self) -> None:
        """Nothing has to be started."""
        if self.closed:
            raise ClosedError("this client is closed: make a new one")

    def wait_ready(self, timeout: float) -> None:  # noqa: ARG002 (as of an engine that has to wait)
        """Nothing has to be waited for, unless it shall fail."""
        if self.failure is not None:
            raise self.failure

    def status(self) -> dict[str, DestinationStatus]:
        """Every destination is live, unless it shall fail."""
        if self.failure is not None:
            state, reason = "disconnected", str(self.failure)
        else:
            state, reason = "closed" if self.closed else "live", ""
        return {
            name: DestinationStatus(
                destination=name, state=state, reason=reason, ready=state == "live", nodes=1, watermark_age=0.0
            )
            for name in self.targets
        }

    @contextlib.contextmanager
    def failing(self, failure: EdgeProfileError) -> Iterator[None]:
        """Within it, whatever would ask Redis meets this error, and nothing is served from the cache."""
        before, self.failure = self.failure, failure
        self.forget()
        try:
            yield
        finally:
            self.failure = before

    def replace(self, profiles: dict[Name, bytes]) -> None:
        """Serve these profiles from now on."""
        self.profiles = profiles
        self.forget()

    def forget(self) -> None:
        """Drop what is cached, as after a change of everything."""
        with self.lock:
            self.cache.clear()
        self.subscribers.lost()

    def changed(self, name: Name) -> None:
        """Drop what is cached of one profile."""
        with self.lock:
            for destination in self.targets:
                self.cache.drop_identity(destination, *name)
        for target in self.targets.values():
            self.subscribers.changed(target.identity(*name).keys)


class MemoryLookups(Lookups):
    """Lookups in memory, which are done at once."""

    def __init__(self, engine: MemoryEngine) -> None:
        super().__init__(engine)
        self._memory = engine

    def read(self, identity: Identity, deadline: float) -> Answer:  # noqa: ARG002 (never late)
        """One profile; raises what shall be raised."""
        engine = self._memory
        now = engine.clock()
        with engine.lock:
            entry = engine.cache.find(*identity[:4])
            if entry is not None and servable(entry, now):
                entry.used = True
                engine.counters.hits += 1
                return Answer(entry.raw, entry.sent, entry)
            engine.counters.misses += 1
            if engine.failure is not None:
                engine.counters.fetch_errors[type(engine.failure).__name__] += 1
                raise engine.failure
            engine.counters.fetches += 1
            raw = engine.profiles.get(identity[1:4])
            life = engine.config.cache.negative_ttl if raw is None else engine.config.cache.ttl
            space = engine.cache.space(*identity[:3])
            entry = engine.cache.put(space, identity.value, raw, sent=now, life=life, lease=FOREVER)
            return Answer(raw, now, entry)

    def read_many(self, identities: Iterable[Identity], deadline: float) -> list[Answer]:
        """Several profiles, in order."""
        return [self.read(identity, deadline) for identity in identities]

    async def aread(self, identity: Identity, deadline: float) -> Answer:
        """As `read`, for a task."""
        return self.read(identity, deadline)

    async def aread_many(self, identities: Iterable[Identity], deadline: float) -> list[Answer]:
        """As `read_many`, for a task."""
        return self.read_many(identities, deadline)

    async def aread_each(self, identities: Iterable[Identity], deadline: float) -> list[Answer | EdgeProfileError]:
        """As `aread_many`, with the error of a profile in its place."""
        return [self._either(identity, deadline) for identity in identities]

    def _either(self, identity: Identity, deadline: float) -> Answer | EdgeProfileError:
        try:
            return self.read(identity, deadline)
        except EdgeProfileError as error:
            return error


class MemoryWrites(Writes):
    """Deletes in memory."""

    def __init__(self, engine: MemoryEngine) -> None:
        super().__init__(engine)
        self._memory = engine

    def delete(self, identities: Sequence[Identity], deadline: float) -> int:  # noqa: ARG002 (never late)
        """Delete these profiles; how many there were."""
        engine = self._memory
        if engine.failure is not None:
            raise engine.failure
        removed = [engine.profiles.pop(identity[1:4], None) for identity in identities]
        for identity in identities:
            engine.changed(identity[1:4])
        return len(removed) - removed.count(None)

    async def adelete(self, identities: Sequence[Identity], deadline: float) -> int:
        """As `delete`, for a task."""
        return self.delete(identities, deadline)
