"""The data listener: HTTP requests to the service's questions, answers to bytes.

There is no router and no middleware: on a hit they would cost more than everything else.
"""

from __future__ import annotations

import asyncio
import logging
import re
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, cast
from uuid import uuid4

from aiohttp import HttpVersion11
from aiohttp.hdrs import ORIGIN

from edgeprofile_sidecar import answers, openapi, targets
from edgeprofile_sidecar.answers import CLOSE, KEEP_ALIVE, Long, render
from edgeprofile_sidecar.connection import Reply, Server
from edgeprofile_sidecar.cors import Cors
from edgeprofile_sidecar.deadlines import Deadlines
from edgeprofile_sidecar.endpoints import Endpoints
from edgeprofile_sidecar.headers import lines
from edgeprofile_sidecar.lane import Lane
from edgeprofile_sidecar.logs import origin, request_id
from edgeprofile_sidecar.peers import Peers, peer
from edgeprofile_sidecar.streams import Opened, Streams

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web

    from edgeprofile.config import SidecarConfig
    from edgeprofile_sidecar.answers import Answer
    from edgeprofile_sidecar.connection import Connection
    from edgeprofile_sidecar.counters import Counters
    from edgeprofile_sidecar.service import Service
    from edgeprofile_sidecar.tracing import Tracing

__all__ = ["Listener"]

_log = logging.getLogger(__name__)
_access = logging.getLogger("edgeprofile_sidecar.access")

_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_REQUEST_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)


class _Route(NamedTuple):
    path: str
    methods: Mapping[str, Callable[[web.BaseRequest], Awaitable[Answer]]]


