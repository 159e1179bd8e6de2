"""Walks of many seeds, one after the other, until a promise breaks or the steps are used up.

A seed replays exactly: `told` walks it again and writes down every step that changed anything.
"""

from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from tests.support.walk.oracle import Broken
from tests.support.walk.world import Rules, World

__all__ = ["LENGTH", "Find", "Walked", "search", "told"]

LENGTH = 600
"""Steps in one world: what happens in longer ones happens in these, and sooner."""


class Find(NamedTuple):
    """A promise that broke: in which world, and after how many steps in it and in all."""

    seed: int
    step: int
    steps: int
    promise: str
    how: str


class Walked(NamedTuple):
    """How far a search came, and what it saw; `find` is what it found."""

    steps: int
    seen: Counter[str]
    find: Find | None


def search(first: int, steps: int, rules: type[Rules] = Rules, *, strict: bool = True) -> Walked:
    """Walk worlds from the seed `first` on, so many steps in all."""
    taken, seed, seen = 0, first, Counter[str]()
    while taken < steps:
        world = World(seed, rules, strict=strict)
        try:
            world.walk(LENGTH)
        except Broken as broken:
            taken += world.steps
            return Walked(taken, seen, Find(seed, world.steps, taken, broken.promise, str(broken)))
        _count(world, seen)
        taken += LENGTH
        seed += 1
    return Walked(taken, seen, None)


def told(seed: int, rules: type[Rules] = Rules, *, strict: bool = True, last: int = 60) -> str:
    """The last steps of a walk that changed anything, and how it ended."""
    lines: deque[str] = deque(maxlen=last)
    world = World(seed, rules, strict=strict)
    world.table[:] = [_telling(world, move, lines) for move in world.table]
    try:
        world.walk(LENGTH)
    except Broken as broken:
        lines.append(f"{world.steps:4} {broken}")
    return "\n".join([f"seed {seed}, bound {world.oracle.staleness:g}, keys {world.keys_of}", *lines])


def _telling(world: World, move: Callable[[], None], lines: deque[str]) -> Callable[[], None]:
    def tell() -> None:
        before = str(world)
        try:
            move()
        finally:
            after = str(world)
            if after != before or move == world.look_up:
                lines.append(f"{world.steps:4} {move.__name__:14} {after}")

    return tell


def _count(world: World, seen: Counter[str]) -> None:
    oracle = world.oracle
    seen.update(
        epochs=world.keeper.authority.epoch,
        hits=oracle.hits,
        leased=oracle.leased,
        poisoned=world.keeper.poisoned,
        refused=oracle.refused,
        stored=oracle.stored,
    )
