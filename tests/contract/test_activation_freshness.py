"""How fresh an answer is, asked over real sockets of a sidecar on a real server."""

import re
from collections.abc import Iterator

import pytest

from tests.support.activation import ADA, EVERYTHING, TOKENS, asking, email
from tests.support.servers import Server
from tests.support.sidecar import Response, RunningSidecar, configuration, running
from tests.support.wait import until

KEY = "1Wsp:2Dest:user:email:ada@example.com"


@pytest.fixture
def sidecar(redis_db: Server, tmp_path: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    redis_db.command("HSET", KEY, "m", '{"a":1}')
    with running(configuration(tmp_path, redis_db.address, *TOKENS)) as started:
        started.settle(asking(identity=email("settled")), EVERYTHING)
        yield started


def hit(sidecar: RunningSidecar) -> Response:
    def asked() -> Response | None:
        answer = sidecar.ask(asking(), EVERYTHING)
        return answer if "hit" in (answer.header("Cache-Status") or "") else None

    return until(asked, 2, "a hit")


def test_a_miss_and_a_hit_say_so(sidecar):
    first = sidecar.ask(asking(), EVERYTHING)
    assert first.header("Cache-Status") == "edgeprofile; fwd=miss; stored"
    second = hit(sidecar)
    status, ttl = second.header("Cache-Status").rsplit("=", 1)
    assert status == "edgeprofile; hit; ttl"
    assert 200 < int(ttl) <= 300
    assert 0 <= int(second.header("Age")) < 10
    assert first.header("ETag") == second.header("ETag")
    assert 0 < float(first.header("Server-Timing").removeprefix("redis;dur=")) < 5_000
    assert second.header("Server-Timing") == "cache;desc=hit"


def test_refusals_say_nothing(sidecar):
    for answer in (sidecar.ask(asking(), "ep_unknown"), sidecar.ask(asking("2Nowhere"), EVERYTHING)):
        assert not {"Cache-Status", "Age", "ETag", "Server-Timing"} & {name for name, _ in answer.headers}


def test_what_the_caller_has_is_not_sent_again_until_it_changes(sidecar, redis_db):
    tag = hit(sidecar).header("ETag")
    same = sidecar.ask(asking(), EVERYTHING, headers={"If-None-Match": tag})
    assert (same.status, same.body, same.header("ETag")) == (304, b"", tag)
    assert same.header("Content-Length") is None
    redis_db.command("HSET", KEY, "m", '{"a":2}')
    until(lambda: sidecar.ask(asking(), EVERYTHING, headers={"If-None-Match": tag}).status == 200, 3)
    changed = hit(sidecar)
    assert changed.json["data"] == {"m": {"a": 2}}
    assert changed.header("ETag") != tag


def test_304_keeps_the_connection_in_step(sidecar):
    tag = hit(sidecar).header("ETag")
    with sidecar.connect() as raw:
        body = b'{"entity":"user","destinationId":"2Dest","id":{"type":"email","value":"ada@example.com"}}'
        head = b"POST /v2/activation HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n" % (
            EVERYTHING.encode(),
            len(body),
        )
        conditional = head + b"If-None-Match: %b\r\n\r\n" % tag.encode() + body
        raw.sendall(conditional + conditional + head + b"Connection: close\r\n\r\n" + body)
        answers = raw.makefile("rb").read()
    assert answers.count(b"HTTP/1.1 304 Not Modified\r\n") == 2
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 1
    assert answers.endswith(b'"data":{"m":{"a":1}}}')


def status(sidecar: RunningSidecar) -> str:
    return sidecar.ask(asking(), EVERYTHING).header("Cache-Status") or ""


def test_a_stale_answer_is_marked_and_says_for_how_long_it_has_been_one(make_server, tmp_path):
    server = make_server()
    server.command("HSET", KEY, "m", '{"a":1}')
    cache = {"staleIfError": "60s", "maxStaleness": "100ms"}
    with running(configuration(tmp_path, server.address, *TOKENS, cache=cache)) as sidecar:
        sidecar.settle(asking(), EVERYTHING)
        hit(sidecar)
        server.kill()
        until(lambda: "stale" in status(sidecar), 5)
        until(lambda: re.search(r"; ttl=-\d; detail=stale-if-error$", status(sidecar)), 5)
        assert sidecar.ask(asking(), EVERYTHING).json == {"entity": "user", "id": ADA, "data": {"m": {"a": 1}}}
