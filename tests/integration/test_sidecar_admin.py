"""Probes and metrics while Redis comes and goes."""

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from edgeprofile import __version__
from edgeprofile_sidecar.guarded import MOST
from tests.support.servers import Flavour, Server
from tests.support.sidecar import Answers, RunningSidecar, configuration, connect, running, token
from tests.support.wait import until

TOKEN = "ep_admin"
ASKED = {"entity": "user", "destinationId": "2Dest", "id": {"type": "email", "value": "ada@example.com"}}


@pytest.fixture(scope="session")
def flavour() -> Flavour:
    """One flavour is enough: what is tested here does not ask Redis much."""
    return "valkey"


@pytest.fixture
def sidecar(redis_db: Server, tmp_path) -> Iterator[RunningSidecar]:
    with running(configuration(tmp_path, redis_db.address, token(TOKEN))) as started:
        started.settle(ASKED, TOKEN)
        yield started


def readiness(sidecar: RunningSidecar) -> tuple[int, Any]:
    answer = sidecar.admin("/readyz")
    return answer.status, answer.json


# Who may hold on to it


def test_few_connections_are_taken_and_none_for_long(redis_db, tmp_path):
    bounds = {"headerTimeout": "1500ms"}
    with (
        running(configuration(tmp_path, redis_db.address, token(TOKEN), sidecar=bounds)) as sidecar,
        contextlib.ExitStack() as stack,
    ):
        address = sidecar.sidecar.addresses.admin
        assert address is not None
        held = [stack.enter_context(connect(address)) for _ in range(MOST)]
        for each in held:
            each.sendall(b"GET /livez HTTP/1.1\r\nHost:")
        assert Answers(stack.enter_context(connect(address))).ended()
        assert [each.recv(1) for each in held] == [b""] * MOST
        assert sidecar.admin("/livez").status == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/statusz", "/nothing"])
def test_nobody_is_told_what_it_is_made_with(sidecar, path):
    assert sidecar.admin(path).header("Server") == "edgeprofile"


# Probes


def test_ready_when_the_feed_is_live(sidecar):
    status, said = readiness(sidecar)
    assert status == 200
    assert (said["ready"], said["reasons"]) == (True, [])
    destination = said["destinations"]["2Dest"]
    assert destination.keys() == {"destination", "state", "reason", "ready", "nodes", "watermarkAge"}
    assert destination["state"] == "live"
    assert 0 <= destination["watermarkAge"] < 5


def test_unready_while_redis_is_away_and_ready_when_it_is_back(sidecar, redis_db):
    redis_db.kill()
    until(lambda: readiness(sidecar)[0] == 503, message="unready")
    said = readiness(sidecar)[1]
    assert not said["ready"]
    assert said["reasons"][0].startswith("destination 2Dest: ")
    assert sidecar.admin("/livez").status == 200
    redis_db.restart()
    until(lambda: readiness(sidecar)[0] == 200, message="ready again")
    assert sidecar.ask(ASKED, TOKEN).status == 200


def test_live_and_unready_with_a_redis_that_never_was(tmp_path):
    with running(configuration(tmp_path, "127.0.0.1:1", token(TOKEN))) as sidecar:
        assert sidecar.admin("/livez").json == {"live": True}
        assert readiness(sidecar)[0] == 503


@pytest.mark.parametrize(("allowed", "status"), [("60s", 200), ("0s", 503)])
def test_serve_stale_is_ready_without_redis_while_something_may_be_served(redis_db, tmp_path, allowed, status):
    sections = {"cache": {"staleIfError": allowed, "maxStaleness": "200ms"}}
    settings = {"readiness": "serve-stale"}
    with running(configuration(tmp_path, redis_db.address, token(TOKEN), sidecar=settings, **sections)) as sidecar:
        sidecar.settle(ASKED, TOKEN)
        redis_db.kill()
        state = "disconnected"
        until(lambda: readiness(sidecar)[1]["destinations"]["2Dest"]["state"] == state, message="Redis is away")
        until(lambda: readiness(sidecar)[0] == status, message="the verdict")
        assert sidecar.ask(ASKED, TOKEN).status == status


