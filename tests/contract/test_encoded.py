"""Lookups that decode nothing, on every server."""

import asyncio
from collections.abc import Iterator

import pytest

from edgeprofile import AsyncClient, EncodedProfile, InvalidIdentity, UnknownDestination, WrongType
from tests.support.clients import Waiting, configuration
from tests.support.servers import Server
from tests.support.wait import until

ADA = ("user", "email", "ada@example.com")


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture
def client(redis_db: Server, runner: asyncio.Runner) -> Iterator[AsyncClient]:
    made = AsyncClient(configuration(redis_db.address, cache={"staleIfError": "60s", "maxStaleness": "5s"}))
    runner.run(made.start())
    yield made
    runner.run(made.close())


@pytest.fixture
def reads(client: AsyncClient, runner: asyncio.Runner) -> Waiting:
    return Waiting(client.encoded, runner)


def cached(reads: Waiting) -> EncodedProfile:
    """Read until the entry stays: the event of a write just before may overtake the first fetch."""

    def read() -> EncodedProfile | None:
        reads.get(*ADA)
        return reads.peek(*ADA, destination="2Dest")

    return until(read, 2, "the profile is cached")


def test_a_miss_is_read_and_a_hit_is_what_was_read(reads, redis_db):
    redis_db.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", '{"a": 1.0}')
    assert reads.peek(*ADA, destination="2Dest") is None
    first = reads.get(*ADA)
    assert (first.json, first.found, first.hit, first.stale) == (b'{"m":{"a": 1.0}}', True, False, False)
    hit = cached(reads)
    assert (hit.json, hit.found, hit.hit, hit.stale) == (first.json, True, True, False)
    assert 0 <= hit.age < 10
    assert 250 < hit.ttl <= 300


def test_an_absent_profile_is_empty_and_told_from_an_empty_one(reads):
    absent = cached(reads)
    assert (absent.json, absent.found) == (b"{}", False)
    assert 20 < absent.ttl <= 30


def test_several_are_answered_in_order_each_for_itself(reads, redis_db):
    for number in range(3):
        redis_db.command("HSET", f"1Wsp:2Dest:user:number:{number}", "m", str(number))
    redis_db.command("SET", "1Wsp:2Dest:user:email:wrong", "text")
    reads.get("user", "number", "1")
    ids = [("number", "2"), ("email", "wrong"), ("number", ""), ("number", "9"), ("number", "1"), ("number", "2")]
    answers = reads.get_many("user", ids)
    assert [type(answer) for answer in answers] == [
        EncodedProfile,
        WrongType,
        InvalidIdentity,
        EncodedProfile,
        EncodedProfile,
        EncodedProfile,
    ]
    assert [answers[place].json for place in (0, 3, 4, 5)] == [b'{"m":2}', b"{}", b'{"m":1}', b'{"m":2}']
    assert [answers[place].found for place in (0, 3, 4, 5)] == [True, False, True, True]


def test_misses_of_several_share_a_round_trip(redis_db, runner):
    client = AsyncClient(configuration(redis_db.address, cache={"maxStaleness": "60s"}))  # with hardly a heartbeat
    try:
        runner.run(client.start())
        reads = Waiting(client.encoded, runner)
        calls = int(redis_db.info("stats")["total_reads_processed"])
        answers = reads.get_many("user", [("number", str(number)) for number in range(1_000)])
        assert len(answers) == 1_000
        assert client.stats().fetches == 1_000
        assert int(redis_db.info("stats")["total_reads_processed"]) - calls < 100
        assert reads.get_many("user", []) == []
    finally:
        runner.run(client.close())


def test_a_large_batch_is_taken_in_by_and_by(client, reads, monkeypatch):
    engine, settle, sizes = client._engine, client._engine.settle, []

    def noted(node, settled):
        sizes.append(len(settled))
        settle(node, settled)

    monkeypatch.setattr(engine, "settle", noted)
    reads.get_many("user", [("number", str(number)) for number in range(1_000)])
    assert sum(sizes) >= 1_000
    assert max(sizes) <= 32


def test_what_is_wrong_with_all_of_them_is_raised(reads):
    with pytest.raises(UnknownDestination):
        reads.get_many("user", [("email", "a")], destination="2Nowhere")


def test_what_is_served_past_the_promise_says_so(make_server, runner):
    server = make_server()
    server.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", '{"a":1}')  # no event of it is to come
    config = configuration(server.address, cache={"staleIfError": "60s", "maxStaleness": "100ms"})
    client = AsyncClient(config)
    try:
        runner.run(client.start())
        reads = Waiting(client.encoded, runner)
        cached(reads)
        server.kill()
        until(lambda: reads.peek(*ADA, destination="2Dest") is None, 5, "the promise has ended")
        stale = reads.get(*ADA)
        assert (stale.json, stale.hit, stale.stale) == (b'{"m":{"a":1}}', True, True)
        assert -stale.age < stale.ttl <= 0
        until(lambda: reads.get(*ADA).ttl <= stale.ttl - 0.2, 5, "the end of the promise is further back")
    finally:
        runner.run(client.close())
