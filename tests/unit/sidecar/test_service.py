"""The service over a source of profiles: when it asks, what it answers, and what it logs."""

import asyncio
import json
import logging
import tracemalloc
import weakref
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from edgeprofile import ClosedError, EdgeProfileError, EncodedProfile, LookupTimeout, RedisUnavailable, WrongType
from edgeprofile_sidecar.activation import Question
from edgeprofile_sidecar.answers import (
    DELETE_FAILED,
    INVALID_DESTINATION,
    NO_GOOD_TOKEN,
    UNAUTHORIZED,
    UNAVAILABLE,
    Answer,
)
from edgeprofile_sidecar.counters import Counters
from edgeprofile_sidecar.freshness import tag
from edgeprofile_sidecar.room import Room
from edgeprofile_sidecar.service import Service
from edgeprofile_sidecar.tokens import Grant, Tokens
from tests.support.sidecar import token

BODY = b'{"entity":"user","destinationId":"2Dest","id":{"type":"email","value":"ada@example.com"}}'
HEAD = b'{"entity":"user","id":{"type":"email","value":"ada@example.com"},"data":'
QUESTION = Question("2Dest", "user", "email", "ada@example.com", HEAD)


HIT_HEADERS = b"Cache-Status: edgeprofile; hit; ttl=250\r\nAge: 50\r\nETag: %b\r\nServer-Timing: cache;desc=hit\r\n"
MISS_HEADERS = b"Cache-Status: edgeprofile; fwd=miss; stored\r\nAge: 0\r\nETag: %b\r\n"


class Source:
    """Profiles from a dict; what is not in memory is asked of `store`, which may be an error."""

    def __init__(self, memory: dict[tuple[str, ...], bytes], store: bytes | Exception = b"{}") -> None:
        self.encoded = self
        self.memory = memory
        self.store = store
        self.fetched: list[tuple[str, ...]] = []
        self.deleted: list[tuple[str, str]] = []
        self.served: list[float] = []
        self.good = True

    def peek(self, entity: str, id_type: str, value: str, *, destination: str) -> EncodedProfile | None:
        data = self.memory.get((destination, entity, id_type, value))
        return None if data is None else EncodedProfile(data, data != b"{}", 50.0, 250.9)

    def hold(self, entity: str, id_type: str, value: str, *, destination: str) -> Any:
        found = self.peek(entity, id_type, value, destination=destination)
        return found and SimpleNamespace(profile=found, serves=lambda now: self.served.append(now) or self.good)

    async def get(self, entity: str, id_type: str, value: str, *, destination: str) -> EncodedProfile:
        self.fetched.append((destination, entity, id_type, value))
        if isinstance(self.store, Exception):
            raise self.store
        return EncodedProfile(self.store, self.store != b"{}", 0.0, 300.0, hit=False)

    async def get_many(
        self, entity: str, ids: Sequence[tuple[str, str]], *, destination: str
    ) -> list[EncodedProfile | EdgeProfileError]:
        return [await self._one(entity, *each, destination) for each in ids]

    async def delete(self, _: str, ids: Iterable[tuple[str, str]], **__: str) -> int:
        if isinstance(self.store, Exception):
            raise self.store
        self.deleted += ids
        return len(self.deleted)

    async def _one(self, entity: str, id_type: str, value: str, destination: str) -> EncodedProfile | EdgeProfileError:
        try:
            found = self.peek(entity, id_type, value, destination=destination)
            return found or await self.get(entity, id_type, value, destination=destination)
        except EdgeProfileError as error:
            return error


def answered(data: bytes, headers: bytes = HIT_HEADERS) -> Answer:
    return Answer(200, HEAD + data + b"}", headers % tag(data), tag(data))


def service(source: Source, counters: Counters | None = None) -> Service:
    tokens = SimpleNamespace(
        current=Tokens(
            [token("all", permissions=("read", "delete")), token("scoped", ("2Dest",)), token("old", ends_in=-1)]
        )
    )
    return Service(source, tokens, frozenset({"2Dest", "2Other"}), counters or Counters())


def grant(whose: str = "all") -> Grant:
    found = service(Source({})).admit([f"Bearer {whose}"])
    assert isinstance(found, Grant)
    return found


def test_what_is_in_memory_is_answered_at_once():
    source = Source({("2Dest", "user", "email", "ada@example.com"): b'{"m":{"a":1.0}}'})
    answer = service(source).ask(BODY, grant())
    assert answer == answered(b'{"m":{"a":1.0}}')
    assert source.fetched == []


