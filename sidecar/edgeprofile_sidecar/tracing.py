"""Traces with OpenTelemetry, for those who ask for them: a span for each request, within the caller's trace.

Where spans go, how many are kept and what the service is called is said by the ``OTEL_*`` variables that every SDK reads.
Spans carry what metrics carry: no ids, no traits, no tokens, and the route instead of the path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprofile import ConfigurationError, __version__

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web
    from opentelemetry.sdk.trace import TracerProvider

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

    def close(self) -> None:
        """Send what is left; a collector that does not answer is given up after the time that its variables allow."""
        self._provider.shutdown()


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
