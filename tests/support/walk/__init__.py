"""A simulated world in which the real machine of coherence walks at random, and an oracle that watches it."""

from tests.support.walk.mutants import MUTANTS, NEVER_ALONE, TOO_RARE
from tests.support.walk.oracle import Broken
from tests.support.walk.search import LENGTH, Find, Walked, search, told
from tests.support.walk.world import Rules, World

__all__ = [
    "LENGTH", "MUTANTS", "NEVER_ALONE", "TOO_RARE", "Broken", "Find", "Rules", "Walked", "World", "search", "told",
]  # fmt: skip
