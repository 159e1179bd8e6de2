"""The Activation API over a source of profiles: bytes in, answers out, whatever carries them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import msgspec

from edgeprofile import ClosedError, EdgeProfileError, InvalidIdentity, ServiceError
from edgeprofile_sidecar import activation, batch, deletion, freshness, targets
from edgeprofile_sidecar.answers import (
    DELETE_FAILED,
    NO_GOOD_TOKEN,
    NO_ROOM,
    UNAUTHORIZED,
    UNAVAILABLE,
    Answer,
    failure,
)
from edgeprofile_sidecar.logs import Seldom
from edgeprofile_sidecar.members import Named
from edgeprofile_sidecar.recent import Recent
from edgeprofile_sidecar.room import LARGE, Room
from edgeprofile_sidecar.selection import NO_BUNDLES
from edgeprofile_sidecar.tokens import Denial

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from types import TracebackType

    from edgeprofile import EncodedProfile, Projection

    _Outcome = EncodedProfile | EdgeProfileError
    from edgeprofile_sidecar.activation import Aimed, Question
    from edgeprofile_sidecar.batch import Batch
    from edgeprofile_sidecar.counters import Counters
    from edgeprofile_sidecar.deletion import Deletion
    from edgeprofile_sidecar.members import Flawed, Unreadable
    from edgeprofile_sidecar.tokens import Grant, Permission, Tokens

__all__ = ["Changes", "Held", "Profiles", "Reads", "Service", "Standing", "TokenSource", "Watch"]

_log = logging.getLogger(__name__)
_audit = logging.getLogger("edgeprofile_sidecar.audit")

A = TypeVar("A", bound="Aimed")

_REMEMBERED = 4_096  # bodies that were read: the pages of one visitor ask for the same profile
_LARGEST_REMEMBERED = 512  # bytes; the two bound what is kept to a few megabytes

_TURN = 64  # ids of a batch that are answered before others get their turn
_TURN_BYTES = 1 << 18  # of their profiles: reading one for a projection takes its time

_KEPT = 1_024  # answers from memory
_LARGEST_KEPT = 4_096  # bytes of their data; the two bound what is kept to ten megabytes


class _Lately(msgspec.Struct, frozen=True, gc=False):
    """An answer that was given lately, the data that it holds, and the age in seconds that it says."""

    data: bytes
    age: int
    answer: Answer


class Standing(NamedTuple):
    """An answer from memory that is right for a while.

    ``gives(now)``: whether it can be given at ``now`` (of `time.monotonic`, just read); each yes is counted as a lookup.
    """

    answer: Answer
    gives: Callable[[float], bool]


class Held(Protocol):
    """A profile from memory and whether it may be served again, as `EncodedReads.hold` gives them."""

    @property
    def profile(self) -> EncodedProfile:
        """What was found."""

    @property
    def serves(self) -> Callable[[float], bool]:
        """Whether it may be served at a moment of `time.monotonic`."""


class Reads(Protocol):
    """Lookups, as those of `edgeprofile.AsyncClient.encoded`."""

    def peek(self, entity: str, id_type: str, value: str, *, destination: str) -> EncodedProfile | None:
        """The profile that is in memory and fresh, or known to be absent; never does I/O."""

    def hold(self, entity: str, id_type: str, value: str, *, destination: str) -> Held | None:
        """The same, to be served more than once."""

    async def get(self, entity: str, id_type: str, value: str, *, destination: str) -> EncodedProfile:
        """The profile, read from Redis where need be."""

    async def get_many(
        self, entity: str, ids: Sequence[tuple[str, str]], *, destination: str
    ) -> list[EncodedProfile | EdgeProfileError]:
        """The profiles of pairs of id type and value, in their order; what is wrong with one is in its place."""


class Changes(Protocol):
    """Changes of profiles, as those of `edgeprofile.AsyncClient.changes`."""

    def __enter__(self) -> object:
        """From now on, changes are told."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """And no more."""

    async def __anext__(self) -> tuple[str, str] | None:
        """The id type and value of the next profile that changed; `None`: changes may have been missed."""


class Watch(NamedTuple):
    """A destination, and the changes of some of its profiles."""

    destination: str
    changes: Changes


class Profiles(Protocol):
    """Where profiles come from; `edgeprofile.AsyncClient` is one."""

    @property
    def encoded(self) -> Reads:
        """Its lookups."""

    def changes(self, entity: str, ids: Iterable[tuple[str, str]], *, destination: str) -> Changes:
        """Changes of profiles, named by pairs of id type and value."""

    async def delete(self, entity: str, ids: Iterable[tuple[str, str]], *, destination: str) -> int:
        """Delete profiles, named by pairs of id type and value, from Redis; how many keys were removed."""


class TokenSource(Protocol):
    """Where tokens come from."""

    @property
    def current(self) -> Tokens:
        """The tokens that count at this moment."""


class Service:
    """Answers activation requests; knows neither sockets nor an HTTP library."""

    def __init__(
        self,
        profiles: Profiles,
        tokens: TokenSource,
        destinations: Collection[str],
        counters: Counters,
        max_batch: int = 1_000,
        room: Room | None = None,
        bundles: Mapping[str, Projection] = NO_BUNDLES,
        reads: Reads | None = None,
    ) -> None:
        self._profiles = profiles
        self._reads = reads or profiles.encoded
        self._tokens = tokens
        self._destinations = destinations
        self._counters = counters
        self._most = max_batch
        self._room = room or Room(counters)
        self._bundles = bundles
        self._recent = Recent[bytes, activation.Asked](_REMEMBERED)
        self._lately = Recent[bytes, _Lately](_KEPT)
        self._seldom = Seldom()

    @property
    def tokens(self) -> Tokens:
        """The tokens that count at this moment."""
        return self._tokens.current

    def admit(self, authorization: Sequence[str], permission: Permission = "read") -> Grant | Answer:
        """What a request's ``Authorization`` headers permit, or the refusal if it is not what it needs."""
        grant = self._tokens.current.admit(authorization, time.time(), permission)
        if isinstance(grant, Denial):
            self._counters.denials[grant.value] += 1
            return UNAUTHORIZED if grant is Denial.PERMISSION else NO_GOOD_TOKEN
        return grant

    def ask(self, body: bytes, grant: Grant) -> Answer | Question:
        """The answer, where it can be given at once; otherwise the question that Redis must be asked."""
        asked = self._checked(self._recent.get(body) or self._read(body), grant)
        if isinstance(asked, Answer):
            return asked
        found = self._reads.peek(asked.entity, asked.id_type, asked.value, destination=asked.destination)
        return asked if found is None else self._hit(asked, found)

    def at_once(self, authorization: str, body: bytes) -> Answer | Question | None:
        """The answer where the profile is in memory, otherwise the question to `fetch`; `None` is left to `ask`.

        It counts nothing and refuses nobody, but for want of room: whatever may not be answered is asked again, and counted
        then.
        """
        asked = self._recent.get(body) or self._read(body)
        if not isinstance(asked, activation.Question):
            return None
        grant = self._tokens.current.admit((authorization,), time.time(), "read")
        if isinstance(grant, Denial) or activation.check(asked, grant, self._destinations) is not asked:
            return None
        found = self._reads.peek(asked.entity, asked.id_type, asked.value, destination=asked.destination)
        return asked if found is None else self._hit(asked, found)

    def standing(self, authorization: str, body: bytes) -> Standing | None:
        """What `at_once` answers, for as long as it stays the same to the byte, ``Date`` included: a second at most."""
        asked = self._recent.get(body)
        if not isinstance(asked, activation.Question):
            return None
        source, lookups = self._tokens, self._counters.lookups
        now = time.monotonic()  # first: what passes between the two clocks makes the end earlier, never later
        tokens, today = source.current, time.time()
        edition = tokens.edition
        grant = tokens.admit((authorization,), today)
        if isinstance(grant, Denial) or activation.check(asked, grant, self._destinations) is not asked:
            return None
        held = self._reads.hold(asked.entity, asked.id_type, asked.value, destination=asked.destination)
        if held is None or len(held.profile.json) > _LARGEST_KEPT:
            return None
        found, serves = held.profile, held.serves
        until = now + min(1.0 - today % 1.0, grant.until - today, 1.0 - found.age % 1.0, found.ttl % 1.0)
        outcome = "hit" if found.found else "negative"

        def gives(now: float) -> bool:
            if now < until and source.current.edition is edition and serves(now):
                lookups[outcome] += 1
                return True
            return False

        return Standing(_answer(asked, found), gives)

    async def profile(self, target: str, grant: Grant) -> Answer:
        """The answer to the target of a GET, in origin form."""
        asked = self._checked(targets.read(target, self._implied(), self._bundles), grant)
        if isinstance(asked, Answer):
            return asked
        found = self._reads.peek(asked.entity, asked.id_type, asked.value, destination=asked.destination)
        return await self.fetch(asked) if found is None else self._hit(asked, found)

    def watch(self, target: str, grant: Grant) -> Watch | Answer:
        """The changes that the target of a stream asks for."""
        asked = self._checked(targets.read_watch(target, self._implied(), self._most), grant)
        if isinstance(asked, Answer):
            return asked
        ids = [(asked.id_type, value) for value in asked.values]
        try:
            return Watch(asked.destination, self._profiles.changes(asked.entity, ids, destination=asked.destination))
        except EdgeProfileError as reason:
            return self._failed(reason, asked.destination)

    def _implied(self) -> str:
        """The destination that need not be named at this moment; ``""`` where there are several."""
        return next(iter(self._destinations)) if len(self._destinations) == 1 else ""

    def _checked(self, asked: A | Flawed | Unreadable, grant: Grant) -> A | Answer:
        checked = activation.check(asked, grant, self._destinations)
        if checked is UNAUTHORIZED:
            self._counters.denials[Denial.SCOPE.value] += 1
        return checked

    def _read(self, body: bytes) -> activation.Asked:
        asked = activation.read(body, self._bundles)
        return self._recent.put(body, asked) if len(body) <= _LARGEST_REMEMBERED else asked

    async def fetch(self, question: Question) -> Answer:
        """The answer to a question, read from Redis where need be."""
        begun = time.perf_counter()
        try:
            found = await self._reads.get(
                question.entity, question.id_type, question.value, destination=question.destination
            )
        except EdgeProfileError as reason:
            self._counters.lookups["error"] += 1
            return self._failed(reason, question.destination)
        self._counters.lookups[_outcome(found)] += 1
        return self._fitting(_answer(question, found, time.perf_counter() - begun))

    async def batch(self, body: bytes, grant: Grant) -> Answer:
        """The answer to a batch."""
        asked = self._checked(batch.read(body, self._most, self._bundles), grant)
        if isinstance(asked, Answer):
            return asked
        named = list(dict.fromkeys(each for each in asked.ids if isinstance(each, Named)))
        ids = [(each.id_type, each.value) for each in named]
        try:
            outcomes = await self._reads.get_many(asked.entity, ids, destination=asked.destination)
        except EdgeProfileError as reason:
            self._counters.lookups["error"] += len(named)
            return self._failed(reason, asked.destination)
        for each in outcomes:
            self._counters.lookups[_outcome(each)] += 1
        refusals = [self._failed(each, asked.destination) for each in outcomes if isinstance(each, EdgeProfileError)]
        if named and refusals.count(UNAVAILABLE) == len(named):
            return UNAVAILABLE
        return await _answers(asked, dict(zip(named, outcomes, strict=True)), self._room)

    async def delete(self, body: bytes, grant: Grant) -> Answer:
        """Delete what a body asks to delete, and write down whose token asked for it."""
        asked = self._checked(deletion.read(body, self._most), grant)
        if isinstance(asked, Answer):
            return asked
        outcome = "not confirmed"  # whatever ends this, Redis may have done it, or a part of it
        try:
            removed = await self._delete(asked)
            outcome = f"{removed} removed"
        except InvalidIdentity as reason:
            outcome = "refused"
            return failure(reason)
        except (ServiceError, ClosedError) as reason:  # closed: by a reload, under this very delete
            self._failed(reason, asked.destination)
            return DELETE_FAILED
        finally:
            facts = {"destination": asked.destination, "profiles": len(asked.ids), "outcome": outcome}
            _audit.info("delete", extra={"token": grant.name, **facts})
        return deletion.answer(removed, len(asked.ids))

    async def _delete(self, asked: Deletion) -> int:
        ids = [(named.id_type, named.value) for named in asked.ids]
        return await self._profiles.delete(asked.entity, ids, destination=asked.destination)

    def _hit(self, question: Question, found: EncodedProfile) -> Answer:
        """The answer from memory: within a second it is the same for the same data."""
        self._counters.lookups["hit" if found.found else "negative"] += 1
        if question.projection is not None:
            return self._fitting(_answer(question, found))
        age = int(found.age)
        lately = self._lately.get(question.head)
        if lately is not None and lately.data is found.json and lately.age == age:
            return lately.answer
        made = _answer(question, found)
        if len(found.json) <= _LARGEST_KEPT:
            self._lately.put(question.head, _Lately(found.json, age, made))
            return made
        return self._fitting(made)

    def _fitting(self, answer: Answer) -> Answer:
        """The answer, unless it is a large one and there is no room for it."""
        return answer if len(answer.body) <= LARGE or self._room.sends(len(answer.body)) else NO_ROOM

    def _failed(self, reason: EdgeProfileError, destination: str) -> Answer:
        """What a lookup's error is to the caller; the log is told now and then."""
        kind = type(reason).__name__
        if isinstance(reason, ServiceError) and (count := self._seldom.pass_through(kind)):
            _log.warning(
                "lookups fail: %s", reason, extra={"error": kind, "destination": destination, "lookups": count}
            )
        return failure(reason)


