"""The bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from edgeprofile_sidecar.recent import Recent


@given(st.integers(min_value=1, max_value=5), st.lists(st.tuples(st.integers(0, 9), st.integers())))
def test_it_is_bounded_and_what_it_remembers_is_true(size, puts):
    recent, put = Recent(size), {}
    for key, value in puts:
        assert recent.put(key, value) == value
        put[key] = value
        assert len(recent) <= size
        assert recent[key] == value
        assert recent.items() <= put.items()
