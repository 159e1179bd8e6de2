"""The hit path: one lookup in nested dicts, one reading of the clock, two comparisons, one mark.

Functions here are closures, because a cell is the cheapest thing that Python can load, and they take no lock: an entry
is never changed under a reader in a way that matters. They read it in the order that its class asks for: the deadline,
the data, the lease. Whatever is not a plain hit goes to ``slow``, which knows all the rest. Hits are counted in floats,
which Python adds faster than integers and which are exact up to 2**53.

Where the compiled part was built, it stands before `Hits.get` and `BoundHits.lookup` and answers the plainest hits, as
these would; everything else still comes here.
"""

from __future__ import annotations

import time
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from edgeprofile.core.coherence import Lease
from edgeprofile.core.entries import Entry
from edgeprofile.encoded import EncodedProfile, HeldProfile
from edgeprofile.profile import decode_model
from edgeprofile.speedups import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from edgeprofile.core.pool import Tree
    from edgeprofile.profile import Profile

__all__ = ["MISS", "BoundHits", "Hits", "JsonHits", "miss"]

MISS: Final = object()
"""What `miss` returns."""


_Path: TypeAlias = "tuple[Callable[..., Any], Callable[[Any], None], Callable[[], int]]"
"""A function that looks up, one that replaces what it reads, and one that counts its hits since."""

if compiled is not None:
    compiled.learn(Entry, Lease)


def miss(*_args: Any) -> Any:
    """The ``slow`` of those who have to go on asynchronously."""
    return MISS


class Hits:
    """The ``get`` of one client: ``get(entity, id_type, value)`` from the tree of its default destination.

    ``trees`` are those of all destinations by id, for lookups that name one. ``slow`` takes ``(entity, id_type, value,
    destination, model, type, timeout)``. ``get_many(entity, id_type, values, destination, model, type)`` gives what is
    cached, by value, and the values that are not. The trees can be replaced while lookups run; from then on hits are
    counted anew.
    """

    def __init__(self, slow: Callable[..., Any], tree: Tree, trees: Mapping[str, Tree]) -> None:
        special, rebind_special, count_special = _special(slow, tree, trees)
        self.get, rebind_one, count_one = _shortened(_one(slow, special, tree), tree, levels=3)
        self.get_many, rebind_many, count_many = _many(tree, trees)
        self._rebind = (rebind_one, rebind_many, rebind_special)
        self._count = (count_one, count_many, count_special)

    @property
    def rebind(self) -> Callable[[Tree, Mapping[str, Tree]], None]:
        """A function that replaces the trees, and holds neither this object nor ``slow``."""
        one, many, special = self._rebind

        def rebind(tree: Tree, trees: Mapping[str, Tree]) -> None:
            one(tree)
            many(tree, trees)
            special(tree, trees)

        return rebind

    def count(self) -> int:
        """Hits since the trees were replaced."""
        return sum(count() for count in self._count)


def _shortened(path: _Path, entries: Any, *, levels: int) -> _Path:
    """The path with a compiled shortcut before it, if there is one, for a dict of entries or a tree of so many levels."""
    if compiled is None:
        return path
    function, rebind, count = path
    shelf = compiled.Shelf(entries)

    def rebind_both(new: Any) -> None:
        rebind(new)
        shelf.rebind(new)

    shortcut = update_wrapper(compiled.Shortcut(function, shelf, levels), function)
    return shortcut, rebind_both, lambda: count() + shelf.count()


def _one(slow: Callable[..., Any], special: Callable[..., Any], tree: Tree) -> _Path:
    clock = time.monotonic
    hits = 0.0

    # Types declare the last four as keywords only; Python calls a function without such keywords faster.
    def get(
        entity: str,
        id_type: str,
        value: str,
        destination: str | None = None,
        model: str | None = None,
        type: Any = None,
        timeout: float | None = None,
    ) -> Any:
        nonlocal hits
        try:
            entry = tree[entity][id_type][value]
            now = clock()
            if now < entry.ready_until and destination is None and type is None:
                data: Any = entry.data
                if now < entry.lease.until:
                    if not entry.used:
                        entry.used = True
                    hits += 1.0
                    if model is None or data is None:
                        return data
                    return data.get(model)
        except (KeyError, TypeError):
            pass
        if model is None and destination is None and type is None:
            return slow(entity, id_type, value, None, None, None, timeout)
        return special(entity, id_type, value, destination, model, type, timeout)

    def rebind(new: Tree) -> None:
        nonlocal tree, hits
        tree, hits = new, 0.0

    get.__qualname__ = "get"  # as Python names it to who forgets an argument
    return get, rebind, lambda: int(hits)


