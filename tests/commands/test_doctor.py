"""The doctor: what it finds on the demo tenant, well and ill, and that it changes nothing."""

from __future__ import annotations

import json
import re
import shlex
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import anyio
import anyio.to_thread
import httpx2
import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr
from stage import Clock, Network, Stage, confirmed, connected, some_of

from pp_mcp.api import Client
from pp_mcp.api.routes import ROUTES, Route, override
from pp_mcp.api.send import Sender
from pp_mcp.cli import main
from pp_mcp.commands.doctor import MODELS, WRONG, Check, Doctor, Findings, examine, needs
from pp_mcp.config import Settings, load
from pp_mcp.demo import Sizes, Tenant
from pp_mcp.demo.serve import server as demo_server
from pp_mcp.inventory import ALL_TOOLS, BY_NAME
from tests.server.cases import CASES, Case

from .test_openapi import contract, moved

pytestmark = pytest.mark.anyio

Before = Callable[[httpx2.Request, int], httpx2.Response | None]

LISTS = [name for name, route in ROUTES.items() if "page" in route.query]


def settings_of(tenant: Tenant, **more: Any) -> Settings:
    return Settings(
        **{"base_url": tenant.base_url, "api_token": SecretStr(tenant.token), "toolsets": frozenset({"all"}), **more}
    )


def template(request: httpx2.Request) -> str:
    path = request.url.path.rpartition("/v2")[2]
    return re.sub(r"(?<=/)[0-9a-f-]{36}", "{public_id}", path)


def about(operation: str, request: httpx2.Request) -> bool:
    """Whether the doctor asks this about the operation."""
    route = ROUTES[operation]
    return template(request) == route.path and (request.method != "GET") == route.is_write


def answering(operation: str, status: int, **answer: Any) -> Before:
    return lambda request, _: httpx2.Response(status, **answer) if about(operation, request) else None


def client_of(settings: Settings, routes: Mapping[str, Route] = ROUTES, network: Network | None = None) -> Client:
    """Its waits pass at once, unless it goes over the network."""
    clock = {"clock": Clock()} if network else {}
    return Client(base_url=settings.base_url, token=settings.api_token, routes=routes, transport=network, **clock)


async def examined(tenant: Tenant, before: Before | None = None) -> Findings:
    network = Network(tenant)
    network.before = before or network.before
    settings = settings_of(tenant)
    async with client_of(settings, network=network) as client:
        return await examine(client, settings, network=False)


def states(checks: list[Check]) -> dict[str, str]:
    return {one.name: one.state for one in checks}


async def test_a_tenant_that_is_well_and_stays_as_it_is(tenant: Tenant) -> None:
    before = tenant.snapshot()
    findings = await examined(tenant)
    assert [one for one in findings.tools if one.state != "ready"] == []
    assert {one.name for one in findings.tools} == {tool.name for tool in ALL_TOOLS}
    assert states(findings.checks) == dict.fromkeys(("settings", "connection", "rate limit", "token"), "ready") | {
        "clock": "not checked"
    }
    assert findings.exit_code == 0
    assert {one.method for one in tenant.requests} == {"GET", "OPTIONS"}
    assert tenant.snapshot() == before


@pytest.mark.parametrize("operation", some_of(ROUTES))
async def test_rights_taken_away_one_by_one(operation: str, tenant: Tenant) -> None:
    error = {"error": {"code": "forbidden", "message": "The role 'user' may not."}}
    findings = await examined(tenant, answering(operation, 403, json=error))
    route = ROUTES[operation]
    # OPTIONS tells of all writes of a path together.
    without = (
        {operation}
        if not route.is_write
        else {name for name, one in ROUTES.items() if one.is_write and one.path == route.path}
    )
    lacking = {tool.name for tool in ALL_TOOLS if without & set(needs(tool))}
    assert {one.name for one in findings.tools if one.state == "lacks permission"} == lacking
    assert {one.state for one in findings.tools if one.name not in lacking} <= {"ready", "not checked"}
    assert findings.exit_code == 1
    (token,) = (one for one in findings.checks if one.name == "token")
    assert "“The role 'user' may not.”" in token.detail


