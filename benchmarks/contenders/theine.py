"""theine (W-TinyLFU): a local cache without coherence."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from benchmarks import data
from benchmarks.contenders.dictionary import profiles
from benchmarks.protocol import Round, Spec, lookups, serve, weighed

TITLE = "theine (no coherence)"
REQUIRES = ("theine>=2",)
DISTRIBUTIONS = ("theine",)


@contextmanager
def _opened(spec: Spec) -> Iterator[Any]:
    from theine import Cache

    cache = Cache(2 * spec["entries"])
    yield cache
    cache.close()


def _fill(cache: Any, entries: int) -> None:
    for id_value, profile in profiles(entries):
        cache.set((data.ENTITY, data.ID_TYPE, id_value), profile, timedelta(hours=1))


@contextmanager
def hit(spec: Spec) -> Iterator[Round]:
    with _opened(spec) as cache:
        _fill(cache, spec["entries"])

        def run(ids: list[str]) -> None:
            for value in ids:
                cache.get(("user", "email", value))

        yield lookups(spec, run)


@contextmanager
def memory(spec: Spec) -> Iterator[Round]:
    with _opened(spec) as cache:
        yield weighed(lambda: _fill(cache, spec["entries"]))


if __name__ == "__main__":
    serve(DISTRIBUTIONS, hit=hit, memory=memory)
