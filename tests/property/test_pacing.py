"""Refreshes of one key keep their distance, however often it changes, and memory is bounded whatever changes."""

from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.core.backoff import Backoff
from edgeprofile.core.pacing import Pacing

GAP, ROOM = 1.0, 8
storms = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.floats(0, 0.6), st.floats(0, 0.3)), min_size=1, max_size=60
)


@given(storms)
def test_one_key_is_read_at_most_once_in_a_gap_and_always_after_a_change(storm):
    pacing, now, due, begun = Pacing(GAP, ROOM), 0.0, {}, {}
    for key, passed, late in storm:
        now += passed
        for other, when in [*due.items()]:
            if when + late <= now:
                del due[other]
                assert other not in begun or now - begun[other] >= GAP - 1e-9
                begun[other] = now
                pacing.begun(other, now)
        delay = pacing.ask(key, now)
        assert (delay is None) == (key in due)  # it changed: then it is read soon, by this change or an earlier one
        if delay is not None:
            assert 0.0 <= delay <= GAP
            due[key] = now + delay
        assert len(pacing) == len(due)


@given(st.lists(st.tuples(st.binary(max_size=1), st.floats(0, 0.2), st.booleans()), max_size=200))
def test_memory_is_bounded(changes):
    pacing, now = Pacing(GAP, ROOM), 0.0
    for key, passed, begin in changes:
        now += passed
        if pacing.ask(key, now) is not None and begin:
            pacing.begun(key, now)
        assert len(pacing) <= ROOM
        assert len(pacing._last) <= ROOM + 1


@given(st.floats(0.01, 10), st.floats(1, 100), st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=30))
def test_a_back_off_grows_to_its_cap_and_no_further(first, factor, chances):
    cap = first * factor
    backoff = Backoff(first, cap)
    due = first
    for chance in chances:
        assert due / 2 <= backoff.next(chance) <= due
        due = min(2 * due, cap)
    backoff.reset()
    assert backoff.next(0.0) == first / 2
