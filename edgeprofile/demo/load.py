"""Everything that goes on while the figures are shown: changes, syncs, reads, requests over HTTP."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import edgeprofile
from edgeprofile.demo import calls, changes, people, readers
from edgeprofile.demo.arrivals import Arrivals
from edgeprofile.demo.figures import Figures
from edgeprofile.demo.measure import Distribution
from edgeprofile.demo.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from edgeprofile import Stats
    from edgeprofile.demo.processes import Household
    from edgeprofile.demo.server import Server
    from edgeprofile.demo.sidecar import Sidecar
    from edgeprofile.demo.syncing import Syncs

__all__ = ["CALLS", "CHANGES", "Costs", "Load"]

CHANGES = 1_000
"""Changes a second."""
CALLS = 500
"""Requests a second over HTTP."""


class Costs(NamedTuple):
    """What measuring itself costs on this machine, in nanoseconds; taken while nothing else runs."""

    clock: float
    loop: float

    @classmethod
    def measured(cls, emails: Sequence[str]) -> Costs:
        """Measure them now."""
        return cls(readers.clock_cost(), readers.loop_cost(emails))


class Load:
    """A writer, a caller and syncs in processes of their own, those who watch and readers in threads.

    It runs while its context lasts.
    """

    def __init__(self, house: Household, server: Server, sidecar: Sidecar, syncs: Syncs, users: int) -> None:
        self._house = house
        self._server = server
        self._sidecar = sidecar
        self._syncs = syncs
        self._users = users
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        emails = [people.email(user) for user in range(self._users)]
        self.costs = Costs.measured(emails)
        self._before = edgeprofile.stats()
        self._readers = [readers.Reader(number, emails, self.costs.clock) for number in range(readers.THREADS)]
        self._watcher = Watcher(changes.start(self._house, self._server, self._users, CHANGES), self._users)
        self._calls = calls.start(self._house, self._sidecar, self._users, CALLS)
        self._arrivals = Arrivals(self._syncs, self._users)
        threads: tuple[Watcher | Arrivals | readers.Reader, ...] = (self._arrivals, self._watcher, *self._readers)
        for thread in threads:
            thread.start()
            self._stack.callback(thread.end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def check(self) -> None:
        """Raise `DemoError` if a process has ended that should run."""
        self._house.check()

    @property
    def complete(self) -> bool:
        """Whether everybody is at work."""
        return self._watcher.sightings.acknowledged_count > 0 and self._calls.totals().requests > 0

    @property
    def mean_lookup(self) -> float:
        """Nanoseconds of a lookup in the long loops, misses included, without the cost of the loop."""
        lookups = sum(reader.lookups for reader in self._readers)
        return sum(reader.spent for reader in self._readers) / lookups - self.costs.loop if lookups else 0.0

    def figures(self) -> Figures:
        """The totals of this moment."""
        stats, before, called = edgeprofile.stats(), self._before, self._calls.totals()
        sightings, failures = self._watcher.sightings, self._watcher.failures + self._arrivals.failures
        return Figures(
            at=time.monotonic(),
            hits=stats.hits - before.hits,
            misses=stats.misses - before.misses,
            events=stats.events - before.events,
            changes=sightings.acknowledged_count,
            requests=called.requests,
            failed=called.failed + failures + sum(reader.failures for reader in self._readers),
            hit_latencies=sum((reader.hits for reader in self._readers), Distribution()),
            delays=Distribution(sightings.delays.counts),
            oldest=sightings.oldest,
            arrivals=self._arrivals.seen,
            call_latencies=Distribution(called.latencies),
            trouble=_trouble(stats),
            entries=stats.entries,
            bytes=stats.bytes,
            max_bytes=stats.max_bytes,
        )


def _trouble(stats: Stats) -> str:
    status = stats.destinations[people.DESTINATION]
    return "" if status.state == "live" else f"{status.state} {status.reason}".strip()
