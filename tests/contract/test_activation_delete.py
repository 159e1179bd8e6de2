"""DELETE /v2/activation, asked over real sockets of a sidecar on a real server."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.activation import ADA, DELETING, EVERYTHING, NO_DESTINATION, TOKENS, UNAUTHORIZED, asking, email
from tests.support.servers import Server
from tests.support.sidecar import Response, RunningSidecar, configuration, running, token
from tests.support.wait import until

BOTH = "ep_both"
NARROW = "ep_narrow"
MORE = (token(BOTH, permissions=("read", "delete")), token(NARROW, ("2Other",), permissions=("delete",)))


@pytest.fixture(scope="module")
def sidecar(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    server.reset()
    config = configuration(
        tmp_path_factory.mktemp("sidecar"), server.address, *TOKENS, *MORE, sidecar={"maxBatch": 500}
    )
    with running(config) as started:
        started.settle(asking(), EVERYTHING)
        yield started


@pytest.fixture
def written(server: Server) -> Server:
    for name in ("ada@example.com", "bea", "cid"):
        server.command("HSET", f"1Wsp:2Dest:user:email:{name}", "m", '{"a":1}')
    return server


def delete(sidecar: RunningSidecar, body: object, secret: str | None = DELETING, **headers: str) -> Response:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    authorization = {"Authorization": f"Bearer {secret}"} if secret else {}
    return sidecar.request("DELETE", "/v2/activation", payload, {**authorization, **headers})


def found(sidecar: RunningSidecar, name: str) -> Any:
    return sidecar.ask(asking(identity=email(name)), EVERYTHING).json["data"]


def test_one_profile_is_deleted_and_no_longer_served(sidecar, written):
    until(lambda: found(sidecar, "ada@example.com") == {"m": {"a": 1}})
    answer = delete(sidecar, asking())
    assert (answer.status, answer.json) == (200, {"deletedKeys": 1, "actualKeys": 1})
    assert found(sidecar, "ada@example.com") == {}
    assert written.command("EXISTS", "1Wsp:2Dest:user:email:ada@example.com") == 0


def test_several_are_deleted_and_those_that_are_not_there_are_counted(sidecar, written):
    answer = delete(sidecar, asking(identity=[ADA, email("bea"), email("nobody")]))
    assert (answer.status, answer.json) == (200, {"deletedKeys": 2, "actualKeys": 3})
    assert written.command("EXISTS", "1Wsp:2Dest:user:email:cid") == 1


def test_other_types_of_id_are_other_keys(sidecar, written):
    written.command("HSET", "1Wsp:2Dest:user:user_id:7", "m", "{}")
    answer = delete(sidecar, asking(identity=[ADA, {"type": "user_id", "value": 7}]))
    assert answer.json == {"deletedKeys": 2, "actualKeys": 2}


def test_as_many_as_are_allowed(sidecar):
    answer = delete(sidecar, asking(identity=[email(f"nobody{number}") for number in range(500)]))
    assert answer.json == {"deletedKeys": 0, "actualKeys": 500}


def test_another_process_follows(sidecar, written, tmp_path):
    with running(configuration(tmp_path, written.address, *TOKENS)) as other:
        other.settle(asking(), EVERYTHING)
        until(lambda: found(other, "bea") == {"m": {"a": 1}})
        delete(sidecar, asking(identity=email("bea")))
        until(lambda: found(other, "bea") == {}, 2.0)


@pytest.mark.parametrize("secret", [None, "ep_unknown", EVERYTHING, NARROW])
def test_it_needs_a_permission_of_its_own_in_scope(sidecar, written, secret):
    answer = delete(sidecar, asking(), secret)
    assert (answer.status, answer.json) == (401, UNAUTHORIZED)
    assert written.command("EXISTS", "1Wsp:2Dest:user:email:ada@example.com") == 1


@pytest.mark.usefixtures("written")
def test_a_token_may_do_both(sidecar):
    assert sidecar.ask(asking(), BOTH).status == 200
    assert delete(sidecar, asking(), BOTH).status == 200


@pytest.mark.parametrize("destination", [..., "", "2Nowhere", 7])
def test_a_destination_that_is_none(sidecar, destination):
    answer = delete(sidecar, asking(destination))
    assert (answer.status, answer.json) == (404, NO_DESTINATION)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON"),
        (b"[]", "object"),
        (asking(identity=...), "id is missing"),
        (asking(identity=[]), "id should have at least one item"),
        (asking(identity=[ADA] * 501), "maxBatch"),
        (asking(identity=[ADA, {"type": "email"}]), "id[1].value is missing"),
        (asking(entity=""), "entity"),
        (asking(identity={"type": "a:b:c:d:e", "value": "v"}, entity="f:g:h:i:j:k"), "entity"),
    ],
)
def test_what_names_no_profile_is_400_with_a_message_and_deletes_nothing(sidecar, written, body, message):
    answer = delete(sidecar, body)
    assert answer.status == 400
    assert list(answer.json) == ["message"]
    assert message in answer.json["message"]
    assert written.command("EXISTS", "1Wsp:2Dest:user:email:ada@example.com") == 1


def test_the_empty_list_has_the_contracts_text(sidecar):
    assert delete(sidecar, asking(identity=[])).body == b'{"message":"id should have at least one item"}'


def test_refusals_of_the_body_carry_a_message(sidecar):
    for status, answer in (
        (415, delete(sidecar, asking(), **{"Content-Type": "text/plain"})),
        (413, delete(sidecar, b" " * ((1 << 20) + 1))),
    ):
        assert (answer.status, list(answer.json)) == (status, ["message"])


def test_a_failure_is_500_with_the_contracts_text(tmp_path):
    with running(configuration(tmp_path, "127.0.0.1:1", *TOKENS)) as stranded:
        answer = delete(stranded, asking())
    assert (answer.status, answer.json) == (500, {"message": "Internal server error"})


@pytest.mark.usefixtures("written")
def test_each_delete_is_written_down_without_ids(sidecar, caplog):
    caplog.set_level(logging.INFO, "edgeprofile_sidecar.audit")
    delete(sidecar, asking(identity=[ADA, email("nobody")]))
    delete(sidecar, asking("2Nowhere"))
    (record,) = (record for record in caplog.records if record.name == "edgeprofile_sidecar.audit")
    told = (record.token, record.destination, record.profiles, record.outcome)
    assert told == (DELETING, "2Dest", 2, "1 removed")
    assert "ada" not in str(vars(record))
