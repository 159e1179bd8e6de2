import copy
import gc
import math
import pickle
import sys

import pytest

from edgeprofile import Profile
from edgeprofile.core.cache import ProfileCache
from edgeprofile.core.coherence import FOREVER, Lease
from edgeprofile.core.entries import ENDED
from edgeprofile.core.pool import SECOND_CHANCES
from edgeprofile.core.recency import CHUNK
from tests.support.cache_checks import check_invariants

RAW = b'{"m":{"a":1}}'
HOME = ("2Dest", "user", "email")


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(clock):
    """Caches whose invariants are checked when the test is over."""
    made = []

    def make(maxsize=1 << 20, **options):
        cache = ProfileCache(maxsize, clock=clock, **options)
        made.append(cache)
        return cache

    yield make
    for cache in made:
        check_invariants(cache)


@pytest.fixture
def cache(make):
    return make()


@pytest.fixture
def space(cache):
    return cache.space(*HOME, pin=True)


def put(cache, value, raw=RAW, *, life=60.0, lease=FOREVER, home=HOME, **options):
    return cache.put(cache.space(*home), value, raw, sent=1000.0, life=life, lease=lease, **options)


def values(cache, home=HOME):
    return set(cache.space(*home).entries)


def small(make, entries, **options):
    """A cache with room for exactly that many entries with ids as short as these."""
    whole = make()
    put(whole, "a")
    one = whole.size
    put(whole, "9999")
    return make(one + (entries - 1) * (whole.size - one), **options)


# --- what the engine puts in


def test_an_entry_is_found_where_it_was_put(cache, space):
    entry = cache.put(space, "ada", RAW, sent=999.0, life=60.0, lease=FOREVER)
    assert cache.find(*HOME, "ada") is entry
    assert cache.tree("2Dest")["user"]["email"]["ada"] is entry
    assert (entry.value, entry.home, entry.raw) == ("ada", HOME, RAW)
    assert (entry.sent, entry.expires, entry.ready_until) == (999.0, 1059.0, 0.0)


def test_nothing_is_found_elsewhere(cache):
    put(cache, "ada")
    assert cache.find(*HOME, "bob") is None
    assert cache.find("2Dest", "user", "phone", "ada") is None


def test_an_absence_is_ready_at_once(cache):
    entry = put(cache, "nobody", None)
    assert entry.data is None
    assert entry.raw is None
    assert entry.ready_until == entry.expires
    assert cache.view(entry) is None


def test_a_view_is_made_once_and_kept(cache, clock):
    entry = put(cache, "ada")
    before = cache.size
    profile = cache.view(entry)
    assert profile == {"m": {"a": 1}}
    assert cache.view(entry) is profile
    assert entry.data is profile
    assert entry.raw == RAW
    assert entry.ready_until == entry.expires
    assert cache.size == before + profile.footprint
    clock.now = 1003.5
    assert profile.age == 3.5


def test_two_who_decode_at_once_end_up_with_one_view(cache):
    entry = put(cache, "ada")
    first, second = cache.decode(entry, RAW), cache.decode(entry, RAW)
    assert cache.adopt(entry, first) is first
    assert cache.adopt(entry, second) is first


@pytest.mark.parametrize(
    "leave",
    [lambda cache: cache.drop_identity(*HOME, "ada"), lambda cache: cache.clear(), lambda cache: put(cache, "ada")],
)
@pytest.mark.parametrize("others", [[], ["bob"]])
def test_a_view_that_comes_too_late_is_given_but_not_kept(cache, leave, others):
    entry = put(cache, "ada")
    for other in others:
        put(cache, other)
    profile = cache.decode(entry, RAW)
    leave(cache)
    before = cache.size
    assert cache.adopt(entry, profile) is profile
    assert entry.data is not profile
    assert cache.size == before


def test_wanted_says_whether_anybody_asked(cache):
    assert put(cache, "ada").used is False
    assert put(cache, "ada", wanted=False).used is None


