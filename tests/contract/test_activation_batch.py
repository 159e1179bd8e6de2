"""POST /v2/activation/batch, asked over real sockets of a sidecar on a real server."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.activation import DELETING, EVERYTHING, NO_DESTINATION, SCOPED, TOKENS, UNAUTHORIZED, asking, email
from tests.support.servers import Server
from tests.support.sidecar import Response, RunningSidecar, configuration, running


@pytest.fixture(scope="module")
def sidecar(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    server.reset()
    for number in range(100):
        server.command("HSET", f"1Wsp:2Dest:user:number:{number}", "m", f'{{"n":{number}}}')
    server.command("SET", "1Wsp:2Dest:user:email:wrong", "text")
    stream = {"id": "2Stream", "workspaceId": "1Wsp", "layout": "event-stream"}
    destinations = ({"id": "2Dest", "workspaceId": "1Wsp"}, stream)
    home = tmp_path_factory.mktemp("sidecar")
    with running(configuration(home, server.address, *TOKENS, destinations=destinations)) as started:
        started.settle(asking(), EVERYTHING)
        yield started


def number(value: object) -> dict[str, object]:
    return {"type": "number", "value": value}


def batch(sidecar: RunningSidecar, ids: object, secret: str = EVERYTHING, **changes: Any) -> Response:
    whole = {"entity": "user", "destinationId": "2Dest", "ids": ids} | changes
    body = {name: value for name, value in whole.items() if value is not ...}
    return sidecar.ask(body, secret, path="/v2/activation/batch")


def test_ids_are_answered_in_order_hits_and_misses_alike(sidecar):
    sidecar.ask(asking(identity=number("7")), EVERYTHING)
    order = [5, 7, 500, 5, 99]
    answer = batch(sidecar, [number(each) for each in order])
    assert answer.status == 200
    assert answer.json["entity"] == "user"
    assert answer.json["results"] == [
        {"id": number(each), "found": each < 100, "data": {"m": {"n": each}} if each < 100 else {}} for each in order
    ]


def test_a_thousand_are_answered(sidecar):
    answer = batch(sidecar, [number(each) for each in range(1_000)])
    assert [place["found"] for place in answer.json["results"]] == [True] * 100 + [False] * 900


def test_a_bad_id_is_an_error_in_its_place(sidecar):
    wrong = [number("1"), email("wrong"), {"type": "t"}, "ada", number("2")]
    answer = batch(sidecar, wrong)
    assert answer.status == 200
    assert [place["id"] for place in answer.json["results"]] == wrong
    assert [place.get("status") for place in answer.json["results"]] == [None, 502, 400, 400, None]
    assert all("error" in place for place in answer.json["results"][1:4])


def test_an_id_that_no_key_can_name_is_an_error_in_its_place(sidecar):
    answer = batch(sidecar, [email("a"), {"type": "user_id", "value": "a"}], destinationId="2Stream")
    assert [place.get("status") for place in answer.json["results"]] == [400, None]


@pytest.mark.parametrize("ids", [..., [], {}, "ada", None, [number(1)] * 1_001])
def test_what_is_no_list_of_ids_is_400(sidecar, ids):
    answer = batch(sidecar, ids)
    assert (answer.status, list(answer.json)) == (400, ["error"])
    assert answer.json["error"].startswith("ids ")


@pytest.mark.parametrize(
    ("secret", "destination", "status", "form"),
    [
        ("ep_unknown", "2Dest", 401, UNAUTHORIZED),
        (DELETING, "2Dest", 401, UNAUTHORIZED),
        (SCOPED, "2Stream", 401, UNAUTHORIZED),
        (SCOPED, "2Nowhere", 401, UNAUTHORIZED),
        (SCOPED, "2Gone", 404, NO_DESTINATION),
        (EVERYTHING, "2Nowhere", 404, NO_DESTINATION),
        (EVERYTHING, ..., 404, NO_DESTINATION),
    ],
)
def test_refusals_are_those_of_one(sidecar, secret, destination, status, form):
    answer = batch(sidecar, [], secret, destinationId=destination)
    assert (answer.status, answer.json) == (status, form)


def test_another_method_is_405(sidecar):
    answer = sidecar.request("GET", "/v2/activation/batch", headers={"Authorization": f"Bearer {EVERYTHING}"})
    assert (answer.status, answer.header("Allow")) == (405, "POST")


def test_without_redis_it_is_503_with_retry_after(tmp_path):
    with running(configuration(tmp_path, "127.0.0.1:1", *TOKENS)) as stranded:
        answer = batch(stranded, [number(1), number(2)])
    assert (answer.status, list(answer.json)) == (503, ["error"])
    assert answer.header("Retry-After")


def test_large_bodies_are_for_batches(sidecar):
    body = json.dumps({"entity": "user", "destinationId": "2Dest", "ids": [number("1")]}).encode().ljust(1 << 20)
    assert sidecar.ask(body, EVERYTHING, path="/v2/activation/batch").status == 200
    assert sidecar.ask(body + b" ", EVERYTHING, path="/v2/activation/batch").status == 413
