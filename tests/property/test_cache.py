"""The cache against a model of thirty lines, on a key space of six."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgeprofile.core.cache import ProfileCache
from edgeprofile.core.coherence import Lease
from edgeprofile.core.recency import CHUNK
from edgeprofile.profile import decode
from tests.support.cache_checks import check_invariants

pytestmark = pytest.mark.limit(1800)  # at full depth, on a busy machine

HOMES = [("d", "user", "email"), ("d", "user", "phone"), ("e", "user", "email")]
homes = st.sampled_from(HOMES)
ids = st.sampled_from("xy")
raws = st.none() | st.integers(0, 3).map(lambda size: b'{"m":"%b"}' % (b"x" * 400 * size))
MAXSIZE = 5000
LARGEST = 1000


class Model:
    """What may be served: the last value put, until it is dropped, over, or evicted; eviction may take anything."""

    def __init__(self):
        self.held = {}

    def put(self, key, raw, expires, lease):
        self.held.pop(key, None)
        if raw is None or len(raw) <= LARGEST:
            self.held[key] = (raw, expires, lease)

    def drop(self, key):
        return self.held.pop(key, None) is not None

    def over(self, now):
        return [key for key, (_, expires, lease) in self.held.items() if expires <= now or lease.until <= 0.0]


class Cached(RuleBasedStateMachine):
    policy = "lru"

    def __init__(self):
        super().__init__()
        self.now = 100.0
        self.cache = ProfileCache(MAXSIZE, clock=lambda: 0.0, max_profile_bytes=LARGEST, policy=self.policy)
        self.model = Model()
        self.lease = Lease(1000.0)
        self.taken_out = []
        self.evicted = 0

    def entry(self, home, value):
        return self.cache.find(*home, value)

    @rule(home=homes, value=ids, raw=raws, life=st.integers(1, 5), wanted=st.booleans())
    def put(self, home, value, raw, life, wanted):
        self.taken_out.append(self.entry(home, value))
        entry = self.cache.put(
            self.cache.space(*home), value, raw, sent=self.now, life=life, lease=self.lease, wanted=wanted
        )
        self.model.put((*home, value), raw, self.now + life, self.lease)
        assert (entry is not None) == ((*home, value) in self.model.held)
        assert entry is None or entry is self.entry(home, value)

    @rule(home=homes, value=ids)
    def drop(self, home, value):
        entry = self.cache.drop_identity(*home, value)
        self.taken_out.append(entry)
        assert (entry is not None) == self.model.drop((*home, value))

    @rule(home=homes, value=ids)
    def hit(self, home, value):
        entry = self.entry(home, value)
        if entry is not None and self.now < entry.ready_until and self.now < entry.lease.until:
            entry.used = True
            raw, expires, _ = self.model.held[*home, value]
            assert self.now < expires
            assert entry.data == (None if raw is None else decode(raw))

    @rule(home=homes, value=ids)
    def view(self, home, value):
        entry = self.entry(home, value)
        if entry is not None:
            raw = self.model.held[*home, value][0]
            assert self.cache.view(entry) == (None if raw is None else decode(raw))

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def revoke(self):
        self.lease.revoke()
        self.lease = Lease(1000.0 + self.now)

    @rule()
    def sweep(self):
        over = self.model.over(self.now)
        ended_later = [key for key in over if self.model.held[key][1] > self.now >= 0]
        removed = self.cache.sweep(self.now, 4 * CHUNK)
        gone = [key for key in over if self.cache.find(*key) is None]
        assert removed == len(gone)
        assert set(over) - set(gone) <= set(ended_later)
        for key in gone:
            self.model.drop(key)

    @rule(home=homes)
    def pin(self, home):
        self.cache.space(*home, pin=True)

    @precondition(lambda self: self.model.held)
    @rule()
    def clear(self):
        self.taken_out += [self.cache.find(*key) for key in self.model.held]
        self.cache.clear()
        self.model.held.clear()

    @invariant()
    def agrees_with_the_model(self):
        check_invariants(self.cache)
        held = {(*space.home, value) for space in self.cache._spaces.values() for value in space.entries}
        assert held <= self.model.held.keys()
        evicted = self.model.held.keys() - held
        assert self.cache.evictions.capacity == self.evicted + len(evicted)
        self.evicted += len(evicted)
        for key in evicted:
            del self.model.held[key]
        for key, (raw, expires, lease) in self.model.held.items():
            entry = self.cache.find(*key)
            assert (entry.raw, entry.expires, entry.lease) == (raw, expires, lease)

    @invariant()
    def what_was_taken_out_can_never_be_served(self):
        assert all(entry is None or entry.lease.until < 0 for entry in self.taken_out)


TestCached = Cached.TestCase
TestCached.settings = settings(stateful_step_count=60)


class Sieved(Cached):
    policy = "sieve"


TestSieved = Sieved.TestCase
TestSieved.settings = settings(stateful_step_count=60)
