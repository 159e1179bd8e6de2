"""Which keys are cached is the same in Python and compiled, and is what one would find key by key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.core import held as module
from edgeprofile.core.held import held_here
from edgeprofile.speedups import compiled
from tests.support.memory import holds_and_loses_nothing

pytestmark = pytest.mark.limit(1800)  # at full depth, on a busy machine

needs_compiled = pytest.mark.skipif(compiled is None, reason="the compiled part was not built, or is not wanted")


class Text(str):
    """A text of a caller's own kind, whose comparison raises."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other):
        raise ZeroDivisionError


texts = st.text("ab:é\0😀", max_size=4)
prefixes = st.sampled_from(["w:d:user:id:", "w:d:user:", "é", "a\0", "\0", ""]).map(str.encode)
spaces = st.lists(st.tuples(prefixes, st.dictionaries(texts, st.none(), max_size=4)), max_size=4).map(tuple)


@st.composite
def cases(draw):
    """Spaces, and keys of which some are in them."""
    some = draw(spaces)
    known = [prefix + name.encode() for prefix, entries in some for name in entries]
    keys = st.binary(max_size=6) | st.builds(lambda prefix, end: prefix + end, prefixes, st.binary(max_size=4))
    if known:
        keys |= st.sampled_from(known) | st.lists(st.sampled_from(known), max_size=3).map(b"\0".join)
    return draw(st.lists(keys, max_size=9)), some


def one_by_one(keys, spaces):
    return [
        key
        for prefix, entries in spaces
        for key in keys
        if key.startswith(prefix) and key[len(prefix) :].decode("utf-8", "surrogateescape") in entries
    ]


@pytest.mark.parametrize("held", [held_here, module.held])
@given(case=cases())
def test_those_are_found_that_would_be_found_one_by_one(held, case):
    assert held(*case) == one_by_one(*case)


@pytest.mark.parametrize("held", [held_here, module.held])
def test_what_a_comparison_raises_is_raised(held):
    with pytest.raises(ZeroDivisionError):
        held([b"w:b", b"w:a"], ((b"w:", {Text("a"): None}),))


@needs_compiled
@pytest.mark.parametrize(
    "args",
    [
        ((), ()),
        ([], []),
        ([], ([],)),
        ([], ((b"",),)),
        ([], (("", {}),)),
        ([], ((b"", []),)),
        ([b"", "text"], ((b"", {}),)),
        ([],),
    ],
)
def test_other_kinds_are_refused(args):
    with pytest.raises(TypeError):
        compiled.held(*args)


@needs_compiled
def test_a_comparison_may_empty_the_keys():
    keys = [b"w:a", b"w:b", b"w:c"]

    class Emptying(Text):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other):
            keys.clear()
            return True

    assert compiled.held(keys, ((b"w:", {Emptying("a"): None}),)) == [b"w:a"]


@needs_compiled
def test_nothing_is_kept_that_was_only_looked_at():
    keys = [b"w:%d" % n for n in range(100)] + [b"w:\xff", b"other"]
    entries = {f"{n}": n for n in range(0, 100, 2)}
    raising = {Text("1"): None}
    spaces = ((b"w:", entries), (b"o", {}))
    watched = (*keys, *entries, entries, raising, spaces, spaces[0][0])

    def use():
        compiled.held(keys, spaces)
        with pytest.raises(ZeroDivisionError):
            compiled.held(keys, ((b"w:", raising),))

    holds_and_loses_nothing(use, watched)
