"""Audits in a random world: never a false alarm where every event comes in order, and an alarm where events are lost.

The world is one profile, one process, one server. Whatever takes time is a generator that yields while something else
may happen; the walk resumes any of them by chance.
"""

import random
from collections import deque

import pytest

from edgeprofile.core.audit import Case, Outcome
from edgeprofile.core.cache import ProfileCache
from edgeprofile.core.coherence import Authority, Phase, Proof
from edgeprofile.core.keeper import Found, Identity, Keeper, Policy

pytestmark = pytest.mark.limit(300)

KEY = b"k"
ADA = Identity("d", "user", "email", "ada", (KEY,))
BOUND = 4.0
SEEDS = range(300)
STEPS = 3_000


class World:
    """`loss` is the share of events of changes that never reach the process; `case` makes the audits."""

    def __init__(self, seed, *, loss=0.0, case=Case):
        self.rng = random.Random(seed)
        self.now = 0.0
        self.value = 0
        self.loss = loss
        self.case = case
        self.feed = deque()
        self.proof = self.rng.choice(list(Proof))
        self.authority = Authority(BOUND, self.proof)
        cache = ProfileCache(1 << 20, clock=lambda: self.now)
        self.keeper = Keeper(cache, Policy(20 * BOUND, 20 * BOUND, BOUND), self.authority)
        self.under_way, self.audits = [], []
        self.outcomes = []

    def walk(self, steps=STEPS):
        choices = (self.look_up, self.write, self.hear, self.hear, self.beat, *[self.go_on] * 4, *[self.audit] * 4)
        for _ in range(steps):
            self.now += self.rng.choice((0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.2))
            if self.authority.phase is Phase.DOWN or self.rng.random() < 0.005:
                self.reconnect()
            self.rng.choice(choices)()
        return self.outcomes

    @property
    def found(self):
        return None if self.value == 0 else b'{"m":%d}' % self.value

    def write(self):
        if self.rng.random() < 0.2:
            self.value = self.rng.randrange(4)
            if self.rng.random() >= self.loss:
                self.feed.append("change")

    def hear(self):
        if not self.feed:
            return
        heard = self.feed.popleft()
        if heard == "change":
            self.keeper.changed((ADA[:4],), KEY)
        elif heard == self.authority.epoch:
            assert self.authority.beat_answered(self.authority._beats) if self.proof is Proof.PONG else self.beat_seen()

    def beat_seen(self):
        return self.authority.beat_seen()

    def beat(self):
        if self.authority.beat(self.now) is not None:
            self.under_way.append(self.beating(self.authority.epoch))

    def beating(self, epoch):
        yield
        number = self.authority._beats
        self.feed.append(epoch)  # executed: its event, or the pong itself, comes after all that was written before
        yield
        if epoch == self.authority.epoch and self.authority.phase is not Phase.DOWN and self.proof is Proof.CANARY:
            assert self.authority.beat_answered(number)

    def reconnect(self):
        self.keeper.lost()
        self.feed.clear()
        self.authority.connected()
        self.authority.subscribed()

    def look_up(self):
        entry = self.keeper.find(ADA, self.now)
        if entry is not None and len(self.audits) < 3:
            self.audits.append(self.auditing(self.case(ADA, entry, BOUND)))
        elif entry is None and self.keeper.join(ADA, self.now) is None:
            self.under_way.append(self.fetching(self.keeper.begin(ADA, self.now)))

    def fetching(self, fill):
        yield
        found = self.found
        yield
        self.keeper.store(fill, Found(found), self.now)

    def auditing(self, case):
        yield
        found = self.found
        yield
        outcome = case.first(found, self.now)
        if outcome is Outcome.CONTRADICTED:
            while self.now <= case.due:
                yield
            outcome = Outcome.GONE
            if case.outlived(self.now):
                yield
                found = self.found
                yield
                outcome = case.second(found)
        self.outcomes.append(outcome)

    def go_on(self):
        self.advance(self.under_way)

    def audit(self):
        self.advance(self.audits)

    def advance(self, those):
        if those:
            chosen = self.rng.randrange(len(those))
            if next(those[chosen], "over") == "over":
                those.pop(chosen)


def test_no_false_alarm():
    outcomes = [outcome for seed in SEEDS for outcome in World(seed).walk()]
    assert Outcome.VIOLATED not in outcomes
    assert outcomes.count(Outcome.AGREES) > 1_000
    assert outcomes.count(Outcome.GONE) > 1_000


def test_lost_events_are_found():
    assert sum(Outcome.VIOLATED in World(seed, loss=0.5).walk() for seed in SEEDS) > len(SEEDS) / 3


class Hasty(Case):
    """Takes the first difference for a violation."""

    def first(self, found, now):
        outcome = super().first(found, now)
        return Outcome.VIOLATED if outcome is Outcome.CONTRADICTED else outcome


class Impatient(Case):
    """Waits for half of the bound."""

    def first(self, found, now):
        outcome = super().first(found, now)
        self.due -= BOUND / 2
        return outcome


class FromTheHit(Case):
    """Counts the bound from the hit, not from the answer that contradicts it."""

    def __init__(self, identity, entry, bound):
        super().__init__(identity, entry, bound)
        self.hit_at = None

    def first(self, found, now):
        outcome = super().first(found, now)
        self.due = min(self.due, self._entry.sent + BOUND)
        return outcome


class Trusting(Case):
    """Forgets that the entry may have gone while it waited."""

    def outlived(self, now):
        self._served = self._entry.raw
        return now > self.due


@pytest.mark.parametrize("case", [Hasty, Impatient, FromTheHit, Trusting])
def test_an_audit_without_one_of_its_rules_raises_a_false_alarm(case):
    assert any(Outcome.VIOLATED in World(seed, case=case).walk() for seed in SEEDS)
