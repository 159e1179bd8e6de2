"""What the sidecar takes at one time, and how long it waits for others."""

import gc
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from edgeprofile.config import Config, SidecarConfig
from edgeprofile_sidecar.connection import Reply
from tests.support.certificates import Certificates
from tests.support.servers import Flavour, Server
from tests.support.sidecar import Answers, Response, RunningSidecar, configuration, running, token
from tests.support.wait import until

TOKEN = "ep_limits"
ASKED = {"entity": "user", "destinationId": "2Dest", "id": {"type": "email", "value": "ada@example.com"}}
SLOW = {**ASKED, "id": {"type": "email", "value": "slow"}}


@pytest.fixture(scope="session")
def flavour() -> Flavour:
    """One flavour is enough: what is tested here does not ask Redis much."""
    return "valkey"


@pytest.fixture
def config(redis_db: Server, tmp_path) -> Iterator[Any]:
    def make(**sidecar: Any) -> Config:
        limits = {"timeout": "30s"}
        permissions = ("read", "delete")
        return configuration(
            tmp_path, redis_db.address, token(TOKEN, permissions=permissions), sidecar=sidecar, limits=limits
        )

    return make


def raw(body: object, method: str = "POST", path: str = "/v2/activation") -> bytes:
    text = json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(text)}\r\n\r\n"
    )
    return head.encode() + text


def under_way(sidecar: RunningSidecar, count: int) -> None:
    until(lambda: sidecar.metric("edgeprofile_http_requests_in_flight") == count, message=f"{count} under way")


def test_requests_beyond_the_limit_are_503_at_once(config, redis_db):
    with running(config(maxInFlight=2)) as sidecar, sidecar.connect() as first, sidecar.connect() as second:
        sidecar.settle(ASKED, TOKEN)
        with redis_db.paused():
            first.sendall(raw(SLOW))
            second.sendall(raw(SLOW))
            under_way(sidecar, 2)
            answer = sidecar.ask(ASKED, TOKEN)
            assert (answer.status, answer.header("Retry-After"), list(answer.json)) == (503, "1", ["error"])
            deleting = sidecar.request("DELETE", "/v2/activation", headers={"Authorization": f"Bearer {TOKEN}"})
            assert (deleting.status, list(deleting.json)) == (503, ["message"])
        assert Answers(first).next()[0] == Answers(second).next()[0] == 200
        assert sidecar.ask(ASKED, TOKEN).status == 200


def test_an_answer_that_takes_too_long_is_504(config, redis_db):
    with running(config(requestTimeout="200ms")) as sidecar, sidecar.connect() as connection:
        sidecar.settle(ASKED, TOKEN)
        with redis_db.paused():
            connection.sendall(raw(SLOW))
            status, _, form = Answers(connection).next()
            assert (status, list(form)) == (504, ["error"])
            connection.sendall(raw(SLOW, "DELETE"))
            status, _, form = Answers(connection).next()
            assert (status, list(form)) == (504, ["message"])
        answers = Answers(connection)

        def goes_on() -> bool:
            connection.sendall(raw(ASKED))
            return answers.next()[0] == 200

        until(goes_on, message="the connection goes on")
        under_way(sidecar, 0)


@pytest.fixture
def defaults(config) -> Config:
    """The default bounds of time, all of them five times shorter."""
    made = SidecarConfig()
    named = ("headerTimeout", made.header_timeout), ("bodyTimeout", made.body_timeout)
    return config(
        **{name: f"{200 * seconds:.0f}ms" for name, seconds in (*named, ("requestTimeout", made.request_timeout))}
    )


def test_a_body_that_does_not_come_is_408_with_the_default_bounds_too(defaults):
    with running(defaults) as sidecar, sidecar.connect() as connection:
        connection.sendall(raw(ASKED, path="/v2/activation/batch")[:-1])
        assert Answers(connection).next()[0] == 408