def _outcome(found: _Outcome) -> str:
    if isinstance(found, EdgeProfileError):
        return "error"
    if not found.hit:
        return "miss"
    return "stale" if found.stale else "hit" if found.found else "negative"


def _answer(question: Question, found: EncodedProfile, seconds: float = 0.0) -> Answer:
    data = _projected(question.projection, found.json)
    tag = freshness.tag(data)
    return activation.answer(question, data, freshness.headers(found, tag, seconds), tag)


def _projected(projection: Projection | None, data: bytes) -> bytes:
    return data if projection is None else projection.encoded(data)


async def _answers(asked: Batch, outcomes: Mapping[Named, _Outcome], room: Room) -> Answer:
    """The answer to a batch, of at most ``room.largest`` bytes and a message for each that finds no place.

    An id that is asked for twice is answered with the same bytes.
    """
    wanted = Counter(asked.ids)
    made: dict[Named | batch.Misnamed, bytes] = {}
    places = batch.Places(asked)
    left, new, work = room.largest, 0, 0
    for count, each in enumerate(asked.ids, 1):
        place = made.get(each)
        if place is None:
            place = _place(asked, each, outcomes, left)
            work += _work(each, outcomes)
        if place is None or len(place) > left:
            place = batch.oversized(each.echo)
        else:
            if wanted[each] > 1:
                made[each] = place
            left -= len(place)
        new += len(place)
        if new > LARGE:
            if not room.makes(new):
                return NO_ROOM
            new = 0
        places.add(place)
        work += len(place)
        if count % _TURN == 0 or work >= _TURN_BYTES:
            work = 0
            await asyncio.sleep(0)
    room.made()
    return places.answer()


def _work(each: Named | batch.Misnamed, outcomes: Mapping[Named, _Outcome]) -> int:
    """How many bytes the profile has that a part is made of."""
    outcome = None if isinstance(each, batch.Misnamed) else outcomes[each]
    return 0 if outcome is None or isinstance(outcome, EdgeProfileError) else len(outcome.json)


def _place(asked: Batch, each: Named | batch.Misnamed, outcomes: Mapping[Named, _Outcome], room: int) -> bytes | None:
    """One part; none where it can be seen before it is made that it has no room."""
    if isinstance(each, batch.Misnamed):
        return batch.misnamed(each)
    outcome = outcomes[each]
    if isinstance(outcome, EdgeProfileError):
        return batch.refused(each.echo, failure(outcome))
    if asked.projection is None and len(outcome.json) > room:
        return None
    return batch.found(each.echo, _projected(asked.projection, outcome.json), found=outcome.found)