def test_an_id_of_a_str_subclass_becomes_a_str(cache, space):
    class Email(str):
        __slots__ = ()

    assert type(put(cache, Email("ada")).value) is str
    assert list(map(type, space.entries)) == [str]


def test_a_life_is_shared_as_one_object(cache):
    life = 60.0
    assert put(cache, "ada", life=life).life is put(cache, "bob", life=life).life is life


# --- replaced and dropped


def test_putting_again_replaces(cache):
    older = put(cache, "ada")
    newer = put(cache, "ada", b'{"m":{"a":2}}')
    assert cache.find(*HOME, "ada") is newer
    assert (older.lease, older.data) == (ENDED, None)
    assert (cache.count, cache.evictions.replaced) == (1, 1)


def test_a_dropped_entry_can_never_be_served_by_who_still_holds_it(cache, space):
    entry = put(cache, "ada")
    cache.view(entry)
    assert cache.drop(space, "ada") is entry
    assert entry.lease.until == -math.inf
    assert entry.data is None
    assert (entry.home, entry.value) == (HOME, "ada")
    assert (cache.count, cache.size, cache.evictions.dropped) == (0, 0, 1)


def test_dropping_what_is_not_there_is_nothing(cache, space):
    assert cache.drop(space, "ada") is None
    assert cache.drop_identity(*HOME, "ada") is None
    put(cache, "bob")
    assert cache.drop_identity(*HOME, "ada") is None
    assert cache.evictions.dropped == 0


def test_tombstones_stay_few(cache, space):
    for number in range(20 * CHUNK):
        put(cache, str(number))
    for number in range(0, 20 * CHUNK, 2):
        cache.drop(space, str(number))
        assert cache._tombstones <= CHUNK + cache.count // 8 + 2
    check_invariants(cache)


def test_replacing_one_entry_for_ever_leaves_no_trail(cache):
    for _ in range(10 * CHUNK):
        put(cache, "ada")
    assert len(list(cache._recency)) < 3 * CHUNK


# --- the budget


def test_the_least_recent_goes_first(make):
    cache = small(make, 3)
    for value in "abcd":
        put(cache, value)
    assert values(cache) == {"b", "c", "d"}
    assert cache.evictions.capacity == 1


def test_what_was_used_gets_a_second_chance(make):
    cache = small(make, 3)
    for value in "abc":
        put(cache, value)
    cache.find(*HOME, "a").used = True
    put(cache, "d")
    assert values(cache) == {"a", "c", "d"}
    assert cache.find(*HOME, "a").used is False
    put(cache, "e")
    assert values(cache) == {"a", "d", "e"}
    put(cache, "f")
    assert values(cache) == {"d", "e", "f"}


def test_a_scan_does_not_push_out_what_is_used(make):
    cache = small(make, 10)
    hot = "abc"
    for value in hot:
        put(cache, value)
    for number in range(1000):
        for value in hot:
            cache.find(*HOME, value).used = True
        put(cache, str(number))
    assert set(hot) <= values(cache)


def test_an_eviction_passes_over_a_bounded_number(make):
    cache = small(make, 4 * SECOND_CHANCES)
    for number in range(4 * SECOND_CHANCES):
        put(cache, str(number)).used = True
    put(cache, "new")
    used = [entry.used for entry in cache.space(*HOME).entries.values()]
    assert used.count(False) == SECOND_CHANCES + 1
    assert cache.evictions.capacity == 1


def test_an_entry_beyond_its_limit_is_refused_and_takes_the_older_one_with_it(make):
    cache = make(max_profile_bytes=len(RAW))
    put(cache, "ada")
    assert put(cache, "ada", RAW + b" ") is None
    assert values(cache) == set()
    assert (cache.evictions.oversize, cache.evictions.replaced) == (1, 1)
    assert put(cache, "bob") is not None


def test_an_entry_larger_than_everything_is_refused(make):
    cache = small(make, 2)
    put(cache, "a")
    assert put(cache, "b", b'{"m":"' + b"x" * 5000 + b'"}') is None
    assert values(cache) == {"a"}
    assert cache.evictions.oversize == 1


