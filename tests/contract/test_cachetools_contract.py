"""As a mapping, the cache does what cachetools' own caches do: the same calls, the same answers, the same evictions."""

import collections
import copy

import cachetools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile import Profile
from edgeprofile.core.cache import ProfileCache
from tests.support.cache_checks import check_invariants

pytestmark = pytest.mark.limit(1800)  # at full depth, on a busy machine

MAXSIZE = 8
KEYS = [("d", entity, "t", value) for entity in "ab" for value in "xy"]
PROFILES = [
    Profile({"size": size, "life": life}) for size in (0, 2, 3, 4, 4, MAXSIZE, MAXSIZE + 1) for life in range(4)
]

keys = st.sampled_from(KEYS)
profiles = st.none() | st.sampled_from(PROFILES)
operations = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["getitem", "delitem", "contains", "get", "pop", "pop_default"]), keys),
        st.tuples(st.sampled_from(["setitem", "setdefault"]), keys, profiles),
        st.tuples(st.sampled_from(["popitem", "clear", "len", "items", "keys", "currsize"])),
        st.just(("wait",)),
    ),
    min_size=8,
    max_size=60,
)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def size_of(value):
    return 1 if value is None else value["size"]


def deadline(_key, value, now):
    return now + (1 if value is None else value["life"])


CALLS = {
    "getitem": lambda cache, key: cache[key],
    "delitem": lambda cache, key: cache.__delitem__(key),
    "contains": lambda cache, key: key in cache,
    "get": lambda cache, key: cache.get(key, "absent"),
    "pop": lambda cache, key: cache.pop(key),
    "pop_default": lambda cache, key: cache.pop(key, "absent"),
    "setitem": lambda cache, key, value: cache.__setitem__(key, value),
    "setdefault": lambda cache, key, value: cache.setdefault(key, value),
    "popitem": lambda cache: cache.popitem(),
    "clear": lambda cache: cache.clear(),
    "len": len,
    "items": lambda cache: [(key, cache[key]) for key in sorted(cache)],  # each read makes its item the most recent
    "keys": sorted,
    "currsize": lambda cache: cache.currsize,
    "wait": lambda _cache: None,
}


def outcome(cache, name, *arguments):
    try:
        return CALLS[name](cache, *arguments)
    except (KeyError, ValueError) as error:
        return type(error)


def compare(ours, theirs, clock, calls):
    for call in calls:
        clock.now += call == ("wait",)
        assert outcome(ours, *call) == outcome(theirs, *call), call
        check_invariants(ours)
    assert list(drained(ours)) == list(drained(theirs))


def drained(cache):
    """All that is left, in the order of eviction."""
    while len(cache):
        yield cache.popitem()


@given(operations)
def test_it_is_an_lru_cache(calls):
    clock = Clock()
    ours = ProfileCache(MAXSIZE, clock=clock, getsizeof=size_of)
    compare(ours, cachetools.LRUCache(MAXSIZE, getsizeof=size_of), clock, calls)


@given(operations)
def test_it_is_a_tlru_cache(calls):
    clock = Clock()
    ours = ProfileCache(MAXSIZE, clock=clock, ttu=deadline, getsizeof=size_of)
    compare(ours, cachetools.TLRUCache(MAXSIZE, deadline, timer=clock, getsizeof=size_of), clock, calls)


@given(operations)
def test_counting_memory_it_evicts_in_the_same_order(calls):
    """One space, and items that all take the same memory: then three of them fit, and always the same three."""
    clock = Clock()
    probe = ProfileCache(1 << 20, clock=clock)
    probe["d", "a", "t", "x"] = None
    one = probe.currsize
    probe["d", "a", "t", "y"] = None
    ours = ProfileCache(one + 2 * (probe.currsize - one), clock=clock)
    theirs = cachetools.LRUCache(3)
    for name, *arguments in calls:
        if arguments:
            arguments[0] = ("d", "a", "t", "".join(arguments[0]))
            arguments[1:] = [None for _ in arguments[1:]]
        results = [outcome(cache, name, *arguments) for cache in (ours, theirs)]
        assert results[0] == results[1] or name == "currsize"
        assert sorted(ours) == sorted(theirs)
        check_invariants(ours)
    assert list(drained(ours)) == list(drained(theirs))


@pytest.mark.parametrize("name", ["maxsize", "currsize", "getsizeof", "popitem", "pop", "get", "setdefault", "clear"])
def test_it_has_the_public_face_of_a_cache(name):
    assert hasattr(ProfileCache, name)
    assert issubclass(ProfileCache, cachetools.Cache)
    assert issubclass(ProfileCache, collections.abc.MutableMapping)


def test_the_decorator_of_cachetools_accepts_it():
    cache = ProfileCache(1 << 20, clock=Clock())
    calls = []

    @cachetools.cached(cache, key=lambda value: ("d", "user", "email", value))
    def profile(value):
        calls.append(value)
        return Profile({"m": {"id": value}})

    assert profile("ada") == profile("ada") == {"m": {"id": "ada"}}
    assert calls == ["ada"]


def test_unlike_caches_of_cachetools_it_is_not_copied():
    with pytest.raises(TypeError):
        copy.copy(ProfileCache(1, clock=Clock()))
