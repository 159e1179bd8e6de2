"""The data listener's HTTP: connections, bodies as they come, and bounds of size and time."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.support.servers import Flavour, Server
from tests.support.sidecar import Answers, RunningSidecar, configuration, running, token
from tests.support.wait import until

TOKEN = "ep_http"
ID = "ada@example.com"
LIMIT = 4 << 20


@pytest.fixture(scope="session")
def flavour() -> Flavour:
    """One flavour is enough: what is tested here does not ask Redis much."""
    return "valkey"


@pytest.fixture(scope="module")
def sidecar(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    server.reset()
    for number in range(100):
        server.command("HSET", f"1Wsp:2Dest:user:number:{number}", "m", f'{{"n":{number}}}')
    bounds = {"headerTimeout": "250ms", "bodyTimeout": "250ms", "idleTimeout": "1500ms", "maxHeaderBytes": "4KiB"}
    config = configuration(
        tmp_path_factory.mktemp("sidecar"),
        server.address,
        token(TOKEN),
        sidecar={**bounds, "maxBodyBytes": f"{LIMIT}B"},
    )
    with running(config) as started:
        started.settle(json.loads(body(0)), TOKEN)
        yield started


@pytest.fixture(params=["tcp", "unix"])
def raw(request: pytest.FixtureRequest, sidecar: RunningSidecar) -> Iterator[socket.socket]:
    with sidecar.connect(request.param) as connection:
        yield connection


def body(number: int) -> bytes:
    return json.dumps(
        {"entity": "user", "destinationId": "2Dest", "id": {"type": "number", "value": str(number)}}
    ).encode()


def head(*lines: str, path: str = "/v1/activation", version: str = "1.1", secret: str = TOKEN) -> bytes:
    given = (f"POST {path} HTTP/{version}", "Host: sidecar", f"Authorization: Bearer {secret}", *lines)
    return "\r\n".join(given).encode() + b"\r\n\r\n"


def whole(number: int, *lines: str, **how: str) -> bytes:
    return head(f"Content-Length: {len(body(number))}", *lines, **how) + body(number)


def number_in(answer: tuple[int, dict[str, str], Any]) -> int:
    assert answer[0] == 200
    return int(answer[2]["data"]["m"]["n"])


# Connections


def test_a_connection_serves_one_request_after_the_other(raw):
    answers = Answers(raw)
    for number in range(50):
        raw.sendall(whole(number))
        answer = answers.next()
        assert number_in(answer) == number
        assert "Connection" not in answer[1]


def test_requests_sent_ahead_are_answered_in_order(raw):
    raw.sendall(b"".join(whole(number) for number in range(100)))
    answers = Answers(raw)
    assert [number_in(answers.next()) for _ in range(100)] == list(range(100))


def test_misses_and_hits_sent_ahead_do_not_change_places(raw):
    order = [number % 7 if number % 3 else 99 - number for number in range(60)]
    raw.sendall(b"".join(whole(number) for number in order))
    answers = Answers(raw)
    assert [number_in(answers.next()) for _ in order] == order


def test_a_request_may_come_byte_by_byte(raw):
    for byte in whole(7):
        raw.sendall(bytes([byte]))
    assert number_in(Answers(raw).next()) == 7


def test_a_request_may_be_cut_anywhere(raw):
    request = whole(7)
    answers = Answers(raw)
    for cut in range(1, len(request), 9):
        raw.sendall(request[:cut])
        raw.sendall(request[cut:])
        assert number_in(answers.next()) == 7


def test_close_is_answered_with_close(raw):
    raw.sendall(whole(7, "Connection: close"))
    answers = Answers(raw)
    assert answers.next()[1]["Connection"] == "close"
    assert answers.ended()


def test_http_1_0_closes_unless_asked(sidecar):
    with sidecar.connect() as raw:
        raw.sendall(whole(7, version="1.0"))
        answers = Answers(raw)
        assert number_in(answers.next()) == 7
        assert answers.ended()
    with sidecar.connect() as raw:
        answers = Answers(raw)
        for number in (7, 8):
            raw.sendall(whole(number, "Connection: keep-alive", version="1.0"))
            answer = answers.next()
            assert number_in(answer) == number
            assert answer[1]["Connection"] == "keep-alive"


def test_a_client_that_leaves_disturbs_nobody(sidecar, caplog):
    for request in (whole(7), whole(7)[:-5], head("Content-Length: 10")[:20], head("Transfer-Encoding: chunked")):
        raw = sidecar.connect()
        raw.sendall(request)
        raw.close()
    assert sidecar.ask(body(7), TOKEN).status == 200
    until(lambda: sidecar.metric("edgeprofile_http_requests_in_flight") == 0, message="requests end")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


# Bodies


def test_a_chunked_body(raw):
    raw.sendall(head("Transfer-Encoding: chunked"))
    for start in range(0, len(body(7)), 10):
        part = body(7)[start : start + 10]
        raw.sendall(b"%x\r\n%b\r\n" % (len(part), part))
    raw.sendall(b"0\r\n\r\n")
    assert number_in(Answers(raw).next()) == 7


def test_a_body_larger_than_every_buffer_comes_whole(raw):
    large = body(7).ljust(LIMIT)
    raw.sendall(head(f"Content-Length: {len(large)}") + large)
    answers = Answers(raw)
    assert number_in(answers.next()) == 7
    raw.sendall(whole(8))
    assert number_in(answers.next()) == 8


def test_a_declared_size_beyond_the_limit_is_refused_before_it_comes(raw):
    raw.sendall(head(f"Content-Length: {LIMIT + 1}") + b"x" * 1000)
    answers = Answers(raw)
    status, headers, form = answers.next()
    assert (status, headers["Connection"]) == (413, "close")
    assert form == {"error": f"The body is larger than the {LIMIT} bytes that are accepted here"}


def test_chunks_beyond_the_limit_are_refused(raw):
    raw.sendall(head("Transfer-Encoding: chunked"))
    part = b" " * (LIMIT // 4)
    for _ in range(5):
        raw.sendall(b"%x\r\n%b\r\n" % (len(part), part))
    status, headers, _ = Answers(raw).next()
    assert (status, headers["Connection"]) == (413, "close")


def test_a_broken_chunk_is_400_and_the_end(raw):
    raw.sendall(head("Transfer-Encoding: chunked") + b"zz\r\nno size\r\n")
    answers = Answers(raw)
    assert answers.next()[0] == 400
    assert answers.ended()


def test_who_expects_100_is_told_to_go_on(raw):
    raw.sendall(head(f"Content-Length: {len(body(7))}", "Expect: 100-continue"))
    answers = Answers(raw)
    assert answers.next() == (100, {}, None)
    raw.sendall(body(7))
    assert number_in(answers.next()) == 7


def test_who_expects_100_and_sends_at_once_is_not_told(raw):
    raw.sendall(whole(7, "Expect: 100-continue"))
    assert number_in(Answers(raw).next()) == 7


def test_what_cannot_be_expected_is_refused_when_the_body_is_here_as_well(raw):
    raw.sendall(whole(7, "Expect: a miracle"))
    assert Answers(raw).next()[0] == 417
    raw.sendall(whole(8))
    assert number_in(Answers(raw).next()) == 8


@pytest.mark.parametrize(
    ("lines", "secret", "status"),
    [
        (("Content-Length: 10", "Expect: 100-continue"), "ep_other", 401),
        ((f"Content-Length: {LIMIT + 1}", "Expect: 100-continue"), TOKEN, 413),
        (("Content-Length: 10", "Expect: 100-continue", "Content-Type: text/plain"), TOKEN, 415),
        (("Content-Length: 10", "Expect: a miracle"), TOKEN, 417),
    ],
)
def test_who_expects_100_and_is_refused_need_not_send(raw, lines, secret, status):
    raw.sendall(head(*lines, secret=secret))
    found, headers, form = Answers(raw).next()
    assert (found, headers["Connection"], list(form)) == (status, "close", ["error"])


# Time


def test_a_head_that_does_not_come_is_408(raw, sidecar):
    before = sidecar.metric("edgeprofile_http_closed_total", reason="slow request")
    raw.sendall(head()[:30])
    answers = Answers(raw)
    status, headers, form = answers.next()
    assert (status, headers["Connection"], list(form)) == (408, "close", ["error"])
    assert answers.ended()
    assert sidecar.metric("edgeprofile_http_closed_total", reason="slow request") == before + 1


def test_a_head_after_an_answer_is_bounded_too(raw):
    raw.sendall(whole(7))
    answers = Answers(raw)
    assert number_in(answers.next()) == 7
    raw.sendall(b"POST ")
    assert answers.next()[0] == 408


def test_a_body_that_does_not_come_is_408(raw):
    raw.sendall(head("Content-Length: 100") + b"{")
    answers = Answers(raw)
    status, headers, form = answers.next()
    assert (status, headers["Connection"], list(form)) == (408, "close", ["error"])


def test_an_idle_connection_is_closed_without_a_word(raw):
    assert Answers(raw).ended()


def test_an_idle_connection_outlives_the_bound_of_a_head(raw, sidecar):
    answers = Answers(raw)
    raw.sendall(whole(7))
    answers.next()
    with sidecar.connect() as slow:
        slow.sendall(b"POST ")
        assert Answers(slow).next()[0] == 408
    raw.sendall(whole(8))
    assert number_in(answers.next()) == 8


# Other protocols

H2C = ("Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA", "Upgrade: h2c")


def test_who_asks_for_another_protocol_is_answered_in_this_one_and_goes_on(raw):
    answers = Answers(raw)
    for lines in (H2C, (), H2C):
        raw.sendall(whole(7, *lines))
        status, headers, form = answers.next()
        assert (number_in((status, headers, form)), headers.get("Connection")) == (7, None)
    raw.sendall(head(f"Content-Length: {len(body(8))}", *H2C))
    raw.sendall(body(8))
    assert number_in(answers.next()) == 8


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("cut", [0, 20, 150, 260, 300])
def test_what_comes_behind_such_a_request_is_answered_or_has_to_be_sent_again(raw, before, cut):
    """The parser drops it: no later answer may be taken for its own."""
    sent = whole(6) * before + whole(7, *H2C) + whole(8)
    raw.sendall(sent[:cut])
    with suppress(BrokenPipeError):  # the connection may have ended with the first part's answer
        raw.sendall(sent[cut:])
    raw.settimeout(5)
    answers = Answers(raw)
    wanted = [6] * before + [7, 8]
    for number in wanted:
        answer = answers.next()
        assert number_in(answer) == number
        if answer[1].get("Connection") == "close":
            break
    else:
        raw.sendall(whole(9))
        assert number_in(answers.next()) == 9
        return
    assert answers.ended()


# What is no HTTP


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"no http at all\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello \r\n\r\n", 400),
        (b"POST /v1/activation HTTP/3.7\r\nHost: x\r\n\r\n", 400),
        (head("Content-Length: x"), 400),
        (head("Content-Length: -1"), 400),
        (head("Content-Length: 2", "Content-Length: 3") + b"{} ", 400),
        (head("Content-Length: 2", "Transfer-Encoding: chunked") + b"{}", 400),
        (head("Bad Header: x"), 400),
        (head("X: \x00"), 400),
        (head(*(f"X-{n}: x" for n in range(200))), 431),
        (head(f"X: {'x' * 5_000}"), 431),
        (head(path="/" + "x" * 5_000), 431),
    ],
)
def test_what_is_no_http_is_refused_in_the_form_of_errors_and_the_end(raw, sidecar, caplog, sent, status):
    before = sidecar.metric("edgeprofile_http_malformed_total")
    raw.sendall(sent.replace(b"Host: sidecar", f"Host: {ID}".encode()))
    answers = Answers(raw)
    found, headers, form = answers.next()
    assert (found, headers["Connection"], list(form)) == (status, "close", ["error"])
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert answers.ended()
    assert sidecar.metric("edgeprofile_http_malformed_total") == before + 1
    assert ID not in caplog.text


@pytest.mark.parametrize(
    ("sent", "limit"),
    [
        (head(f"X: {'x' * 5_000}"), "4096 bytes"),
        (head(path="/" + "x" * 5_000), "4096 bytes"),
        (head(*(f"X-{n}: x" for n in range(200))), "64 headers"),
    ],
)
def test_a_head_that_is_too_long_is_told_how_long_it_may_be(raw, sent, limit):
    raw.sendall(sent)
    assert limit in Answers(raw).next()[2]["error"]


def test_a_broken_request_after_a_good_one_ends_the_connection(raw):
    answers = Answers(raw)
    raw.sendall(whole(7))
    assert number_in(answers.next()) == 7
    raw.sendall(b"no http\r\n\r\n")
    assert answers.next()[0] == 400
    assert answers.ended()


@pytest.mark.parametrize(
    "line", ["CONNECT sidecar:443 HTTP/1.1", "OPTIONS * HTTP/1.1", "GET //// HTTP/1.1", "GET /%ff%00?\x7f HTTP/1.1"]
)
def test_targets_of_other_forms_are_refused_and_leave_nothing_under_way(raw, sidecar, line):
    raw.sendall(f"{line}\r\nHost: sidecar\r\nConnection: close\r\n\r\n".encode())
    status, _, form = Answers(raw).next()
    assert status in {400, 404}
    assert list(form) == ["error"]
    assert sidecar.metric("edgeprofile_http_requests_in_flight") == 0
