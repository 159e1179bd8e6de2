"""Answers as bytes, and what each error is to a caller."""

import http.client
import io
import json

import pytest

from edgeprofile import errors
from edgeprofile_sidecar import answers
from edgeprofile_sidecar.answers import (
    CLOSE,
    KEEP_ALIVE,
    Answer,
    error,
    failure,
    method_not_allowed,
    render,
    with_message,
)

DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"


class Wire:
    """What `http.client` reads in place of a socket."""

    def __init__(self, wire: bytes) -> None:
        self.wire = wire

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self.wire)


def parsed(wire: bytes, method: str = "POST") -> tuple[int, dict[str, str], bytes]:
    response = http.client.HTTPResponse(Wire(wire), method=method)
    response.begin()
    return response.status, dict(response.getheaders()), response.read()


def test_an_answer_is_these_bytes():
    assert render(Answer(200, b'{"data":{}}'), DATE) == (
        b"HTTP/1.1 200 OK\r\n"
        b"Content-Type: application/json; charset=utf-8\r\n"
        b"Content-Length: 11\r\n"
        b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        b"\r\n"
        b'{"data":{}}'
    )


FIXED = [value for value in vars(answers).values() if isinstance(value, Answer) and value is not answers.DELETE_FAILED]


@pytest.mark.parametrize("answer", [*FIXED, method_not_allowed("POST")], ids=lambda answer: str(answer.status))
@pytest.mark.parametrize("connection", [b"", CLOSE, KEEP_ALIVE])
def test_every_answer_is_well_formed_http_with_an_error_form(answer, connection):
    status, headers, body = parsed(render(answer, DATE, connection))
    assert status == answer.status
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["Date"] == DATE.decode()
    assert headers.get("Connection") == (connection.split()[1].decode() if connection else None)
    form = json.loads(body)
    assert list(form) == ["error"]
    assert form["error"]


def test_the_contract_has_these_texts():
    assert answers.UNAUTHORIZED.body == b'{"error":"Unauthorized request. Please check your access token"}'
    assert (
        answers.INVALID_DESTINATION.body
        == b'{"error":"Invalid Destination. Please verify you are passing the right destination ID"}'
    )


def test_an_answer_to_head_tells_the_length_and_has_no_body():
    wire = render(error(405, "no"), DATE, bodiless=True)
    assert wire.endswith(b"\r\n\r\n")
    assert b"Content-Length: 14\r\n" in wire


def test_headers_that_a_status_asks_for():
    assert parsed(render(answers.UNAUTHORIZED, DATE))[1]["WWW-Authenticate"] == "Bearer"
    assert parsed(render(answers.UNAVAILABLE, DATE))[1]["Retry-After"] == "1"
    assert parsed(render(method_not_allowed("DELETE, POST"), DATE))[1]["Allow"] == "DELETE, POST"
    assert parsed(render(answers.UNSUPPORTED_TYPE, DATE))[1]["Accept"] == "application/json"


SECRET = "10.1.2.3:6379"


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (errors.RedisUnavailable(SECRET), 503),
        (errors.LookupTimeout(SECRET), 503),
        (errors.Overloaded(SECRET, option="limits.maxInFlight"), 503),
        (errors.AccessDenied(SECRET), 503),
        (errors.NotificationsOff(SECRET, command="CONFIG SET …"), 503),
        (errors.ServerRefused(SECRET, code="LOADING"), 503),
        (errors.ClosedError(SECRET), 503),
        (errors.WrongType(SECRET, code="WRONGTYPE"), 502),
        (errors.ReplyTooLarge(SECRET), 502),
        (errors.ProtocolViolation(SECRET), 502),
        (errors.UnknownDestination("2Dest", ()), 404),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_an_error_is_to_the_caller(reason, status):
    answer = failure(reason)
    assert answer.status == status
    assert SECRET.encode() not in answer.body
    assert (b"Retry-After: " in answer.headers) == (status == 503)


@pytest.mark.parametrize(("member", "named"), [("entity", "entity"), ("id_type", "id.type"), ("value", "id.value")])
def test_an_identity_that_names_no_profile_is_400_with_the_member_of_the_api(member, named):
    answer = failure(errors.InvalidIdentity(f"{member} is empty", member=member))
    assert (answer.status, json.loads(answer.body)) == (400, {"error": f"{named}: {member} is empty"})


@pytest.mark.parametrize("answer", FIXED, ids=lambda answer: str(answer.status))
def test_errors_on_delete_carry_a_message_but_for_401_and_404(answer):
    form = json.loads(with_message(answer).body)
    assert list(form) == (["error"] if answer.status in {401, 404, 500} else ["message"])
    assert list(form.values()) == list(json.loads(answer.body).values())


def test_only_the_name_of_the_member_changes():
    assert with_message(error(400, 'no "error" here')) == Answer(400, b'{"message":"no \\"error\\" here"}')
    assert with_message(Answer(200, b'{"error":1}')) == Answer(200, b'{"error":1}')
    assert answers.DELETE_FAILED.body == b'{"message":"Internal server error"}'
