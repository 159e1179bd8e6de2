"""The fast lane and aiohttp's own way answer every request alike, however it arrives: two sidecars, the same bytes."""

import itertools
import json
import os
import re
from contextlib import ExitStack, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.sidecar import configuration, connect, running, token

PROFILES = {"user": {"email": {"ada": {"m": {"a": 1}}, "bob": {"m": {"b": "\u00e9"}}}}}
SCOPED, EVERYTHING = "ep_scoped", "ep_everything"
TOKEN = EVERYTHING.encode()
VARYING = re.compile(rb"(?m)^(?:Date|Age|Cache-Status|Server-Timing): .*\r\n")

ANSWER = re.compile(rb"(?s)HTTP/1\.1 (\d+) .*?\r\nContent-Length: (\d+)\r\n.*?\r\n\r\n")

DEEP = os.environ.get("EDGEPROFILE_TEST_DEPTH") == "deep"


@pytest.fixture(scope="module")
def sidecars(tmp_path_factory):
    with ExitStack() as stack:
        started = []
        for lane in (True, False):
            home = tmp_path_factory.mktemp(f"lane-{lane}")
            (home / "profiles.json").write_text(json.dumps(PROFILES))
            tokens = (token(EVERYTHING), token(SCOPED, ("2Dest",)))
            config = configuration(home, "127.0.0.1:1", *tokens, sidecar={"fastLane": lane, "maxBodyBytes": "1KiB"})
            started.append(stack.enter_context(running(config, home / "profiles.json")))
        assert [each.sidecar is not None for each in started] == [True, True]
        yield started


def head(body, *lines, request=b"POST /v1/activation HTTP/1.1", authorization=TOKEN):
    return b"\r\n".join(
        (
            request,
            b"Host: x",
            b"Authorization: Bearer " + authorization,
            b"Content-Length: %d" % len(body),
            *lines,
            b"",
            b"",
        )
    )


def ask(value="ada", destination="2Dest"):
    return json.dumps(
        {"entity": "user", "destinationId": destination, "id": {"type": "email", "value": value}}
    ).encode()


LINES = (
    b"User-Agent: x",
    b"Accept: */*",
    b"Content-Type: application/json",
    b"Content-Type: text/plain",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Expect: 100-continue",
    b"X-Request-Id: 7",
    b"Content-Length: 3",
    b"Content-Length: 07",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: identity",
    b'If-None-Match: "other"',
    b"Host: y",
    b" folded",
    b"no colon",
    b"name : spaced",
    b"Authorization: Bearer other",
    b"X: \xff",
    b"X: \0",
)
# No body is too large here: whether that ends the connection depends on how much of it has arrived, in either way.
bodies = st.sampled_from(
    [
        ask(),
        ask(),
        ask("bob"),
        ask("nobody"),
        ask(destination="3Other"),
        b"{}",
        b"",
        b"not JSON",
        head(ask()),
    ]
)
plain = st.builds(lambda body: head(body, b"Content-Type: application/json") + body, bodies)
odd = st.builds(
    lambda body, lines, request, authorization: head(body, *lines, request=request, authorization=authorization) + body,
    bodies,
    st.lists(st.sampled_from(LINES), max_size=2),
    st.sampled_from(
        [
            b"POST /v1/activation HTTP/1.1",
            b"POST /v2/activation HTTP/1.1",
            b"POST /v1/activation HTTP/1.0",
            b"POST /v1/activation?x HTTP/1.1",
            b"GET /v1/activation HTTP/1.1",
            b"GET /v2/profiles/user/email/ada HTTP/1.1",
            b"POST http://x/v1/activation HTTP/1.1",
            b"post /v1/activation HTTP/1.1",
            b"POST /nowhere HTTP/1.1",
        ]
    ),
    st.sampled_from([TOKEN, SCOPED.encode(), b"wrong", b""]),
)
streams = st.lists(st.one_of(plain, plain, odd), min_size=1, max_size=6)


