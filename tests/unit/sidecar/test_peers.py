"""Callers with wrong tokens: slowed down one by one, and remembered within bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile_sidecar.peers import Peers, peer


def test_failures_within_the_allowance_are_not_early():
    peers = Peers(3)
    assert [peers.failed("a", 0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert peers.failed("a", 0.0) == pytest.approx(20.0)


def test_who_waits_as_told_is_not_early():
    peers = Peers(3)
    for _ in range(3):
        peers.failed("a", 0.0)
    early = peers.failed("a", 5.0)
    assert early == pytest.approx(15.0)
    assert peers.failed("a", 5.0 + early) == 0.0
    assert peers.failed("a", 5.0 + early) > 0.0


def test_who_only_asks_is_not_counted():
    peers = Peers(2)
    peers.failed("a", 0.0)
    assert [peers.early("a", 0.0) for _ in range(5)] == [0.0] * 5
    peers.failed("a", 0.0)
    assert peers.early("a", 0.0) == pytest.approx(30.0)
    assert peers.early("b", 0.0) == 0.0
    assert len(peers) == 1


def test_callers_do_not_pay_for_each_other():
    peers = Peers(1)
    assert (peers.failed("a", 0.0), peers.failed("b", 0.0)) == (0.0, 0.0)
    assert peers.failed("a", 0.0) > 0.0


def test_what_is_remembered_is_bounded_and_the_latest_stay():
    peers = Peers(1, most=3)
    for who in "abcde":
        peers.failed(who, 0.0)
    assert len(peers) == 3
    assert peers.failed("e", 0.0) > 0.0
    assert peers.failed("a", 0.0) == 0.0


@given(st.integers(1, 100), st.lists(st.floats(0.0, 5.0), max_size=200))
def test_never_more_in_a_minute_than_twice_the_allowance(per_minute, pauses):
    peers, now, let = Peers(per_minute), 0.0, []
    for pause in pauses:
        now += pause
        if not peers.failed("a", now):
            let.append(now)
    for begin in let:
        assert sum(begin <= moment < begin + 60.0 for moment in let) <= 2 * per_minute + 1


@pytest.mark.parametrize(
    ("address", "who"),
    [
        (("10.0.0.7", 41), "10.0.0.7"),
        (("2001:db8::1", 41, 0, 0), "20010db800000000"),
        (("2001:db8::ffff:2", 41, 0, 0), "20010db800000000"),
        (("fe80::1%eth0", 41, 0, 2), "fe80000000000000"),
        ("", "unix"),
        (None, "unix"),
        (("odd", 1), "odd"),
    ],
)
def test_whom_an_address_stands_for(address, who):
    assert peer(address) == who
