"""What the data listener does at each path: a request's head and body to the service, the service's answer back."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, cast

import msgspec
from aiohttp.hdrs import AUTHORIZATION, IF_NONE_MATCH

from edgeprofile import __version__
from edgeprofile_sidecar import openapi
from edgeprofile_sidecar.answers import Answer, with_message
from edgeprofile_sidecar.bodies import arriving, at_hand
from edgeprofile_sidecar.freshness import unless
from edgeprofile_sidecar.targets import origin_form

if TYPE_CHECKING:
    from aiohttp import web

    from edgeprofile.config import SidecarConfig
    from edgeprofile_sidecar.deadlines import Deadlines
    from edgeprofile_sidecar.service import Service

__all__ = ["Endpoints"]


class Endpoints:
    """The API's methods; each takes a request and returns its answer, whatever the request is."""

    def __init__(self, service: Service, config: SidecarConfig, deadlines: Deadlines) -> None:
        self._service = service
        self._deadlines = deadlines
        self._config = config
        self._described = Answer(200, msgspec.json.encode(openapi.document(__version__)))

    async def activate(self, request: web.BaseRequest) -> Answer:
        """Answer one profile."""
        grant = self._service.admit(request.headers.getall(AUTHORIZATION, ()))
        if isinstance(grant, Answer):
            return grant
        body = at_hand(request, self._config.max_body_bytes)
        if body is None:
            body = await self._arriving(request, self._config.max_body_bytes)
        if isinstance(body, Answer):
            return body
        asked = self._service.ask(body, grant)
        answer = asked if isinstance(asked, Answer) else await self._service.fetch(asked)
        return unless(answer, request.headers.getall(IF_NONE_MATCH)) if IF_NONE_MATCH in request.headers else answer

    async def profile(self, request: web.BaseRequest) -> Answer:
        """Answer one profile that is named in the target; whoever keeps the answer has to ask whether it still holds."""
        grant = self._service.admit(request.headers.getall(AUTHORIZATION, ()))
        if isinstance(grant, Answer):
            return grant
        answer = await self._service.profile(origin_form(request.raw_path), grant)
        if answer.status != 200:
            return answer
        answer = msgspec.structs.replace(answer, headers=answer.headers + b"Cache-Control: private, no-cache\r\n")
        return unless(answer, request.headers.getall(IF_NONE_MATCH, ()))

    async def batch(self, request: web.BaseRequest) -> Answer:
        """Answer many profiles."""
        grant = self._service.admit(request.headers.getall(AUTHORIZATION, ()))
        if isinstance(grant, Answer):
            return grant
        body = await self._large(request)
        return body if isinstance(body, Answer) else await self._service.batch(body, grant)

    async def delete(self, request: web.BaseRequest) -> Answer:
        """Delete profiles."""
        grant = self._service.admit(request.headers.getall(AUTHORIZATION, ()), "delete")
        if isinstance(grant, Answer):
            return grant
        body = await self._large(request)
        return with_message(body if isinstance(body, Answer) else await self._service.delete(body, grant))

    async def describe(self, _: web.BaseRequest) -> Answer:
        """Describe the API; who asks needs no token."""
        return self._described

    async def _large(self, request: web.BaseRequest) -> bytes | Answer:
        """A body that may list many ids."""
        limit = self._config.max_batch_bytes
        body = at_hand(request, limit)
        return await self._arriving(request, limit) if body is None else body

    async def _arriving(self, request: web.BaseRequest, limit: int) -> bytes | Answer:
        """A body that is still to come: it has a time of its own, and that of the answer begins when it is here."""
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._deadlines.exempt(task)
        body = await arriving(request, limit, self._config.body_timeout)
        self._deadlines.begin(task, monotonic())
        return body
