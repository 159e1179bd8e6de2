"""What code that counts references by itself must not do: hold what it is given, or lose what it made."""

import sys
import tracemalloc
from collections.abc import Callable, Sequence

_TIMES = 100
_NOISE = 50  # references that other threads may hold meanwhile
_LEFT = 10_000  # bytes


def holds_and_loses_nothing(use: Callable[[], object], watched: Sequence[object]) -> None:
    """Fail if using something again and again adds references to what is watched, or memory.

    Raises:
        AssertionError: Says by how many references of each, or bytes.
    """
    use()
    before = list(map(sys.getrefcount, watched))
    tracemalloc.start()
    use()
    size, _ = tracemalloc.get_traced_memory()
    for _ in range(_TIMES):
        use()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    references = [now - then for now, then in zip(map(sys.getrefcount, watched), before, strict=True)]
    assert max(map(abs, references)) < _NOISE, references
    assert grown - size < _LEFT, grown - size
