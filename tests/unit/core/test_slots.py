"""What a node says of itself, and the map of the slots."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile.core.slots import SLOTS, Claims, SlotMap, slot, slots_after, tag_in

ME = b"e7d1 10.0.0.1:30001@31001,hostname1 myself,master - 0 1426238316232 7 connected 0-2 5 [1->-0292] [77-<-6ec2]\n"
OTHER = b"0292 10.0.0.2:30002@31002,hostname2 master - 0 1426238317239 3 connected 6-16383\n"
LATER = ME.replace(b"0 1426238316232", b"1426238317239 1426238317240")
REPLICA = b"e7d1 10.0.0.1:30001@31001 myself,slave 0292 0 1426238316232 7 connected"


def test_what_a_primary_owns_and_what_of_it_is_leaving():
    claims = Claims.parse(OTHER + ME)
    assert claims.name == b"e7d1"
    assert claims.epoch == 7
    assert claims.slots == {0, 1, 2, 5}
    assert claims.leaving == {1}, "what comes to it is not its own yet"


def test_claims_are_the_same_whatever_the_time_and_the_other_nodes_are():
    assert Claims.parse(ME + OTHER) == Claims.parse(LATER)
    assert Claims.parse(ME) != Claims.parse(ME.replace(b" 7 ", b" 8 "))
    assert Claims.parse(ME) != Claims.parse(ME.replace(b" 0-2", b" 0-3"))


def test_a_replica_owns_nothing():
    assert Claims.parse(OTHER + REPLICA).slots == frozenset()


@pytest.mark.parametrize("reply", [b"", OTHER, b"x myself,master - 0", 5, None, [b"x"], ME.replace(b" 7 ", b" x ")])
def test_anything_else_is_refused(reply):
    with pytest.raises((ValueError, TypeError, AttributeError)):
        Claims.parse(reply)


def test_a_tag_leads_to_its_slots():
    assert slot(b"x{" + tag_in({77}).encode() + b"}") == 77
    with pytest.raises(LookupError):
        tag_in(())


@given(st.tuples(*[st.text(alphabet="a{}:", max_size=6).map(str.encode)] * 2))
def test_slots_after_a_prefix_are_those_of_the_whole_keys(parts):
    prefix, rest = parts
    assert slots_after(prefix)(rest) == slot(prefix + rest)


def test_a_map_is_corrected_one_slot_at_a_time():
    there = SlotMap.parse([[0, SLOTS - 1, [b"h", 1, b"id"]]], ("asked", 7))
    assert there.complete
    assert there.with_owner(5, ("g", 2)).of(("g", 2)) == {5}
    assert SlotMap.parse([[3, 4, [b"", 1, b"id"]]], ("asked", 7)).addresses == [("asked", 1)]
