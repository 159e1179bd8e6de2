"""A function around one `dict.get` with the same key: the floor under every lookup in the process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks import data
from benchmarks.protocol import Round, Spec, collections, lookups, serve, weighed
from benchmarks.tails import tails

TITLE = "one dict.get"
REQUIRES = ()
DISTRIBUTIONS = ()

Value = dict[str, dict[str, object]]


def profiles(entries: int, size: int = 20) -> Iterator[tuple[str, Value]]:
    """Ids and decoded profiles, as an application would hold them."""
    for index in range(entries):
        yield data.identity(index), {data.MODEL: data.traits(index, size)}


def tuple_key(entries: int, size: int = 20) -> Callable[[str, str, str], Value | None]:
    """A function of three arguments over a dict with 3-tuples as keys."""
    held = {(data.ENTITY, data.ID_TYPE, id_value): profile for id_value, profile in profiles(entries, size)}

    def get(entity: str, id_type: str, value: str) -> Value | None:
        return held.get((entity, id_type, value))

    return get


def string_key(entries: int) -> Callable[[str], Value | None]:
    """A function of one argument over a dict with strings as keys."""
    held = dict(profiles(entries))

    def lookup(value: str) -> Value | None:
        return held.get(value)

    return lookup


@contextmanager
def hit(spec: Spec) -> Iterator[Round]:
    get = tuple_key(spec["entries"], spec.get("size", 20))

    def run(ids: list[str]) -> None:
        for value in ids:
            get("user", "email", value)

    yield lookups(spec, run)


@contextmanager
def bound(spec: Spec) -> Iterator[Round]:
    lookup = string_key(spec["entries"])

    def run(ids: list[str]) -> None:
        for value in ids:
            lookup(value)

    yield lookups(spec, run)


@contextmanager
def tail(spec: Spec) -> Iterator[Round]:
    get = tuple_key(spec["entries"])
    yield tails(lambda value: get("user", "email", value), data.identities(spec["entries"]))


@contextmanager
def collected(spec: Spec) -> Iterator[Round]:
    """The collector among decoded profiles."""
    get = tuple_key(spec["entries"])
    yield collections(lambda: get("user", "email", data.identity(0)) is not None)


@contextmanager
def memory(spec: Spec) -> Iterator[Round]:
    yield weighed(lambda: tuple_key(spec["entries"]))


if __name__ == "__main__":
    serve(DISTRIBUTIONS, hit=hit, bound=bound, tail=tail, collected=collected, memory=memory)