def test_the_time_for_an_answer_begins_when_the_body_is_here(defaults):
    with running(defaults) as sidecar, sidecar.connect() as connection:
        sidecar.settle(ASKED, TOKEN)
        sent = raw(ASKED, "DELETE")
        connection.sendall(sent[:-1])
        under_way(sidecar, 1)
        time.sleep(defaults.sidecar.request_timeout * 1.4)
        connection.sendall(sent[-1:])
        assert Answers(connection).next()[0] == 200


def test_a_body_that_is_awaited_is_408_though_the_connection_was_idle_for_long(config):
    with running(config(idleTimeout="300ms", headerTimeout="1s")) as sidecar, sidecar.connect() as connection:
        connection.sendall(raw(ASKED)[:-1])
        answers = Answers(connection)
        assert answers.next()[0] == 408
        assert answers.ended()


def test_a_head_that_begins_behind_a_request_is_408_as_well(config):
    with running(config(headerTimeout="300ms")) as sidecar, sidecar.connect() as connection:
        sidecar.settle(ASKED, TOKEN)
        connection.sendall(raw(ASKED) + b"POST /v2/act")
        answers = Answers(connection)
        assert [answers.next()[0], answers.next()[0]] == [200, 408]
        assert answers.ended()


def test_answers_given_before_something_else_are_counted_once(config):
    with running(config()) as sidecar, sidecar.connect() as connection:
        sidecar.settle(ASKED, TOKEN)
        before = sidecar.metric("edgeprofile_lookups_total", result="negative")
        connection.sendall(raw(ASKED) * 3 + b"GET /nowhere HTTP/1.1\r\nHost: x\r\nExpect: x\r\n\r\n")
        answers = Answers(connection)
        assert [answers.next()[0] for _ in range(3)] == [200] * 3
        assert sidecar.metric("edgeprofile_lookups_total", result="negative") == before + 3


def test_connections_beyond_the_limit_are_told_and_closed(config):
    with running(config(maxConnections=2)) as sidecar, sidecar.connect() as first, sidecar.connect():
        until(lambda: sidecar.metric("edgeprofile_http_connections") == 2, message="two connections")
        with sidecar.connect() as third:
            answers = Answers(third)
            status, headers, form = answers.next()
            assert (status, headers["Connection"], headers["Retry-After"]) == (503, "close", "1")
            assert list(form) == ["error"]
            assert answers.ended()
        assert sidecar.metric("edgeprofile_http_closed_total", reason="too many connections") == 1
        first.close()
        until(lambda: sidecar.metric("edgeprofile_http_connections") == 1, message="room")
        assert sidecar.ask(ASKED, TOKEN).status == 200


def test_who_does_not_read_is_cut_off(config, redis_db):
    redis_db.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", json.dumps({"t": "x" * 500_000}))
    with running(config(writeTimeout="500ms")) as sidecar, sidecar.connect() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(raw(ASKED) * 40)
        until(
            lambda: sidecar.metric("edgeprofile_http_closed_total", reason="slow reader") == 1, message="it is cut off"
        )
        until(lambda: sidecar.metric("edgeprofile_http_connections") == 0, message="it is gone")
        assert sidecar.ask(ASKED, TOKEN).status == 200


@pytest.mark.parametrize("path", ["/v2/activation", "/v2/profiles/user/email/ada@example.com"])
def test_who_does_not_read_over_tls_is_cut_off(config, redis_db, tmp_path, path):
    redis_db.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", json.dumps({"t": "x" * 12_000_000}))
    certificates = Certificates(tmp_path)
    names = {"certificate": str(certificates.server.certificate), "certificateKey": str(certificates.server.key)}
    listen = ["127.0.0.1:0", "tls:127.0.0.1:0"]
    with running(config(writeTimeout="500ms", listen=listen, **names)) as sidecar, socket.socket() as plain:
        sidecar.settle(ASKED, TOKEN)
        host, _, port = sidecar.sidecar.addresses.listen[1].removeprefix("tls:").rpartition(":")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect((host, int(port)))
        with certificates.trusting().wrap_socket(plain, server_hostname="127.0.0.1") as deaf:
            deaf.sendall(raw(ASKED, "POST" if path == "/v2/activation" else "GET", path))
            until(
                lambda: sidecar.metric("edgeprofile_http_closed_total", reason="slow reader") == 1,
                message="it is cut off",
            )


