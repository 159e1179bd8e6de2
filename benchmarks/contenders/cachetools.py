"""cachetools alone, with the lock that its documentation asks for: a local cache without coherence."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks import data
from benchmarks.contenders.dictionary import profiles
from benchmarks.protocol import Round, Spec, lookups, serve, weighed

TITLE = "cachetools TTLCache (no coherence)"
REQUIRES = ("cachetools>=6",)
DISTRIBUTIONS = ("cachetools",)


def _filled(spec: Spec) -> Any:
    from cachetools import TTLCache

    cache: TTLCache[tuple[str, str, str], object] = TTLCache(2 * spec["entries"], ttl=3600)
    for id_value, profile in profiles(spec["entries"]):
        cache[data.ENTITY, data.ID_TYPE, id_value] = profile
    return cache


@contextmanager
def hit(spec: Spec) -> Iterator[Round]:
    cache, lock = _filled(spec), threading.RLock()

    def run(ids: list[str]) -> None:
        for value in ids:
            with lock:
                cache.get(("user", "email", value))

    yield lookups(spec, run)


@contextmanager
def memory(spec: Spec) -> Iterator[Round]:
    yield weighed(lambda: _filled(spec))


if __name__ == "__main__":
    serve(DISTRIBUTIONS, hit=hit, memory=memory)