def test_a_view_makes_room_for_itself(make):
    cache = small(make, 8)
    entries = [put(cache, value) for value in "abcdefgh"]
    profile = cache.view(entries[7])
    assert entries[7].data is profile
    assert entries[0].lease is ENDED
    assert cache.size <= cache.maxsize


def test_a_view_too_large_to_keep_is_given_all_the_same(make):
    cache = small(make, 1)
    entry = put(cache, "a")
    assert cache.view(entry) == {"m": {"a": 1}}
    assert entry.data == RAW
    assert values(cache) == {"a"}


def test_a_view_may_push_out_its_own_entry(make):
    cache = small(make, 4)
    entry = put(cache, "a")
    for value in "bcd":
        put(cache, value).used = True
    assert cache.view(entry) == {"m": {"a": 1}}
    assert entry.lease is ENDED
    assert cache.size <= cache.maxsize


# --- spaces


def test_an_empty_space_leaves_nothing_behind(cache):
    for number in range(100):
        put(cache, "x", None, home=("2Dest", f"entity{number}", f"type{number}"))
    assert len(cache.tree("2Dest")) == 100
    for number in range(100):
        cache.drop_identity("2Dest", f"entity{number}", f"type{number}", "x")
    assert cache.tree("2Dest") == {}
    assert cache._spaces == {}
    assert cache.size == 0


def test_names_of_spaces_are_on_the_budget(cache):
    put(cache, "x", None, home=("2Dest", "e" * 10_000, "t"))
    assert cache.size > 10_000


def test_asking_for_a_space_does_not_make_one(cache):
    cache.space("2Dest", "user", "phone")
    assert cache.tree("2Dest") == {}


def test_a_space_that_left_meanwhile_is_put_into_its_successor(cache):
    before = cache.space(*HOME)
    put(cache, "ada")
    assert cache.put(before, "bob", RAW, sent=1000.0, life=60.0, lease=FOREVER)
    assert cache.drop(before, "ada") is not None
    assert values(cache) == {"bob"}


def test_a_pinned_space_keeps_its_dict(make):
    cache = make()
    pinned = cache.space(*HOME, pin=True)
    entries = pinned.entries
    assert cache.tree("2Dest")["user"]["email"] is entries
    put(cache, "ada")
    cache.drop_identity(*HOME, "ada")
    put(cache, "bob")
    cache.clear()
    assert cache.size == 0
    put(cache, "eve")
    assert cache.space(*HOME, pin=True) is pinned
    assert list(entries) == ["eve"]
    assert cache.tree("2Dest")["user"]["email"] is entries


def test_the_tree_of_a_destination_is_always_the_same(cache):
    tree = cache.tree("2Dest")
    put(cache, "ada")
    cache.clear()
    put(cache, "bob")
    assert cache.tree("2Dest") is tree
    assert list(tree["user"]["email"]) == ["bob"]


def test_clear_ends_every_entry(cache):
    entries = [put(cache, "ada"), put(cache, "bob", home=("2Dest", "account", "domain"))]
    cache.clear()
    assert [entry.lease for entry in entries] == [ENDED, ENDED]
    assert (cache.count, cache.size, cache.evictions.cleared) == (0, 0, 2)
    assert cache.tree("2Dest") == {}


# --- sweeping


def test_a_sweep_takes_the_expired_and_the_revoked(cache):
    lease = Lease(2000.0)
    put(cache, "short", life=10.0)
    put(cache, "long", life=100.0)
    put(cache, "lent", lease=lease)
    assert cache.sweep(1009.9, 10_000) == 0
    lease.until = 1005.0
    assert cache.sweep(1009.9, 10_000) == 0
    assert cache.sweep(1010.0, 10_000) == 1
    lease.revoke()
    assert cache.sweep(1010.0, 10_000) == 1
    assert values(cache) == {"long"}
    assert (cache.evictions.expired, cache.evictions.revoked) == (1, 1)


