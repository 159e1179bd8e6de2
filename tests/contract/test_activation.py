"""Every row of the Activation API's table, asked over real sockets of a sidecar on a real server."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from edgeprofile.config import Config
from tests.support.servers import Server
from tests.support.sidecar import RunningSidecar, configuration, request, running, token

UNAUTHORIZED = {"error": "Unauthorized request. Please check your access token"}
NO_DESTINATION = {"error": "Invalid Destination. Please verify you are passing the right destination ID"}

EVERYTHING = "ep_everything"
SCOPED = "ep_scoped"
EXPIRED = "ep_expired"
DELETING = "ep_deleting"
TOKENS = (
    token(EVERYTHING),
    token(SCOPED, ("2Dest", "2Gone")),
    token(EXPIRED, ends_in=-1),
    token(DELETING, permissions=("delete",)),
)
DESTINATIONS = (
    {"id": "2Dest", "workspaceId": "1Wsp"},
    {"id": "2Other", "workspaceId": "1Wsp"},
    {"id": "2Stream", "workspaceId": "1Wsp", "layout": "event-stream"},
    {"id": "2Kafka", "workspaceId": "1Wsp", "type": "KAFKA", "config": {"hostName": "kafka"}},
)
ADA = {"type": "email", "value": "ada@example.com"}
MODELS = {"features_by_email": {"churn_score": 0.42, "country": None}, "WEB:FEATURES": {"VISITS": "3"}}


@pytest.fixture(scope="module")
def config(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Config:
    server.reset()
    home = tmp_path_factory.mktemp("sidecar")
    return configuration(home, server.address, *TOKENS, destinations=DESTINATIONS)


@pytest.fixture(scope="module")
def sidecar(config: Config, server: Server) -> Iterator[RunningSidecar]:
    for model, traits in MODELS.items():
        server.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", model, json.dumps(traits))
    with running(config) as started:
        started.settle(asking(), EVERYTHING)
        yield started


@pytest.fixture(params=["/v1/activation", "/v2/activation"])
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[("/v1/activation", "tcp"), ("/v2/activation", "unix")], ids=["v1-tcp", "v2-unix"])
def ask(request: pytest.FixtureRequest, sidecar: RunningSidecar) -> Any:
    """`ask(body, token, **how)` on either path and either transport."""
    path, transport = request.param
    return lambda body, secret=EVERYTHING, **how: sidecar.ask(
        body, secret, **{"path": path, "transport": transport, **how}
    )


def asking(destination: object = "2Dest", identity: object = ADA, entity: object = "user", **more: object) -> Any:
    asked = {"entity": entity, "destinationId": destination, "id": identity, **more}
    return {name: value for name, value in asked.items() if value is not ...}


# 200


def test_an_id_that_is_found(ask):
    answer = ask(asking())
    assert answer.status == 200
    assert answer.json == {"entity": "user", "id": ADA, "data": MODELS}
    assert answer.header("Content-Type") == "application/json; charset=utf-8"
    assert answer.header("Date")
    assert answer.header("Server") is None


def test_a_miss_and_a_hit_are_the_same_bytes(sidecar, server):
    server.command("HSET", "1Wsp:2Dest:user:email:twice", "m", '{"a": 1.0,  "b":1e400}')
    asked = asking(identity={"type": "email", "value": "twice"})
    first, *others = [sidecar.ask(asked, EVERYTHING) for _ in range(5)]
    assert {other.body for other in others} == {first.body}
    assert first.body == (
        b'{"entity":"user","id":{"type":"email","value":"twice"},"data":{"m":{"a": 1.0,  "b":1e400}}}'
    )


def test_an_id_that_is_not_there_is_200_with_no_data(ask):
    missing = {"type": "email", "value": "nobody@example.com"}
    answer = ask(asking(identity=missing))
    assert (answer.status, answer.json) == (200, {"entity": "user", "id": missing, "data": {}})


def test_a_scoped_token_sees_its_destination(ask):
    assert ask(asking(), SCOPED).status == 200


def test_members_of_others_are_ignored(ask):
    answer = ask(asking(identity={**ADA, "x": [1]}, workspace={"id": "1Wsp"}, nothing=None))
    assert answer.json == {"entity": "user", "id": ADA, "data": MODELS}


@pytest.mark.parametrize(
    ("number", "key"), [("1.0", "1.0"), ("-7", "-7"), ("1e5", "1e5"), ("98765432109876543210", "98765432109876543210")]
)
def test_a_number_is_read_as_its_text_and_echoed_as_it_was_sent(sidecar, server, number, key):
    server.command("HSET", f"1Wsp:2Dest:user:account:{key}", "m", '{"found":true}')
    sent = f'{{"entity":"user","destinationId":"2Dest","id":{{"type":"account","value":{number}}}}}'
    answer = sidecar.ask(sent.encode(), EVERYTHING)
    assert answer.body == (
        f'{{"entity":"user","id":{{"type":"account","value":{number}}},"data":{{"m":{{"found":true}}}}}}'.encode()
    )


@pytest.mark.parametrize(
    "value", ["a:b::c", " spaced ", "\u0000\n\t", "Ünïcödé 😀", "*?[x]\\", '"quoted"', "x" * 5_000]
)
def test_an_id_is_its_exact_text(sidecar, server, value):
    server.command("HSET", f"1Wsp:2Dest:user:any:{value}".encode(), "m", '{"found":true}')
    for ascii_only in (True, False):
        identity = {"type": "any", "value": value}
        answer = sidecar.ask(json.dumps(asking(identity=identity), ensure_ascii=ascii_only).encode(), EVERYTHING)
        assert answer.json == {"entity": "user", "id": identity, "data": {"m": {"found": True}}}


def test_destinations_do_not_mix(sidecar, server):
    server.command("HSET", "1Wsp:2Other:user:email:ada@example.com", "m", '{"other":true}')
    server.command("HSET", "user:ada@example.com", "address.city", "Bath")
    stream = {"type": "user_id", "value": "ada@example.com"}
    assert sidecar.ask(asking("2Other"), EVERYTHING).json["data"] == {"m": {"other": True}}
    assert sidecar.ask(asking(), EVERYTHING).json["data"] == MODELS
    assert sidecar.ask(asking("2Stream", stream), EVERYTHING).json["data"] == {"address.city": "Bath"}


def test_a_field_that_is_no_json_is_served_as_text(sidecar, server):
    server.command("HSET", "1Wsp:2Dest:user:email:odd", "broken", "{no json", "whole", '{"a":1}')
    answer = sidecar.ask(asking(identity={"type": "email", "value": "odd"}), EVERYTHING)
    assert (answer.status, answer.json["data"]) == (200, {"broken": "{no json", "whole": {"a": 1}})


# 401, before everything else


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {EVERYTHING}",
        EVERYTHING,
        "Bearer ep_unknown",
        f"Bearer {EXPIRED}",
        f"Bearer {DELETING}",
        f"Bearer {EVERYTHING}x",
        f"Bearer {EVERYTHING} {EVERYTHING}",
    ],
)
@pytest.mark.parametrize("body", [asking(), asking("2Nowhere"), asking(...), asking(entity=...)])
def test_a_token_that_does_not_open(ask, authorization, body):
    answer = ask(body, None, headers={"Authorization": authorization})
    assert (answer.status, answer.json) == (401, UNAUTHORIZED)
    assert answer.header("WWW-Authenticate") == "Bearer"


@pytest.mark.parametrize("authorization", [None, "Bearer ep_unknown", f"Bearer {EXPIRED}"])
@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"x" * 70_000])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_a_bad_token_is_401_whatever_the_body(ask, authorization, body, content_type):
    answer = ask(body, None, headers={"Authorization": authorization, "Content-Type": content_type})
    assert (answer.status, answer.json) == (401, UNAUTHORIZED)


@pytest.mark.parametrize("destination", ["2Other", "2Nowhere", "2Stream", "2Kafka", "2dest", "2Dest ", ..., "", " ", 7])
@pytest.mark.parametrize("flaw", [{}, {"entity": ...}, {"identity": 7}])
def test_outside_its_scope_a_token_learns_nothing(ask, destination, flaw):
    answer = ask(asking(destination, **flaw), SCOPED)
    assert (answer.status, answer.json) == (401, UNAUTHORIZED)


@pytest.mark.parametrize("spelled", ["bearer", "BEARER", "bEARER"])
def test_the_scheme_is_read_without_case(ask, spelled):
    assert ask(asking(), None, headers={"Authorization": f"{spelled} {EVERYTHING}"}).status == 200


def test_two_authorization_headers_are_refused(sidecar):
    with sidecar.connect() as raw:
        raw.sendall(
            b"POST /v1/activation HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            + f"Authorization: Bearer {EVERYTHING}\r\nauthorization: Bearer {EVERYTHING}\r\n".encode()
            + b"Content-Length: 2\r\n\r\n{}"
        )
        assert raw.makefile("rb").readline().startswith(b"HTTP/1.1 401 ")


# 404


@pytest.mark.parametrize("flaw", [{}, {"entity": ...}, {"identity": ...}])
@pytest.mark.parametrize(
    ("secret", "destination"),
    [
        (EVERYTHING, ...),
        (EVERYTHING, None),
        (EVERYTHING, ""),
        (EVERYTHING, "  "),
        (EVERYTHING, 7),
        (EVERYTHING, ["2Dest"]),
        (EVERYTHING, "2Nowhere"),
        (EVERYTHING, "2dest"),
        (EVERYTHING, "2Kafka"),
        (SCOPED, "2Gone"),
    ],
)
def test_a_destination_that_is_none(ask, secret, destination, flaw):
    answer = ask(asking(destination, **flaw), secret)
    assert (answer.status, answer.json) == (404, NO_DESTINATION)


# 400


@pytest.mark.parametrize("secret", [EVERYTHING, SCOPED])
@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "JSON"),
        (b"no json", "JSON"),
        (b"[]", "object"),
        (b'"text"', "object"),
        (b'{"entity": "\xff"}', "JSON"),
        (asking(entity=...), "entity"),
        (asking(entity=""), "entity"),
        (asking(entity=1), "entity"),
        (asking(identity=...), "id is"),
        (asking(identity="ada"), "id must"),
        (asking(identity=[ADA]), "id must"),
        (asking(identity={"value": "v"}), "id.type"),
        (asking(identity={"type": "", "value": "v"}), "id.type"),
        (asking(identity={"type": None, "value": "v"}), "id.type"),
        (asking(identity={"type": "t"}), "id.value"),
        (asking(identity={"type": "t", "value": ""}), "id.value"),
        (asking(identity={"type": "t", "value": None}), "id.value"),
        (asking(identity={"type": "t", "value": True}), "id.value"),
    ],
)
def test_what_does_not_name_a_profile(ask, secret, body, named):
    answer = ask(body, secret)
    assert answer.status == 400
    assert list(answer.json) == ["error"]
    assert named in answer.json["error"]


@pytest.mark.parametrize(
    ("destination", "identity", "entity", "named"),
    [
        ("2Stream", {"type": "email", "value": "v"}, "user", "id.type"),
        ("2Stream", {"type": "user_id", "value": "v"}, "account", "entity"),
        ("2Dest", {"type": "a:b:c:d:e", "value": "v"}, "f:g:h:i:j:k", "entity"),
    ],
)
def test_what_no_key_of_the_destination_can_name(ask, destination, identity, entity, named):
    answer = ask(asking(destination, identity, entity))
    assert answer.status == 400
    assert answer.json["error"].startswith(f"{named}: ")


# Method, path, content type, size


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "OPTIONS", "HEAD"])
def test_another_method_is_405_with_those_allowed(sidecar, path, method):
    answer = sidecar.request(method, path, headers={"Authorization": f"Bearer {EVERYTHING}"})
    assert (answer.status, answer.header("Allow")) == (405, "POST" if path.startswith("/v1") else "DELETE, POST")
    assert method == "HEAD" or list(answer.json) == ["error"]


def test_the_first_version_deletes_nothing(sidecar):
    answer = sidecar.request("DELETE", "/v1/activation", headers={"Authorization": f"Bearer {EVERYTHING}"})
    assert (answer.status, answer.header("Allow")) == (405, "POST")


@pytest.mark.parametrize("secret", [None, EVERYTHING])
@pytest.mark.parametrize(
    "elsewhere",
    [
        "/",
        "/v1",
        "/v1/activation/",
        "//v1/activation",
        "/V1/activation",
        "/v3/activation",
        "/v1/%61ctivation",
        "/metrics",
    ],
)
def test_another_path_is_404(sidecar, elsewhere, secret):
    answer = sidecar.ask(asking(), secret, path=elsewhere)
    assert answer.status == 404
    assert list(answer.json) == ["error"]
    assert answer.json != NO_DESTINATION


def test_a_query_and_a_whole_url_are_the_same_path(sidecar, path):
    host = sidecar.address()
    for written in (f"{path}?", f"{path}?a=b&c", f"http://{host}{path}", f"http://elsewhere{path}?x"):
        assert sidecar.ask(asking(), EVERYTHING, path=written).status == 200


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
)
def test_another_content_type_is_415(ask, content_type):
    answer = ask(asking(), headers={"Content-Type": content_type})
    assert answer.status == 415
    assert list(answer.json) == ["error"]


@pytest.mark.parametrize(
    "content_type", [None, "", "application/json", "Application/JSON;charset=UTF-8", "application/vnd.x+json"]
)
def test_json_and_no_content_type_are_taken(ask, content_type):
    assert ask(asking(), headers={"Content-Type": content_type}).status == 200


def test_a_compressed_body_is_415(ask):
    answer = ask(asking(), headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.header("Accept-Encoding")) == (415, "identity")


def test_a_body_may_be_as_large_as_configured_and_no_larger(ask):
    fitting = json.dumps(asking()).encode()
    limit = 64 << 10
    assert ask(fitting.ljust(limit)).status == 200
    answer = ask(fitting.ljust(limit + 1))
    assert answer.status == 413
    assert list(answer.json) == ["error"]


# Redis is away


@pytest.fixture
def stranded(tmp_path) -> Iterator[RunningSidecar]:
    """A sidecar whose Redis does not exist."""
    with running(configuration(tmp_path, "127.0.0.1:1", *TOKENS)) as started:
        yield started


def test_without_redis_a_question_is_503_with_retry_after(stranded, path):
    answer = stranded.ask(asking(), EVERYTHING, path=path)
    assert answer.status == 503
    assert int(answer.header("Retry-After") or 0) >= 1
    assert list(answer.json) == ["error"]
    assert "127.0.0.1" not in answer.json["error"]


@pytest.mark.parametrize(
    ("body", "secret", "status"),
    [(asking(), "ep_unknown", 401), (asking("2Nowhere"), EVERYTHING, 404), (asking(entity=...), EVERYTHING, 400)],
)
def test_refusals_need_no_redis(stranded, body, secret, status):
    assert stranded.ask(body, secret).status == status


def test_a_wrong_type_is_that_keys_trouble_alone(sidecar, server):
    server.command("SET", "1Wsp:2Dest:user:email:wrong", "text")
    answer = sidecar.ask(asking(identity={"type": "email", "value": "wrong"}), EVERYTHING)
    assert answer.status == 502
    assert answer.header("Retry-After") is None
    assert list(answer.json) == ["error"]
    assert sidecar.ask(asking(), EVERYTHING).status == 200


def test_probes_and_metrics_are_not_on_the_data_listener(sidecar):
    for admin in ("/livez", "/readyz", "/metrics"):
        assert request(sidecar.address(), "GET", admin).status == 404
