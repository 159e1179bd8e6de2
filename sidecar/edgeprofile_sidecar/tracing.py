"""Traces with OpenTelemetry, for those who ask for them: a span for each request, and one in it for what Redis is asked.

A request's span stands in the caller's trace.
Where spans go, how many are kept and what the service is called is said by the ``OTEL_*`` variables that every SDK reads.
Spans carry what metrics carry: no ids, no traits, no tokens, and the route instead of the path.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgeprofile import ConfigurationError, EdgeProfileError, __version__

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from aiohttp import web
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

    from edgeprofile import EncodedProfile
    from edgeprofile_sidecar.service import Held, Reads

__all__ = ["Tracing", "provider"]


class Tracing:
    """Puts requests into spans of a provider; ``route`` names where a request goes, from a closed set."""

    def __init__(self, given: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 (extra)

        self._provider = given
        self._tracer = given.get_tracer("edgeprofile_sidecar", __version__)
        self._extract = TraceContextTextMapPropagator().extract

    def around(
        self,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        route: Callable[[web.BaseRequest], str],
    ) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        """The handler, with a span around each request."""
        from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415 (extra)

        async def traced(request: web.BaseRequest) -> web.StreamResponse:
            name = route(request)
            parent = self._extract({key.lower(): value for key, value in request.headers.items()})
            attributes = {
                "http.request.method": request.method,
                "http.route": name,
                "url.scheme": request.scheme,
                "network.protocol.version": f"{request.version.major}.{request.version.minor}",
            }
            with self._tracer.start_as_current_span(
                f"{request.method} {name}", parent, SpanKind.SERVER, attributes
            ) as span:
                answer = await handle(request)
                span.set_attribute("http.response.status_code", answer.status)
                if answer.status >= 500:
                    span.set_status(StatusCode.ERROR)
                return answer

        return traced

    def reads(self, reads: Reads) -> Reads:
        """The lookups, with a span around each that memory alone does not answer."""
        return _TracedReads(reads, self._tracer)

    def close(self) -> None:
        """Send what is left; a collector that does not answer is given up after the time that its variables allow."""
        self._provider.shutdown()


class _TracedReads:
    """What goes wrong is told by its kind: the text of an error may name an id."""

    def __init__(self, reads: Reads, tracer: Tracer) -> None:
        self._reads = reads
        self._tracer = tracer

    def peek(self, entity: str, id_type: str, value: str, *, destination: str) -> EncodedProfile | None:
        return self._reads.peek(entity, id_type, value, destination=destination)

    def hold(self, entity: str, id_type: str, value: str, *, destination: str) -> Held | None:
        return self._reads.hold(entity, id_type, value, destination=destination)

    async def get(self, entity: str, id_type: str, value: str, *, destination: str) -> EncodedProfile:
        with self._span(1):
            return await self._reads.get(entity, id_type, value, destination=destination)

    async def get_many(
        self, entity: str, ids: Sequence[tuple[str, str]], *, destination: str
    ) -> list[EncodedProfile | EdgeProfileError]:
        with self._span(len(ids)):
            return await self._reads.get_many(entity, ids, destination=destination)

    @contextmanager
    def _span(self, profiles: int) -> Iterator[None]:
        from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415 (extra)

        facts: dict[str, str | int] = {
            "db.system.name": "redis",
            "db.operation.name": "read",
            "db.operation.batch.size": profiles,
        }
        with self._tracer.start_as_current_span(
            "redis read", kind=SpanKind.CLIENT, attributes=facts, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except EdgeProfileError as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(StatusCode.ERROR)
                raise


def provider() -> TracerProvider:
    """A provider that sends spans over OTLP, as the ``OTEL_*`` variables say.

    Raises:
        ConfigurationError: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 (extra)
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 (extra)
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 (extra)
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 (extra)
    except ImportError as error:
        raise ConfigurationError(
            f"needs {error.name}, which is not installed: pip install 'edgeprofile[otel]'", option="sidecar.traces"
        ) from None
    made = TracerProvider(resource=Resource.create({"service.version": __version__}))
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made