@pytest.mark.parametrize("operation", some_of(ROUTES))
async def test_endpoints_missing_one_by_one(operation: str, tenant: Tenant) -> None:
    path = ROUTES[operation].path
    findings = await examined(tenant, lambda request, _: httpx2.Response(404) if template(request) == path else None)
    missing = {name for name, route in ROUTES.items() if route.path == path}
    expected = {tool.name for tool in ALL_TOOLS if missing & set(needs(tool))}
    assert {one.name for one in findings.tools if one.state == "endpoint missing"} == expected
    assert findings.exit_code == 1


@pytest.mark.parametrize("operation", some_of(MODELS))
@pytest.mark.parametrize("body", [{"rows": []}, [], "<html>", {"data": [{"public_id": 7}], "meta": {"total_count": 1}}])
async def test_answers_in_another_form(operation: str, body: object, tenant: Tenant) -> None:
    answer = {"text": body} if isinstance(body, str) else {"json": body}
    findings = await examined(tenant, answering(operation, 200, **answer))
    wrong = {one.name for one in findings.tools if one.state == "other form"}
    assert wrong == {tool.name for tool in ALL_TOOLS if operation in needs(tool)}
    assert findings.exit_code == 1


@pytest.mark.parametrize(
    ("operation", "parameter"),
    [(name, one) for name in LISTS for one in ROUTES[name].query if one not in ("page", "page_size")],
)
async def test_a_filter_that_is_ignored(operation: str, parameter: str, tenant: Tenant) -> None:
    network = Network(tenant)

    async def without(request: httpx2.Request, carry: Any) -> httpx2.Response:
        url = request.url.copy_remove_param(parameter)
        return await carry(httpx2.Request(request.method, url, headers=request.headers))

    network.between = without
    routes = {operation: ROUTES[operation]}
    async with client_of(settings_of(tenant), routes, network) as client:
        check = (await Doctor(client).operations())[operation]
    assert check.state == "other form"
    assert check.detail.endswith(f"other names: {parameter}.")


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (httpx2.Response(200), "not checked"),
        (httpx2.Response(204, headers={"Access-Control-Allow-Methods": "PATCH"}), "not checked"),
        (httpx2.Response(500), "not checked"),
        (httpx2.Response(404), "endpoint missing"),
        (httpx2.Response(405, headers={"Allow": "GET, head"}), "endpoint missing"),
        (httpx2.Response(405, headers={"Allow": "get,patch"}), "ready"),
        (httpx2.Response(403), "lacks permission"),
    ],
)
async def test_what_a_write_tells(answer: httpx2.Response, state: str, tenant: Tenant) -> None:
    findings = await examined(tenant, lambda request, _: answer if about("update_user", request) else None)
    (found,) = (one for one in findings.tools if one.name == "update_user")
    assert found.state == state
    assert findings.exit_code == int(state in WRONG)


async def test_head_tells_where_options_does_not(tenant: Tenant) -> None:
    def before(request: httpx2.Request, _: int) -> httpx2.Response | None:
        return httpx2.Response(200) if request.method == "OPTIONS" else None

    findings = await examined(tenant, before)
    assert states(findings.tools)["complete_assignment"] == "ready"


async def test_an_empty_tenant_leaves_much_unchecked() -> None:
    tenant = Tenant(sizes=Sizes(people=1, groups=0, content_items=0, assignments=0, enrollments=0))
    findings = await examined(tenant)
    found = states(findings.tools)
    assert found["get_group"] == found["drop_assignment"] == "not checked"
    assert found["list_users"] == found["create_group"] == "ready"
    assert findings.exit_code == 0
    tenant.close()


def raising(cause: Exception) -> Before:
    def before(request: httpx2.Request, _: int) -> httpx2.Response | None:
        raise httpx2.ConnectError("no", request=request) from cause

    return before


@pytest.mark.parametrize(
    ("before", "failing", "ready"),
    [
        (raising(socket.gaierror("x")), "DNS", []),
        (raising(ConnectionRefusedError()), "connection", ["DNS"]),
        (raising(ssl.SSLCertVerificationError()), "TLS", ["DNS", "connection"]),
        (answering("list_users", 401), "token", ["DNS", "connection", "TLS"]),
        (answering("list_users", 503), "answers", ["DNS", "connection", "TLS"]),
    ],
)
async def test_what_stands_in_the_way_of_connecting(
    before: Before, failing: str, ready: list[str], tenant: Tenant
) -> None:
    network = Network(tenant)
    network.before = before
    settings = settings_of(tenant)
    async with client_of(settings, network=network) as client:
        findings = Findings(await Doctor(client).connection())
    found = states(findings.checks)
    assert found[failing] == "failed"
    assert [name for name in ("DNS", "connection", "TLS") if found.get(name) == "ready"] == ready
    assert findings.exit_code == 2
    assert len(tenant.requests) == 0


