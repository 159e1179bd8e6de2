"""Keeps what was read from one node, for as long as it may be served: the cache under the rules of coherence.

A keeper joins three things that know nothing of each other: the `Authority` (may anything be served?), the `Fills`
(may this reply be stored?) and the `ProfileCache` (what is there?). Every rule that a mistake would make stale is here,
and nothing else is, so that a random walk can try them all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from edgeprofile.core.coherence import FOREVER, Phase
from edgeprofile.core.fills import Fill, Fills
from edgeprofile.core.held import held
from edgeprofile.core.slots import slot

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from edgeprofile.core.cache import Entry, ProfileCache
    from edgeprofile.core.coherence import Authority
    from edgeprofile.keys import Layout

__all__ = ["Found", "Identity", "Keeper", "Policy", "Source", "servable", "wanted"]

_JITTER: Final = 0.1
_STEPS: Final = 16


class Identity(NamedTuple):
    """Whose profile: the destination, the three parts that callers name, and the Redis keys that may hold it."""

    destination: str
    entity: str
    id_type: str
    value: str
    keys: tuple[bytes, ...]


class Found(msgspec.Struct, frozen=True, gc=False):
    """What a fetch brought: the encoded traits (`None`: no such profile) and how long they may live, in seconds.

    ``lives`` counts from the moment the fetch was sent: the least of the key's remaining TTL and its fields' TTLs.
    """

    raw: bytes | None
    lives: float = math.inf


class Policy(NamedTuple):
    """How long entries live, in seconds; chance takes up to a tenth off, so that what came together goes apart."""

    ttl: float
    negative_ttl: float
    max_staleness: float


class Source(Protocol):
    """A destination, as far as its keys go."""

    id: str
    layout: Layout

    def identities(self, key: bytes) -> Iterator[tuple[str, str, str, str]]:
        """All (destination, entity, id type, value) that have this key."""


class Keeper:
    """The profiles of one node. Not thread-safe: the engine holds its lock around every call.

    ``leaving`` are slots that are on their way to another node, which has events of theirs that this one has not: what
    is read of them is its own proof.
    """

    def __init__(self, cache: ProfileCache, policy: Policy, authority: Authority) -> None:
        self.cache = cache
        self.policy = policy
        self.authority = authority
        self.fills = Fills()
        self.poisoned = 0
        self.refused = 0
        self.leaving: Collection[int] = ()
        self._lives = _jittered(policy.ttl)
        self._negative_lives = _jittered(policy.negative_ttl)

    def find(self, identity: Identity, now: float) -> Entry | None:
        """The entry that may be served now; one that was read but never decoded included."""
        entry = self.cache.find(identity.destination, identity.entity, identity.id_type, identity.value)
        return entry if entry is not None and servable(entry, now) else None

    def join(self, identity: Identity, now: float) -> Fill | None:
        """The fetch under way that may answer a lookup that begins now.

        One that has been out for longer than the bound may bring a value that is older than the bound.
        """
        fill = self.fills.live(identity.keys[0])
        return fill if fill is not None and now - fill.sent < self.policy.max_staleness else None

    def begin(self, identity: Identity, now: float, *, refresh: bool = False) -> Fill:
        """Register a fetch, before the first byte of it is written.

        Only a fetch that begins under a live lease may be stored under it: an earlier one may have been executed before
        a flush that no event told of, and that the first beat of the epoch could not see.
        """
        vouched = self.authority.live(now) and not (self.leaving and slot(identity.keys[0]) in self.leaving)
        lease = self.authority.lease if vouched else None
        fill = Fill(identity, identity.keys, now, lease, refresh=refresh)
        self.fills.open(fill)
        return fill

    def store(self, fill: Fill, found: Found, now: float, chance: float = 0.0) -> Entry | None:
        """The fetch was answered in full: keep what it found if that is allowed; ``chance`` in [0, 1) is the jitter."""
        if not self.fills.close(fill) or not self._in_its_epoch(fill):
            self.refused += 1
            return None
        life = self._life(fill, found, chance)
        if fill.sent + life <= now:
            return None
        lease = FOREVER if fill.lease is None else fill.lease
        identity = fill.identity
        space = self.cache.space(identity.destination, identity.entity, identity.id_type)
        return self.cache.put(
            space, identity.value, found.raw, sent=fill.sent, life=life, lease=lease, wanted=not fill.refresh
        )

    def fail(self, fill: Fill) -> None:
        """The fetch brought an error: nothing of it stays."""
        self.fills.close(fill)

    def changed(self, identities: Iterable[tuple[str, str, str, str]], key: bytes) -> list[Entry]:
        """An event names this key: whatever it says, its entry is dropped and its fetch poisoned.

        ``identities`` are all (destination, entity, id type, value) that have this key; the dropped entries come back.
        """
        if self.fills.poison(key):
            self.poisoned += 1
        dropped = (self.cache.drop_identity(*identity) for identity in identities)
        return [entry for entry in dropped if entry is not None]

    def touched(self, source: Source, keys: list[bytes]) -> list[Entry]:
        """Events named these keys, of one destination: as `changed`, for a run of events of which few concern us.

        A key that is named again in the run is changed once, where it was named first.
        """
        known = self.fills.keys()
        concerned = [key for key in keys if key in known] if known else []
        concerned += held(keys, tuple(self._spaces(source)))
        return [entry for key in dict.fromkeys(concerned) for entry in self.changed(source.identities(key), key)]

    def _spaces(self, source: Source) -> Iterator[tuple[bytes, dict[str, Entry]]]:
        """What the keys of each cached id type begin with, and its entries."""
        for entity, branches in self.cache.tree(source.id).items():
            for id_type, entries in branches.items():
                for key in source.layout.keys(entity, id_type, "?"):
                    yield key[:-1], entries

    def overwrite(self, identity: Identity) -> None:
        """This process is about to change the profile, or has tried to: from now on nothing older may be served."""
        for key in identity.keys:
            self.changed((identity[:4],), key)

    def lost(self) -> None:
        """Continuity is gone: nothing read so far may be served or stored."""
        if self.authority.phase is not Phase.DOWN:
            self.authority.lost()
        self.poisoned += self.fills.poison_all()

    def moved(self, slots: Collection[int]) -> None:
        """These slots are another node's now, or are on their way there: no fetch of theirs may be stored."""
        for fill in self.fills:
            if slot(fill.keys[0]) in slots:
                self.poisoned += self.fills.poison(fill.keys[0])

    def renounce(self) -> None:
        """Events may have been another node's to tell: nothing read so far may be served or stored, in this epoch."""
        self.authority.renew()
        self.poisoned += self.fills.poison_all()

    def _in_its_epoch(self, fill: Fill) -> bool:
        return fill.lease is None or fill.lease is self.authority.lease

    def _life(self, fill: Fill, found: Found, chance: float) -> float:
        """How long the reply may be served, from its send time; most entries share the very object of the number."""
        lives = self._negative_lives if found.raw is None else self._lives
        life = lives[int(chance * len(lives))]
        if fill.lease is None and self.policy.max_staleness < life:
            life = self.policy.max_staleness
        return min(life, found.lives)


def _jittered(ttl: float) -> tuple[float, ...]:
    return tuple(ttl * (1.0 - _JITTER * step / _STEPS) for step in range(_STEPS))


def servable(entry: Entry, now: float) -> bool:
    """Whether an entry may be served now."""
    return now < entry.expires and now < entry.lease.until


def wanted(entry: Entry) -> bool:
    """Whether an entry was used since it was read: then its successor will be, too."""
    return entry.used is not None