def test_a_known_absence_is_answered_at_once():
    source = Source({("2Dest", "user", "email", "ada@example.com"): b"{}"})
    assert service(source).ask(BODY, grant()) == answered(b"{}")


def test_within_a_second_an_answer_from_memory_is_the_same_and_then_another():
    data, later = b'{"m":{}}', [0.0]
    source = Source({})
    source.peek = lambda *_, **__: EncodedProfile(data, True, 50.5 + later[0], 249.5 - later[0])
    made = service(source)
    first = made.ask(BODY, grant())
    later[0] = 0.4
    assert made.ask(BODY, grant()) is first
    later[0] = 0.6
    assert b"Age: 51\r\n" in made.ask(BODY, grant()).headers
    data = b'{"m":{"a":1}}'
    assert made.ask(BODY, grant()).body == HEAD + data + b"}"


ADA = ("2Dest", "user", "email", "ada@example.com")


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """Moments that a test sets: seconds since 1970, and those of the clock that never jumps."""
    moments = SimpleNamespace(today=1_000.0, now=10.0)
    monkeypatch.setattr("time.time", lambda: moments.today)
    monkeypatch.setattr("time.monotonic", lambda: moments.now)
    return moments


def standing(made: Service, authorization: str = "Bearer all", body: bytes = BODY) -> Any:
    made.ask(body, grant())  # reads it, and remembers what was read
    return made.standing(authorization, body)


@pytest.mark.usefixtures("clock")
def test_an_answer_stands_for_as_long_as_it_may_be_served():
    source, counters = Source({ADA: b'{"m":{}}'}), Counters()
    found = standing(service(source, counters))
    assert found.answer == answered(b'{"m":{}}')
    before = counters.lookups["hit"]
    assert found.gives(10.5)
    assert source.served == [10.5]
    assert counters.lookups["hit"] == before + 1
    source.good = False
    assert not found.gives(10.6)
    assert counters.lookups["hit"] == before + 1


@pytest.mark.parametrize(
    ("today", "age", "ttl", "until"),
    [(1_000.25, 50.5, 249.75, 10.5), (1_000.75, 50.0, 249.9, 10.25), (1_000.0, 50.0, 250.125, 10.125)],
    ids=["age", "date", "ttl"],
)
def test_an_answer_stands_until_one_of_its_headers_says_something_else(clock, today, age, ttl, until):
    clock.today = today
    source = Source({})
    source.peek = lambda *_, **__: EncodedProfile(b"{}", True, age, ttl)
    found = standing(service(source))
    assert found.gives(until - 0.001)
    assert not found.gives(until)


def test_an_answer_stands_until_its_token_ends_or_other_tokens_count(clock):
    source, counters = Source({ADA: b"{}"}), Counters()
    clock.today = 1_000.0
    ending = msgspec.structs.replace(token("all"), expires=datetime.fromtimestamp(1_000.5, UTC))
    tokens = SimpleNamespace(current=Tokens([ending]))
    made = Service(source, tokens, frozenset({"2Dest"}), counters)
    found = standing(made)
    assert found.gives(10.499)
    assert not found.gives(10.5)
    assert counters.lookups["negative"] == 2
    tokens.current = Tokens([ending])
    assert not found.gives(10.1)
    clock.today = 1_000.5
    assert made.standing("Bearer all", BODY) is None


def test_an_answer_that_stood_keeps_no_tokens_that_count_no_more():
    tokens = SimpleNamespace(current=Tokens([token("all")]))
    found = standing(Service(Source({ADA: b"{}"}), tokens, frozenset({"2Dest"}), Counters()))
    old = weakref.ref(tokens.current)
    tokens.current = Tokens([token("all")])
    assert old() is None
    assert not found.gives(0.0)


@pytest.mark.parametrize(
    ("authorization", "body", "data"),
    [
        ("Bearer scoped", BODY.replace(b"2Dest", b"2Other"), b"{}"),
        ("Bearer all", BODY.replace(b"2Dest", b"2None"), b"{}"),
        ("Bearer old", BODY, b"{}"),
        ("Bearer unknown", BODY, b"{}"),
        ("Bearer all", b"{}", b"{}"),
        ("Bearer all", BODY, b'{"m":"%b"}' % (b"x" * 5_000)),
        ("Bearer all", BODY, None),
    ],
)
def test_nothing_else_stands(authorization, body, data):
    source = Source({} if data is None else {(name, *ADA[1:]): data for name in ("2Dest", "2Other", "2None")})
    assert standing(service(source), authorization, body) is None


def test_a_question_that_was_never_read_has_no_standing_answer():
    assert service(Source({ADA: b"{}"})).standing("Bearer all", BODY) is None


