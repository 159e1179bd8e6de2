"""No promise breaks, whatever happens: a random walk through a simulated world, and the mutants that it must catch.

`WALK_SEED=123 pytest tests/property/coherence` walks that seed first. `WALK_STEPS=100e6` says how far to go instead of
what the depth of the tests says.
"""

import logging
import os
import random
import time

import pytest

from tests.support.walk import LENGTH, MUTANTS, NEVER_ALONE, World, search, told
from tests.support.walk.engine import EngineRules

DEEP = os.environ.get("EDGEPROFILE_TEST_DEPTH") == "deep"
STEPS = int(float(os.environ.get("WALK_STEPS", "100e6" if DEEP else "1e6")))
SEED = int(os.environ.get("WALK_SEED", str(random.SystemRandom().getrandbits(48))))
ENOUGH_TO_KILL = 4_000_000
SLOWEST = 30_000  # steps a second, on a machine that does much else
STALE_WITHOUT = (
    "token before send",
    "poison on event",
    "drop on event",
    "drop on unknown event",
    "identity of tokens",
    "epoch check",
    "join only while younger than the bound",
    "subscribe, then read",
    "TTL by send time",
    "server's TTL",
    "a fetch proves itself for the bound only",
    "watermark after what came before it",
    "canary value check",
    "event and reply",
    "a lease for each epoch",
)
"""The guards whose lack is seen in a hit or an answer within seconds; with the others it takes a rarer accident."""


@pytest.mark.limit(60 + STEPS / SLOWEST)
def test_no_promise_breaks() -> None:
    begun = time.perf_counter()
    walked = search(SEED, STEPS)
    if walked.find is not None:
        pytest.fail(f"{walked.find.how}\nWALK_SEED={walked.find.seed}\n{told(walked.find.seed)}", pytrace=False)
    print(f"{walked.steps:,} steps from seed {SEED}, {walked.steps / (time.perf_counter() - begun):,.0f} a second")
    assert min(walked.seen.values()) > walked.steps / 2_000, f"the walk hardly saw anything: {dict(walked.seen)}"


@pytest.mark.limit(60 + STEPS / SLOWEST)
def test_nor_with_the_engines_own_session(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "edgeprofile")
    find = search(SEED, STEPS // 5, EngineRules).find
    if find is not None:
        pytest.fail(f"{find.how}\nWALK_SEED={find.seed}\n{told(find.seed, EngineRules)}", pytrace=False)


@pytest.mark.limit(60 + ENOUGH_TO_KILL / SLOWEST)
@pytest.mark.parametrize("guard", MUTANTS)
def test_the_walk_breaks_the_rules_without(guard: str) -> None:
    walked = search(0, ENOUGH_TO_KILL, MUTANTS[guard])
    assert walked.find is not None, f"not one of {walked.steps:,} steps needed the guard: {guard}"
    print(f"without {guard}: {walked.find.how} after {walked.find.steps:,} steps, in {walked.find.step} of its world")


@pytest.mark.limit(60 + ENOUGH_TO_KILL / SLOWEST)
@pytest.mark.parametrize("guard", STALE_WITHOUT)
def test_a_stale_answer_comes_of_the_lack_of(guard: str) -> None:
    """Not only does the lack of a guard break a rule that the oracle knows: it breaks the promise itself."""
    walked = search(0, ENOUGH_TO_KILL, MUTANTS[guard], strict=False)
    assert walked.find is not None
    assert walked.find.promise == "bounded staleness"
    print(f"without {guard}: {walked.find.how} after {walked.find.steps:,} steps")


def test_the_check_of_the_epoch_is_a_second_line_of_defence() -> None:
    assert search(0, 200_000, NEVER_ALONE).find is None


def test_a_seed_is_a_world() -> None:
    def walk() -> tuple[str, int]:
        world = World(SEED)
        world.walk(LENGTH)
        return str(world), world.oracle.hits

    assert walk() == walk()


def test_a_broken_walk_can_be_told() -> None:
    rules = MUTANTS["drop on event"]
    find = search(0, ENOUGH_TO_KILL, rules).find
    assert find is not None
    story = told(find.seed, rules)
    assert find.how in story
    assert "look_up" in story
