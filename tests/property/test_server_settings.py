"""Notification flags and INFO, of any spelling."""

from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.core.flags import missing, with_missing
from edgeprofile.core.watch import fingerprint

ALL = "KEg$lshzxetdnmoc A".replace(" ", "")
flags = st.lists(st.sampled_from(ALL), unique=True).map("".join)
WATCHED = ("flushall", "flushdb", "swapdb", "debug", "replicaof", "slaveof")
lines = st.dictionaries(
    st.sampled_from(["run_id", "role", "uptime_in_seconds", *(f"cmdstat_{name}" for name in (*WATCHED, "hset"))]),
    st.integers(0, 10**9),
)


@given(flags)
def test_what_is_added_is_enough_takes_nothing_away_and_is_needed(given_flags):
    full = with_missing(given_flags)
    assert missing(full) == ""
    assert full.startswith(given_flags)
    assert all(missing(full.replace(letter, "")) for letter in missing(given_flags))


@given(flags, st.randoms())
def test_the_order_of_flags_says_nothing(given_flags, rng):
    shuffled = rng.sample(given_flags, len(given_flags))
    assert missing("".join(shuffled)) == missing(given_flags)


@given(flags)
def test_a_for_all_stands_for_its_letters(given_flags):
    assert missing(given_flags.replace("A", "g$lshzxetd")) == missing(given_flags)


def info(values):
    texts = {name: f"calls={value},usec=9" if name.startswith("cmdstat") else value for name, value in values.items()}
    return "\r\n".join(f"{name}:{text}" for name, text in texts.items())


@given(lines, lines)
def test_fingerprints_are_equal_when_what_is_watched_is(one, other):
    def watched(values):
        return [values.get(f"cmdstat_{name}", 0) for name in WATCHED], values.get("run_id"), values.get("role")

    assert (fingerprint(info(one)) == fingerprint(info(other))) == (watched(one) == watched(other))


@given(st.text())
def test_no_text_is_too_strange(text):
    assert fingerprint(text) == fingerprint(text)
