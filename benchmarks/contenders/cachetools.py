"""cachetools alone, with the lock that its documentation asks for: a local cache without coherence."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import data
from benchmarks.contenders.dictionary import profiles
from benchmarks.protocol import Round, Spec, lookups, serve

TITLE = "cachetools TTLCache (no coherence)"
REQUIRES = ("cachetools>=6",)
DISTRIBUTIONS = ("cachetools",)


@contextmanager
def hit(spec: Spec) -> Iterator[Round]:
    from cachetools import TTLCache

    cache: TTLCache[tuple[str, str, str], object] = TTLCache(2 * spec["entries"], ttl=3600)
    lock = threading.RLock()
    for id_value, profile in profiles(spec["entries"]):
        cache[data.ENTITY, data.ID_TYPE, id_value] = profile

    def run(ids: list[str]) -> None:
        for value in ids:
            with lock:
                cache.get(("user", "email", value))

    yield lookups(spec, run)


if __name__ == "__main__":
    serve(DISTRIBUTIONS, hit=hit)