def test_answers_that_tls_holds_for_who_does_not_read_are_cut_short_by_the_drain(config, redis_db, tmp_path):
    redis_db.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", json.dumps({"t": "x" * 20_000}))
    certificates = Certificates(tmp_path)
    names = {"certificate": str(certificates.server.certificate), "certificateKey": str(certificates.server.key)}
    made = config(drainTimeout="500ms", listen=["127.0.0.1:0", "tls:127.0.0.1:0"], **names)
    with running(made) as sidecar, socket.socket() as plain:
        sidecar.settle(ASKED, TOKEN)
        host, _, port = sidecar.sidecar.addresses.listen[1].removeprefix("tls:").rpartition(":")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect((host, int(port)))
        with certificates.trusting().wrap_socket(plain, server_hostname="127.0.0.1") as deaf:
            deaf.sendall(raw(ASKED))
            until(lambda: sidecar.sidecar._listener.server.connections, message="a connection")
            held = sidecar.sidecar._listener.server.connections[0]._reader

            def full() -> bool:
                deaf.sendall(raw(ASKED))
                time.sleep(0.001)
                return held.hides()

            until(full, message="its socket takes no more")
            assert sidecar.unread() == 0
            assert not sidecar.drain()


def test_who_goes_on_asking_without_reading_is_cut_off(config, redis_db):
    redis_db.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", json.dumps({"t": "x" * 3_000}))
    with running(config(writeTimeout="500ms")) as sidecar, sidecar.connect() as deaf:
        sidecar.settle(ASKED, TOKEN)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        most = 0

        def cut_off() -> bool:
            nonlocal most
            with suppress(OSError):  # full, or closed
                deaf.send(raw(ASKED) * 10)
            most = max(most, sidecar.unread())
            return sidecar.metric("edgeprofile_http_closed_total", reason="slow reader") == 1

        until(cut_off, message="it is cut off")
        assert most < 1 << 19


def test_many_requests_at_once_are_answered_as_they_are_read(config, redis_db):
    redis_db.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", json.dumps({"t": "x" * 100_000}))
    with running(config()) as sidecar, sidecar.connect() as deaf:
        sidecar.settle(ASKED, TOKEN)
        deaf.sendall(raw(ASKED) * 200)
        until(sidecar.unread, message="an answer")
        assert sidecar.unread() < 4 << 20
        answers = Answers(deaf)
        assert [answers.next()[0] for _ in range(200)] == [200] * 200