def test_ready_where_the_feed_is_declared_unproven(make_server, tmp_path):
    locked = make_server(users=("reader on >secret ~1Wsp:* &* +@all -@dangerous -@write",))
    redis = {"address": locked.address, "clusterMode": False, "username": "reader", "password": "secret"}
    row = {"id": "2Dest", "workspaceId": "1Wsp", "config": redis}
    config = configuration(tmp_path, "", token(TOKEN), destinations=(row,), feed={"heartbeat": "ping"})
    with running(config) as sidecar:
        until(lambda: readiness(sidecar)[0] == 200, message="ready")
        assert readiness(sidecar)[1]["destinations"]["2Dest"]["state"] == "unproven"
        assert readiness(sidecar)[1]["destinations"]["2Dest"]["reason"]


def test_without_an_admin_address_there_is_no_admin_listener(redis_db, tmp_path):
    with running(configuration(tmp_path, redis_db.address, token(TOKEN), sidecar={"adminListen": ""})) as sidecar:
        assert sidecar.sidecar.addresses.admin is None
        assert sidecar.ask(ASKED, TOKEN).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/v1/activation", 404), ("POST", "/livez", 405), ("HEAD", "/livez", 200)],
)
def test_other_requests_to_the_admin_listener(sidecar, method, path, status):
    assert sidecar.admin(path, method).status == status


# Coherence, as a client sees it


def test_a_change_is_seen(sidecar, redis_db):
    for version in range(20):
        redis_db.command("HSET", "1Wsp:2Dest:user:email:ada@example.com", "m", f'{{"version":{version}}}')
        until(
            lambda: sidecar.ask(ASKED, TOKEN).json["data"] == {"m": {"version": version}},  # noqa: B023 (asked at once)
            timeout=1.0,
            message=f"version {version}",
        )
    redis_db.command("DEL", "1Wsp:2Dest:user:email:ada@example.com")
    until(lambda: sidecar.ask(ASKED, TOKEN).json["data"] == {}, timeout=1.0, message="the deletion")


def test_heartbeats_are_no_changes(sidecar, redis_db):
    events, beats = sidecar.metric("edgeprofile_feed_events_total"), sidecar.metric("edgeprofile_feed_heartbeats_total")
    until(lambda: sidecar.metric("edgeprofile_feed_heartbeats_total") >= beats + 3, 5)
    assert sidecar.metric("edgeprofile_feed_events_total") == events
    redis_db.command("HSET", "1Wsp:2Dest:user:email:anybody", "m", "{}")
    until(lambda: sidecar.metric("edgeprofile_feed_events_total") == events + 1, 5)


def test_a_redis_that_does_not_answer_is_503_once_the_promise_is_over(sidecar, redis_db):
    with redis_db.paused():
        until(lambda: sidecar.ask(ASKED, TOKEN).status == 503, message="503")
    until(lambda: sidecar.ask(ASKED, TOKEN).status == 200, message="200 again")


# Metrics


def families(sidecar: RunningSidecar) -> dict[str, Any]:
    return {family.name: family for family in parse(sidecar.admin("/metrics").body.decode())}


def test_metrics_follow_the_naming_conventions(sidecar):
    for name, family in families(sidecar).items():
        assert family.documentation
        if not name.startswith("edgeprofile_"):
            assert name.startswith(("process_", "python_"))
            continue
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        for sample in family.samples:
            assert family.type != "counter" or sample.name.endswith("_total")
            assert not any("ada" in value for value in sample.labels.values())
            assert set(sample.labels) <= {
                *(
                    "le",
                    "route",
                    "method",
                    "code",
                    "destination",
                    "state",
                    "reason",
                    "result",
                    "error",
                    "file",
                    "version",
                )
            }


