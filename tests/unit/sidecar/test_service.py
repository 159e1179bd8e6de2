"""The service over a source of profiles: when it asks, what it answers, and what it logs."""

import asyncio
import logging
from types import SimpleNamespace

import pytest

from edgeprofile import LookupTimeout, RedisUnavailable, WrongType
from edgeprofile_sidecar.activation import Question
from edgeprofile_sidecar.answers import INVALID_DESTINATION, UNAUTHORIZED, UNAVAILABLE, Answer
from edgeprofile_sidecar.counters import Counters
from edgeprofile_sidecar.service import Service
from edgeprofile_sidecar.tokens import Grant, Tokens
from tests.support.sidecar import token

BODY = b'{"entity":"user","destinationId":"2Dest","id":{"type":"email","value":"ada@example.com"}}'
HEAD = b'{"entity":"user","id":{"type":"email","value":"ada@example.com"},"data":'
QUESTION = Question("2Dest", "user", "email", "ada@example.com", HEAD)


class Source:
    """Profiles from a dict; what is not in memory is asked of `store`, which may be an error."""

    def __init__(self, memory: dict[tuple[str, ...], bytes], store: bytes | Exception = b"{}") -> None:
        self.memory = memory
        self.store = store
        self.fetched: list[tuple[str, ...]] = []

    def peek_json(self, entity: str, id_type: str, value: str, *, destination: str) -> bytes | None:
        return self.memory.get((destination, entity, id_type, value))

    async def get_json(self, entity: str, id_type: str, value: str, *, destination: str) -> bytes:
        self.fetched.append((destination, entity, id_type, value))
        if isinstance(self.store, Exception):
            raise self.store
        return self.store


def service(source: Source, counters: Counters | None = None) -> Service:
    tokens = SimpleNamespace(current=Tokens([token("all"), token("scoped", ("2Dest",)), token("old", ends_in=-1)]))
    return Service(source, tokens, frozenset({"2Dest", "2Other"}), counters or Counters())


def grant(whose: str = "all") -> Grant:
    found = service(Source({})).admit([f"Bearer {whose}"])
    assert found is not None
    return found


def test_what_is_in_memory_is_answered_at_once():
    source = Source({("2Dest", "user", "email", "ada@example.com"): b'{"m":{"a":1.0}}'})
    answer = service(source).ask(BODY, grant())
    assert answer == Answer(200, HEAD + b'{"m":{"a":1.0}}}')
    assert source.fetched == []


def test_a_known_absence_is_answered_at_once():
    source = Source({("2Dest", "user", "email", "ada@example.com"): b"{}"})
    assert service(source).ask(BODY, grant()) == Answer(200, HEAD + b"{}}")


def test_what_is_not_is_a_question():
    source = Source({})
    assert service(source).ask(BODY, grant()) == QUESTION
    assert source.fetched == []


def test_a_question_is_answered_from_the_store():
    source = Source({}, b'{"m":{}}')
    assert asyncio.run(service(source).fetch(QUESTION)) == Answer(200, HEAD + b'{"m":{}}}')
    assert source.fetched == [("2Dest", "user", "email", "ada@example.com")]


@pytest.mark.parametrize(
    ("body", "secret", "answer", "denied"),
    [
        (BODY.replace(b"2Dest", b"2Other"), "scoped", UNAUTHORIZED, 1),
        (BODY.replace(b"2Dest", b"2Nowhere"), "scoped", UNAUTHORIZED, 1),
        (BODY.replace(b"2Dest", b"2Nowhere"), "all", INVALID_DESTINATION, 0),
    ],
)
def test_a_refusal_asks_nobody_and_counts(body, secret, answer, denied):
    source, counters = Source({}), Counters()
    assert service(source, counters).ask(body, grant(secret)) is answer
    assert counters.denials["scope"] == denied


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [((), "missing"), (("x",), "malformed"), (("Bearer x",), "unknown"), (("Bearer old",), "expired")],
)
def test_who_is_not_admitted_is_counted(authorization, reason):
    counters = Counters()
    assert service(Source({}), counters).admit(authorization) is None
    assert {name for name, count in counters.denials.items() if count} == {reason}


def test_trouble_is_answered_and_logged_once_in_a_while_without_the_id(caplog):
    caplog.set_level(logging.INFO)
    made = service(Source({}, RedisUnavailable("no connection to 10.1.2.3:6379")))
    for _ in range(5):
        assert asyncio.run(made.fetch(QUESTION)) is UNAVAILABLE
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "10.1.2.3:6379" in caplog.text
    assert "ada@example.com" not in caplog.text


@pytest.mark.parametrize(
    ("reason", "status"), [(LookupTimeout("late"), 503), (WrongType("odd", code="WRONGTYPE"), 502)]
)
def test_each_trouble_has_its_status(reason, status):
    assert asyncio.run(service(Source({}, reason)).fetch(QUESTION)).status == status


def test_what_nobody_foresaw_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        asyncio.run(service(Source({}, ZeroDivisionError())).fetch(QUESTION))