def test_an_answer_that_nobody_reads_leaves_room_for_small_ones_alone(config, redis_db):
    """It takes 12 MB, of which the system holds a few for a reader who does not read."""
    for name in ("one", "two"):
        redis_db.command("HSET", f"1Wsp:2Dest:user:email:{name}", "m", json.dumps({"t": "x" * 6_000_000}))
    ids = [{"type": "email", "value": name} for name in ("one", "two")]
    asked = raw({"entity": "user", "destinationId": "2Dest", "ids": ids}, path="/v2/activation/batch")
    limits = {"maxAnswerBytes": "16MiB", "maxUnreadBytes": "17MiB"}
    with running(config(**limits)) as sidecar, ExitStack() as deaf:
        sidecar.settle(ASKED, TOKEN)
        connection = deaf.enter_context(sidecar.connect())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(asked)
        until(lambda: sidecar.metric("edgeprofile_http_unread_bytes") > 6_000_000, message="an answer")
        with sidecar.connect() as another:
            another.sendall(asked)
            status, headers, form = Answers(another).next()
            assert (status, headers["Retry-After"], list(form)) == (503, "1", ["error"])
            another.sendall(raw(ASKED))
            assert Answers(another).next()[0] == 200
        assert sidecar.metric("edgeprofile_http_no_room_total") == 1
        deaf.close()
        until(lambda: sidecar.metric("edgeprofile_http_unread_bytes") == 0, message="room")
        with sidecar.connect() as another:
            another.sendall(asked)
            assert Answers(another).next()[0] == 200


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_one_profile_that_nobody_reads_takes_room_until_it_is_sent(config, redis_db, method):
    redis_db.command("HSET", "1Wsp:2Dest:user:email:large", "m", json.dumps({"t": "x" * 12_000_000}))
    if method == "POST":
        asked = raw({**ASKED, "id": {"type": "email", "value": "large"}})
    else:
        asked = raw({}, "GET", "/v2/profiles/user/email/large")
    with running(config(maxAnswerBytes="16MiB", maxUnreadBytes="17MiB")) as sidecar, ExitStack() as deaf:
        sidecar.settle(ASKED, TOKEN)
        connection = deaf.enter_context(sidecar.connect())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(asked)
        until(lambda: sidecar.metric("edgeprofile_http_unread_bytes") > 6_000_000, message="an answer")
        time.sleep(1.1)  # two looks at what is unread
        assert sidecar.metric("edgeprofile_http_unread_bytes") > 6_000_000
        with sidecar.connect() as another:
            another.sendall(asked)
            assert Answers(another).next()[0] == 503
        deaf.close()
        until(lambda: sidecar.metric("edgeprofile_http_unread_bytes") == 0, message="room")
        with sidecar.connect() as another:
            another.sendall(asked)
            assert Answers(another).next()[0] == 200