def test_a_sweep_is_bounded_and_goes_on_where_it_stopped(make):
    cache = make(1 << 24)
    for number in range(10 * CHUNK):
        put(cache, str(number), life=10.0)
    removed = [cache.sweep(2000.0, CHUNK) for _ in range(11)]
    assert max(removed) <= CHUNK
    assert sum(removed) == 10 * CHUNK
    assert cache.count == 0


def test_what_may_still_be_served_stale_is_kept(make):
    cache = make(keep_stale=30.0)
    lease = Lease(1005.0)
    put(cache, "old", life=10.0)
    put(cache, "lent", lease=lease)
    lease.revoke()
    assert cache.sweep(1034.9, 10_000) == 0
    assert cache.sweep(1035.0, 10_000) == 1
    assert values(cache) == {"old"}
    assert cache.sweep(1040.0, 10_000) == 1


# --- the collector


def test_the_collector_walks_no_entry_no_table_and_no_view(cache, space):
    for number in range(100):
        cache.view(put(cache, str(number), b'{"m":{"a":[{"b":1}]}}'))
    assert not gc.is_tracked(space.entries)
    assert not any(map(gc.is_tracked, space.entries.values()))
    profiles = [entry.data for entry in space.entries.values()]
    assert not any(map(gc.is_tracked, profiles))
    assert not any(gc.is_tracked(part) for p in profiles for part in (p["m"], p["m"]["a"], p["m"]["a"][0]))


def test_a_cache_that_is_let_go_takes_its_entries_along(clock):
    cache, lease = ProfileCache(1 << 24, clock=clock), Lease(2000.0)
    for number in range(2 * CHUNK):
        cache.view(put(cache, str(number), lease=lease))
    held = sys.getrefcount(lease)
    del cache
    gc.collect()
    assert held - sys.getrefcount(lease) == 2 * CHUNK


# --- the mapping


KEY = (*HOME, "ada")


def test_it_is_a_mutable_mapping(cache):
    profile = Profile({"m": {"a": 1}})
    cache[KEY] = profile
    assert cache[KEY] is not None
    assert cache[KEY] == profile
    assert KEY in cache
    assert list(cache) == [KEY]
    assert dict(cache) == {KEY: profile}
    assert len(cache) == 1
    assert cache.pop(KEY) == profile
    assert cache.get(KEY) is None
    assert cache.setdefault(KEY) is None
    assert KEY in cache
    del cache[KEY]
    with pytest.raises(KeyError):
        del cache[KEY]
    with pytest.raises(KeyError):
        cache[KEY]


def test_what_the_engine_put_in_is_in_the_mapping(cache):
    put(cache, "ada")
    assert cache[KEY] == {"m": {"a": 1}}
    assert type(cache[KEY]) is Profile


def test_reading_an_item_makes_it_the_most_recent(make):
    cache = small(make, 3)
    for value in "abc":
        put(cache, value, None)
    assert cache[*HOME, "a"] is None
    assert [cache.popitem()[0][3] for _ in "abc"] == ["b", "c", "a"]
    with pytest.raises(KeyError, match="ProfileCache is empty"):
        cache.popitem()


def test_reading_for_ever_leaves_no_trail(cache):
    put(cache, "ada")
    for _ in range(10 * CHUNK):
        cache[KEY]
    assert len(list(cache._recency)) < 3 * CHUNK


def test_items_past_their_deadline_are_not_there(cache, clock):
    put(cache, "ada", life=10.0)
    put(cache, "bob", life=20.0)
    clock.now = 1010.0
    assert KEY not in cache
    assert [*iter(cache)] == [(*HOME, "bob")]
    with pytest.raises(KeyError):
        cache[KEY]
    assert cache.expire() == [(KEY, {"m": {"a": 1}})]
    assert cache.expire() == []
    assert cache.expire(1020.0) == [((*HOME, "bob"), {"m": {"a": 1}})]
    assert (len(cache), cache.currsize) == (0, 0)


def test_deleting_an_expired_item_removes_it_and_says_that_it_was_not_there(cache, clock):
    put(cache, "ada", life=10.0)
    clock.now = 1010.0
    with pytest.raises(KeyError):
        del cache[KEY]
    assert cache.count == 0


