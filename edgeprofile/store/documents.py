"""Writes for ``useJSONModule``: one RedisJSON document for each key, of which a source owns one member.

``JSON.SET key $ …`` replaces the root, so the other members have to be read first. Between the reading and the
writing another writer may come; ``WATCH`` makes the server refuse our write then, and it is tried again. Every writer
that does the same is safe; one that reads and writes without WATCH, as RudderStack does, can still undo ours.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from redis.crc import key_slot

from edgeprofile.errors import RedisUnavailable, ServiceError
from edgeprofile.store.lanes import Lanes
from edgeprofile.store.patience import Pace, Patience
from edgeprofile.store.refusals import Redirected, refusal
from edgeprofile.store.resp import ErrorReply
from edgeprofile.store.writer import (
    Refused,
    Settled,
    deserves_retry,
    is_demoted,
    is_for_every_row,
    raise_unless_passing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from edgeprofile.config import RedisConfig
    from edgeprofile.store.lanes import Address, Lane

    Command = tuple[bytes | str | int, ...]

__all__ = ["DocumentBatch", "DocumentWriter", "merged"]

_TOGETHER = 128
_MULTI = ("MULTI",)
_MOVING = frozenset({"ASK", "TRYAGAIN"})
_Members = dict[str, msgspec.Raw]


class DocumentBatch(Protocol):
    """Rows and their members: ``texts`` are JSON, ``None`` where the member is to go; ``ttl`` in seconds or 0.

    ``persist``: the keys are to lose the time to live that they have.
    """

    model: str
    ttl: int
    persist: bool

    def __len__(self) -> int: ...

    def keys(self) -> list[bytes]:
        """The key of each row."""

    def texts(self) -> list[str | None]:
        """The JSON of each row's member."""

    def take(self, rows: Sequence[int]) -> DocumentBatch:
        """Some of the rows."""


def merged(found: bytes | None, model: str, text: str | None) -> bytes | None:
    """The document with one member set, or removed; ``None`` where no member is left.

    ``found`` is the answer to ``JSON.GET key $``: an array that holds the document.

    Raises ``msgspec.DecodeError`` where the document is no JSON object.
    """
    members = _members(found)
    if text is None:
        members.pop(model, None)
    else:
        members[model] = msgspec.Raw(text.encode())
    return msgspec.json.encode(members) if members else None


def _members(found: bytes | None) -> _Members:
    (members,) = msgspec.json.decode(found, type=tuple[_Members]) if found else ({},)
    return members


