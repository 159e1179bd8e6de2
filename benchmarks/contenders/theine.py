"""theine (W-TinyLFU): a local cache without coherence."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from benchmarks import data
from benchmarks.contenders.dictionary import profiles
from benchmarks.protocol import Round, Spec, lookups, serve

TITLE = "theine (no coherence)"
REQUIRES = ("theine>=2",)
DISTRIBUTIONS = ("theine",)


@contextmanager
def hit(spec: Spec) -> Iterator[Round]:
    from theine import Cache

    cache = Cache(2 * spec["entries"])
    for id_value, profile in profiles(spec["entries"]):
        cache.set((data.ENTITY, data.ID_TYPE, id_value), profile, timedelta(hours=1))

    def run(ids: list[str]) -> None:
        for value in ids:
            cache.get(("user", "email", value))

    yield lookups(spec, run)
    cache.close()


if __name__ == "__main__":
    serve(DISTRIBUTIONS, hit=hit)
