"""Writes in bulk: packed commands out in large pieces, replies counted, what deserves it tried again.

A piece is sent before the replies of the one before it are read, so that server and client work at the same time.
When anything has to be tried again, the pieces under way are settled first; then the rows in question are sent alone,
with growing pauses, until they are in or ``retry_for`` has passed without progress.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from edgeprofile.errors import RedisUnavailable, ServerRefused, ServiceError
from edgeprofile.store.lanes import Lanes
from edgeprofile.store.patience import Pace, Patience
from edgeprofile.store.refusals import Redirected, refusal
from edgeprofile.store.resp import ErrorReply

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator, Sequence

    from edgeprofile.config import RedisConfig
    from edgeprofile.store.lanes import Batch, Lane

__all__ = [
    "BulkWriter",
    "Refused",
    "Settled",
    "deserves_retry",
    "is_demoted",
    "is_for_every_row",
    "raise_unless_passing",
]

_UNDER_WAY = 2
_ELSEWHERE = frozenset({"MOVED", "ASK"})
_LATER = frozenset(
    {"LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY", "FAILOVER", "OOM", "NOREPLICAS", "MISCONF"}
)
_DEMOTED = frozenset({"READONLY", "MASTERDOWN"})
_NO_ROW = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})
_ASKING = b"*1\r\n$6\r\nASKING\r\n"


class Refused(NamedTuple):
    """One row that the server will not take, and why; the reason holds no ids."""

    row: int
    reason: str


class Settled(NamedTuple):
    """What became of a batch: how many rows are in, and which never will be. The others are tried again."""

    batch: Batch
    delivered: int
    refused: list[Refused]


def deserves_retry(reply: ErrorReply) -> bool:
    """Whether the same command can succeed later, or at another node."""
    return reply.code in _ELSEWHERE or reply.code in _LATER or "max number of clients" in reply.text


def is_demoted(reply: ErrorReply) -> bool:
    """Whether the node is a replica by now: its name may stand for another, which has not all that it acknowledged."""
    return reply.code in _DEMOTED


def raise_unless_passing(problem: ServiceError) -> None:
    """A node that cannot be reached, or lets nobody in for the moment, may do so later."""
    passing = isinstance(problem, RedisUnavailable) or (
        isinstance(problem, ServerRefused) and (problem.code in _LATER or problem.code == "MAXCLIENTS")
    )
    if not passing:
        raise problem


def is_for_every_row(reply: ErrorReply) -> bool:
    """Whether every other row would be refused as well, so that there is no use in going on."""
    return reply.code in _NO_ROW or reply.text.startswith("ERR unknown command")


class BulkWriter:
    """Delivers batches to one destination, a cluster included.

    ``most_per_second`` limits the rows (0: no limit). Raises ``ServiceError`` when the destination refuses every row
    or when nothing more got in for ``retry_for`` seconds; what was sent by then may be in or not.

    ``interrupted``: a connection that had brought replies broke, or led to a server that was made a replica after rows
    were in, or that has no slot of its cluster any more. Its server may have come back, or another taken its place,
    without what it had acknowledged.
    """

    interrupted = False

    def __init__(
        self,
        config: RedisConfig,
        *,
        timeout: float,
        retry_for: float,
        most_per_second: float = 0,
        pace: Pace | None = None,
    ) -> None:
        self._lanes = Lanes(config, timeout)
        self._pace = pace or Pace(most_per_second)
        self._retry_for = retry_for
        self._again: list[Batch] = []
        self._asked: list[tuple[Lane, Batch]] = []
        self._demoted: set[Lane] = set()
        self._has_written = False
        self._cause: ServiceError = RedisUnavailable("nothing was sent")

    def close(self) -> None:
        """Close every connection."""
        self._lanes.close()

    def deliver(self, batches: Iterable[Batch]) -> Iterator[Settled]:
        """Send all batches; yields as their rows get in."""
        for batch in batches:
            self._pace.wait(len(batch))
            self._send(batch)
            yield from self._settle(_UNDER_WAY)
            yield from self._repair()
        yield from self._settle(0)
        yield from self._repair()

    def _send(self, batch: Batch) -> None:
        try:
            parts = list(self._lanes.split(batch))
        except ServiceError as error:
            raise_unless_passing(error)
            self._cause = error
            self._again.append(batch)
            return
        self.interrupted |= self._lanes.has_lost_primary and self._has_written
        for lane, part in parts:
            self._send_to(lane, part)

    def _send_to(self, lane: Lane, batch: Batch) -> None:
        try:
            lane.send(batch)
        except ServiceError as error:
            self._broken(lane, error)

    def _broken(self, lane: Lane, error: ServiceError) -> None:
        raise_unless_passing(error)
        self._cause = error
        self.interrupted |= lane.has_answered
        self._again += [batch.whole if isinstance(batch, _Asking) else batch for batch in lane.drop()]
        self._lanes.forget_slots()

    def _settle(self, at_most: int) -> Iterator[Settled]:
        """Read replies until no lane has more than so many batches under way."""
        for lane in self._lanes:
            while len(lane.under_way) > at_most:
                try:
                    batch, replies = lane.settle()
                except ServiceError as error:
                    self._broken(lane, error)
                else:
                    yield self._judge(lane, batch, replies)

    def _judge(self, lane: Lane, batch: Batch, replies: list[Any]) -> Settled:
        whole = batch.whole if isinstance(batch, _Asking) else batch
        errors: dict[int, ErrorReply] = {}
        for at, reply in enumerate(replies):
            if isinstance(reply, ErrorReply):
                errors.setdefault(at // batch.replies_per_row, reply)  # of ASKING and a write, ASKING's explains both
        self._has_written |= len(errors) < len(batch)
        refused, later = [], []
        for row, reply in errors.items():
            problem = refusal(reply, lane.endpoint.name, doing="the write")
            if is_for_every_row(reply):
                raise problem
            if isinstance(problem, Redirected) and problem.ask:
                self._asked.append((self._lanes.at(problem.address), whole.take([row])))
            elif deserves_retry(reply):
                later.append(row)
                self._cause = problem
                if is_demoted(reply):
                    self._demoted.add(lane)
            else:
                refused.append(Refused(row, str(problem)))
        if later:
            self._again.append(whole.take(later))
            self._lanes.forget_slots()
        return Settled(whole, self._delivered(lane, batch, errors), refused)

    def _delivered(self, lane: Lane, batch: Batch, errors: Collection[int]) -> int:
        """How many rows are in for good; those that something has to follow are not yet."""
        every = range(len(batch))
        written = [row for row in every if row not in errors] if errors else every
        following = batch.following(written)
        if following is None:
            return len(written)
        self._pace.wait(len(following))
        self._send_to(lane, following)
        return 0

    def _repair(self) -> Iterator[Settled]:
        """Until nothing waits to be tried again."""
        if not self._again and not self._asked:
            return
        yield from self._settle(0)
        patience = Patience(self._retry_for, self._pace)
        while self._again or self._asked:
            progress = yield from self._try_again()
            if self._again and not patience.pause(progress=progress, why=self._cause):
                raise self._cause

    def _try_again(self) -> Generator[Settled, None, bool]:
        batches, self._again = self._again, []
        asked, self._asked = self._asked, []
        self._leave_demoted()
        for lane, batch in asked:
            self._send_to(lane, _Asking(batch))
        for batch in batches:
            self._send(batch)
        progress = False
        for settled in self._settle(0):
            progress = progress or bool(settled.delivered or settled.refused)
            yield settled
        return progress

    def _leave_demoted(self) -> None:
        """Connect anew where a replica answered, with nothing under way: its name may lead to the new primary."""
        self.interrupted |= bool(self._demoted) and self._has_written
        while self._demoted:
            self._demoted.pop().drop()


class _Asking:
    """Rows whose slot is on its way to another node: each command goes there, after ``ASKING``."""

    def __init__(self, whole: Batch) -> None:
        self.whole = whole
        self.replies_per_row = 2 * whole.replies_per_row

    def __len__(self) -> int:
        return len(self.whole)

    def payload(self) -> memoryview:
        rows = (self.whole.row(index) for index in range(len(self.whole)))
        return memoryview(b"".join(_ASKING + command for row in rows for command in row))

    def keys(self) -> list[bytes]:
        return self.whole.keys()

    def row(self, index: int) -> list[bytes]:
        return self.whole.row(index)

    def take(self, rows: Sequence[int]) -> Batch:
        return self.whole.take(rows)

    def following(self, rows: Sequence[int]) -> Batch | None:
        following = self.whole.following(rows)
        return None if following is None else _Asking(following)
