"""Changes as the feed tells of them: to tasks, and as a stream over HTTP, of a real server."""

import asyncio
import http.client
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest

from edgeprofile import AsyncClient, UnknownDestination
from edgeprofile.testing import MemoryProfiles
from edgeprofile_sidecar.tokens import dump
from tests.support.activation import DELETING, EVERYTHING, NO_DESTINATION, TOKENS, UNAUTHORIZED, asking
from tests.support.clients import configuration as client_configuration
from tests.support.fair_clock import FairClock
from tests.support.servers import Server
from tests.support.sidecar import RunningSidecar, configuration, connect, running, token
from tests.support.wait import until

KEY = "1Wsp:2Dest:user:email:ada"
ADA = ("email", "ada")


def changed(server: Server, name: str = "ada") -> None:
    server.command("HINCRBY", f"1Wsp:2Dest:user:email:{name}", "m", 1)


# Tasks


def test_a_task_is_told_of_the_profiles_it_asked_for_cached_or_not(redis_db):
    async def listen() -> list[Any]:
        async with AsyncClient(client_configuration(redis_db.address)) as client:
            await client.start()
            with client.changes("user", [ADA, ("email", "bea")]) as changes:
                changed(redis_db, "cid")
                changed(redis_db, "bea")
                first = await anext(changes)
                await client.get("user", "email", "ada")
                changed(redis_db)
                return [first, await anext(changes)]

    assert asyncio.run(asyncio.wait_for(listen(), 10)) == [("email", "bea"), ADA]


def test_changes_that_nobody_read_yet_are_told_once(redis_db):
    async def listen() -> list[Any]:
        async with AsyncClient(client_configuration(redis_db.address)) as client:
            await client.start()
            with client.changes("user", [ADA, ("email", "bea")]) as changes:
                with client.changes("user", [("email", "bea")]) as last:
                    for _ in range(100):
                        changed(redis_db)
                    changed(redis_db, "bea")
                    await anext(last)
                return [await anext(changes), await anext(changes)]

    assert asyncio.run(asyncio.wait_for(listen(), 10)) == [ADA, ("email", "bea")]


def test_a_loss_stands_for_all_changes(redis_db):
    async def listen() -> Any:
        async with AsyncClient(client_configuration(redis_db.address)) as client:
            await client.start()
            with client.changes("user", [ADA]) as changes:
                redis_db.kill_clients("pubsub")
                return await anext(changes)

    assert asyncio.run(asyncio.wait_for(listen(), 10)) is None


def test_they_end_with_the_client_and_leave_nothing(redis_db):
    async def listen() -> list[Any]:
        client = AsyncClient(client_configuration(redis_db.address))
        await client.start()
        with pytest.raises(UnknownDestination):
            client.changes("user", [ADA], destination="2Nowhere")
        with client.changes("user", [ADA]) as changes:
            assert client._engine.subscribers
            await client.close()
            heard = [change async for change in changes]
        assert not client._engine.subscribers
        return heard

    assert asyncio.run(asyncio.wait_for(listen(), 10)) in ([], [None])


def test_profiles_in_memory_tell_as_well():
    async def listen() -> list[Any]:
        profiles = MemoryProfiles()
        with profiles.async_client.changes("user", [ADA]) as changes:
            profiles.put("user", *ADA, {})
            first = await anext(changes)
            profiles.engine.replace({})
            return [first, await anext(changes)]

    assert asyncio.run(listen()) == [ADA, None]


# Streams


@pytest.fixture
def sidecar(redis_db: Server, tmp_path: Any) -> Iterator[RunningSidecar]:
    settings = {"streamHeartbeat": "100ms", "maxStreams": 2}
    with running(configuration(tmp_path, redis_db.address, *TOKENS, sidecar=settings)) as started:
        started.settle(asking(), EVERYTHING)
        yield started


@contextmanager
def stream(sidecar: RunningSidecar, secret: str = EVERYTHING, **wanted: Any) -> Iterator[http.client.HTTPResponse]:
    asked = {"entity": "user", "destinationId": "2Dest", "idType": "email", "value": ["ada", "bea"]} | wanted
    connection = http.client.HTTPConnection("sidecar.test")
    connection.sock = connect(sidecar.address())
    query = urlencode(asked, doseq=True)
    connection.request("GET", f"/v2/activation/changes?{query}", headers={"Authorization": f"Bearer {secret}"})
    try:
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()


