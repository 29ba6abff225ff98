"""What a platform team can watch: every metric, no name of anybody in any of it, and lines of JSON."""

from __future__ import annotations

import json
import logging
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
from mcp import MCPError
from mcp.types import ElicitResult
from opentelemetry import metrics, trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import generate_latest
from stage import LEGACY, Clock, Network, Stage, call, confirmed, connected, make_server, served, small_tenant

import pp_mcp
from pp_mcp import telemetry
from pp_mcp.api.routes import ROUTES
from pp_mcp.exporting import Discreet
from pp_mcp.inventory import BY_NAME
from pp_mcp.logs import JsonLines, about

from .test_processes import DEMO, META, free_port, running, until_healthy
from .test_processes import call as asked

pytestmark = pytest.mark.anyio

DASHBOARD = Path(__file__).parents[2] / "deploy/grafana.json"


@cache
def exporters() -> tuple[InMemoryMetricReader, InMemorySpanExporter]:
    """Where this process's metrics and spans go. They can be given a place only once."""
    reader, spans = InMemoryMetricReader(), InMemorySpanExporter()
    metrics.set_meter_provider(MeterProvider([reader, PrometheusMetricReader()]))
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Discreet(spans, BY_NAME)))
    trace.set_tracer_provider(provider)
    return reader, spans


Counts = dict[tuple[str, ...], float]


class Watched:
    """What was counted since the last look."""

    def __init__(self) -> None:
        self._reader, self.spans = exporters()
        self._before: dict[str, Counts] = {}
        self.spans.clear()
        self.look()

    def look(self) -> dict[str, Counts]:
        """By metric, and by the values of the labels: how much, or how often, more."""
        found: dict[str, Counts] = {}
        data = self._reader.get_metrics_data()
        for scope in (one for resource in data.resource_metrics for one in resource.scope_metrics) if data else ():
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    key = tuple(str(value) for _, value in sorted((point.attributes or {}).items()))
                    value = point.count if hasattr(point, "count") else point.value
                    found.setdefault(metric.name, {})[key] = value
        before, self._before = self._before, found
        return {
            name: {key: more for key, value in counts.items() if (more := value - before.get(name, {}).get(key, 0))}
            for name, counts in found.items()
        }


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage(small_tenant())
    yield made
    made.close()


async def test_calls_requests_and_answers_are_counted(stage: Stage, watched: Watched) -> None:
    person = stage.person()
    async with connected(stage.tenant) as client:
        await call(client, "get_user", user=person)
        answered = await call(client, "list_users")
        await call(client, "get_group", group="2d931510-d99f-494a-8c67-87feb05e1594")
        await call(client, "list_users", page_size="many")
    found = watched.look()
    assert found["pp.tool.duration"] == {
        ("answered", "get_user"): 1,
        ("answered", "list_users"): 1,
        ("UnclearReference", "get_group"): 1,
        ("InvalidArgument", "list_users"): 1,
    }
    assert sum(found["pp.api.duration"].values()) == len(stage.tenant.requests)
    assert {status for _, _, status in found["pp.api.duration"]} == {"200", "404"}
    assert {route for _, route, _ in found["pp.api.duration"]} <= {route.path for route in ROUTES.values()}
    assert found["pp.answer.size"] == {("get_user",): 1, ("list_users",): 2, ("get_group",): 1}
    assert len(answered.content[0].text) > 500  # type: ignore[union-attr]


async def test_confirmations_are_counted(stage: Stage, watched: Watched) -> None:
    targets = {tool: {"assignment": stage.assignment("not_started", n)} for n, tool in enumerate(["drop_assignment"])}
    async with connected(stage.tenant) as client:
        await call(client, "drop_assignment", **targets["drop_assignment"], confirm_token="7b053f6f.AAAA.BBBB")
        await confirmed(client, "drop_assignment", **targets["drop_assignment"])
        await confirmed(client, "update_user", user=stage.person(), name="Rosa Alvarez")
    found = watched.look()
    assert found["pp.confirmations"] == {
        ("expired", "drop_assignment"): 1,
        ("asked", "drop_assignment"): 1,
        ("given", "drop_assignment"): 1,
    }
    assert found["pp.writes.unconfirmed"] == {("update_user",): 1}
    assert found["pp.tool.duration"] == {
        ("confirmation_required", "drop_assignment"): 2,
        ("done", "drop_assignment"): 1,
        ("done", "update_user"): 1,
    }


