"""The admin listener: probes and metrics, apart from the data, so that each can be exposed on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from edgeprofile_sidecar.health import Health

__all__ = ["application"]

_JSON = "application/json"


def application(health: Health, registry: CollectorRegistry) -> web.Application:
    """``/livez``, ``/readyz`` and ``/metrics``."""

    async def live(_: web.Request) -> web.Response:
        return web.Response(body=b'{"live":true}', content_type=_JSON)

    async def ready(_: web.Request) -> web.Response:
        readiness = health.readiness()
        return web.Response(
            status=200 if readiness.ready else 503, body=msgspec.json.encode(readiness), content_type=_JSON
        )

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get("/livez", live), web.get("/readyz", ready), web.get("/metrics", metrics)])
    return app