async def test_a_base_url_below_which_there_is_nothing(tenant: Tenant) -> None:
    findings = await examined(tenant, lambda *_: httpx2.Response(404))
    assert states(findings.checks)["token"] == "not checked"
    assert findings.exit_code == 1


async def test_values_that_the_api_passes_over_do_not_count(tenant: Tenant) -> None:
    """Some APIs take no notice of a value that an enum does not have."""
    network = Network(tenant)

    async def lenient(request: httpx2.Request, carry: Any) -> httpx2.Response:
        state = request.url.params.get("state", "completed")
        known = ("not_started", "in_progress", "completed", "dropped", "exempted")
        url = request.url if state in known else request.url.copy_remove_param("state")
        return await carry(httpx2.Request(request.method, url, headers=request.headers))

    network.between = lenient
    routes = {"list_assignments": ROUTES["list_assignments"]}
    async with client_of(settings_of(tenant), routes, network) as client:
        assert (await Doctor(client).operations())["list_assignments"].state == "ready"


async def test_the_clock_and_the_rate_limit(tenant: Tenant) -> None:
    headers = {"Date": "Mon, 02 Mar 2015 10:00:00 GMT"}
    findings = await examined(tenant, lambda _, number: httpx2.Response(200, headers=headers) if number == 1 else None)
    assert states(findings.checks)["clock"] == states(findings.checks)["rate limit"] == "note"


@pytest.mark.parametrize("case", some_of(CASES), ids=lambda case: case.tool)
async def test_a_tool_needs_no_more_than_the_doctor_checks(
    case: Case, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: set[str] = set()
    send = Sender.send

    async def noting(self: Sender, operation: str, *rest: Any, **more: Any) -> Any:
        used.add(operation)
        return await send(self, operation, *rest, **more)

    monkeypatch.setattr(Sender, "send", noting)
    async with connected(stage.tenant, secrets_dir=tmp_path) as client:
        await confirmed(client, case.tool, **case.arguments(stage))
    assert used <= set(needs(BY_NAME[case.tool]))


async def test_the_routes_it_prints_repair_a_tenant_that_is_elsewhere(tenant: Tenant, tmp_path: Path) -> None:
    network = Network(tenant)

    async def elsewhere(request: httpx2.Request, carry: Any) -> httpx2.Response:
        path = request.url.path.rpartition("/v2")[2]
        if not path.startswith("/lms/"):
            return httpx2.Response(404)
        url = request.url.copy_with(path=f"/public_api/v2{path.removeprefix('/lms')}")
        return await carry(httpx2.Request(request.method, url, headers=request.headers))

    async def over(settings: Settings) -> Findings:
        async with client_of(settings, override(ROUTES, settings.routes), network) as client:
            return await examine(client, settings, network=False)

    network.between = elsewhere
    assert {one.state for one in (await over(settings_of(tenant))).tools} <= {
        "endpoint missing",
        "not checked",
    }
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(moved(contract(), lambda path: f"/lms{path}")))
    shown = await anyio.to_thread.run_sync(lambda: run("--demo", *FEW, "--openapi", str(file)))
    printed = shown.output.splitlines()[-1]
    name, _, value = "".join(shlex.split(printed)).partition("=")
    settings = load({"base_url": tenant.base_url, "api_token": tenant.token}, environ={name: value})
    findings = await over(settings)
    assert {one.state for one in findings.tools} == {"ready"}


# --- the command ----------------------------------------------------------------------------------------------------

FEW = ("--people", "20", "--assignments", "30")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *arguments])


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PP_TENANT", "PP_BASE_URL", "PP_API_TOKEN", "PP_ROUTES", "PP_TOOLSETS"):
        monkeypatch.delenv(name, raising=False)


def test_the_table() -> None:
    shown = run("--demo", *FEW)
    assert shown.exit_code == 0, shown.output
    assert re.search(r"^list_users +ready +20 rows *$", shown.output, re.M)
    assert re.search(r"^token +ready +Accepted", shown.output, re.M)
    assert "create_api_token" not in shown.output


