"""Where metrics and traces go, with the OpenTelemetry SDK of the extra `otel`: importing this fails without it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Sequence

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status
from prometheus_client import start_http_server

log = logging.getLogger("pp_mcp.telemetry")

Stop = Callable[[], object]

_KEPT = frozenset(
    {
        *("mcp.method.name", "mcp.protocol.version", "gen_ai.operation.name", "gen_ai.tool.name"),
        *("error.type", "rpc.response.status_code", "http.request.method", "http.response.status_code"),
        *("server.address", "url.template", "pp.outcome"),
    }
)
_METHOD = re.compile(r"[A-Za-z]+(/[A-Za-z_]+)*")


class Discreet(SpanExporter):
    """Takes out of spans what may hold names, e-mails or ids: what an error says, the texts a client chose itself, and
    the name of a tool that is not among `tools`."""

    def __init__(self, inner: SpanExporter, tools: Collection[str]) -> None:
        self._inner, self._tools = inner, tools

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Passes the spans on."""
        return self._inner.export([self._without_text(span) for span in spans])

    def shutdown(self) -> None:
        """Ends the exporter behind this one."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Has the exporter behind this one send what it holds."""
        return self._inner.force_flush(timeout_millis)

    def _without_text(self, span: ReadableSpan) -> ReadableSpan:
        kept = {name: value for name, value in (span.attributes or {}).items() if name in _KEPT}
        name = span.name
        if (method := kept.get("mcp.method.name")) is not None:
            if not _METHOD.fullmatch(str(method)):
                method = kept["mcp.method.name"] = "unknown"
            if kept.get("gen_ai.tool.name") not in self._tools:
                kept.pop("gen_ai.tool.name", None)
            name = " ".join(str(kept[one]) for one in ("mcp.method.name", "gen_ai.tool.name") if one in kept)
        return ReadableSpan(
            name,
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=kept,
            kind=span.kind,
            status=Status(span.status.status_code),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )


def export_metrics(resource: Resource, port: int | None, host: str, *, to_collector: bool) -> list[Stop]:
    """Serves metrics on the port, and sends them to the collector that the environment names; what ends it."""
    stops: list[Stop] = []
    readers: list[MetricReader] = []
    if port is not None:
        try:
            server, _ = start_http_server(port, host)
        except OSError as error:
            log.error("PP_METRICS_PORT: port %s cannot be opened (%s); no metrics there.", port, error.strerror)
        else:
            readers.append(PrometheusMetricReader())
            stops += [server.server_close, server.shutdown]
            log.info("Serving metrics at http://%s:%s/metrics", host, port)
    if to_collector:
        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    if readers:
        provider = MeterProvider(metric_readers=readers, resource=resource)
        metrics.set_meter_provider(provider)
        stops.append(provider.shutdown)
    return stops


def export_traces(resource: Resource, tools: Collection[str]) -> Stop:
    """Sends traces to the collector that the environment names; what ends it."""
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(Discreet(OTLPSpanExporter(), tools)))
    trace.set_tracer_provider(provider)
    return provider.shutdown