def _special(
    slow: Callable[..., Any], tree: Tree, trees: Mapping[str, Tree]
) -> tuple[Callable[..., Any], Callable[[Tree, Mapping[str, Tree]], None], Callable[[], int]]:
    """Hits of callers who name a destination, or want a type of their own."""
    clock = time.monotonic
    hits = 0.0

    def get(
        entity: str,
        id_type: str,
        value: str,
        destination: str | None,
        model: str | None,
        kind: Any,
        timeout: float | None,
    ) -> Any:
        nonlocal hits
        try:
            entry = (tree if destination is None else trees[destination])[entity][id_type][value]
        except (KeyError, TypeError):
            return slow(entity, id_type, value, destination, model, kind, timeout)
        now = clock()
        if now < (entry.ready_until if kind is None else entry.expires):  # a type is decoded from the encoded profile
            data: Any = entry.data
            if now < entry.lease.until:
                entry.used = True
                hits += 1.0
                return _shaped(data, model, kind)
        return slow(entity, id_type, value, destination, model, kind, timeout)

    def rebind(new: Tree, all_new: Mapping[str, Tree]) -> None:
        nonlocal tree, trees, hits
        tree, trees, hits = new, all_new, 0.0

    return get, rebind, lambda: int(hits)


def _many(
    tree: Tree, trees: Mapping[str, Tree]
) -> tuple[
    Callable[..., tuple[dict[str, Any], list[str]]], Callable[[Tree, Mapping[str, Tree]], None], Callable[[], int]
]:
    hits = 0.0
    pick = _pick if compiled is None else compiled.pick

    def get_many(
        entity: str,
        id_type: str,
        values: Iterable[str],
        destination: str | None = None,
        model: str | None = None,
        kind: Any = None,
    ) -> tuple[dict[str, Any], list[str]]:
        nonlocal hits
        try:
            entries = (tree if destination is None else trees[destination])[entity][id_type]
        except (KeyError, TypeError):
            return {}, list(values)
        found, missing = pick(entries, values, kind is not None)  # a type is decoded from the encoded profile
        hits += len(found)
        if model is not None or kind is not None:
            found = {value: _shaped(data, model, kind) for value, data in found.items()}
        return found, missing

    def rebind(new: Tree, all_new: Mapping[str, Tree]) -> None:
        nonlocal tree, trees, hits
        tree, trees, hits = new, all_new, 0.0

    return get_many, rebind, lambda: int(hits)


def _pick(
    entries: Mapping[str, Entry],
    values: Iterable[str],
    encoded: bool,  # noqa: FBT001 (as the compiled one)
) -> tuple[dict[str, Any], list[str]]:
    """What is served of some values, and the values of which nothing is; ``encoded``: whatever is there will do."""
    found: dict[str, Any] = {}
    missing = []
    now = time.monotonic()
    for value in values:
        try:
            entry = entries[value]
            if now < (entry.expires if encoded else entry.ready_until):
                data = entry.data
                if now < entry.lease.until:
                    if not entry.used:
                        entry.used = True
                    found[value] = data
                    continue
        except (KeyError, TypeError):
            pass
        missing.append(value)
    return found, missing


def _shaped(data: Any, model: str | None, kind: Any) -> Any:
    """An entry's data as its caller wants it: the profile, one model of it, or either as a type."""
    if data is None:
        return None
    if kind is None:
        return data if model is None else data.get(model)
    return decode_model(data if isinstance(data, bytes) else data.json, model, kind)


