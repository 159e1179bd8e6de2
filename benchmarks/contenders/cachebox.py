"""cachebox (Rust): a local cache without coherence."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import data
from benchmarks.contenders.dictionary import profiles
from benchmarks.protocol import Round, Spec, lookups, serve

TITLE = "cachebox TTLCache (no coherence)"
REQUIRES = ("cachebox>=5",)
DISTRIBUTIONS = ("cachebox",)


@contextmanager
def hit(spec: Spec) -> Iterator[Round]:
    from cachebox import TTLCache

    cache = TTLCache(2 * spec["entries"], 3600)
    for id_value, profile in profiles(spec["entries"]):
        cache[data.ENTITY, data.ID_TYPE, id_value] = profile

    def run(ids: list[str]) -> None:
        for value in ids:
            cache.get(("user", "email", value))

    yield lookups(spec, run)


if __name__ == "__main__":
    serve(DISTRIBUTIONS, hit=hit)
