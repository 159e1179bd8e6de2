import asyncio
import time

import pytest

from edgeprofile_sidecar.answers import Answer
from edgeprofile_sidecar.counters import Counters
from edgeprofile_sidecar.deadlines import Deadlines
from edgeprofile_sidecar.lane import Head, Lane, Rest, Taken, read_head
from edgeprofile_sidecar.service import Standing

HOT = (
    b"POST /v1/activation HTTP/1.1\r\n"
    b"Host: sidecar\r\n"
    b"Authorization: Bearer ep_token\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Length: 4\r\n\r\n"
)


def with_line(line):
    return HOT[:-2] + line + b"\r\n\r\n"


def test_a_plain_hot_head():
    assert read_head(HOT) == Head(4, "/v1/activation", "Bearer ep_token")
    assert read_head(HOT.replace(b"/v1/", b"/v2/")) == Head(4, "/v2/activation", "Bearer ep_token")


@pytest.mark.parametrize(
    "line", [b"User-Agent: x", b"accept: */*", b"Accept-Encoding: gzip, br", b"Connection: keep-alive", b"Accept:"]
)
def test_headers_that_change_nothing(line):
    assert read_head(with_line(line)) == read_head(HOT)


@pytest.mark.parametrize(
    "line",
    [b"If-None-Match: x", b"X-Request-Id: 7", b"Origin: http://x", b"traceparent: 00", b"Content-Encoding: gzip"],
)
def test_headers_that_the_lane_knows_nothing_of(line):
    assert read_head(with_line(line)) == Head(4)


@pytest.mark.parametrize(
    "line",
    [
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
        b"Upgrade: websocket",
        b"Connection: close",
        b"Connection: upgrade",
        b"TE: trailers",
        b"Content-Length: 4",
        b"Host: other",
        b"Authorization: Bearer other",
        b" folded: line",
        b"no colon",
        b"spaced : name",
        b"tab:\tvalue",
        b"high: \xff",
        b"nul: \0",
        b"bare: \n",
        b"",
    ],
)
def test_heads_whose_end_or_meaning_is_not_certain(line):
    assert read_head(with_line(line)) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Content-Length: 4", b"Content-Length: +4"),
        (b"Content-Length: 4", b"Content-Length: 4, 4"),
        (b"Content-Length: 4", b"Content-Length: 0x4"),
        (b"Content-Length: 4", b"Content-Length: 99999999"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"POST /v1", b"POST  /v1"),
        (b"POST /v1", b"BREW /v1"),
        (b"Host: sidecar\r\n", b""),
        (b"\r\nHost", b"\nHost"),
    ],
)
def test_requests_that_are_not_plain(old, new):
    assert read_head(HOT.replace(old, new)) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"/v1/activation", b"/v1/activation?x"),
        (b"POST /v1/activation", b"GET /v2/profiles/user/email/x"),
        (b"Authorization: Bearer ep_token\r\n", b""),
        (b"application/json", b"text/plain"),
    ],
)
def test_requests_whose_end_is_certain_but_which_are_not_hot(old, new):
    assert read_head(HOT.replace(old, new)) == Head(4)


class Answering:
    """A service that has one answer for one body, which stands for as long as ``stands``; another's has to arrive."""

    def __init__(self, defect=None):
        self.stands = True
        self.asked = 0
        self.arrives = asyncio.Event()
        self.defect = defect

    def at_once(self, authorization, body):
        if authorization != "Bearer ep_token":
            return None
        return Answer(200, b'{"n":1}') if body.strip() == b"good" else QUESTION if body == b"miss" else None

    def standing(self, authorization, body):
        assert (authorization, body) == ("Bearer ep_token", b"good")
        self.asked += 1
        return Standing(Answer(200, b'{"n":%d}' % self.asked), lambda _now: self.stands) if self.stands else None

    async def fetch(self, question):
        assert question is QUESTION
        if self.defect is not None:
            raise self.defect
        await self.arrives.wait()
        return Answer(200, b'{"n":2}')


QUESTION = object()