def exchange(sidecar, pieces):
    """Everything that a connection answers to these pieces and to a last request that ends it."""
    received = b""
    with connect(sidecar.address()) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # ended early: what was answered can be read all the same
            for piece in (*pieces, b"GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
                connection.sendall(piece)
        with suppress(ConnectionResetError):
            while data := connection.recv(1 << 16):
                received += data
    return received


def conversation(sidecar, requests):
    """The answer to each of some requests on one connection, until it ends."""
    with connect(sidecar.address()) as connection:
        for request in requests:
            connection.sendall(request)
            answer = one_answer(connection)
            yield answer
            if not answer or b"Connection: close" in answer:
                return


def one_answer(connection):
    received = b""
    while not (whole := ANSWER.match(received)) or len(received) < whole.end() + int(whole[2]):
        data = connection.recv(1 << 16)
        if not data:
            return received
        received += data
        received = received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    return received


def alike(answers):
    return VARYING.sub(b"", answers)


EXAMPLES = settings(
    max_examples=2_000 if DEEP else 100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


@EXAMPLES
@given(stream=streams)
def test_both_ways_answer_alike(sidecars, stream):
    """One after the other: which of the requests that are read along with a malformed one are answered is up to chance."""
    quick, slow = ([alike(answer) for answer in conversation(sidecar, stream)] for sidecar in sidecars)
    assert quick == slow


@EXAMPLES
@given(
    stream=st.lists(st.sampled_from(["ada", "bob", "nobody"]), min_size=1, max_size=5),
    places=st.lists(st.integers(0, 4_000), max_size=6),
)
def test_good_requests_are_answered_however_they_arrive(sidecars, stream, places):
    """Refusals are left out: whether one ends the connection depends on how much of its body has arrived."""
    data = b"".join(head(ask(value)) + ask(value) for value in stream)
    pieces = cut(data, places)
    fewer, more = (alike(exchange(sidecar, pieces)) for sidecar in sidecars)
    assert fewer == more
    assert fewer.count(b"HTTP/1.1 200 OK") == len(stream)


JSON = b"Content-Type: application/json"


def wellformed(body, *lines, request=b"POST /v1/activation HTTP/1.1"):
    return head(body, JSON, *lines, request=request) + body


MIXED = {
    "hot": wellformed(ask()),
    "hot, other": wellformed(ask("bob")),
    "hot, absent": wellformed(ask("nobody")),
    "hot, v2": wellformed(ask(), request=b"POST /v2/activation HTTP/1.1"),
    "hot, more headers": wellformed(ask(), b"User-Agent: x", b"Accept: */*", b"Connection: keep-alive"),
    "past the lane": wellformed(ask(), b"X-Request-Id: 7"),
    "past the lane, unchanged": wellformed(ask(), b"If-None-Match: *"),
    "past the lane, query": wellformed(ask(), request=b"POST /v1/activation?x HTTP/1.1"),
    "by URL": head(b"", request=b"GET /v2/profiles/user/email/ada HTTP/1.1"),
    "flawed": wellformed(b"{}"),
    "no JSON": wellformed(b"not JSON"),
    "no such destination": wellformed(ask(destination="3Other")),
    "a request in a body": wellformed(head(ask("bob")) + ask("bob")),
}
"""Requests that keep the connection open, however much of them has arrived when they are answered."""


def cut(data, places):
    bounds = sorted({0, len(data), *(place % len(data) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


@EXAMPLES
@given(
    names=st.lists(st.one_of(st.just("hot"), st.sampled_from(sorted(MIXED))), min_size=1, max_size=12),
    places=st.lists(st.integers(0, 10_000), max_size=12),
)
def test_hot_and_other_requests_in_a_row_are_answered_alike_wherever_they_are_cut(sidecars, names, places):
    pieces = cut(b"".join(MIXED[name] for name in names), places)
    quick, slow = (alike(exchange(sidecar, pieces)) for sidecar in sidecars)
    assert quick == slow
    assert quick.count(b"HTTP/1.1 ") == len(names) + 1


@EXAMPLES
@given(names=st.lists(st.sampled_from(sorted(MIXED.keys() - {"past the lane, unchanged"})), min_size=1, max_size=12))
def test_hot_and_other_requests_in_turn_are_answered_alike(sidecars, names):
    quick, slow = (
        [alike(answer) for answer in conversation(sidecar, (MIXED[name] for name in names))] for sidecar in sidecars
    )
    assert quick == slow
    assert len(quick) == len(names)


@pytest.mark.parametrize("names", [("hot", "hot"), ("hot", "past the lane", "hot"), ("by URL", "hot", "flawed", "hot")])
def test_a_cut_at_any_byte_changes_nothing(sidecars, names):
    data = b"".join(MIXED[name] for name in names)
    whole = alike(exchange(sidecars[1], [data]))
    assert whole.count(b"HTTP/1.1 ") == len(names) + 1
    for place in range(1, len(data)):
        assert alike(exchange(sidecars[0], [data[:place], data[place:]])) == whole, place


def test_a_change_is_in_the_very_next_answer(sidecars):
    for sidecar in sidecars:
        profiles = sidecar.sidecar._offline._profiles
        with connect(sidecar.address()) as connection:
            for number in range(50):
                profiles.put("user", "email", "ada", {"m": {"a": number}})
                for _ in range(3):
                    connection.sendall(MIXED["hot"])
                    body = one_answer(connection).rpartition(b"\r\n\r\n")[2]
                    assert json.loads(body)["data"] == {"m": {"a": number}}
            profiles.put("user", "email", "ada", PROFILES["user"]["email"]["ada"])


def test_the_same_bytes_again_are_not_read_again(sidecars):
    quick, slow = (sidecar.sidecar._listener.server.lane for sidecar in sidecars)
    assert slow is None
    with connect(sidecars[0].address()) as connection:
        for _ in range(5):
            connection.sendall(MIXED["hot"])
            one_answer(connection)
        heads, quick._heads = quick._heads, None
        try:
            connection.sendall(MIXED["hot"])
            assert one_answer(connection).startswith(b"HTTP/1.1 200 OK\r\n")
        finally:
            quick._heads = heads


def test_the_lane_is_taken(sidecars):
    """Else the comparisons above would compare aiohttp with itself."""
    body = ask()
    for sidecar, most in zip(sidecars, (3, 20), strict=True):
        with connect(sidecar.address()) as connection:
            for _ in range(20):
                connection.sendall(head(body) + body)
                assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n")
            (handler,) = sidecar.sidecar._listener.server.connections
            assert handler._request_count <= most
            assert handler._request_count == 20 or sidecar is sidecars[0]


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_request_in_pieces_is_answered(sidecars, size):
    body = ask()
    data = (head(body) + body) * 3
    quick, slow = (
        alike(exchange(sidecar, [data[start : start + size] for start in range(0, len(data), size)]))
        for sidecar in sidecars
    )
    assert quick == slow
    assert quick.count(b"HTTP/1.1 200 OK") == 3


def test_a_body_that_looks_like_a_request_is_a_body(sidecars):
    """Smuggling: the inner request must be answered by neither, whether its outer one is hot or not."""
    inner = head(ask("bob")) + ask("bob")
    for outer in (
        head(inner) + inner,
        head(inner, b"X-Other: 1") + inner,
        head(inner, request=b"POST /nowhere HTTP/1.1") + inner,
    ):
        for cut in (0, 1, len(outer) - len(inner), len(outer) - 1):
            answers = [exchange(sidecar, [outer[:cut], outer[cut:]]) for sidecar in sidecars]
            assert answers[0].split(b"\r\n")[0] == answers[1].split(b"\r\n")[0]
            assert not any(b"bob" in each or each.count(b"HTTP/1.1 ") > 2 for each in answers)
