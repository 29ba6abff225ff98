"""What a platform team can watch: metrics and traces, by OpenTelemetry.

The instruments stand here and cost next to nothing until `start` installs the SDK (extra `otel`), which it does where
`OTEL_EXPORTER_OTLP_ENDPOINT` (or its forms per signal) or `PP_METRICS_PORT` is set. Labels are tools, outcomes, route
templates and statuses: never names, e-mails, ids or tokens.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry import metrics, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from pp_mcp import __version__

log = logging.getLogger("pp_mcp.telemetry")

_METER = metrics.get_meter("pp_mcp", __version__)
_TRACER = trace.get_tracer("pp_mcp", __version__)

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_CHARACTERS = (250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 40_000)


def _histogram(name: str, unit: str, what: str, buckets: tuple[float, ...] = _SECONDS) -> metrics.Histogram:
    return _METER.create_histogram(name, unit, what, explicit_bucket_boundaries_advisory=buckets)


_TOOL_DURATION = _histogram("pp.tool.duration", "s", "Tool calls, by tool and outcome")
_ANSWER_SIZE = _histogram("pp.answer.size", "{character}", "Characters answered, by tool", _CHARACTERS)
_API_DURATION = _histogram("pp.api.duration", "s", "Requests to PlusPlus, by route, method and status")
API_RETRIES = _METER.create_counter("pp.api.retries", "{request}", "Requests to PlusPlus sent again, by route")
RATE_WAIT = _histogram("pp.rate.wait", "s", "Waits for the rate limit of PlusPlus")
RATE_LEFT = _METER.create_gauge("pp.rate.left", "{request}", "What its last answer left of the rate limit of PlusPlus")
ROWS_READ = _METER.create_counter("pp.rows.read", "{row}", "Rows read by reports and whole lists")
CONFIRMATIONS = _METER.create_counter(
    "pp.confirmations", "{question}", "Confirmations, by tool and event: asked, given, refused or expired"
)
UNCONFIRMED = _METER.create_counter("pp.writes.unconfirmed", "{change}", "Changes made without confirmation, by tool")


@dataclass
class Ending:
    """How a call or a request ended: one of a few words or an HTTP status; and how many characters were answered."""

    outcome: str | int = "cancelled"
    characters: int | None = None


@contextmanager
def tool_call(tool: str) -> Generator[Ending]:
    """Measures a call, whose span the SDK began."""
    ending, began = Ending(), time.perf_counter()
    try:
        yield ending
    finally:
        _TOOL_DURATION.record(time.perf_counter() - began, {"tool": tool, "outcome": ending.outcome})
        trace.get_current_span().set_attribute("pp.outcome", ending.outcome)
        if ending.characters is not None:
            _ANSWER_SIZE.record(ending.characters, {"tool": tool})


@contextmanager
def api_request(method: str, route: str, host: str) -> Generator[Ending]:
    """A client span and a measure of one request to PlusPlus. `route` is the template of the path: the ready
    instrumentation records whole addresses, e-mails included."""
    ending, began = Ending(), time.perf_counter()
    told = {"http.request.method": method, "server.address": host, "url.template": route}
    with _TRACER.start_as_current_span(
        f"{method} {route}",
        kind=SpanKind.CLIENT,
        attributes=told,
        # An exception's text may hold what no span may.
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield ending
        finally:
            status = ending.outcome
            _API_DURATION.record(time.perf_counter() - began, {"route": route, "method": method, "status": str(status)})
            if isinstance(status, int):
                span.set_attribute("http.response.status_code", status)
            if not isinstance(status, int) or status >= 400:
                span.set_attribute("error.type", str(status))
                span.set_status(Status(StatusCode.ERROR))


_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)

_stops: list[Callable[[], object]] = []


def start(metrics_port: int | None, host: str, tools: Collection[str]) -> None:
    """Begins to export where it is asked for. `metrics_port` serves Prometheus at `host`, on a port of its own.

    `tools` are the names of those there are: a client can call what there is not, and spans do not name that. Without
    the extra `otel` one log line says what is missing, and the server works without.
    """
    anywhere, only_metrics, only_traces = (bool(os.environ.get(name)) for name in _ENDPOINTS)
    if metrics_port is None and not (anywhere or only_metrics or only_traces):
        return
    try:
        from pp_mcp import exporting
    except ImportError:
        log.error("Metrics and traces are off: they need the extra otel. Install it with: pip install 'pp-mcp[otel]'")
        return
    name = os.environ.get("OTEL_SERVICE_NAME") or "pp-mcp"
    resource = exporting.Resource.create({"service.name": name, "service.version": __version__})
    _stops.extend(exporting.export_metrics(resource, metrics_port, host, to_collector=anywhere or only_metrics))
    if anywhere or only_traces:
        _stops.append(exporting.export_traces(resource, tools))


def stop() -> None:
    """Sends what was not sent yet, and ends."""
    while _stops:
        _stops.pop()()