@pytest.fixture
def lane():
    return Lane(Answering(), Counters(), lambda: b"today", 100, Deadlines(10))


def seen(lane, status=200):
    return lane._counters.requests.get(("/v1/activation", "POST", status), 0)


def test_a_hot_request_is_answered(lane):
    taken = lane.answer(HOT + b"good")
    assert len(taken.answers) == 1
    assert taken.answers[0].endswith(b'\r\n\r\n{"n":1}')
    assert (taken.bytes, taken.rest) == (len(HOT) + 4, Rest.WHOLE)


def test_requests_in_a_row_are_answered_until_one_is_not_hot(lane):
    taken = lane.answer((HOT + b"good") * 2 + HOT + b"cold")
    assert (len(taken.answers), taken.bytes, taken.rest) == (2, 2 * (len(HOT) + 4), Rest.WHOLE)
    assert seen(lane) == 2


def test_what_follows_a_cold_request_is_not_looked_at(lane):
    taken = lane.answer(HOT + b"cold" + HOT + b"good")
    assert taken == Taken([], 0, Rest.UNCERTAIN)


@pytest.mark.parametrize("behind", [b"GET", b"GARBAGE\r\n\r\n", HOT[:-2], HOT.replace(b"Host", b"Expect") + b"good"])
def test_what_is_certain_is_answered_and_what_follows_is_left(lane, behind):
    taken = lane.answer((HOT + b"good") * 2 + behind)
    assert (len(taken.answers), taken.bytes, taken.rest) == (2, 2 * (len(HOT) + 4), Rest.UNCERTAIN)
    assert seen(lane) == 2


def test_more_than_a_mebibyte_of_answers_is_not_made_at_once(lane):
    size = len(lane.answer(HOT + b"good").answers[0])
    few = (1 << 20) // size
    assert len(lane.answer((HOT + b"good") * few).answers) == few
    taken = lane.answer((HOT + b"good") * (few + 9))
    assert (len(taken.answers), taken.bytes, taken.rest) == (few + 1, (few + 1) * (len(HOT) + 4), Rest.UNCERTAIN)


@pytest.mark.parametrize("cut", range(len(HOT), len(HOT) + 4))
def test_the_body_of_a_hot_request_is_awaited(lane, cut):
    assert lane.answer((HOT + b"good")[:cut]).rest is Rest.AWAITED


@pytest.mark.parametrize("cut", range(1, len(HOT)))
def test_a_head_is_not_awaited(lane, cut):
    assert lane.answer(HOT[:cut]).rest is Rest.UNCERTAIN


def test_a_body_that_is_too_large_is_not_awaited(lane):
    large = HOT.replace(b"Content-Length: 4", b"Content-Length: 101")
    assert lane.answer(large).rest is Rest.UNCERTAIN
    assert lane.answer(large + b"x" * 101).rest is Rest.WHOLE


def test_when_requests_are_refused_their_ends_are_still_found(lane):
    taken = lane.answer(HOT + b"good", free=False)
    assert (taken.answers, taken.bytes, taken.rest) == ([], 0, Rest.WHOLE)
    assert lane.answer(HOT, free=False).rest is Rest.UNCERTAIN


def test_the_same_bytes_again_get_the_same_answer_without_being_read(lane):
    assert lane.again(HOT + b"good") is None
    lane.answer(HOT + b"good")
    first = lane.again(HOT + b"good")
    assert first.endswith(b'\r\n\r\n{"n":1}')
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nDate: today\r\n" in first
    assert lane.again(HOT + b"good") is first
    assert lane._service.asked == 1
    assert seen(lane) == 3


def test_an_answer_that_stands_no_more_is_made_anew_or_left(lane):
    lane.answer(HOT + b"good")
    lane.again(HOT + b"good")
    lane._service.stands = False
    assert lane.again(HOT + b"good") is None
    lane._service.stands = True
    assert lane.again(HOT + b"good").endswith(b'{"n":1}')
    lane._known[HOT + b"good"].gives = lambda _now: False
    assert lane.again(HOT + b"good").endswith(b'{"n":3}')