class DocumentWriter:
    """As ``BulkWriter``, for documents: a few thousand rows a second, because each is read before it is written."""

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
        self._has_written = False
        self._cause: ServiceError = RedisUnavailable("nothing was sent")

    def close(self) -> None:
        """Close every connection."""
        self._lanes.close()

    def deliver(self, batches: Iterable[DocumentBatch]) -> Iterator[Settled]:
        """Write all batches; yields as their rows get in."""
        for batch in batches:
            for start in range(0, len(batch), _TOGETHER):
                piece = batch.take(range(start, min(start + _TOGETHER, len(batch))))
                self._pace.wait(len(piece) * (2 if piece.ttl or piece.persist else 1))
                yield from self._persist(piece)

    def _persist(self, batch: DocumentBatch) -> Iterator[Settled]:
        patience = Patience(self._retry_for, self._pace)
        while len(batch):
            settled, again = self._attempt(batch)
            yield settled
            progress = len(again) < len(batch)
            batch = batch.take(again)
            if again and not patience.pause(progress=progress, why=self._cause):
                raise self._cause

    def _attempt(self, batch: DocumentBatch) -> tuple[Settled, list[int]]:
        refused: list[Refused] = []
        again: list[int] = []
        for rows in self._groups(batch):
            group = batch.take(rows)
            for row, problem in zip(rows, self._write(group), strict=True):
                if isinstance(problem, str):
                    refused.append(Refused(row, problem))
                elif problem:
                    again.append(row)
        return Settled(batch, len(batch) - len(refused) - len(again), refused), again  # type: ignore[arg-type]  # any batch

    def _groups(self, batch: DocumentBatch) -> list[list[int]]:
        """Rows that may share a transaction: in a cluster, those of one slot."""
        if not self._lanes.is_cluster:
            return [list(range(len(batch)))]
        groups: dict[int, list[int]] = {}
        for row, key in enumerate(batch.keys()):
            groups.setdefault(key_slot(key), []).append(row)
        return list(groups.values())

    def _write(self, batch: DocumentBatch, asked: Address | None = None) -> list[str | bool]:
        """For each row ``False`` (in), ``True`` (again) or why not; ``asked``: where its node said to ask for it."""
        lane: Lane | None = None
        try:
            lane = self._lanes.at(asked) if asked else self._lanes.for_key(batch.keys()[0])
            self.interrupted |= self._lanes.has_lost_primary and self._has_written
            outcomes = _transaction(_Asking(lane) if asked else lane, batch)
        except _Elsewhere as error:
            self._cause = error.problem
            self.interrupted |= error.is_demoted and self._has_written
            if error.is_moving and asked is None:
                return self._follow(batch, error.problem)
        except ServiceError as error:
            raise_unless_passing(error)
            self._cause = error
            self.interrupted |= lane is not None and lane.has_answered
        else:
            self._has_written |= False in outcomes
            return self._apart(batch, outcomes) if True in outcomes else outcomes
        if lane is not None:
            lane.drop()
        self._lanes.forget_slots()
        return [True] * len(batch)

    def _apart(self, batch: DocumentBatch, outcomes: list[str | bool]) -> list[str | bool]:
        """Where another writer came in between, fewer rows at once, so that one busy document holds up no others."""
        again = [row for row, outcome in enumerate(outcomes) if outcome is True]
        if len(batch) == 1:
            self._cause = ServiceError("others wrote a document each time between our reading and our writing it")
            return outcomes
        half = -(-len(again) // 2)
        for rows in (again[:half], again[half:]):
            for row, outcome in zip(rows, self._write(batch.take(rows)) if rows else (), strict=True):
                outcomes[row] = outcome
        return outcomes

    def _follow(self, batch: DocumentBatch, problem: ServiceError) -> list[str | bool]:
        """Write rows one by one whose slot is on its way, because some keys may be at one node and some at the other."""
        if len(batch) > 1:
            return [outcome for row in range(len(batch)) for outcome in self._write(batch.take([row]))]
        return self._write(batch, problem.address) if isinstance(problem, Redirected) else [True]


class _Elsewhere(Exception):
    """The server said no to the whole group, and may say yes later, or another server now."""

    def __init__(self, reply: ErrorReply, problem: ServiceError) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.is_demoted = is_demoted(reply)
        self.is_moving = reply.code in _MOVING


class _Asking:
    """A lane to the node that a slot is on its way to: it listens to commands, and to transactions, after ``ASKING``."""

    def __init__(self, lane: Lane) -> None:
        self.endpoint = lane.endpoint
        self._lane = lane

    def ask(self, *commands: Command) -> list[Any]:
        """As a lane does. Where ``ASKING`` is refused, that is the answer to what follows it."""
        parts = [commands] if commands[0] == _MULTI else [(one,) for one in commands]
        replies = iter(self._lane.ask(*(one for part in parts for one in (("ASKING",), *part))))
        found: list[Any] = []
        for part in parts:
            asking, first, *others = islice(replies, 1 + len(part))
            found += [asking if isinstance(asking, ErrorReply) else first, *others]
        return found


def _transaction(node: Lane | _Asking, batch: DocumentBatch) -> list[str | bool]:
    """Read the documents, write them unless somebody came in between, and see to the time to live of those that are in.

    What an earlier transaction may have left watched is none of this one's.
    """
    keys, texts = batch.keys(), batch.texts()
    unwatched, watched, *documents = node.ask(("UNWATCH",), ("WATCH", *keys), *(("JSON.GET", key, "$") for key in keys))
    _raise_common(node, [unwatched, watched, *documents], doing="JSON.GET")
    commands: dict[int, Command] = {}
    outcomes: list[str | bool] = [False] * len(batch)
    for row, (key, document, text) in enumerate(zip(keys, documents, texts, strict=True)):
        try:
            if command := _command(node, batch.model, key, document, text):
                commands[row] = command
        except (ServiceError, msgspec.DecodeError) as error:
            outcomes[row] = str(error) if isinstance(error, ServiceError) else "the key holds no JSON object"
    is_executed, refused = _commit(node, commands)
    if is_executed:
        written = [row for row in commands if row not in refused and texts[row] is not None]
        refused |= _expire(node, batch, {row: keys[row] for row in written})
    for row, reason in refused.items():
        outcomes[row] = reason
    return outcomes if is_executed else [one if isinstance(one, str) else True for one in outcomes]


def _command(node: Lane | _Asking, model: str, key: bytes, document: Any, text: str | None) -> Command | None:
    if isinstance(document, ErrorReply):
        raise refusal(document, node.endpoint.name, doing="JSON.GET")
    if text is None and model not in _members(document):  # also of an empty document, which is another's
        return None
    root = merged(document, model, text)
    return ("DEL", key) if root is None else ("JSON.SET", key, "$", root)


def _commit(node: Lane | _Asking, commands: dict[int, Command]) -> tuple[bool, dict[int, str]]:
    """Whether the transaction was executed, and the rows whose command the server refused.

    It is not when somebody came in between, or when the server refused a command before it took the others.
    """
    if not commands:
        return True, {}
    begun, *queued, result = node.ask(_MULTI, *commands.values(), ("EXEC",))
    executed = result if isinstance(result, list) else []
    _raise_common(node, [begun, *queued, result, *executed], doing="JSON.SET")
    refused = _refusals(node, commands, executed or queued)
    if isinstance(result, ErrorReply) and not refused:
        raise _Elsewhere(result, refusal(result, node.endpoint.name, doing="EXEC"))
    return isinstance(result, list), refused


def _expire(node: Lane | _Asking, batch: DocumentBatch, keys: dict[int, bytes]) -> dict[int, str]:
    """Only of keys that took their document: another's keeps its own time to live. The rows that are refused it."""
    if not keys or not (batch.ttl or batch.persist):
        return {}
    commands: dict[int, Command] = {
        row: ("EXPIRE", key, batch.ttl) if batch.ttl else ("PERSIST", key) for row, key in keys.items()
    }
    replies = node.ask(*commands.values())
    _raise_common(node, replies, doing="EXPIRE" if batch.ttl else "PERSIST")
    return _refusals(node, commands, replies)


def _refusals(node: Lane | _Asking, commands: dict[int, Command], replies: list[Any]) -> dict[int, str]:
    return {
        row: str(refusal(reply, node.endpoint.name, doing=str(command[0])))
        for (row, command), reply in zip(commands.items(), replies, strict=True)
        if isinstance(reply, ErrorReply)
    }


def _raise_common(node: Lane | _Asking, replies: list[Any], *, doing: str) -> None:
    """Raise what concerns the group: that it should be tried again, or that there is no use in going on."""
    for reply in replies:
        if not isinstance(reply, ErrorReply):
            continue
        problem = refusal(reply, node.endpoint.name, doing=doing)
        if is_for_every_row(reply):
            raise problem
        if deserves_retry(reply):
            raise _Elsewhere(reply, problem)