class BoundHits:
    """The ``lookup`` of one id type: ``lookup(value)`` from its entries alone; ``slow`` takes the value."""

    def __init__(self, slow: Callable[[str], Any], entries: dict[str, Entry]) -> None:
        self.lookup, self.rebind, self.count = _shortened(_bound(slow, entries), entries, levels=1)


def _bound(slow: Callable[[str], Any], entries: dict[str, Entry]) -> _Path:
    clock = time.monotonic
    hits = 0.0

    def lookup(value: str) -> Any:
        nonlocal hits
        try:
            entry = entries[value]
            now = clock()
            if now < entry.ready_until:
                data = entry.data
                if now < entry.lease.until:
                    if not entry.used:
                        entry.used = True
                    hits += 1.0
                    return data
        except (KeyError, TypeError):
            pass
        return slow(value)

    def rebind(new: dict[str, Entry]) -> None:
        nonlocal entries, hits
        entries, hits = new, 0.0

    lookup.__qualname__ = "lookup"
    return lookup, rebind, lambda: int(hits)


class JsonHits:
    """Encoded hits: ``peek(destination, entity, id_type, value)`` gives an `EncodedProfile`, or `None` for a miss.

    ``hold``, of the same arguments, gives a `HeldProfile`, or `None`; ``release`` ends all that are held.
    """

    def __init__(self, trees: Mapping[str, Tree]) -> None:
        self.peek, rebind_peek, count_peek = _peek(trees)
        self.hold, rebind_hold, count_held, self.release = _hold(trees)

        def rebind(new: Mapping[str, Tree]) -> None:
            rebind_peek(new)
            rebind_hold(new)

        def count() -> int:
            return count_peek() + count_held()

        self.rebind = rebind
        self.count = count


def _peek(
    trees: Mapping[str, Tree],
) -> tuple[Callable[..., EncodedProfile | None], Callable[[Mapping[str, Tree]], None], Callable[[], int]]:
    clock = time.monotonic
    hits = 0.0

    def peek(destination: str, entity: str, id_type: str, value: str) -> EncodedProfile | None:
        nonlocal hits
        try:
            entry = trees[destination][entity][id_type][value]
        except (KeyError, TypeError):
            return None
        found = _encoded(entry, clock())
        if found is not None:
            entry.used = True
            hits += 1.0
        return found

    def rebind(new: Mapping[str, Tree]) -> None:
        nonlocal trees, hits
        trees, hits = new, 0.0

    return peek, rebind, lambda: int(hits)


def _hold(
    trees: Mapping[str, Tree],
) -> tuple[
    Callable[..., HeldProfile | None],
    Callable[[Mapping[str, Tree]], None],
    Callable[[], int],
    Callable[[], None],
]:
    clock = time.monotonic
    hits = 0.0
    term = object()

    def hold(destination: str, entity: str, id_type: str, value: str) -> HeldProfile | None:
        begun = term
        try:
            entry = trees[destination][entity][id_type][value]
        except (KeyError, TypeError):
            return None
        found = _encoded(entry, clock())
        if found is None:
            return None

        # An entry that leaves the cache, for whatever reason, ends its lease: the tree need not be asked again.
        def serves(now: float) -> bool:
            nonlocal hits
            if now < entry.expires and now < entry.lease.until and begun is term:
                entry.used = True
                hits += 1.0
                return True
            return False

        return HeldProfile(found, serves)

    def rebind(new: Mapping[str, Tree]) -> None:
        nonlocal trees, hits, term
        trees, hits, term = new, 0.0, object()

    def release() -> None:
        nonlocal term
        term = object()

    return hold, rebind, lambda: int(hits), release


def _encoded(entry: Entry, now: float) -> EncodedProfile | None:
    """What an entry holds, if it may be served."""
    expires = entry.expires
    if now >= expires:
        return None
    data: bytes | Profile | None = entry.data
    if now >= entry.lease.until:
        return None
    raw = data if type(data) is bytes else b"{}" if data is None else data.json  # type: ignore[union-attr]
    return EncodedProfile(raw, data is not None, now - expires + entry.life, expires - now)