def test_only_what_was_answered_here_and_alone_is_known_again(lane):
    for data in ((HOT + b"good") * 2, HOT + b"cold", HOT + b"goo", HOT + b"good" + b"GET"):
        lane.answer(data)
        assert lane.again(data) is None
    lane.answer(HOT + b"good", free=False)
    assert lane.again(HOT + b"good") is None
    assert not lane._known


def test_a_large_body_is_answered_and_not_kept(lane):
    lane._max_body = 1_000
    for size, kept in ((512, True), (513, False)):
        body = b" " * (size - 4) + b"good"
        data = HOT.replace(b"Content-Length: 4", b"Content-Length: %d" % size) + body
        assert lane.answer(data).bytes == len(data)
        assert (data in lane._known) is kept


def test_what_is_known_is_bounded(lane):
    for number in range(1_500):
        lane.answer(with_line(b"User-Agent: %d" % number) + b"good")
    assert 0 < len(lane._known) <= 1_024


def test_slow_answers_are_counted_where_they_belong(lane, monkeypatch):
    lane.answer(HOT + b"good")
    moments = iter([1.0, 1.000_01, 2.0, 2.002])
    monkeypatch.setattr("edgeprofile_sidecar.lane.monotonic", lambda: next(moments))
    lane.again(HOT + b"good")
    lane.again(HOT + b"good")
    histogram = lane._counters.durations["/v1/activation", "POST", 200]
    assert histogram.counts[5] == 1
    assert histogram.total >= 0.002_01


def test_a_request_that_redis_must_be_asked_for_ends_the_row(lane):
    taken = lane.answer(HOT + b"good" + HOT + b"miss")
    assert (len(taken.answers), taken.bytes, taken.rest) == (1, 2 * (len(HOT) + 4), Rest.WHOLE)
    assert (taken.asked.question, taken.asked.route) == (QUESTION, "/v1/activation")


def test_nobody_asks_redis_while_something_follows_or_requests_are_refused(lane):
    assert lane.answer(HOT + b"miss" + HOT + b"good") == Taken([], 0, Rest.UNCERTAIN)
    assert lane.answer(HOT + b"miss", free=False) == Taken([], 0, Rest.WHOLE)
    assert lane.answer(HOT.replace(b"ep_token", b"ep_other") + b"miss") == Taken([], 0, Rest.WHOLE)


def fetched(lane, *, closing=False, arrives=True):
    async def fetch():
        lane._service.arrives = asyncio.Event()
        asking = asyncio.create_task(lane.fetch(lane.answer(HOT + b"miss").asked, lambda: closing))
        await asyncio.sleep(0)
        assert lane._counters.in_flight == (lane._service.defect is None)
        if arrives:
            lane._service.arrives.set()
        else:
            lane._deadlines.expire(time.monotonic() + 60)
        return await asking

    return asyncio.run(fetch())


def test_an_answer_that_was_fetched_is_like_any_other(lane):
    wire = fetched(lane)
    assert wire == lane.answer(HOT + b"good").answers[0].replace(b'{"n":1}', b'{"n":2}')
    assert seen(lane) == 2
    assert lane._counters.in_flight == 0


def test_the_last_answer_says_so(lane):
    assert b"\r\nConnection: close\r\n" in fetched(lane, closing=True)


def test_an_answer_that_takes_too_long_is_504(lane):
    assert fetched(lane, arrives=False).startswith(b"HTTP/1.1 504 ")
    assert (seen(lane, 504), lane._counters.in_flight) == (1, 0)


def test_a_defect_is_500_and_is_logged_by_its_place(caplog):
    lane = Lane(Answering(KeyError("ada@example.com")), Counters(), lambda: b"today", 100, Deadlines(10))
    assert fetched(lane).startswith(b"HTTP/1.1 500 ")
    assert (seen(lane, 500), lane._counters.in_flight) == (1, 0)
    (record,) = caplog.records
    assert record.__dict__["error"] == "KeyError"
    assert "ada@example.com" not in caplog.text