def test_metrics_are_openmetrics_where_that_is_asked_for(sidecar):
    answer = sidecar.admin("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert (answer.header("Content-Type") or "").startswith("application/openmetrics-text")
    names = {family.name for family in parse_openmetrics(answer.body.decode())}
    assert {"edgeprofile_lookups", "edgeprofile_http_requests"} <= names


def test_requests_are_counted_by_route_method_and_code(sidecar):
    requests = "edgeprofile_http_requests_total"
    before = sidecar.metric(requests, route="/v1/activation", method="POST", code="200")
    for _ in range(5):
        sidecar.ask(ASKED, TOKEN)
    sidecar.ask(ASKED, "ep_unknown", path="/v2/activation")
    sidecar.request("GET", "/v1/activation")
    sidecar.request("PROPFIND", "/coffee/ada@example.com")
    assert sidecar.metric(requests, route="/v1/activation", method="POST", code="200") == before + 5
    assert sidecar.metric(requests, route="/v2/activation", method="POST", code="401") == 1
    assert sidecar.metric(requests, route="/v1/activation", method="GET", code="405") == 1
    assert sidecar.metric(requests, route="other", method="other", code="404") == 1


def test_the_latency_histogram_is_cumulative_and_begins_at_fifty_microseconds(sidecar):
    sidecar.ask(ASKED, TOKEN)
    buckets = [
        (float(sample.labels["le"]), sample.value)
        for sample in families(sidecar)["edgeprofile_http_request_duration_seconds"].samples
        if sample.name.endswith("_bucket") and sample.labels["code"] == "200"
    ]
    assert buckets[0][0] == 50e-6
    assert buckets[-1][0] == float("inf")
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    assert buckets[-1][1] == sidecar.metric(
        "edgeprofile_http_request_duration_seconds_count", route="/v1/activation", method="POST", code="200"
    )


def test_lookups_are_counted_by_what_they_come_to(sidecar, redis_db):
    redis_db.command("HSET", "1Wsp:2Dest:user:email:there", "m", "{}")
    sidecar.hears()
    before = outcomes(sidecar)
    for name in ("other", "there"):
        for _ in range(4):
            sidecar.ask({**ASKED, "id": {"type": "email", "value": name}}, TOKEN)
    counts = [after - then for after, then in zip(outcomes(sidecar), before, strict=True)]
    assert counts == [3, 3, 2, 0, 0]


def outcomes(sidecar: RunningSidecar) -> list[float]:
    named = ("hit", "negative", "miss", "stale", "error")
    return [sidecar.metric("edgeprofile_lookups_total", result=result) for result in named]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "missing"),
        ({"Authorization": "Basic x"}, "malformed"),
        ({"Authorization": "Bearer ep_x"}, "unknown"),
    ],
)
def test_who_is_not_let_in_is_counted_by_reason(sidecar, headers, reason):
    sidecar.ask(ASKED, headers=headers)
    assert sidecar.metric("edgeprofile_auth_failures_total", reason=reason) == 1


def test_connections_and_requests_under_way(sidecar, redis_db):
    with sidecar.connect() as first, sidecar.connect():
        until(lambda: sidecar.metric("edgeprofile_http_connections") == 2, message="two connections")
        assert sidecar.metric("edgeprofile_http_requests_in_flight") == 0
        with redis_db.paused():
            asked = json.dumps({**ASKED, "id": {"type": "email", "value": "slow"}}).encode()
            first.sendall(
                f"POST /v1/activation HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
                f"Content-Length: {len(asked)}\r\n\r\n".encode()
                + asked
            )
            until(lambda: sidecar.metric("edgeprofile_http_requests_in_flight") == 1, message="one request")
        until(lambda: sidecar.metric("edgeprofile_http_requests_in_flight") == 0, message="its end")
    until(lambda: sidecar.metric("edgeprofile_http_connections") == 0, message="no connection")


def test_state_and_version(sidecar):
    assert sidecar.metric("edgeprofile_destination_ready", destination="2Dest") == 1
    assert sidecar.metric("edgeprofile_feed_state", destination="2Dest", state="live") == 1
    assert 0 <= sidecar.metric("edgeprofile_feed_watermark_age_seconds", destination="2Dest") < 5
    assert sidecar.metric("edgeprofile_build_info", version=__version__) == 1
    assert sidecar.metric("edgeprofile_cache_entries") >= 1
    assert sidecar.metric("edgeprofile_tokens") == 1