def test_items_under_a_lapsed_lease_are_not_there_until_it_is_extended(cache, clock):
    lease = Lease(1005.0)
    put(cache, "ada", lease=lease)
    clock.now = 1006.0
    assert KEY not in cache
    assert list(cache) == []
    assert len(cache) == 1
    lease.until = 1010.0
    assert cache[KEY] == {"m": {"a": 1}}


@pytest.mark.parametrize("key", ["ada", ("a", "b", "c"), None, 5, ("a", "b", "c", "d", "e")])
def test_keys_of_another_shape_are_not_there(cache, key):
    assert key not in cache
    assert cache.get(key) is None
    with pytest.raises(KeyError):
        cache[key]


@pytest.mark.parametrize("value", [{"m": {}}, b"{}", 5])
def test_only_profiles_can_be_set(cache, value):
    with pytest.raises(TypeError, match=r"is no profile: set Profile\(mapping\)"):
        cache[KEY] = value


def test_ttu_gives_the_deadline(make, clock):
    cache = make(ttu=lambda key, value, now: now + len(key[3]) + (value is None))
    cache[KEY] = None
    clock.now = 1003.9
    assert KEY in cache
    clock.now = 1004.0
    assert KEY not in cache


def test_setting_an_item_that_is_over_already_removes_it(make):
    cache = make(ttu=lambda _key, value, now: now if value is None else now + 1.0)
    cache[KEY] = Profile({})
    cache[KEY] = None
    assert KEY not in cache
    assert cache.count == 0


def test_what_is_over_goes_before_the_least_recent(make, clock):
    cache = make(2, getsizeof=lambda _value: 1, ttu=lambda key, _value, now: now + len(key[3]))
    for value in ("long", "x"):
        cache[*HOME, value] = None
    clock.now = 1001.0
    cache[*HOME, "new"] = None
    assert [key[3] for key in cache] == ["long", "new"]
    assert (cache.evictions.expired, cache.evictions.capacity) == (1, 0)


def test_an_item_without_a_deadline_stays(cache, clock):
    cache[KEY] = Profile({})
    clock.now = 1e9
    assert cache[KEY] == {}


def test_an_item_that_is_too_large_is_refused_and_the_older_one_stays(make):
    cache = make(5000)
    cache[KEY] = Profile({"m": 1})
    with pytest.raises(ValueError, match="value too large"):
        cache[KEY] = Profile({"m": "x" * 10_000})
    assert cache[KEY] == {"m": 1}


def test_getsizeof_replaces_memory(make):
    cache = make(10, getsizeof=lambda value: 1 if value is None else value["size"])
    cache[KEY] = Profile({"size": 7})
    cache[*HOME, "bob"] = None
    assert cache.currsize == 8
    put(cache, "eve", b'{"size":2}')
    cache.view(cache.find(*HOME, "eve"))
    assert cache.currsize == 10
    with pytest.raises(ValueError, match="non-negative"):
        cache[KEY] = Profile({"size": -1})


def test_getsizeof_is_memory_by_default(cache):
    cache[KEY] = Profile({"m": "x" * 1000})
    assert 2000 < cache.getsizeof(cache[KEY]) < cache.currsize < cache.getsizeof(cache[KEY]) + 2000
    assert 0 < cache.getsizeof(None) < 250
    assert cache.maxsize == 1 << 20


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_it_is_not_copied(cache, duplicate):
    with pytest.raises(TypeError, match="not copied or pickled"):
        duplicate(cache)


def test_it_shows_no_ids_and_no_traits(cache):
    put(cache, "ada")
    assert repr(cache) == f"<ProfileCache of 1 entries, size {cache.size} of 1048576>"


def test_a_subclass_may_say_what_is_missing(clock):
    class Default(ProfileCache):
        def __missing__(self, key):
            return Profile({"missing": key[3]})

    assert Default(1 << 20, clock=clock)[KEY] == {"missing": "ada"}


def test_a_negative_budget_is_refused(clock):
    with pytest.raises(ValueError, match="non-negative"):
        ProfileCache(-1, clock=clock)