@pytest.mark.parametrize("size", [200_000, 12_000_000])
def test_what_was_not_read_is_freed_with_its_connection(config, redis_db, size):
    """By itself: the collector of cycles may not come for long, while nobody counts that memory any more."""
    redis_db.command("HSET", "1Wsp:2Dest:user:email:large", "m", json.dumps({"t": "x" * size}))
    asked = raw({}, "GET", "/v2/profiles/user/email/large")
    with running(config()) as sidecar:
        sidecar.settle(ASKED, TOKEN)
        gc.collect()
        gc.disable()
        try:
            with sidecar.connect() as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.sendall(asked * (12_000_000 // size))
                until(sidecar.unread, message="an answer that is not read")
                assert any(isinstance(each, Reply) for each in gc.get_objects())
            until(lambda: sidecar.metric("edgeprofile_http_connections") == 0, message="it is gone")
            until(lambda: not any(isinstance(each, Reply) for each in gc.get_objects()), message="the answer is, too")
        finally:
            gc.enable()


def test_who_reads_slowly_is_served(config, redis_db):
    redis_db.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", json.dumps({"t": "x" * 20_000}))
    with running(config(writeTimeout="2s")) as sidecar, sidecar.connect() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(raw(ASKED) * 50)
        answers = Answers(slow)
        assert [answers.next()[0] for _ in range(50)] == [200] * 50


@pytest.fixture
def allowance(redis_db, tmp_path) -> Config:
    """Five bad tokens in a minute."""
    tokens = (token(TOKEN), token("ep_scoped", ("2Other",)))
    return configuration(tmp_path, redis_db.address, *tokens, sidecar={"authFailures": 5})


def told(answer: Response) -> tuple[int, bool, str | None]:
    return answer.status, answer.header("Retry-After") is not None, answer.header("Connection")


def test_bad_tokens_are_401_as_ever_beyond_the_allowance_and_good_ones_never(allowance):
    with running(allowance) as sidecar:
        found = [sidecar.ask(ASKED, "ep_unknown") for _ in range(7)]
        assert [told(answer) for answer in found] == [(401, False, None)] * 5 + [(401, True, "close")] * 2
        assert {(answer.body, answer.header("WWW-Authenticate")) for answer in found} == {(found[0].body, "Bearer")}
        assert 1 <= int(found[-1].header("Retry-After") or 0) <= 60
        assert sidecar.metric("edgeprofile_rate_limited_total") == 2
        assert told(sidecar.ask(ASKED, TOKEN)) == (200, False, None)
        assert told(sidecar.ask(ASKED, "ep_unknown", transport="unix")) == (401, False, None)


def test_a_good_token_out_of_its_scope_is_not_counted_and_looks_like_a_bad_one(allowance):
    with running(allowance) as sidecar:
        assert {told(sidecar.ask(ASKED, "ep_scoped")) for _ in range(9)} == {(401, False, None)}
        for _ in range(5):
            sidecar.ask(ASKED, "ep_unknown")
        assert told(sidecar.ask(ASKED, "ep_scoped")) == told(sidecar.ask(ASKED, "ep_unknown")) == (401, True, "close")


def test_beyond_the_allowance_a_connection_ends(allowance):
    with running(allowance) as sidecar, sidecar.connect() as connection:
        connection.sendall(raw(ASKED).replace(TOKEN.encode(), b"ep_unknown") * 6)
        answers = Answers(connection)
        assert [answers.next()[0] for _ in range(6)] == [401] * 6
        assert answers.ended()


# The rest of the bounds


@pytest.mark.parametrize("depth", [100, 5_000, 30_000])
def test_depth_is_no_way_in(config, depth):
    with running(config()) as sidecar:
        nested = b"[" * depth + b"]" * depth
        whole = json.dumps(ASKED)[:-1].encode() + b',"more":' + nested + b"}"
        assert sidecar.ask(whole, TOKEN).status in {200, 400}
        assert sidecar.ask(nested, TOKEN).status == 400


@pytest.mark.parametrize("line", ["/v1/activation?" + "x" * 20_000, "/" + "y" * 20_000])
def test_a_url_that_is_too_long_is_431(config, line):
    with running(config(maxHeaderBytes="8KiB")) as sidecar:
        answer = sidecar.request("GET", line)
        assert (answer.status, list(answer.json)) == (431, ["error"])


# Request ids


def test_an_id_of_a_request_comes_back(config):
    with running(config()) as sidecar:
        answer = sidecar.ask(ASKED, TOKEN, headers={"X-Request-Id": "trace/4.2:a"})
        assert answer.header("X-Request-Id") == "trace/4.2:a"
        assert sidecar.ask(ASKED, TOKEN).header("X-Request-Id") is None


@pytest.mark.parametrize("given", ["a b", "é", "x" * 129, '"'])
def test_an_id_that_would_spoil_a_log_is_replaced(config, given):
    with running(config()) as sidecar:
        found = sidecar.ask(ASKED, TOKEN, headers={"X-Request-Id": given}).header("X-Request-Id")
        assert found is not None
        assert len(found) == 32
        assert found.isalnum()


def test_what_is_sent_while_an_answer_is_fetched_waits_its_turn_unread(config, redis_db):
    with running(config()) as sidecar, sidecar.connect() as connection:
        sidecar.settle(ASKED, TOKEN)
        ahead = [raw(ASKED)] * 4_000
        with redis_db.paused():
            connection.sendall(raw(SLOW))
            under_way(sidecar, 1)
            sender = threading.Thread(target=connection.sendall, args=(b"".join(ahead),))
            sender.start()
            held = [each for each in sidecar.sidecar._listener.server.connections if each._asking is not None]
            until(lambda: held[0]._begun, message="more arrives")
            time.sleep(0.1)
            assert 0 < len(held[0]._begun) <= 1 << 18  # what one read takes at most
        answers = Answers(connection)
        told = [answers.next() for _ in range(1 + len(ahead))]
        sender.join(10)
        assert {status for status, *_ in told} == {200}
        assert [form["id"]["value"] for *_, form in told[:3]] == ["slow", "ada@example.com", "ada@example.com"]


def test_who_leaves_while_an_answer_is_fetched_leaves_nothing_under_way(config, redis_db):
    with running(config()) as sidecar:
        sidecar.settle(ASKED, TOKEN)
        with redis_db.paused():
            with sidecar.connect() as connection:
                connection.sendall(raw(SLOW))
                under_way(sidecar, 1)
            under_way(sidecar, 0)
        assert sidecar.ask(SLOW, TOKEN).status == 200
