"""GET /v2/profiles, and parts of profiles, asked over real sockets of a sidecar on a real server."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.activation import ADA, DELETING, EVERYTHING, NO_DESTINATION, SCOPED, TOKENS, UNAUTHORIZED, asking
from tests.support.servers import Server
from tests.support.sidecar import Response, RunningSidecar, configuration, running

KEY = "1Wsp:2Dest:user:email:ada@example.com"
MODELS = {"features": {"churn": 0.5, "plan": None}, "WEB:FEATURES": {"visits": "3"}}
BUNDLES = {"checkout": {"models": ["features"], "traits": ["plan", "tier"], "defaults": {"features": {"tier": 1}}}}
DESTINATIONS = ({"id": "2Dest", "workspaceId": "1Wsp"}, {"id": "2Other", "workspaceId": "1Wsp"})
ORIGIN = "https://shop.example"


@pytest.fixture(scope="module")
def sidecar(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    server.reset()
    for model, traits in MODELS.items():
        server.command("HSET", KEY, model, json.dumps(traits))
    home = tmp_path_factory.mktemp("sidecar")
    config = configuration(
        home,
        server.address,
        *TOKENS,
        destinations=DESTINATIONS,
        bundles=BUNDLES,
        sidecar={"corsOrigins": [ORIGIN]},
    )
    with running(config) as started:
        started.settle(asking(), EVERYTHING)
        yield started


def get(sidecar: RunningSidecar, path: str, secret: str | None = EVERYTHING, **how: Any) -> Response:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return sidecar.request(how.pop("method", "GET"), path, None, headers | how)


def test_a_profile_has_a_url(sidecar):
    for _ in range(3):
        answer = get(sidecar, "/v2/profiles/user/email/ada@example.com?destinationId=2Dest")
        assert (answer.status, answer.json) == (200, {"entity": "user", "id": ADA, "data": MODELS})
        assert answer.header("Cache-Control") == "private, no-cache"
        assert answer.header("Age")


def test_what_the_caller_has_is_not_sent_again(sidecar):
    path = "/v2/profiles/user/email/ada@example.com?destinationId=2Dest"
    tag = get(sidecar, path).header("ETag")
    same = get(sidecar, path, **{"If-None-Match": tag})
    assert (same.status, same.body, same.header("ETag")) == (304, b"", tag)
    assert get(sidecar, path, **{"If-None-Match": '"other"'}).status == 200
    assert get(sidecar, f"{path}&models=features").header("ETag") != tag


def test_head_has_the_headers_alone(sidecar):
    path = "/v2/profiles/user/email/ada@example.com?destinationId=2Dest"
    head, whole = get(sidecar, path, method="HEAD"), get(sidecar, path)
    assert (head.status, head.body, head.header("ETag")) == (200, b"", whole.header("ETag"))
    assert head.header("Content-Length") == str(len(whole.body))


@pytest.mark.parametrize("value", ["a/b", "a b+c", "100%", "ünï😀", "?#&=", "..", ":"])
def test_an_id_is_its_exact_text(sidecar, server, value):
    server.command("HSET", f"1Wsp:2Dest:user:any:{value}".encode(), "m", '{"found":true}')
    answer = get(sidecar, f"/v2/profiles/user/any/{quote(value, safe='')}?destinationId=2Dest")
    assert answer.json == {"entity": "user", "id": {"type": "any", "value": value}, "data": {"m": {"found": True}}}


@pytest.mark.parametrize(
    ("secret", "query", "status", "form"),
    [
        (None, "destinationId=2Dest", 401, UNAUTHORIZED),
        ("ep_unknown", "", 401, UNAUTHORIZED),
        (DELETING, "destinationId=2Dest", 401, UNAUTHORIZED),
        (SCOPED, "destinationId=2Other", 401, UNAUTHORIZED),
        (SCOPED, "destinationId=2Nowhere", 401, UNAUTHORIZED),
        (SCOPED, "destinationId=2Gone", 404, NO_DESTINATION),
        (EVERYTHING, "", 404, NO_DESTINATION),
        (EVERYTHING, "destinationId=2Nowhere", 404, NO_DESTINATION),
    ],
)
def test_refusals_are_those_of_post(sidecar, secret, query, status, form):
    for value in ("ada", "%"):
        answer = get(sidecar, f"/v2/profiles/user/email/{value}?{query}", secret)
        assert (answer.status, answer.json) == (status, form)


@pytest.mark.parametrize(("path", "named"), [("user/email/%zz", "value"), ("//email", "entity"), ("a/%FF/b", "idType")])
def test_what_names_no_profile_is_400(sidecar, path, named):
    answer = get(sidecar, f"/v2/profiles/{path}?destinationId=2Dest")
    assert (answer.status, list(answer.json)) == (400, ["error"])
    assert answer.json["error"].startswith(named)


def test_a_whole_url_is_the_same_path(sidecar):
    answer = get(sidecar, f"http://{sidecar.address()}/v2/profiles/user/email/ada@example.com?destinationId=2Dest")
    assert answer.json["data"] == MODELS


def test_another_method_and_other_paths(sidecar):
    answer = get(sidecar, "/v2/profiles/user/email/a", method="POST")
    assert (answer.status, answer.header("Allow")) == (405, "GET, HEAD")
    assert get(sidecar, "/v2/profiles/user/email").status == 404
    assert get(sidecar, "/v1/profiles/user/email/a").status == 404


def test_the_only_destination_need_not_be_named(server, tmp_path):
    with running(configuration(tmp_path, server.address, *TOKENS)) as started:
        started.settle(asking(), EVERYTHING)
        assert get(started, "/v2/profiles/user/email/ada@example.com").json["data"] == MODELS


# Parts of profiles


def test_a_part_of_a_profile_is_asked_for_in_every_way(sidecar):
    wanted = {"features": {"plan": None, "tier": 1}}
    spelled = {"models": ["features"], "traits": ["plan", "tier"], "defaults": {"features": {"tier": 1}}}
    for _ in range(2):
        for part in (spelled, {"bundle": "checkout"}):
            assert sidecar.ask(asking(**part), EVERYTHING, path="/v2/activation").json["data"] == wanted
            batch = {"entity": "user", "destinationId": "2Dest", "ids": [ADA], **part}
            (place,) = sidecar.ask(batch, EVERYTHING, path="/v2/activation/batch").json["results"]
            assert place["data"] == wanted
        answer = get(sidecar, "/v2/profiles/user/email/ada@example.com?destinationId=2Dest&bundle=checkout")
        assert answer.json["data"] == wanted
        assert sidecar.ask(asking(), EVERYTHING).json["data"] == MODELS


def test_defaults_stand_in_for_a_profile_that_is_not_there(sidecar):
    asked = asking(identity={"type": "email", "value": "nobody"}, bundle="checkout")
    assert sidecar.ask(asked, EVERYTHING).json["data"] == {"features": {"tier": 1}}
    batch = {"entity": "user", "destinationId": "2Dest", "ids": [asked["id"]], "bundle": "checkout"}
    (place,) = sidecar.ask(batch, EVERYTHING, path="/v2/activation/batch").json["results"]
    assert (place["found"], place["data"]) == (False, {"features": {"tier": 1}})


def test_a_part_that_cannot_be_is_400(sidecar):
    answer = sidecar.ask(asking(bundle="basket"), EVERYTHING)
    assert (answer.status, answer.json) == (400, {"error": "bundle is none that this sidecar has"})


# Pages of other origins


def test_a_page_of_an_origin_that_may_ask(sidecar):
    path = "/v2/profiles/user/email/ada@example.com?destinationId=2Dest"
    for secret, status in ((EVERYTHING, 200), ("ep_unknown", 401)):
        answer = get(sidecar, path, secret, Origin=ORIGIN)
        assert answer.status == status
        assert answer.header("Access-Control-Allow-Origin") == ORIGIN
        assert answer.header("Vary") == "Origin"
    preflight = get(sidecar, path, None, method="OPTIONS", Origin=ORIGIN)
    assert (preflight.status, preflight.body) == (204, b"")
    assert preflight.header("Access-Control-Allow-Methods") == "GET, HEAD"
    allowed = (preflight.header("Access-Control-Allow-Headers") or "").split(", ")
    assert {"Authorization", "Content-Type", "If-None-Match", "X-Request-Id", "traceparent", "tracestate"} == {*allowed}


def test_a_page_of_another_origin(sidecar):
    answer = get(sidecar, "/v2/profiles/user/email/a?destinationId=2Dest", Origin="https://evil.example")
    assert answer.header("Access-Control-Allow-Origin") is None
    assert get(sidecar, "/v2/activation", method="OPTIONS", Origin="https://evil.example").status == 405
