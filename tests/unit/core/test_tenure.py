"""What follows from what a primary says it owns."""

import pytest

from edgeprofile.core.cache import ProfileCache
from edgeprofile.core.coherence import Authority
from edgeprofile.core.keeper import Keeper, Policy
from edgeprofile.core.slots import Claims
from edgeprofile.core.tenure import Departed, Tenure


@pytest.fixture
def keeper():
    return Keeper(ProfileCache(1 << 20, clock=lambda: 0.0), Policy(100.0, 20.0, 4.0), Authority(4.0))


@pytest.fixture
def tenure(keeper):
    made = Tenure(keeper)
    assert not made.confirmed(claims("0-9"))
    return made


def claims(*slots, epoch=1, name="a", flags="myself,master"):
    return Claims((name.encode(), flags.encode(), b"%d" % epoch, *(part.encode() for part in slots)))


def test_what_stays_the_same_costs_nothing(tenure):
    assert not tenure.is_new(claims("0-9"))
    assert not tenure.confirmed(claims("0-9"))
    assert tenure.is_new(claims("0-8"))


def test_what_is_gone_is_to_be_dropped_once(tenure):
    assert tenure.confirmed(claims("0-7")) == {8, 9}
    assert not tenure.confirmed(claims("0-7"))


def test_what_is_leaving_is_to_be_dropped_when_it_is_first_seen_and_when_it_is_gone(tenure, keeper):
    assert tenure.confirmed(claims("0-9", "[3->-b]")) == {3}
    assert keeper.leaving == {3}
    assert tenure.confirmed(claims("0-9", "[3->-b]", "[4->-b]")) == {4}
    assert tenure.confirmed(claims("0-2", "4-9", "[4->-b]")) == {3}
    assert not tenure.confirmed(claims("0-2", "4-9"))
    assert not keeper.leaving


def test_what_comes_puts_all_in_doubt(tenure, keeper):
    lease = keeper.authority.lease
    assert not tenure.confirmed(claims("0-9", epoch=2))
    assert keeper.authority.lease is not lease


def test_a_new_epoch_of_the_feed_owes_nothing(tenure, keeper):
    tenure.begin()
    lease = keeper.authority.lease
    assert not tenure.confirmed(claims("5", "[5->-b]", epoch=7, name="b"))
    assert keeper.authority.lease is lease
    assert keeper.leaving == {5}


@pytest.mark.parametrize(
    "now", [claims(), claims("0-9", flags="myself,slave"), claims("0-9", name="b"), claims("0-9", name="b", epoch=2)]
)
def test_who_owns_nothing_or_is_somebody_else_vouches_for_nothing(tenure, now):
    with pytest.raises(Departed):
        tenure.confirmed(now)
