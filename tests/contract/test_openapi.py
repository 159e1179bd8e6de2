"""The API's description: served, true, and attacked by schemathesis, which reads nothing else."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import edgeprofile
from edgeprofile_sidecar import openapi, schemas
from edgeprofile_sidecar.streams import FULL
from tests.support.activation import ADA, DELETING, EVERYTHING, TOKENS, asking
from tests.support.servers import Server
from tests.support.sidecar import RunningSidecar, configuration, connect, running, token

BOTH = "ep_both"
CHANGES = "/v2/activation/changes"
EXAMPLES = max(15, settings().max_examples // 5)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def sidecar(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    server.reset()
    server.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", '{"a":1}')
    home = tmp_path_factory.mktemp("sidecar")
    both = token(BOTH, permissions=("read", "delete"))
    bundles = {"checkout": {"traits": ["a"]}}
    config = configuration(home, server.address, *TOKENS, both, bundles=bundles, sidecar={"maxStreams": 1})
    with running(config) as started:
        started.settle(asking(), EVERYTHING)
        yield started


@pytest.fixture(scope="module")
def stream(sidecar: RunningSidecar) -> Iterator[http.client.HTTPResponse]:
    """The only changes stream that may be open: whoever asks for another is refused, with an answer that ends."""
    connection = http.client.HTTPConnection("sidecar.test")
    connection.sock = connect(sidecar.address())
    asked = f"{CHANGES}?entity=user&idType=email&value=ada%40example.com"
    connection.request("GET", asked, headers={"Authorization": f"Bearer {EVERYTHING}"})
    with connection.getresponse() as opened:
        yield opened
    connection.close()


@pytest.fixture(scope="module")
def described(sidecar: RunningSidecar) -> Any:
    return sidecar.request("GET", openapi.PATH).json


@pytest.fixture
def api(sidecar: RunningSidecar, described: Any) -> Any:
    """What is attacked: the description, with a destination that there is."""
    told = json.loads(json.dumps(described))
    for name in ("Ask", "AskMany", "Delete"):
        told["components"]["schemas"][name]["properties"]["destinationId"] = {"enum": ["2Dest"]}
    loaded = schemathesis.openapi.from_dict(told)
    loaded.config.update(base_url=f"http://{sidecar.address()}")
    return loaded


OPERATIONS = [(method, path) for path, methods in openapi.document("")["paths"].items() for method in methods]


def not_a_surprise(_: Any, response: Any, __: Any) -> None:
    """Instead of `not_a_server_error` where there can be no other answer than that all streams are taken."""
    assert response.status_code < 500 or response.json() == json.loads(FULL.body)


def attack(api: Any, method: str, path: str, mode: GenerationMode) -> None:
    cases = api[path][method.upper()].as_strategy(generation_mode=mode)
    checks = [not_a_surprise if path == CHANGES and each is not_a_server_error else each for each in CHECKS]

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), database=None)
    @given(case=cases)
    def ask(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {BOTH}"}, checks=checks)

    ask()


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.usefixtures("stream")
def test_every_answer_is_as_described(api, method, path, mode):
    attack(api, method, path, mode)


def test_a_stream_is_as_described(described, stream):
    (kind,) = described["paths"][CHANGES]["get"]["responses"]["200"]["content"]
    assert (stream.status, stream.headers.get_content_type()) == (200, kind)


def test_what_is_not_described_would_be_found(api):
    del api.raw_schema["paths"]["/v2/activation"]["post"]["responses"]["400"]
    with pytest.raises(FailureGroup, match="Undocumented status code"):
        attack(api, "post", "/v2/activation", GenerationMode.NEGATIVE)


def test_it_is_served_to_everybody(sidecar, described):
    assert described["openapi"] == "3.1.0"
    assert described["info"]["version"] == edgeprofile.__version__
    assert sidecar.request("POST", openapi.PATH).status == 405
    assert described == json.loads(json.dumps(openapi.document(edgeprofile.__version__)))


def test_every_route_is_described(sidecar, described):
    routes = {*sidecar.sidecar._listener._routes, "/v2/profiles/{entity}/{idType}/{value}"} - {openapi.PATH}
    assert set(described["paths"]) == routes
    for path, methods in described["paths"].items():
        allowed = sidecar.request("PUT", path).header("Allow")
        assert {method.upper() for method in methods} == set(allowed.split(", ")) - {"HEAD"}


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("POST", "/v1/activation", asking(), schemas.Answered),
        ("POST", "/v2/activation", asking(bundle="checkout"), schemas.Answered),
        ("POST", "/v2/activation", asking(entity=7), schemas.Failure),
        ("GET", "/v2/profiles/user/email/ada@example.com", None, schemas.Answered),
        ("POST", "/v2/activation/batch", asking(ids=[ADA, 7]), schemas.AskedMany),
        ("DELETE", "/v2/activation", asking(identity=[ADA]), schemas.Deleted),
        ("DELETE", "/v2/activation", asking(identity=[]), schemas.Message),
    ],
)
def test_answers_are_of_the_described_types(sidecar, method, path, body, kind):
    secret = DELETING if method == "DELETE" else EVERYTHING
    payload = None if body is None else json.dumps(body).encode()
    answer = sidecar.request(method, path, payload, {"Authorization": f"Bearer {secret}"})
    strict = msgspec.defstruct(kind.__name__, [], bases=(kind,), forbid_unknown_fields=True, frozen=True)
    msgspec.json.decode(answer.body, type=strict)


def test_requests_of_the_described_types_are_taken(sidecar):
    profile = schemas.ProfileId("email", "ada@example.com")
    asked = schemas.Ask(entity="user", destination_id="2Dest", id=profile, traits=["a"])
    assert sidecar.ask(msgspec.json.encode(asked), EVERYTHING).status == 200
    many = schemas.AskMany(entity="user", destination_id="2Dest", ids=[profile])
    assert sidecar.ask(msgspec.json.encode(many), EVERYTHING, path="/v2/activation/batch").status == 200
