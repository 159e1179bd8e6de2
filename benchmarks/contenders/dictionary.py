"""A function around one `dict.get` with the same key: the floor under every lookup in the process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks import data
from benchmarks.protocol import Round, Spec, lookups, serve

TITLE = "one dict.get"
REQUIRES = ()
DISTRIBUTIONS = ()

Value = dict[str, dict[str, object]]


def profiles(entries: int) -> Iterator[tuple[str, Value]]:
    """Ids and decoded profiles, as an application would hold them."""
    for index, id_value in enumerate(data.identities(entries)):
        yield id_value, {data.MODEL: data.traits(index)}


def tuple_key(entries: int) -> Callable[[str, str, str], Value | None]:
    """A function of three arguments over a dict with 3-tuples as keys."""
    held = {(data.ENTITY, data.ID_TYPE, id_value): profile for id_value, profile in profiles(entries)}

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
    get = tuple_key(spec["entries"])

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


if __name__ == "__main__":
    serve(DISTRIBUTIONS, hit=hit, bound=bound)
