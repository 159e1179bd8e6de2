"""The admin listener of several workers: one answer made of theirs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from edgeprofile_sidecar.admin import as_json, shown

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

__all__ = ["Workers", "application", "merged"]

_SILENCE = 503, b""
_PATIENCE = aiohttp.ClientTimeout(total=2.0)


class Workers:
    """Asks every worker, at the path of its socket."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    async def ask(self, index: int, path: str) -> tuple[int, bytes]:
        """The answer of one worker; 503 and nothing from one that gives none."""
        connector = aiohttp.UnixConnector(self._paths[index])
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=_PATIENCE) as session,
                session.get(f"http://worker{path}") as answer,
            ):
                return answer.status, await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return _SILENCE

    async def alive(self) -> list[bool]:
        """Whether each answers at all."""
        return [answer != _SILENCE for answer in await self.all("/livez")]

    async def all(self, path: str) -> list[tuple[int, bytes]]:
        """The answers of all, in their order."""
        return await asyncio.gather(*(self.ask(index, path) for index in range(len(self._paths))))


def application(paths: Sequence[str], endpoints: Container[str]) -> web.Application:
    """The endpoints of a single sidecar's admin listener, for the workers whose sockets are at ``paths``."""
    workers = Workers(paths)

    async def live(_: web.Request) -> web.Response:
        return web.Response(body=b'{"live":true}', content_type="application/json")

    async def state(request: web.Request) -> web.Response:
        return _joined(await workers.all(request.path))

    async def metrics(request: web.Request) -> web.Response:
        texts = [body.decode() for _, body in await workers.all("/metrics")]
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(merged(texts)), headers={"Content-Type": content_type})

    async def figures(request: web.Request) -> web.Response:
        return await _figures(workers, request.query.get("worker", "0"))

    handlers = {"livez": live, "readyz": state, "startupz": state, "metrics": metrics, "statusz": shown}
    app = web.Application()
    app.add_routes([web.get(f"/{name}", handler) for name, handler in handlers.items() if name in endpoints])
    if "statusz" in endpoints:
        app.add_routes([web.get("/statusz/data", figures)])
    return app


def merged(texts: Iterable[str]) -> CollectorRegistry:
    """The metrics of all workers, told apart by the label ``worker``."""
    families: dict[str, Metric] = {}
    for index, text in enumerate(texts):
        for family in text_string_to_metric_families(text):
            whole = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            whole.samples += [each._replace(labels={**each.labels, "worker": str(index)}) for each in family.samples]
    registry = CollectorRegistry()
    registry.register(_Fixed(families.values()))
    return registry


class _Fixed(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


async def _figures(workers: Workers, wanted: str) -> web.Response:
    index = int(wanted) if wanted.isdecimal() and int(wanted) < len(workers) else 0
    status, body = await workers.ask(index, "/statusz/data")
    if status != 200:
        return as_json({"error": f"worker {index} does not answer"}, 503)
    figures: dict[str, Any] = msgspec.json.decode(body)
    return as_json({**figures, "workers": list(range(len(workers)))})


def _joined(answers: Sequence[tuple[int, bytes]]) -> web.Response:
    """Yes if all say so; the reasons of those that do not, and otherwise what the first that answered says."""
    said: dict[str, Any] = next((msgspec.json.decode(body) for _, body in answers if body), {})
    reasons = [reason for index, answer in enumerate(answers) for reason in _reasons(index, *answer)]
    verdict: dict[str, Any] = {name: not reasons for name in ("ready", "started") if name in said}
    return as_json({**said, **verdict, "reasons": reasons}, 503 if reasons else 200)


def _reasons(index: int, status: int, body: bytes) -> list[str]:
    if status == 200:
        return []
    given = msgspec.json.decode(body)["reasons"] if body else ["it does not answer"]
    return [f"worker {index}: {reason}" for reason in given]
