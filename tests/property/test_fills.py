"""Fill tokens against a model: a fetch may be stored if nothing happened to any of its keys since it was opened."""

from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.core.fills import Fill, Fills

keys = st.sampled_from([b"a", b"b", b"c"])
steps = st.one_of(
    st.tuples(st.just("open"), st.lists(keys, min_size=1, max_size=2, unique=True).map(tuple)),
    st.tuples(st.just("poison"), keys),
    st.tuples(st.just("poison_all"), st.none()),
    st.tuples(st.just("close"), st.integers(0, 9)),
)


@given(st.lists(steps, max_size=40))
def test_any_history(history):
    fills, opened, live = Fills(), [], set()
    for step, what in history:
        if step == "open":
            fill = Fill(len(opened), what, 0.0, None)
            live = {other for other in live if not set(other.keys) & set(what)}
            fills.open(fill)
            opened.append(fill)
            live.add(fill)
        elif step == "poison":
            struck = {fill for fill in live if what in fill.keys}
            assert fills.poison(what) is bool(struck)
            live -= struck
        elif step == "poison_all":
            assert fills.poison_all() == len(live)
            live = set()
        elif what < len(opened):
            assert fills.close(opened[what]) is (opened[what] in live)
            live.discard(opened[what])
        assert set(fills) == live
        assert len(fills) == len(live)
        assert set(fills.keys()) == {key for fill in live for key in fill.keys}
        assert all(fills.live(key) is fill for fill in live for key in fill.keys)
        assert not any(fill.poisoned for fill in live)