def test_the_same_question_to_another_destination_is_another():
    source = Source({("2Dest", "user", "email", "ada@example.com"): b'{"m":1}'})
    source.memory["2Other", "user", "email", "ada@example.com"] = b'{"m":2}'
    made = service(source)
    for _ in range(2):
        assert made.ask(BODY, grant()).body.endswith(b'{"m":1}}')
        assert made.ask(BODY.replace(b"2Dest", b"2Other"), grant()).body.endswith(b'{"m":2}}')


def test_what_is_not_is_a_question():
    source = Source({})
    assert service(source).ask(BODY, grant()) == QUESTION
    assert source.fetched == []


def test_a_question_is_answered_from_the_store():
    source = Source({}, b'{"m":{}}')
    answer = asyncio.run(service(source).fetch(QUESTION))
    head, timing = answer.headers.split(b"Server-Timing: redis;dur=")
    assert float(timing) >= 0
    assert msgspec.structs.replace(answer, headers=head) == answered(b'{"m":{}}', MISS_HEADERS)
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
    assert service(Source({}), counters).admit(authorization) is NO_GOOD_TOKEN
    assert {name for name, count in counters.denials.items() if count} == {reason}


def test_who_lacks_a_permission_is_told_the_same_and_told_apart():
    counters = Counters()
    assert service(Source({}), counters).admit(["Bearer scoped"], "delete") is UNAUTHORIZED
    assert counters.denials["permission"] == 1
    assert UNAUTHORIZED == NO_GOOD_TOKEN


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


IDS = b'{"entity":"user","destinationId":"2Dest","ids":[{"type":"email","value":"ada@example.com"},7,{"type":"t","value":1}]}'


def test_a_batch_is_answered_place_by_place():
    source = Source({("2Dest", "user", "email", "ada@example.com"): b'{"m":{}}'})
    answer = asyncio.run(service(source).batch(IDS, grant()))
    assert json.loads(answer.body) == {
        "entity": "user",
        "results": [
            {"id": {"type": "email", "value": "ada@example.com"}, "found": True, "data": {"m": {}}},
            {"id": 7, "status": 400, "error": "id must be an object with the members type and value"},
            {"id": {"type": "t", "value": 1}, "found": False, "data": {}},
        ],
    }


def asking_for(*values: str) -> bytes:
    ids = [{"type": "email", "value": value} for value in values]
    return json.dumps({"entity": "user", "destinationId": "2Dest", "ids": ids}).encode()


def bounded(source: Source, most: int) -> Service:
    counters = Counters()
    return Service(
        source, SimpleNamespace(current=Tokens()), frozenset({"2Dest"}), counters, 1_000, Room(counters, most)
    )


def test_ids_that_find_no_place_in_a_batch_get_an_error_in_theirs():
    data = b'{"m":"%b"}' % (b"x" * 1_000)
    source = Source({("2Dest", "user", "email", name): data for name in "abc"})
    source.memory["2Dest", "user", "email", "small"] = b"{}"
    answer = asyncio.run(bounded(source, 2_300).batch(asking_for("a", "b", "c", "small", "a"), grant()))
    places = json.loads(answer.body)["results"]
    assert [place.get("status", 200) for place in places] == [200, 200, 413, 200, 413]
    assert [place["id"]["value"] for place in places] == ["a", "b", "c", "small", "a"]
    assert "maxAnswerBytes" in places[2]["error"]
    assert len(answer.body) < 2_300 + 500


def test_a_large_answer_finds_no_room_where_others_are_unread_and_a_small_one_does():
    large, counters = b'{"m":"%b"}' % (b"x" * 70_000), Counters()
    source = Source({("2Dest", "user", "email", each): large for each in ("ada@example.com", "a", "b")}, large)
    source.memory["2Dest", "user", "email", "small"] = b"{}"
    room = Room(counters, 1 << 20, 100_000)
    tokens = SimpleNamespace(current=Tokens([token("all")]))
    made = Service(source, tokens, frozenset({"2Dest"}), counters, 1_000, room)

    async def scenario() -> list[int]:
        singles = made.ask(BODY, grant()), made.at_once("Bearer all", BODY), await made.fetch(QUESTION)
        batches = [await asyncio.create_task(made.batch(asking_for(*ids), grant())) for ids in ("a", "ab", ("small",))]
        return [each.status for each in (*singles, *batches)]

    assert asyncio.run(scenario()) == [200, 200, 200, 200, 503, 200]
    room.unread = lambda: 50_000
    room.look()
    assert asyncio.run(scenario()) == [503, 503, 503, 503, 503, 200]
    assert counters.no_room == 6


