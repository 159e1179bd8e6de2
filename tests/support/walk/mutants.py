"""The machine with one guard taken out, for each guard: a walk that does not break these proves nothing."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.core.cache import Entry
from edgeprofile.core.coherence import FOREVER, Authority, Lease, Phase, Proof
from edgeprofile.core.fills import Fill, Fills
from edgeprofile.core.keeper import Found, Identity, Keeper, Source
from tests.support.walk.server import BEAT, Frame
from tests.support.walk.session import Session
from tests.support.walk.world import Rules

if TYPE_CHECKING:
    from tests.support.walk.world import World

__all__ = ["MUTANTS", "NEVER_ALONE", "TOO_RARE"]


class TokenAfterTheReply(Keeper):
    """The fetch is registered when its reply is there."""

    def begin(self, identity: Identity, now: float, *, refresh: bool = False) -> Fill:
        lease = self.authority.lease if self.authority.live(now) else None
        return Fill(identity, identity.keys, now, lease, refresh=refresh)

    def store(self, fill: Fill, found: Found, now: float, chance: float = 0.0) -> Entry | None:
        self.fills.open(fill)
        return super().store(fill, found, now, chance)


class EventsSpareFetches(Keeper):
    """An event drops the entry and forgets the fetch that is under way."""

    def touched(self, source: Source, keys: list[bytes]) -> list[Entry]:
        every = [identity for key in keys for identity in source.identities(key)]
        return [entry for identity in every if (entry := self.cache.drop_identity(*identity)) is not None]


class EventsSpareEntries(Keeper):
    """An event poisons the fetch and forgets the entry."""

    def touched(self, source: Source, keys: list[bytes]) -> list[Entry]:  # noqa: ARG002 (that is the mistake)
        for key in keys:
            self.changed((), key)
        return []


class ClearSparesFetches(Keeper):
    """The end of an epoch does not poison."""

    def lost(self) -> None:
        if self.authority.phase is not Phase.DOWN:
            self.authority.lost()


class TokensByKey(Fills):
    """Any token of the key is good enough for a reply."""

    def poison(self, key: bytes) -> bool:
        return self._by_key.pop(key, None) is not None

    def close(self, fill: Fill) -> bool:
        found = [self._by_key.pop(key, None) for key in fill.keys]
        return None not in found


class AnyEpoch(ClearSparesFetches):
    """A reply is stored in whatever epoch it arrives, under the lease of that one; the end of an epoch does not poison."""

    def _in_its_epoch(self, fill: Fill) -> bool:
        fill.lease = self.authority.lease
        return True


class NoEpochCheck(Keeper):
    """A reply is stored whatever became of its epoch."""

    def _in_its_epoch(self, fill: Fill) -> bool:  # noqa: ARG002 (that is the mistake)
        return True


class ReadBeforeSubscribed(Keeper):
    """A fetch may be stored under the lease of its epoch from the connect on."""

    def begin(self, identity: Identity, now: float, *, refresh: bool = False) -> Fill:
        fill = super().begin(identity, now, refresh=refresh)
        if self.authority.phase is not Phase.DOWN:
            fill.lease = self.authority.lease
        return fill


class ReadBeforeProved(Keeper):
    """A fetch may be stored under the lease of its epoch from the subscription on."""

    def begin(self, identity: Identity, now: float, *, refresh: bool = False) -> Fill:
        fill = super().begin(identity, now, refresh=refresh)
        if self.authority.phase in {Phase.PROVING, Phase.LIVE}:
            fill.lease = self.authority.lease
        return fill


class OwnWritesPoisonNothing(Keeper):
    """A delete of our own is left to its event."""

    def overwrite(self, identity: Identity) -> None:
        pass


class OwnWritesSpareFetches(Keeper):
    """A delete of our own drops the entry and forgets the fetch."""

    def overwrite(self, identity: Identity) -> None:
        self.cache.drop_identity(*identity[:4])


class LivesFromTheReply(Keeper):
    """Time to live is counted from the arrival of the reply."""

    def store(self, fill: Fill, found: Found, now: float, chance: float = 0.0) -> Entry | None:
        fill.sent = now
        return super().store(fill, found, now, chance)


class ServerTtlIgnored(Keeper):
    """The key's own TTL is not looked at."""

    def store(self, fill: Fill, found: Found, now: float, chance: float = 0.0) -> Entry | None:
        return super().store(fill, Found(found.raw), now, chance)


class JoinsAtAnyAge(Keeper):
    """A fetch can be joined for as long as it is under way."""

    def join(self, identity: Identity, now: float) -> Fill | None:  # noqa: ARG002 (that is the mistake)
        return self.fills.live(identity.keys[0])


class FirstKeyOnly(Keeper):
    """A fetch of several keys is registered under the first."""

    def begin(self, identity: Identity, now: float, *, refresh: bool = False) -> Fill:
        return super().begin(identity._replace(keys=identity.keys[:1]), now, refresh=refresh)


class UnprovedForFullTtl(Keeper):
    """Without a lease an entry lives as long as with one."""

    def store(self, fill: Fill, found: Found, now: float, chance: float = 0.0) -> Entry | None:
        entry = super().store(fill, found, now, chance)
        if entry is not None and entry.lease is FOREVER:
            life = self.policy.negative_ttl if found.raw is None else self.policy.ttl
            entry.expires = fill.sent + min(life, found.lives)
        return entry


class FailureLeavesAPlaceholder(Keeper):
    """A fetch that failed stays registered."""

    def fail(self, fill: Fill) -> None:
        pass


class AnyValue(Authority):
    """The counter's value is not looked at."""

    def beat_answered(self, value: int) -> bool:  # noqa: ARG002 (that is the mistake)
        return super().beat_answered(self._beats)


