"""What always holds of a cache, whatever was done to it."""

from edgeprofile.core.cache import ProfileCache
from edgeprofile.core.entries import ENDED
from edgeprofile.profile import Profile


def check_invariants(cache: ProfileCache) -> None:
    """Raise AssertionError if the cache's books and its structures disagree."""
    living = [(space, name, entry) for space in cache._spaces.values() for name, entry in space.entries.items()]
    assert cache.count == len(living)
    spaces = sum(space.size for space in cache._spaces.values() if space.entries)
    assert cache.size == spaces + sum(cache._weigh(name, entry.data) for _, name, entry in living)
    assert 0 <= cache.size <= cache.maxsize
    for space, name, entry in living:
        check_entry(entry)
        assert (entry.value, entry.home) == (name, space.home)
        assert entry.expires >= cache._earliest
    check_queue(cache, {id(entry) for *_, entry in living})
    check_spaces(cache)


def check_entry(entry) -> None:
    assert entry.lease is not ENDED
    assert entry.ready_until == (0.0 if isinstance(entry.data, bytes) else entry.expires)
    assert entry.data is None or isinstance(entry.data, bytes | Profile)
    assert entry.used in (None, True, False)


def check_queue(cache: ProfileCache, living: set[int]) -> None:
    queue = list(cache._recency)
    buried = [entry for entry in queue if entry.lease is ENDED]
    assert len(buried) == cache._tombstones
    assert all(entry.data is None for entry in buried)
    assert len(queue) - len(buried) == len(living)
    assert {id(entry) for entry in queue if entry.lease is not ENDED} == living


def check_spaces(cache: ProfileCache) -> None:
    in_trees = {
        (destination, entity, id_type): entries
        for destination, tree in cache._trees.items()
        for entity, branch in tree.items()
        for id_type, entries in branch.items()
    }
    assert in_trees.keys() == cache._spaces.keys()
    for home, space in cache._spaces.items():
        assert in_trees[home] is space.entries
        assert space.entries or space.pinned
    assert all(branch for tree in cache._trees.values() for branch in tree.values())