def test_json_and_the_tools_that_are_on() -> None:
    shown = run("--demo", *FEW, "--json", "--read-only", "--toolsets", "users")
    found = json.loads(shown.stdout)
    assert found["exit_code"] == shown.exit_code == 0
    assert [one["name"] for one in found["tools"]] == ["get_user", "list_users"]
    assert found["comparison"] is None


def test_what_differs_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(moved(contract(), lambda path: path.replace("/revert-", "/undo-"))))
    shown = run("--demo", *FEW, "--openapi", str(file))
    assert shown.exit_code == 1, shown.output
    assert re.search(
        r"^revert_completion +path moved +POST /assignments/\{public_id\}/revert-completion is POST ",
        shown.output,
        re.M,
    )
    assert '"revert_exemption": {"path": "/assignments/{public_id}/undo-exemption"}' in shown.output.splitlines()[-1]
    # What no tool needs that is on breaks nothing.
    assert run("--demo", *FEW, "--openapi", str(file), "--toolsets", "users").exit_code == 0
    assert "agree" in run("--demo", *FEW, "--openapi", str(Path(__file__).parents[1] / "demo" / "openapi.json")).output


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"openapi": "3.1.0", "paths": 3}', "[" * 100_000])
def test_a_document_that_cannot_be_used(text: str, tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    file.write_text(text)
    shown = run("--demo", *FEW, "--openapi", str(file))
    assert shown.exit_code == 2
    assert "--openapi" in shown.stderr


@pytest.mark.parametrize(
    ("where", "words"), [("nowhere.json", "No such file"), ("http://example.com/openapi.json", "this computer only")]
)
def test_a_document_that_is_not_there(where: str, words: str) -> None:
    shown = run("--demo", *FEW, "--openapi", where)
    assert shown.exit_code == 2
    assert words in shown.stderr


def test_settings_that_are_wrong() -> None:
    shown = run()
    assert shown.exit_code == 2
    assert "PP_API_TOKEN" in shown.stderr


# --- over a network -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def on_a_port(tenant: Tenant) -> AsyncIterator[str]:
    server = demo_server(tenant, "127.0.0.1", 0)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    await server.on_tick(0)  # sets the date that answers have
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/public_api/v2"
    finally:
        await server.shutdown()


async def over_network(url: str, token: str) -> Findings:
    settings = Settings(base_url=url, api_token=SecretStr(token))
    async with client_of(settings) as client:
        return await examine(client, settings)


async def test_over_a_real_socket(tenant: Tenant) -> None:
    async with on_a_port(tenant) as url:
        findings = await over_network(url, tenant.token)
        assert findings.exit_code == 0
        assert {one.state for one in findings.tools} == {"ready"}
        ready = ("settings", "DNS", "connection", "clock", "rate limit", "token")
        assert states(findings.checks) == dict.fromkeys(ready, "ready")
        revoked = await over_network(url, "pp_another_token")
        assert states(revoked.checks)["token"] == "failed"
        assert (revoked.exit_code, revoked.tools) == (2, [])
        plain = await over_network(url.replace("http:", "https:"), tenant.token)
        assert states(plain.checks)["TLS"] == "failed"
    closed = await over_network(url, tenant.token)
    assert states(closed.checks)["connection"] == "failed"
    assert closed.exit_code == 2


class Documents(BaseHTTPRequestHandler):
    """Answers with an OpenAPI document, and notes the tokens that come."""

    tokens: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.tokens.append(self.headers.get("Authorization"))
        self.send_response(404 if "nothing" in self.path else 200)
        self.end_headers()
        self.wfile.write(json.dumps(contract()).encode())

    def log_message(self, *_: object) -> None:
        pass


def test_a_document_at_an_address() -> None:
    with HTTPServer(("127.0.0.1", 0), Documents) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        shown = run("--demo", *FEW, "--openapi", f"{address}/openapi.json")
        assert shown.exit_code == 0, shown.output
        assert "agree" in shown.output
        assert "HTTP 404" in run("--demo", *FEW, "--openapi", f"{address}/nothing").stderr
        assert Documents.tokens == [None, None]
        # The API itself gets the token that it would get anyway; it has nothing else here.
        own = ("--base-url", f"{address}/public_api/v2", "--openapi", f"{address}/openapi.json")
        assert CliRunner().invoke(main, ["doctor", *own], env={"PP_API_TOKEN": "pp_of_the_tenant"}).exit_code == 1
        assert Documents.tokens[2] == "Bearer pp_of_the_tenant"
        server.shutdown()