def events(response: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    """Events with their data; a heartbeat is the event of no name."""
    event = ""
    for raw in response:
        line = raw.decode().rstrip("\n")
        if line == ":":
            yield "", None
        elif line.startswith("event: "):
            event = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield event, json.loads(line.removeprefix("data: "))


def spoken(told: Iterator[tuple[str, Any]]) -> tuple[str, Any]:
    return next(each for each in told if each[0])


def test_a_stream_tells_of_changes_between_heartbeats(sidecar, redis_db):
    with stream(sidecar) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
        told = events(response)
        assert next(told) == ("open", {})
        assert next(told) == ("", None)
        changed(redis_db, "cid")
        changed(redis_db, "bea")
        assert spoken(told) == ("change", {"type": "email", "value": "bea"})
        redis_db.kill_clients("pubsub")
        assert spoken(told) == ("resync", {})
    until(lambda: len(sidecar.sidecar._listener.streams) == 0, 5)


def test_what_its_reader_sends_meanwhile_disturbs_no_stream(redis_db, tmp_path):
    settings = {"streamHeartbeat": "100ms", "headerTimeout": "300ms"}
    with (
        running(configuration(tmp_path, redis_db.address, *TOKENS, sidecar=settings)) as sidecar,
        connect(sidecar.address()) as connection,
        connection.makefile("rb") as lines,
    ):
        sidecar.settle(asking(), EVERYTHING)
        query = "entity=user&destinationId=2Dest&idType=email&value=ada"
        head = f"GET /v2/activation/changes?{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {EVERYTHING}\r\n\r\n"
        connection.sendall(head.encode())
        told = events(lines)
        assert next(told) == ("open", {})
        connection.sendall(b"GET")
        assert {next(told)[0] for _ in range(10)} == {""}


def test_only_so_many_streams_are_open(sidecar):
    with stream(sidecar) as one, stream(sidecar) as two:
        assert (one.status, two.status) == (200, 200)
        with stream(sidecar) as three:
            assert three.status == 503
            assert list(json.loads(three.read())) == ["error"]
        assert sidecar.metric("edgeprofile_http_streams") == 2
    until(lambda: sidecar.metric("edgeprofile_http_streams") == 0, 5)
    assert sidecar.metric("edgeprofile_http_closed_total", reason="slow reader") == 0


@pytest.mark.parametrize(
    ("secret", "wanted", "status", "form"),
    [
        ("ep_unknown", {}, 401, UNAUTHORIZED),
        (DELETING, {}, 401, UNAUTHORIZED),
        (EVERYTHING, {"destinationId": "2Nowhere"}, 404, NO_DESTINATION),
        (EVERYTHING, {"value": []}, 400, {"error": "value is missing"}),
        (EVERYTHING, {"value": ["a", ""]}, 400, {"error": "value is missing"}),
        (EVERYTHING, {"entity": ""}, 400, {"error": "entity is missing"}),
        (
            EVERYTHING,
            {"value": ["a"] * 1_001},
            400,
            {"error": "value is given more than 1000 times (sidecar.maxBatch)"},
        ),
    ],
)
def test_refusals_are_answers(sidecar, secret, wanted, status, form):
    with stream(sidecar, secret, **wanted) as response:
        assert (response.status, json.loads(response.read())) == (status, form)


def test_a_stream_ends_with_its_token(sidecar, tmp_path):
    with stream(sidecar) as response:
        told = events(response)
        assert next(told) == ("open", {})
        (tmp_path / "tokens.json").write_text('{"version":1,"tokens":[]}')
        assert spoken(told) == ("closing", {"reason": "the token no longer opens this"})
        assert list(told) == []


@pytest.fixture
def calm(redis_db: Server, tmp_path: Any) -> Iterator[RunningSidecar]:
    """Its heartbeat is that of the default: whatever is told here does not wait for one."""
    ending = token("ep_ending", ends_in=4.0)
    settings = {"writeTimeout": "1s"}
    with running(configuration(tmp_path, redis_db.address, *TOKENS, ending, sidecar=settings)) as started:
        started.settle(asking(), EVERYTHING)
        yield started


def test_a_stream_ends_within_a_second_of_its_token(calm, tmp_path):
    with stream(calm) as response:
        told = events(response)
        assert next(told) == ("open", {})
        (tmp_path / "tokens.json").write_text('{"version":1,"tokens":[]}')
        with FairClock() as clock:
            assert next(told) == ("closing", {"reason": "the token no longer opens this"})
        assert clock.seconds < 1.0
        assert list(told) == []


def test_a_stream_goes_on_while_other_tokens_change(calm, tmp_path, redis_db):
    with stream(calm) as response:
        told = events(response)
        assert next(told) == ("open", {})
        (tmp_path / "tokens.json").write_bytes(dump([token(EVERYTHING)]))
        until(lambda: calm.ask(asking(), DELETING).status == calm.ask(asking(), "ep_ending").status == 401, 5)
        changed(redis_db)
        assert next(told) == ("change", {"type": "email", "value": "ada"})


def test_a_stream_ends_when_its_reader_leaves(calm):
    with stream(calm) as response:
        assert next(events(response)) == ("open", {})
        assert len(calm.sidecar._listener.streams) == 1
    until(lambda: len(calm.sidecar._listener.streams) == 0, 3)
    assert calm.metric("edgeprofile_http_closed_total", reason="slow reader") == 0


def test_a_stream_ends_when_its_token_does(calm):
    with stream(calm, "ep_ending") as response:
        said = [each for each in events(response) if each[0]]
        assert said == [("open", {}), ("closing", {"reason": "the token no longer opens this"})]


def test_who_does_not_read_is_told_so_at_the_end(calm, redis_db):
    names = [letter * 4_000 for letter in "abc"]
    with connect(calm.address("unix")) as deaf, deaf.makefile("rb") as lines:
        query = urlencode({"entity": "user", "idType": "email", "value": names}, doseq=True)
        head = f"GET /v2/activation/changes?{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {EVERYTHING}\r\n\r\n"
        deaf.sendall(head.encode())
        until(lambda: len(calm.sidecar._listener.streams) == 1, 5)

        def ended() -> bool:
            for name in names:
                changed(redis_db, name)
            return len(calm.sidecar._listener.streams) == 0

        until(ended, 20)
        *told, last = events(lines)
        assert {event for event, _ in told} <= {"open", "change", "resync"}
        assert last == ("closing", {"reason": "its reader is too slow"})
    assert calm.metric("edgeprofile_http_closed_total", reason="slow reader") == 1


def test_a_stream_ends_when_the_sidecar_stops(sidecar):
    with stream(sidecar) as response:
        told = events(response)
        assert next(told) == ("open", {})
        sidecar.drain()
        assert spoken(told) == ("closing", {"reason": "the sidecar is stopping"})
        assert list(told) == []
