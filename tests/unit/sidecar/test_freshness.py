"""The headers that say how fresh an answer is, and the tags by which nobody is told the same twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprofile import EncodedProfile
from edgeprofile_sidecar.answers import UNAVAILABLE, Answer
from edgeprofile_sidecar.freshness import headers, tag, unless

ANSWER = Answer(200, b"{}", b'ETag: "a1"\r\n', b'"a1"')


@pytest.mark.parametrize(
    ("found", "status", "age", "timing"),
    [
        (EncodedProfile(b"", True, 12.9, 287.9), b"hit; ttl=287", 12, b"cache;desc=hit"),
        (EncodedProfile(b"", False, 0.1, 0.2), b"hit; ttl=0", 0, b"cache;desc=hit"),
        (
            EncodedProfile(b"", True, 301.0, -1.2, stale=True),
            b"hit; ttl=-2; detail=stale-if-error",
            301,
            b"cache;desc=stale",
        ),
        (EncodedProfile(b"", True, 0.01, 299.9, hit=False), b"fwd=miss; stored", 0, b"redis;dur=1.250"),
        (EncodedProfile(b"", True, 0.01, 0.0, hit=False), b"fwd=miss", 0, b"redis;dur=1.250"),
    ],
)
def test_where_it_came_from_and_how_old_it_is(found, status, age, timing):
    lines = (b"Cache-Status: edgeprofile; %b" % status, b"Age: %d" % age, b'ETag: "a1"', b"Server-Timing: %b" % timing)
    assert headers(found, b'"a1"', 0.00125) == b"".join(b"%b\r\n" % line for line in lines)


@given(st.binary(), st.binary())
def test_equal_data_has_equal_tags_and_other_data_has_others(one, other):
    assert tag(one) == tag(bytes(bytearray(one)))
    assert (tag(one) == tag(other)) == (one == other)


def test_a_tag_is_short_quoted_ascii_and_the_same_in_every_process():
    assert tag(b"{}") == b'"bf78e4a953b40eee238ca2e9"'


@pytest.mark.parametrize("sent", ['"a1"', 'W/"a1"', '"b2", "a1"', '"b2",W/"a1" , "c"', "*", " * "])
def test_what_the_caller_has_is_not_sent_again(sent):
    assert unless(ANSWER, [sent]) == Answer(304, b"", ANSWER.headers)


@pytest.mark.parametrize("sent", ["", '"a"', '"A1"', "a1", '"b2", "c"', "w/", '"*"', '"b2, "a1'])
def test_everything_else_is(sent):
    assert unless(ANSWER, [sent]) is ANSWER


def test_several_headers_are_one_list():
    assert unless(ANSWER, ['"b2"', '"a1"']).status == 304


def test_what_has_no_tag_is_sent():
    assert unless(UNAVAILABLE, ["*"]) is UNAVAILABLE
