"""The data listener: HTTP requests to the service's questions, answers to bytes.

There is no router and no middleware: on a hit they would cost more than everything else.
"""

from __future__ import annotations

import logging
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, cast

from aiohttp import HttpVersion11

from edgeprofile_sidecar import answers
from edgeprofile_sidecar.answers import CLOSE, KEEP_ALIVE, render
from edgeprofile_sidecar.connection import Reply, Server
from edgeprofile_sidecar.endpoints import Endpoints
from edgeprofile_sidecar.logs import origin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web

    from edgeprofile.config import SidecarConfig
    from edgeprofile_sidecar.answers import Answer
    from edgeprofile_sidecar.connection import Connection
    from edgeprofile_sidecar.counters import Counters
    from edgeprofile_sidecar.service import Service

__all__ = ["Listener"]

_log = logging.getLogger(__name__)
_access = logging.getLogger("edgeprofile_sidecar.access")

_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})


class _Route(NamedTuple):
    path: str
    methods: Mapping[str, Callable[[web.BaseRequest], Awaitable[Answer]]]


class Listener:
    """Answers the requests of all connections of ``server``."""

    def __init__(self, service: Service, config: SidecarConfig, counters: Counters) -> None:
        self.server = Server(self.handle, config, counters)
        self.closing = False
        self._config = config
        self._counters = counters
        self._nowhere = _Route("other", {})
        endpoints = Endpoints(service, config)
        routes = (
            _Route("/v1/activation", {"POST": endpoints.activate}),
            _Route("/v2/activation", {"POST": endpoints.activate, "DELETE": endpoints.delete}),
            _Route("/v2/activation/batch", {"POST": endpoints.batch}),
        )
        self._routes = {route.path: route for route in routes}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever it is."""
        begun = perf_counter()
        connection = cast("Connection", request.protocol)
        connection.begin()
        self._counters.in_flight += 1
        route = self._nowhere
        try:
            # A path as it was sent is the common case; a query or a whole URL is cut off only where that finds nothing.
            route = self._routes.get(request.raw_path) or self._routes.get(request.rel_url.raw_path) or route
            action = route.methods.get(request.method)
            answer = await action(request) if action else _misrouted(route)
        except Exception as error:  # noqa: BLE001  # the boundary: what nobody foresaw is answered and logged, once
            _log.error("a request could not be answered", extra=origin(error))
            answer = answers.DELETE_FAILED if request.method == "DELETE" else answers.INTERNAL_ERROR
        finally:
            self._counters.in_flight -= 1
            connection.end()
        self._account(route, request, answer, perf_counter() - begun)
        return self._reply(request, answer)

    def _account(self, route: _Route, request: web.BaseRequest, answer: Answer, seconds: float) -> None:
        method = request.method if request.method in _METHODS else "other"
        self._counters.answered(route.path, method, answer.status, seconds)
        if self._config.access_log:
            facts = {"route": route.path, "method": method, "status": answer.status, "bytes": len(answer.body)}
            _access.info("request", extra={**facts, "seconds": round(seconds, 6)})

    def _reply(self, request: web.BaseRequest, answer: Answer) -> Reply:
        close = self.closing or not request.keep_alive or not request.content.is_eof()
        more = CLOSE if close else b"" if request.version >= HttpVersion11 else KEEP_ALIVE
        wire = render(answer, self.server.date(), more, bodiless=request.method == "HEAD")
        return Reply(wire, answer.status, close=close)


def _misrouted(route: _Route) -> Answer:
    return answers.method_not_allowed(", ".join(sorted(route.methods))) if route.methods else answers.NO_SUCH_ROUTE
