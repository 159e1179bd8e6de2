"""The checker against its own definition written out, and over histories that are legal by construction."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from tests.support.history import ABSENT, Read, Write, check

BOUND = 3
instants = st.integers(0, 30)


@st.composite
def writes(draw):
    begin, length = draw(instants), draw(st.one_of(st.integers(0, 6), st.just(inf)))
    return Write(draw(st.sampled_from("ab")), draw(st.integers(0, 3)), begin, begin + length)


@st.composite
def reads(draw):
    begin = draw(instants)
    return Read(draw(st.sampled_from("ab")), draw(st.integers(0, 4)), begin, begin + draw(st.integers(0, 6)))


def may_be_visible(write, others, instant):
    replaced = min((o.acknowledged for o in others if o is not write and after(o, write)), default=inf)
    return write.sent <= instant <= replaced


def after(other, write):
    """Whether it certainly took effect later; of two at one and the same instant, neither did."""
    return other.sent >= write.acknowledged and (other.sent, other.acknowledged) > (write.sent, write.acknowledged)


def is_legal(read, history):
    mine = [Write(read.key, ABSENT, -inf, -inf), *(w for w in history if w.key == read.key)]
    window = [instant / 2 for instant in range(2 * (read.begin - BOUND), 2 * read.end + 1)]
    return any(may_be_visible(w, mine, t) for w in mine if w.version == read.version for t in window)


@given(st.lists(writes(), max_size=8), reads())
def test_the_checker_agrees_with_the_definition(history, read):
    distinct = list({(w.key, w.sent, w.acknowledged): w for w in history}.values())
    assert (not check(distinct, [read], BOUND).violations) == is_legal(read, distinct)


@st.composite
def legal_histories(draw):
    """One writer whose versions take effect at known instants, and readers that look back no further than the bound."""
    log, effects, now = [], [(-inf, ABSENT)], 0
    for number in range(1, draw(st.integers(1, 6))):
        sent = now + draw(st.integers(0, 4))
        effect = sent + draw(st.integers(0, 4))
        now = effect + draw(st.integers(0, 4))
        version = draw(st.sampled_from([number, ABSENT]))
        log.append(Write("k", version, sent, now))
        effects.append((effect, version))
    return log, [draw(legal_reads(effects)) for _ in range(draw(st.integers(1, 8)))]


@st.composite
def legal_reads(draw, effects):
    begin = draw(st.integers(-5, 60))
    served = begin + draw(st.integers(0, 5))
    end = served + draw(st.integers(0, 5))
    looked = served - draw(st.integers(0, BOUND))
    seen = [version for effect, version in effects if effect <= looked][-1]
    return Read("k", seen, begin, end)


@given(legal_histories())
def test_a_legal_history_has_no_violation(history):
    log, seen = history
    check(log, seen, BOUND).raise_if_any()


@given(legal_histories(), st.integers(0, 7), st.integers(1, 50))
def test_one_planted_stale_read_is_found_among_legal_ones(history, position, late):
    log, seen = history
    sent = 1_000
    log += [Write("k", 100, sent, sent + 1), Write("k", 101, sent + 10, sent + 11)]
    planted = Read("k", 100, sent + 11 + BOUND + late, sent + 11 + BOUND + late)
    seen.insert(position, planted)
    assert [v.read for v in check(log, seen, BOUND).violations] == [planted]