class Listener:
    """Answers the requests of all connections of ``server``."""

    def __init__(
        self, service: Service, config: SidecarConfig, counters: Counters, tracing: Tracing | None = None
    ) -> None:
        handle = tracing.around(self.handle, self._name) if tracing is not None else self.handle
        self.server = Server(handle, config, counters)
        self.deadlines = Deadlines(config.request_timeout)
        if config.fast_lane and not (config.access_log or config.cors_origins or tracing):
            self.server.lane = Lane(service, counters, self.server.date, config.max_body_bytes, self.deadlines)
        self._config = config
        self._counters = counters
        self._peers = Peers(config.auth_failures)
        self._cors = Cors(config.cors_origins) if config.cors_origins else None
        self._nowhere = _Route("other", {})
        endpoints = Endpoints(service, config, self.deadlines)
        self.streams = Streams(service, config, counters)
        routes = (
            _Route("/v1/activation", {"POST": endpoints.activate}),
            _Route("/v2/activation", {"POST": endpoints.activate, "DELETE": endpoints.delete}),
            _Route("/v2/activation/batch", {"POST": endpoints.batch}),
            _Route("/v2/activation/changes", {"GET": self.streams.open}),
            _Route(openapi.PATH, {"GET": endpoints.describe, "HEAD": endpoints.describe}),
        )
        self._routes = {route.path: route for route in routes}
        self._profiles = _Route("/v2/profiles", {"GET": endpoints.profile, "HEAD": endpoints.profile})

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever it is."""
        begun = perf_counter()
        task = cast("asyncio.Task[object]", asyncio.current_task())
        connection = cast("Connection", request.protocol)
        connection.begin()
        self._counters.in_flight += 1
        self.deadlines.begin(task, begun)
        route = self._nowhere
        identity = self._identify(request)
        try:
            # A path as it was sent is the common case; a query or a whole URL is cut off only where that finds nothing.
            route = self._routes.get(request.raw_path) or self._find(request.raw_path)
            action = route.methods.get(request.method)
            if self._counters.in_flight > self._config.max_in_flight:
                answer = _worded(answers.BUSY, request)
            else:
                answer = await action(request) if action else self._misrouted(route, request)
        except asyncio.CancelledError:
            if not self.deadlines.caught(task):
                raise
            answer = _worded(answers.DEADLINE, request)
        except Exception as error:  # noqa: BLE001  # the boundary: what nobody foresaw is answered and logged, once
            _log.error("a request could not be answered", extra=origin(error))
            answer = answers.DELETE_FAILED if request.method == "DELETE" else answers.INTERNAL_ERROR
        finally:
            self.deadlines.exempt(task)
            self._counters.in_flight -= 1
            connection.end()
        early = self._too_early(request, answer) if answer.status == HTTPStatus.UNAUTHORIZED else 0.0
        if early:
            answer = answers.too_often(early)
        self._account(route, request, answer, perf_counter() - begun)
        if isinstance(answer, Opened):
            allowed = self._cors.headers(request.headers.get(ORIGIN)) if self._cors is not None else b""
            connection.begin(stream=True)
            try:
                return await self.streams.run(request, answer.watch, lines(identity + allowed))
            finally:
                connection.end()
        return self._reply(request, answer, identity, close=early > 0.0)

    def _identify(self, request: web.BaseRequest) -> bytes:
        """The line that says a request's id again in its answer; its own id, or one for the log where there is one."""
        given = request.headers.get("X-Request-Id")
        if given is None and not self._config.access_log:
            return b""
        identity = given if given and _REQUEST_ID.fullmatch(given) else uuid4().hex
        request_id.set(identity)
        return b"X-Request-Id: %b\r\n" % identity.encode()

    def _too_early(self, request: web.BaseRequest, answer: Answer) -> float:
        """How many seconds a refused request came too early; 0.0 unless its caller collects refusals.

        A good token that asks for too much is not counted, and to a caller that has sent too many bad ones it is no
        better than those.
        """
        transport = request.transport
        who, now = peer(transport and transport.get_extra_info("peername")), perf_counter()
        counted = answer is answers.NO_GOOD_TOKEN
        early = self._peers.failed(who, now) if counted else self._peers.early(who, now)
        self._counters.rate_limited += early > 0.0
        return early

    def _name(self, request: web.BaseRequest) -> str:
        return (self._routes.get(request.raw_path) or self._find(request.raw_path)).path

    def _find(self, target: str) -> _Route:
        path = targets.origin_form(target)
        if targets.matches(path):
            return self._profiles
        return self._routes.get(path.partition("?")[0], self._nowhere)

    def _misrouted(self, route: _Route, request: web.BaseRequest) -> Answer:
        if not route.methods:
            return answers.NO_SUCH_ROUTE
        if self._cors is not None and request.method == "OPTIONS":
            allowed = self._cors.preflight(request.headers.get(ORIGIN), route.methods)
            if allowed is not None:
                return allowed
        return answers.method_not_allowed(", ".join(sorted(route.methods)))

    def _account(self, route: _Route, request: web.BaseRequest, answer: Answer, seconds: float) -> None:
        method = request.method if request.method in _METHODS else "other"
        self._counters.answered(route.path, method, answer.status, seconds)
        if self._config.access_log:
            facts = {"route": route.path, "method": method, "status": answer.status, "bytes": answer.size}
            _access.info("request", extra={**facts, "seconds": round(seconds, 6)})

    def _reply(self, request: web.BaseRequest, answer: Answer, identity: bytes, *, close: bool) -> Reply:
        overrun = cast("Connection", request.protocol).overrun
        close = close or overrun or self.server.closing or not request.keep_alive or not request.content.is_eof()
        more = CLOSE if close else b"" if request.version >= HttpVersion11 else KEEP_ALIVE
        if self._cors is not None:
            more += self._cors.headers(request.headers.get(ORIGIN))
        wire = render(answer, self.server.date(), identity + more, bodiless=request.method == "HEAD")
        return Reply(wire, answer.status, close=close, more=answer if isinstance(answer, Long) else None)


def _worded(answer: Answer, request: web.BaseRequest) -> Answer:
    return answers.with_message(answer) if request.method == "DELETE" else answer
