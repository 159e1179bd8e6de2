"""The admin listener: probes, metrics and the status page, apart from the data, each to be had or left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from edgeprofile_sidecar.status import page

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from prometheus_client import CollectorRegistry

    from edgeprofile_sidecar.health import Health
    from edgeprofile_sidecar.status import Status

__all__ = ["application", "as_json", "shown"]

_JSON = "application/json"


def application(
    health: Health, registry: CollectorRegistry, status: Callable[[], Status], endpoints: Container[str]
) -> web.Application:
    """Those of ``/livez``, ``/readyz``, ``/startupz``, ``/metrics`` and ``/statusz`` that ``endpoints`` names."""

    async def live(_: web.Request) -> web.Response:
        return web.Response(body=b'{"live":true}', content_type=_JSON)

    async def ready(_: web.Request) -> web.Response:
        readiness = health.readiness()
        return as_json(readiness, 200 if readiness.ready else 503)

    async def startup(_: web.Request) -> web.Response:
        state = health.startup()
        return as_json(state, 200 if state.started else 503)

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    async def figures(_: web.Request) -> web.Response:
        return as_json(status())

    handlers = {"livez": live, "readyz": ready, "startupz": startup, "metrics": metrics, "statusz": shown}
    app = web.Application()
    app.add_routes([web.get(f"/{name}", handler) for name, handler in handlers.items() if name in endpoints])
    if "statusz" in endpoints:
        app.add_routes([web.get("/statusz/data", figures)])
    return app


def as_json(value: object, status: int = 200) -> web.Response:
    """An answer that nobody is to keep."""
    headers = {"Cache-Control": "no-store"}
    return web.Response(status=status, body=msgspec.json.encode(value), content_type=_JSON, headers=headers)


async def shown(_: web.Request) -> web.Response:
    """The status page."""
    found = page()
    headers = {
        "Content-Security-Policy": found.policy,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(body=found.html, content_type="text/html", charset="utf-8", headers=headers)