def test_an_id_that_is_asked_for_twice_is_fetched_and_built_once():
    source = Source({}, b'{"m":{}}')
    answer = asyncio.run(service(source).batch(asking_for("a", "b", "a", "a"), grant()))
    assert source.fetched == [("2Dest", "user", "email", "a"), ("2Dest", "user", "email", "b")]
    first, _, *same = json.loads(answer.body)["results"]
    assert same == [first, first]


def test_a_batch_takes_no_more_memory_than_its_answer():
    source = Source({("2Dest", "user", "email", str(each)): b'{"m":"%b"}' % (b"x" * 300_000) for each in range(20)})
    batch = service(source).batch(asking_for(*map(str, range(20))), grant())

    async def scenario() -> tuple[int, int]:
        tracemalloc.start()
        answer = await batch
        return answer.size, tracemalloc.get_traced_memory()[1]

    try:
        size, most = asyncio.run(scenario())
    finally:
        tracemalloc.stop()
    assert most < 1.3 * size


@pytest.mark.parametrize(
    ("profile", "count", "turns"), [(b"{}", 1_000, 10), (b'{"m":"%b"}' % (b"x" * 300_000), 20, 20)]
)
def test_others_get_their_turn_while_a_batch_is_answered(profile, count, turns):
    source = Source({("2Dest", "user", "email", str(each)): profile for each in range(count)})

    async def scenario() -> int:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        await service(source).batch(asking_for(*map(str, range(count))), grant())
        beside.cancel()
        return turns

    assert asyncio.run(scenario()) >= turns


def test_a_batch_of_which_some_is_there_is_answered_without_redis():
    source = Source({("2Dest", "user", "email", "ada@example.com"): b"{}"}, RedisUnavailable("gone"))
    answer = asyncio.run(service(source).batch(IDS, grant()))
    assert [place.get("status") for place in json.loads(answer.body)["results"]] == [None, 400, 503]


def test_every_lookup_is_counted_by_what_it_came_to():
    source, counters = Source({("2Dest", "user", "email", "a"): b'{"m":{}}'}, b'{"m":{}}'), Counters()
    source.memory["2Dest", "user", "email", "ada@example.com"] = b"{}"
    made = service(source, counters)
    made.ask(BODY, grant())
    made.ask(BODY.replace(b"ada@example.com", b"a"), grant())
    asyncio.run(made.batch(asking_for("a", "ada@example.com", "b", "c", "a"), grant()))
    asyncio.run(made.fetch(QUESTION))
    assert counters.lookups == {"hit": 2, "negative": 2, "stale": 0, "miss": 3, "error": 0}
    source.store = RedisUnavailable("gone")
    asyncio.run(made.fetch(QUESTION))
    asyncio.run(made.batch(asking_for("a", "d", "e"), grant()))
    assert counters.lookups == {"hit": 3, "negative": 2, "stale": 0, "miss": 3, "error": 3}


def test_a_profile_past_its_promise_is_no_hit():
    source, counters = Source({}), Counters()

    async def stale(*_: str, **__: str) -> EncodedProfile:
        return EncodedProfile(b"{}", False, 400.0, -100.0, stale=True)

    source.get = stale
    asyncio.run(service(source, counters).fetch(QUESTION))
    assert counters.lookups == {"hit": 0, "negative": 0, "stale": 1, "miss": 0, "error": 0}


def test_a_batch_of_which_nothing_is_there_is_503():
    assert asyncio.run(service(Source({}, RedisUnavailable("gone"))).batch(IDS, grant())) is UNAVAILABLE


def test_a_batch_of_bad_ids_asks_nobody():
    source = Source({}, RedisUnavailable("gone"))
    answer = asyncio.run(service(source).batch(b'{"entity":"user","destinationId":"2Dest","ids":[1]}', grant()))
    assert (answer.status, source.fetched) == (200, [])


@pytest.mark.parametrize(
    ("outcome", "status"), [(b"", 200), (RedisUnavailable("gone"), 500), (ClosedError("reloaded"), 500)]
)
def test_a_delete_is_written_down_whatever_becomes_of_it(caplog, outcome, status):
    caplog.set_level(logging.INFO, "edgeprofile_sidecar.audit")
    answer = asyncio.run(service(Source({}, outcome)).delete(BODY, grant()))
    assert answer == (Answer(200, b'{"deletedKeys":1,"actualKeys":1}') if status == 200 else DELETE_FAILED)
    (record,) = [record for record in caplog.records if record.name.endswith("audit")]
    assert (record.token, record.profiles) == ("all", 1)
    assert record.outcome == ("1 removed" if status == 200 else "not confirmed")