class EventsNotCounted(Authority):
    """A beat is proved by any event of the canary since the last proof."""

    _seen = False

    def beat_seen(self) -> bool:
        self._seen = True
        self._prove()
        return True

    def _prove(self) -> None:
        self._events = self._beats if self._seen else -1
        super()._prove()
        self._seen &= self._sent is not None


class ReplyIsProof(Authority):
    """A beat is proved by its reply alone."""

    def beat_answered(self, value: int) -> bool:
        self._events = self._beats
        return super().beat_answered(value)

    def beat_seen(self) -> bool:
        return True


class EventIsProof(Authority):
    """A beat is proved by its event alone."""

    def beat_seen(self) -> bool:
        self._replies = self._beats
        return super().beat_seen()

    def beat_answered(self, value: int) -> bool:
        return value == self._beats


class OneLease(Authority):
    """The lease outlives the epoch: it is revoked, and lent again."""

    def connected(self) -> None:
        lease = self.lease
        super().connected()
        self.lease = lease


class LostIsNotRevoked(Authority):
    """The end of an epoch lets its lease run out."""

    def lost(self) -> None:
        lease, self.lease = self.lease, Lease()
        super().lost()
        self.lease = lease


class WatermarkOfReceipt(Session):
    """The watermark is the time when the proof arrived."""

    def take(self, frames: list[Frame]) -> None:
        before = self.authority.watermark
        super().take(frames)
        self._postdate(before)

    def answered(self, epoch: int, value: int) -> None:
        before = self.authority.watermark
        super().answered(epoch, value)
        self._postdate(before)

    def _postdate(self, before: float) -> None:
        authority = self.authority
        if authority.watermark > before:
            authority.watermark = self.world.server.now
            authority.lease.until = authority.watermark + authority.max_staleness


class KnownEventsOnly(Session):
    """Events of unknown names are passed over."""

    def heed(self, frames: Iterable[Frame]) -> None:
        known = {"hset", "hdel", "del", "expire", "expired", "hincrby"}
        super().heed([frame for frame in frames if frame.event in known])


class ProofBeforeTheRest(Session):
    """Of the events that arrive together, the beats are counted first, and a full proof ends the reading."""

    def heed(self, frames: Iterable[Frame]) -> None:
        frames = list(frames)
        beats = [frame for frame in frames if frame.kind == BEAT]
        super().heed(beats or frames)


class OneCanary(Session):
    """All epochs count in one canary, from wherever the first reply finds it."""

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self.base: int | None = None

    @property
    def canary(self) -> int:
        return 1

    def connect(self) -> None:
        if self.authority.phase is Phase.DOWN:
            self.base = None
        super().connect()

    def answered(self, epoch: int, value: int) -> None:
        if self.authority.proof is Proof.CANARY:
            if self.base is None:
                self.base = value - 1
            value -= self.base
        super().answered(epoch, value)


class RepliesOfAnyEpoch(Session):
    """A late reply to a heartbeat of an earlier epoch is taken for one of this."""

    def answered(self, epoch: int, value: int) -> None:  # noqa: ARG002 (that is the mistake)
        super().answered(self.authority.epoch, value)


class HalfABeatIsNone(Session):
    """A heartbeat that was refused by half is sent again."""

    def half_refused(self, epoch: int, value: int) -> None:  # noqa: ARG002 (that is the mistake)
        self.refused(epoch)


def _without(part: str, rule: Callable[..., Any]) -> type[Rules]:
    return type("Mutant", (Rules,), {part: staticmethod(rule)})


MUTANTS: Final[dict[str, type[Rules]]] = {
    "token before send": _without("keeper", TokenAfterTheReply),
    "poison on event": _without("keeper", EventsSpareFetches),
    "drop on event": _without("keeper", EventsSpareEntries),
    "drop on unknown event": _without("session", KnownEventsOnly),
    "poison on clear": _without("keeper", ClearSparesFetches),
    "identity of tokens": _without("fills", TokensByKey),
    "epoch check": _without("keeper", AnyEpoch),
    "all keys of a fetch registered": _without("keeper", FirstKeyOnly),
    "no placeholder after a failure": _without("keeper", FailureLeavesAPlaceholder),
    "join only while younger than the bound": _without("keeper", JoinsAtAnyAge),
    "own-write poison": _without("keeper", OwnWritesPoisonNothing),
    "own-write poison of fetches": _without("keeper", OwnWritesSpareFetches),
    "subscribe, then read": _without("keeper", ReadBeforeSubscribed),
    "prove, then read": _without("keeper", ReadBeforeProved),
    "TTL by send time": _without("keeper", LivesFromTheReply),
    "server's TTL": _without("keeper", ServerTtlIgnored),
    "a fetch proves itself for the bound only": _without("keeper", UnprovedForFullTtl),
    "watermark by send time": _without("session", WatermarkOfReceipt),
    "watermark after what came before it": _without("session", ProofBeforeTheRest),
    "canary value check": _without("authority", AnyValue),
    "events counted": _without("authority", EventsNotCounted),
    "event and reply": _without("authority", ReplyIsProof),
    "reply and event": _without("authority", EventIsProof),
    "revoke on loss": _without("authority", LostIsNotRevoked),
    "a lease for each epoch": _without("authority", OneLease),
    "a canary for each epoch": _without("session", OneCanary),
    "half a heartbeat is not none": _without("session", HalfABeatIsNone),
}
"""The rules without one guard, by the guard."""

TOO_RARE: Final = _without("session", RepliesOfAnyEpoch)
"""It takes three epochs in a row, so a walk finds it once in tens of millions of steps: a story tells it instead."""

NEVER_ALONE: Final = _without("keeper", NoEpochCheck)
"""The check of the epoch is a second line of defence: whoever ends an epoch poisons its fetches and revokes its lease."""
