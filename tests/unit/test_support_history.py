"""The checker finds each planted violation, names it, and excuses what is declared."""

from math import inf

import pytest

from tests.support.history import ABSENT, Read, Report, Violation, Write, check

BOUND = 1.0
WRITES = [Write("k", 1, 10.0, 10.1), Write("k", 2, 20.0, 20.1), Write("k", 3, 30.0, 30.1)]


def kinds(writes, *reads, bound=BOUND, **options):
    return [violation.kind for violation in check(writes, reads, bound, **options).violations]


@pytest.mark.parametrize(
    ("version", "begin", "end"),
    [
        pytest.param(1, 10.05, 10.06, id="visible before it is acknowledged"),
        pytest.param(1, 5.0, 10.0, id="sent at the very end of a long read"),
        pytest.param(1, 15.0, 15.0, id="the latest"),
        pytest.param(1, 20.05, 20.06, id="the new one not yet acknowledged"),
        pytest.param(1, 21.1, 21.2, id="exactly the bound after the new one"),
        pytest.param(2, 20.0, 20.0, id="at the very instant of sending"),
        pytest.param(ABSENT, 0.0, 1.0, id="before the first write"),
        pytest.param(ABSENT, 11.1, 11.1, id="absent until the bound after the first write"),
        pytest.param(3, 1e9, 1e9, id="the last write stays"),
    ],
)
def test_legal_reads(version, begin, end):
    assert kinds(WRITES, Read("k", version, begin, end)) == []


@pytest.mark.parametrize(
    ("kind", "version", "begin", "end"),
    [
        pytest.param("stale", 1, 21.11, 21.2, id="begun more than the bound after the next was acknowledged"),
        pytest.param("stale", 1, 31.2, 31.2, id="two versions behind"),
        pytest.param("stale", ABSENT, 11.2, 11.2, id="absent after the first write"),
        pytest.param("unwritten", 2, 19.0, 19.9, id="ended before it was sent"),
        pytest.param("unwritten", 4, 40.0, 40.0, id="never written"),
    ],
)
def test_planted_violations(kind, version, begin, end):
    assert kinds(WRITES, Read("k", version, begin, end)) == [kind]


def test_a_key_that_was_never_written_is_absent():
    assert kinds([], Read("k", ABSENT, 0, 1), Read("k", 1, 0, 1)) == ["unwritten"]


def test_the_versions_of_another_key_do_not_count():
    assert kinds([*WRITES, Write("other", 9, 0, 1)], Read("k", 9, 50, 51)) == ["unwritten"]


@pytest.mark.parametrize("defect", ["torn", "mixed up"])
def test_defects_count_whatever_the_version_and_the_mark(defect):
    read = Read("k", 1, 15, 15, True, defect, "fields disagree")
    (violation,) = check(WRITES, [read], BOUND).violations
    assert violation == Violation(defect, read, "fields disagree")


def test_answers_marked_stale_may_be_old_but_not_invented():
    assert kinds(WRITES, Read("k", 1, 90, 91, stale=True)) == []
    assert kinds(WRITES, Read("k", 7, 90, 91, stale=True)) == ["unwritten"]


def test_excused_intervals_hold_for_reads_that_begin_in_them():
    reads = [Read("k", 1, begin, begin) for begin in (39.9, 40, 50, 50.1)]
    found = check(WRITES, reads, BOUND, excused=[(0, 1), (40, 50)])
    assert [violation.read.begin for violation in found.violations] == [39.9, 50.1]


def test_deletions_make_absence_legal_again_for_a_while():
    writes = [*WRITES, Write("k", ABSENT, 40, 40.1), Write("k", 4, 50, 50.1)]
    assert kinds(writes, Read("k", ABSENT, 45, 45), Read("k", ABSENT, 51, 51), Read("k", ABSENT, 40, 40)) == []
    assert kinds(writes, Read("k", ABSENT, 35, 35), Read("k", ABSENT, 51.2, 51.2)) == ["stale", "stale"]
    assert kinds(writes, Read("k", 3, 41.2, 41.2)) == ["stale"]


def test_an_old_version_may_come_back():
    writes = [*WRITES, Write("k", 1, 40, 41)]
    assert kinds(writes, Read("k", 1, 45, 45), Read("k", 3, 42, 42)) == []
    assert kinds(writes, Read("k", 1, 25, 25), Read("k", 3, 42.1, 42.1)) == ["stale", "stale"]


def test_a_write_of_unknown_outcome_may_be_seen_at_any_later_time_and_hides_nothing():
    writes = [Write("k", 1, 10, 11), Write("k", 2, 20), Write("k", 3, 30, 31)]
    assert kinds(writes, Read("k", 2, 99, 99), Read("k", 1, 32, 32), Read("k", 3, 99, 99)) == []
    assert kinds(writes, Read("k", 2, 19, 19), Read("k", 1, 32.1, 33)) == ["unwritten", "stale"]


def test_writes_that_overlap_may_take_effect_in_either_order():
    writes = [Write("k", 1, 10, 13), Write("k", 2, 11, 12)]
    assert kinds(writes, Read("k", 1, 99, 99), Read("k", 2, 99, 99)) == []
    assert kinds([*writes, Write("k", 3, 13, 14)], Read("k", 1, 16, 16), Read("k", 2, 16, 16)) == ["stale", "stale"]


def test_writes_may_come_in_any_order_and_at_the_same_instant():
    writes = [Write("k", 2, 5, 5), Write("k", 1, 5, 5)][::-1]
    assert kinds(writes, Read("k", 2, 50, 50)) == []
    assert kinds(WRITES[::-1], Read("k", 1, 50, 50)) == ["stale"]


def test_staleness_is_measured():
    reads = [Read("k", 1, 15, 15), Read("k", 1, 20.6, 21), Read("k", 1, 23.1, 24), Read("k", 1, 99, 99, stale=True)]
    report = check(WRITES, reads, bound=5)
    assert report.staleness == pytest.approx((0, 0.5, 3))
    assert [report.quantile(q) for q in (0, 0.5, 0.67, 1)] == pytest.approx([0, 0.5, 3, 3])
    assert Report().quantile(0.99) == 0


def test_reports_add_up_and_show_what_is_wrong():
    clean = check(WRITES, [Read("k", 1, 15, 15)], BOUND)
    assert clean.raise_if_any() is clean
    both = clean + check(WRITES, [Read("k", 1, 25, 25.5)], BOUND)
    assert (both.reads, len(both.violations), len(both.staleness)) == (2, 1, 2)
    message = (
        "1 violations in 2 reads, among them\n  stale: 'k' read at 25.000000-25.500000 s: "
        "version 1 was replaced at 20.100000 s at the latest, 4.900000 s before (bound 1 s)"
    )
    with pytest.raises(AssertionError) as caught:
        both.raise_if_any()
    assert str(caught.value) == message


def test_writes_without_an_answer_are_of_unknown_outcome():
    assert Write("k", 1, 5).acknowledged == inf
