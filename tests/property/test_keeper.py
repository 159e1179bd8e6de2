"""A run of events does what the same events do one by one, whatever is cached under whatever names."""

from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.core.cache import ProfileCache
from edgeprofile.core.coherence import Authority
from edgeprofile.core.keeper import Found, Identity, Keeper, Policy
from edgeprofile.errors import InvalidIdentity
from edgeprofile.keys import EVENT_STREAM, Layout

LAYOUTS = (
    Layout("w", "d"),
    Layout("w", "d", legacy=True),
    Layout("w", "d", legacy=True, siblings=("user", "e")),
    Layout("w", "d", "p", EVENT_STREAM),
)
parts = st.one_of(st.sampled_from(["user", "a", "a:b", "b", ":", "d", "w", "é", "?"]), st.text("ab:?é\0", min_size=1))


class Source:
    id = "d"

    def __init__(self, layout):
        self.layout = layout

    def identities(self, key):
        for names in self.layout.identities(key):
            yield self.id, *names


@st.composite
def cases(draw):
    """A layout, identities to be cached, identities to be fetched, and keys to be told of."""
    layout = draw(st.sampled_from(LAYOUTS))
    stream = layout is LAYOUTS[-1]
    names = st.tuples(st.just("user"), st.just("user_id"), parts) if stream else st.tuples(parts, parts, parts)
    identities = names.map(lambda each: identity(layout, each)).filter(bool)
    cached, fetched = draw(st.lists(identities, max_size=6)), draw(st.lists(identities, max_size=4))
    known = [key for who in cached + fetched for key in who.keys]
    told = st.binary(max_size=9)
    if known:
        told |= st.sampled_from(known) | st.lists(st.sampled_from(known), max_size=3).map(b"\0".join)
    return layout, cached, fetched, draw(st.lists(told, max_size=8))


def identity(layout, names):
    try:
        return Identity("d", *names, layout.keys(*names))
    except InvalidIdentity:
        return None


def filled(cached, fetched):
    keeper = Keeper(ProfileCache(1 << 20, clock=lambda: 0.0), Policy(9.0, 9.0, 5.0), Authority(5.0))
    for who in cached:
        keeper.store(keeper.begin(who, 0.0), Found(b"{}"), 0.0)
    return keeper, [keeper.begin(who, 0.0) for who in fetched]


@given(cases())
def test_a_run_is_its_events_one_by_one(case):
    layout, cached, fetched, told = case
    source = Source(layout)
    together, some = filled(cached, fetched)
    alone, others = filled(cached, fetched)
    dropped = together.touched(source, told)
    expected = [entry for key in told for entry in alone.changed(source.identities(key), key)]
    assert sorted(map(name, dropped)) == sorted(map(name, expected))
    assert [fill.poisoned for fill in some] == [fill.poisoned for fill in others]
    for who in cached + fetched:
        assert (together.find(who, 1.0) is None) == (alone.find(who, 1.0) is None)
        assert (together.join(who, 1.0) is None) == (alone.join(who, 1.0) is None)


@given(cases())
def test_nothing_outlives_an_event_for_a_key_of_its_own(case):
    layout, cached, fetched, told = case
    keeper, _ = filled(cached, fetched)
    keeper.touched(Source(layout), told)
    for who in cached + fetched:
        if set(who.keys) & set(told):
            assert keeper.find(who, 1.0) is None
            assert keeper.join(who, 1.0) is None


def name(entry):
    return (*entry.home, entry.value)
