"""cachebox (Rust): a local cache without coherence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks import data
from benchmarks.contenders.dictionary import profiles
from benchmarks.protocol import Round, Spec, lookups, serve, weighed

TITLE = "cachebox TTLCache (no coherence)"
REQUIRES = ("cachebox>=5",)
DISTRIBUTIONS = ("cachebox",)


def _filled(spec: Spec) -> Any:
    from cachebox import TTLCache

    cache = TTLCache(2 * spec["entries"], 3600)
    for id_value, profile in profiles(spec["entries"]):
        cache[data.ENTITY, data.ID_TYPE, id_value] = profile
    return cache


@contextmanager
def hit(spec: Spec) -> Iterator[Round]:
    cache = _filled(spec)

    def run(ids: list[str]) -> None:
        for value in ids:
            cache.get(("user", "email", value))

    yield lookups(spec, run)


@contextmanager
def memory(spec: Spec) -> Iterator[Round]:
    yield weighed(lambda: _filled(spec))


if __name__ == "__main__":
    serve(DISTRIBUTIONS, hit=hit, memory=memory)
