"""Traces: in the caller's trace, told by route, and silent about who was asked for."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from edgeprofile.config import SidecarConfig
from edgeprofile_sidecar.counters import Counters
from edgeprofile_sidecar.listener import Listener
from tests.support.servers import Flavour
from tests.support.sidecar import configuration, running, token
from tests.support.wait import until

trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

TOKEN = "ep_tracing"
ASKED = {"entity": "user", "destinationId": "2Dest", "id": {"type": "email", "value": "ada@example.com"}}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(scope="session")
def flavour() -> Flavour:
    """One flavour is enough: what is tested here does not ask Redis much."""
    return "valkey"


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes spans as a collector does."""

    received: list[bytes]

    def do_POST(self) -> None:
        self.received.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def received(monkeypatch) -> Iterator[list[bytes]]:
    found: list[bytes] = []
    handler = type("Receiving", (Collector,), {"received": found})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "profiles")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield found
        server.shutdown()
        thread.join()


def spans(received: list[bytes]) -> list[tuple[Any, dict[str, Any]]]:
    found = []
    for body in received:
        for resource in trace_service.ExportTraceServiceRequest.FromString(body).resource_spans:
            assert {"service.name": "profiles"}.items() <= {
                pair.key: pair.value.string_value for pair in resource.resource.attributes
            }.items()
            for scope in resource.scope_spans:
                found += [(span, {pair.key: pair.value for pair in span.attributes}) for span in scope.spans]
    return found


def test_a_request_is_a_span_in_the_trace_of_its_caller(redis_db, tmp_path, received):
    with running(configuration(tmp_path, redis_db.address, token(TOKEN), sidecar={"traces": True})) as sidecar:
        sidecar.settle(ASKED, TOKEN)
        until(lambda: len(spans(received)) == 2, message="the spans of the first")
        received.clear()
        sidecar.ask(ASKED, TOKEN, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
        sidecar.request("GET", "/v2/ada@example.com")
        until(lambda: len(spans(received)) == 2, message="two spans")
        (asked, facts), (lost, others) = spans(received)
    assert (asked.trace_id.hex(), asked.parent_span_id.hex()) == (TRACE, PARENT)
    assert (asked.name, facts["http.route"].string_value) == ("POST /v1/activation", "/v1/activation")
    assert facts["http.response.status_code"].int_value == 200
    assert (lost.name, others["http.response.status_code"].int_value) == ("GET other", 404)
    assert lost.trace_id.hex() != TRACE
    text = json.dumps([str(span) for span, _ in spans(received)])
    assert "ada@example.com" not in text
    assert TOKEN not in text


def test_what_is_read_from_redis_is_a_span_of_its_own(redis_db, tmp_path, received):
    with running(configuration(tmp_path, redis_db.address, token(TOKEN), sidecar={"traces": True})) as sidecar:
        sidecar.settle(ASKED, TOKEN)
        until(lambda: len(spans(received)) == 2, message="the spans of the first")
        received.clear()
        other = {**ASKED, "id": {"type": "email", "value": "other@example.com"}}
        for _ in range(2):
            sidecar.ask(other, TOKEN, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
        until(lambda: len(spans(received)) == 3, message="three spans")
        (read, facts), (first, _), (second, _) = spans(received)
    assert (read.name, read.parent_span_id, read.trace_id.hex()) == ("redis read", first.span_id, TRACE)
    assert facts["db.system.name"].string_value == "redis"
    assert second.name == first.name
    assert "other@example.com" not in str(read)


def test_what_went_wrong_is_told_by_its_kind(tmp_path, received):
    with running(configuration(tmp_path, "127.0.0.1:1", token(TOKEN), sidecar={"traces": True})) as sidecar:
        assert sidecar.ask(ASKED, TOKEN).status == 503
        until(lambda: len(spans(received)) == 2, message="two spans")
        (read, facts), _ = spans(received)
    assert facts["error.type"].string_value
    assert read.status.code == 2
    assert not read.events


def test_who_is_not_sampled_by_the_caller_is_not_sent(redis_db, tmp_path, received):
    with running(configuration(tmp_path, redis_db.address, token(TOKEN), sidecar={"traces": True})) as sidecar:
        sidecar.ask(ASKED, TOKEN, headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
        sidecar.ask(ASKED, TOKEN)
        until(lambda: spans(received), message="the other span")
    assert TRACE not in {span.trace_id.hex() for span, _ in spans(received)}


def test_off_there_is_nothing_in_the_way():
    async def nobody() -> Listener:
        return Listener(None, SidecarConfig(), Counters())  # type: ignore[arg-type]

    import asyncio

    listener = asyncio.run(nobody())
    assert listener.server.request_handler == listener.handle
