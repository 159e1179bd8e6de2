import pytest

from edgeprofile_sidecar.lane import Head, Lane, Rest, read_head

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
    """A service that has one answer for one body."""

    def at_once(self, authorization, body):
        from edgeprofile_sidecar.answers import Answer

        return Answer(200, b'{"n":1}') if (authorization, body) == ("Bearer ep_token", b"good") else None


class Counting:
    def __init__(self):
        self.seen = 0

    def answered(self, route, method, status, seconds):
        assert (route, method, status) == ("/v1/activation", "POST", 200)
        assert seconds >= 0
        self.seen += 1


@pytest.fixture
def lane():
    return Lane(Answering(), Counting(), lambda: b"today", 100)


def test_a_hot_request_is_answered(lane):
    taken = lane.answer(HOT + b"good")
    assert len(taken.answers) == 1
    assert taken.answers[0].endswith(b'\r\n\r\n{"n":1}')
    assert (taken.bytes, taken.rest) == (len(HOT) + 4, Rest.WHOLE)


def test_requests_in_a_row_are_answered_until_one_is_not_hot(lane):
    taken = lane.answer((HOT + b"good") * 2 + HOT + b"cold")
    assert (len(taken.answers), taken.bytes, taken.rest) == (2, 2 * (len(HOT) + 4), Rest.WHOLE)
    assert lane._counters.seen == 2


def test_what_follows_a_cold_request_is_not_looked_at(lane):
    taken = lane.answer(HOT + b"cold" + HOT + b"good")
    assert (taken.answers, taken.bytes, taken.rest) == ([], 0, Rest.UNCERTAIN)


def test_nothing_is_answered_that_arrives_with_something_uncertain(lane):
    assert lane.answer(HOT + b"good" + b"GET") == ([], 0, Rest.UNCERTAIN)


def test_more_than_a_mebibyte_of_answers_is_not_made_at_once(lane):
    size = len(lane.answer(HOT + b"good").answers[0])
    few = (1 << 20) // size
    assert len(lane.answer((HOT + b"good") * few).answers) == few
    assert lane.answer((HOT + b"good") * (few + 2)) == ([], 0, Rest.UNCERTAIN)


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