@pytest.mark.parametrize("way", [None, LEGACY])
async def test_what_a_person_declines_is_counted(way: Any, stage: Stage, watched: Watched) -> None:
    async def decline(*_: Any) -> ElicitResult:
        return ElicitResult(action="decline")

    options = {"way": way} if way else {}
    server = make_server(stage.tenant, confirm="elicit")
    async with served(server, elicitation_callback=decline, **options) as client:
        await client.call_tool("drop_assignment", {"assignment": stage.assignment("not_started")})
    tool = "drop_assignment"
    assert watched.look()["pp.confirmations"] == {("asked", tool): 1, ("refused", tool): 1}


async def test_rows_repeats_and_waits_are_counted(watched: Watched) -> None:
    tenant, clock = small_tenant(), Clock()
    network = Network(tenant)
    refusals = [httpx2.Response(429, headers={"retry-after": "7"}), httpx2.Response(502)]
    network.before = lambda _request, number: refusals[number - 1] if number <= len(refusals) else None
    async with connected(tenant, transport=network, clock=clock) as client:
        await call(client, "report_assignments", group_by=["state"])
    found = watched.look()
    # The people are read beside them, for what a report says of its rows.
    rows = tenant.connection.execute("SELECT (SELECT count(*) FROM assignments) + count(*) FROM users").fetchone()[0]
    assert found["pp.rows.read"] == {(): rows}
    assert found["pp.api.retries"] == {(ROUTES["list_assignments"].path,): 2}
    assert found["pp.rate.wait"][()] >= 1
    assert "pp.rate.left" in found
    tenant.close()


async def test_nobody_is_named(stage: Stage, watched: Watched) -> None:
    """Neither in labels nor in spans: not what is asked for, nor what is answered, nor what an error says."""
    person, named = stage.person(), stage.one("SELECT name FROM users WHERE email = ?", stage.person(1))
    async with connected(stage.tenant) as client:
        for tool, arguments in {
            "get_user": {"user": person},
            "update_user": {"user": named, "name": "Zoë Unheard"},
            "list_assignments": {"user": person},
            "report_assignments": {"group_by": ["user"]},
            "create_user": {"email": person, "name": "Twice"},
            "get_learner_summary": {"user": "Nobody Known"},
            person: {},
        }.items():
            await _anyhow(client.call_tool(tool, arguments))
        await confirmed(client, "drop_assignment", assignment=stage.assignment("not_started"))
        await _anyhow(client.get_prompt("onboard_new_hire", {"person": person}))
        await _anyhow(client.get_prompt(person, {}))
        for uri in (
            f"plusplus://users/{person}",
            "plusplus://users/Nobody",
            f"plusplus://{named}",
            "plusplus://lists/users.csv",
        ):
            await _anyhow(client.read_resource(uri))
    told = "\n".join(span.to_json() for span in watched.spans.get_finished_spans())
    told += generate_latest().decode() + str(watched.look())
    assert "tools/call get_user" in told
    assert f'"{ROUTES["get_user"].path}"' in told
    secrets = {stage.tenant.token, "Zoë Unheard", "Unheard", "Nobody", "Twice", "onboard_new_hire"}
    for table in ("users", "groups", "content_items"):
        secrets |= {text for row in stage.sql(f"SELECT name, public_id FROM {table}") for text in row}
    secrets |= set(stage.column("SELECT email FROM users")) | set(stage.column("SELECT public_id FROM assignments"))
    assert [one for one in secrets if one and re.search(rf"(?<!\w){re.escape(one)}(?!\w)", told)] == []


async def _anyhow(work: Any) -> None:
    """What the server answers is looked at elsewhere."""
    with suppress(MCPError):
        await work


def test_the_dashboard_shows_what_there_is(watched: Watched) -> None:
    for instrument in vars(telemetry).values():
        if isinstance(instrument, metrics.Histogram):
            instrument.record(1)
        elif isinstance(instrument, metrics.Counter):
            instrument.add(1)
    telemetry.RATE_LEFT.set(1)
    there = set(re.findall(r"^(pp_\w+?)(?:\{| )", generate_latest().decode(), re.M))
    shown = set(re.findall(r"\bpp_[a-z_]+", DASHBOARD.read_text()))
    assert shown - there == set()
    assert {re.sub("_(bucket|count|sum)$", "", one) for one in there} - {
        re.sub("_(bucket|count|sum)$", "", one) for one in shown
    } == set()


