"""No promise breaks in a cluster, however its slots and nodes move: a random walk, and the mutants that it must catch.

`WALK_SEED` and `WALK_STEPS` as for the walk of one node; this one goes a quarter as far.
"""

import os
import random
from collections.abc import Collection

import pytest

from edgeprofile.core.keeper import Keeper
from edgeprofile.core.slots import Claims
from edgeprofile.core.tenure import Tenure
from tests.support.walk import LENGTH, Broken
from tests.support.walk.territory import Land, Territory

DEEP = os.environ.get("EDGEPROFILE_TEST_DEPTH") == "deep"
STEPS = int(float(os.environ.get("WALK_STEPS", "100e6" if DEEP else "2e6"))) // 4
SEED = int(os.environ.get("WALK_SEED", str(random.SystemRandom().getrandbits(48))))
ENOUGH_TO_KILL = 3_000_000
SLOWEST = 20_000  # steps a second, on a machine that does much else


class FetchesStay(Keeper):
    """Fetches of a slot that moved may be stored."""

    def moved(self, slots: Collection[int]) -> None:
        pass


class EntriesStay(Keeper):
    """What came back is not in doubt; only its fetches are."""

    def renounce(self) -> None:
        self.poisoned += self.fills.poison_all()


class LeavingUnseen(Tenure):
    """A slot on its way is owned like any other."""

    def confirmed(self, claims: Claims) -> frozenset[int]:
        return super().confirmed(Claims(tuple(part for part in claims.text if part[:1] != b"[")))


class LeavingLeased(Tenure):
    """What is read of a slot on its way has the lease of the epoch."""

    def confirmed(self, claims: Claims) -> frozenset[int]:
        try:
            return super().confirmed(claims)
        finally:
            self._keeper.leaving = ()


class NoEpochs(Tenure):
    """What is owned now and was owned before was owned all the time."""

    def _withdraw(self, lost: frozenset[int], *, came: bool) -> frozenset[int]:  # noqa: ARG002 (that is the mistake)
        return super()._withdraw(lost, came=False)


MUTANTS: dict[str, dict[str, object]] = {
    "drop of moved slots": {"drops": False},
    "poison of moved slots": {"keeper": FetchesStay},
    "slots that are leaving": {"tenure": LeavingUnseen},
    "leaving slots have no lease": {"tenure": LeavingLeased},
    "epoch of claims": {"tenure": NoEpochs},
    "all is in doubt when slots came": {"keeper": EntriesStay},
    "claims are heeded before the heartbeat is sent": {"heeds": False},
}


def search(first: int, steps: int, land: type[Land] = Land) -> tuple[int, str]:
    """Walk worlds from a seed on until a promise breaks; in which world, and how. Empty: in none."""
    for seed in range(first, first + steps // LENGTH):
        world = Territory(seed, land)
        try:
            world.walk(LENGTH)
        except Broken as broken:
            return seed, f"{broken} (step {world.steps} of seed {seed})"
    return first, ""


@pytest.mark.limit(60 + STEPS / SLOWEST)
def test_no_promise_breaks_in_a_cluster() -> None:
    seed, how = search(SEED, STEPS)
    assert not how, f"{how}\nWALK_SEED={seed}"


def test_the_walk_sees_what_it_is_for() -> None:
    hits = leased = moved = 0
    for seed in range(SEED, SEED + 100):
        world = Territory(seed)
        world.walk(LENGTH)
        hits, leased, moved = hits + world.hits, leased + world.leased, moved + world.moved
    assert min(hits, leased, moved) > 100


@pytest.mark.limit(60 + ENOUGH_TO_KILL / SLOWEST)
@pytest.mark.parametrize("guard", MUTANTS)
def test_the_walk_breaks_the_rules_without(guard: str) -> None:
    _, how = search(0, ENOUGH_TO_KILL, type("Mutant", (Land,), MUTANTS[guard]))
    assert how, f"no step needed the guard: {guard}"
    print(f"without {guard}: {how}")