class Collector(BaseHTTPRequestHandler):
    """Keeps what an exporter sends."""

    got: dict[str, bytes]

    def do_POST(self) -> None:
        """Takes it."""
        self.got[self.path] = self.got.get(self.path, b"") + self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def test_a_server_exports_what_it_saw_until_it_stops() -> None:
    Collector.got = {}
    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    Thread(target=collector.serve_forever, daemon=True).start()
    port, metrics_port = free_port(), free_port()
    settings = {
        "PP_METRICS_PORT": str(metrics_port),
        "PP_LOG_FORMAT": "json",
        "PP_LOG_LEVEL": "DEBUG",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
    }
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "get_user",
        "X-Request-Id": "from-the-balancer-7",
    }
    body = {"jsonrpc": "2.0", **asked(1, "get_user", {"user": "sam.lee@acme.example"}, _meta=META)}
    with running(*DEMO, "--transport", "http", "--port", str(port), **settings) as process:
        until_healthy(f"http://127.0.0.1:{port}")
        assert httpx2.post(f"http://127.0.0.1:{port}/mcp", json=body, headers=headers).status_code == 200
        scraped = httpx2.get(f"http://127.0.0.1:{metrics_port}/metrics").text
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr is not None
        lines = [json.loads(line) for line in process.stderr.read().decode().splitlines()]
    collector.shutdown()
    collector.server_close()
    assert re.search(r'pp_tool_duration_seconds_count\{.*tool="get_user".*\} 1.0', scraped)
    assert b"pp.tool.duration" in Collector.got["/v1/metrics"]
    traces = Collector.got["/v1/traces"]
    assert b"tools/call get_user" in traces
    assert b"/users" in traces
    assert b"acme.example" not in b"".join(Collector.got.values())
    of_the_call = [line for line in lines if line.get("request_id") == "from-the-balancer-7"]
    assert of_the_call
    assert {line["tool"] for line in of_the_call} == {"get_user"}
    assert all(re.fullmatch("[0-9a-f]{32}", line["trace_id"]) for line in of_the_call)


def test_without_the_extra_one_line_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "pp_mcp.exporting", None)
    monkeypatch.delattr(pp_mcp, "exporting", raising=False)
    telemetry.start(free_port(), "127.0.0.1", BY_NAME)
    telemetry.stop()
    assert [record.getMessage() for record in caplog.records] == [
        "Metrics and traces are off: they need the extra otel. Install it with: pip install 'pp-mcp[otel]'"
    ]


def test_nothing_is_started_that_nobody_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pp_mcp.exporting", None)
    monkeypatch.delattr(pp_mcp, "exporting", raising=False)
    telemetry.start(None, "127.0.0.1", BY_NAME)


@pytest.mark.parametrize("sent", [None, "", "a\nb", "x" * 129, 'a"b', "jane doe"])
def test_only_a_plain_request_id_is_taken_over(sent: str | None) -> None:
    record = logging.LogRecord("pp_mcp", logging.INFO, "", 1, "Hello %s", ("you",), None)
    with about("get_user", sent):
        line = json.loads(JsonLines().format(record))
    assert re.fullmatch("[0-9a-f]{32}", line["request_id"])
    assert (line["tool"], line["message"], line["level"], line["logger"]) == ("get_user", "Hello you", "INFO", "pp_mcp")
    assert "request_id" not in json.loads(JsonLines().format(record))


def test_an_exception_stays_on_its_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord("pp_mcp", logging.ERROR, "", 1, "Failed", None, sys.exc_info())
    text = JsonLines().format(record)
    assert "\n" not in text
    assert "ValueError: two\nlines" in json.loads(text)["exception"]


def test_a_port_that_is_taken_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        telemetry.start(taken.getsockname()[1], "127.0.0.1", BY_NAME)
        telemetry.stop()
    assert "PP_METRICS_PORT" in caplog.text
    assert "cannot be opened" in caplog.text
