"""The HTTP app in process: sessions that come and go, health, and who is kept out."""

from __future__ import annotations

import httpx2
import pytest
from asgi_bridge import Bridge
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from stage import ask, make_server

from pp_mcp import __version__
from pp_mcp.demo import Tenant
from pp_mcp.errors import Refused
from pp_mcp.server.http import http_app

from .test_processes import META

pytestmark = pytest.mark.anyio

URL = "http://127.0.0.1:8000"


async def test_clients_come_and_go_while_the_server_stays(tenant: Tenant) -> None:
    app = http_app(make_server(tenant))
    async with app.router.lifespan_context(app):
        for mode in ("legacy", "auto", "legacy", "2026-07-28"):
            async with (
                httpx2.AsyncClient(transport=Bridge(app), base_url=URL) as http,
                Client(streamable_http_client(f"{URL}/mcp", http_client=http), mode=mode) as client,
            ):
                assert (await ask(client, "list_users", page_size=1))["total_count"] == 60


async def test_health_needs_nobody_and_tells_nothing_else(tenant: Tenant) -> None:
    app = http_app(make_server(tenant))
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=Bridge(app), base_url=URL) as http:
        answer = await http.get("/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok", "version": __version__})
        assert (await http.get("/")).status_code == 404
    assert not tenant.requests


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:8000"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_a_page_in_a_browser_is_kept_out(headers: dict[str, str], status: int, tenant: Tenant) -> None:
    app = http_app(make_server(tenant))
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_users", "arguments": {}}}
    sent = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28", **headers}
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=Bridge(app), base_url=URL) as http:
        answer = await http.post("/mcp", json=call, headers=sent)
    assert answer.status_code == status
    assert not tenant.requests


LOOPBACK = {
    "127.0.0.1": "127.0.0.1:8000",
    "127.0.0.2": "127.0.0.2:8000",
    "::1": "[::1]:8000",
    "0:0:0:0:0:0:0:1": "[::1]",
    "localhost": "localhost:8000",
    "mcp.localhost": "mcp.localhost",
}


@pytest.mark.parametrize(("host", "name"), LOOPBACK.items())
async def test_every_address_of_this_computer_is_protected(host: str, name: str, tenant: Tenant) -> None:
    app = http_app(make_server(tenant), host)
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    sent = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/list",
    }
    expected = {
        (name, None): 200,
        (name, f"http://{name}"): 200,
        ("evil.example", None): 421,
        (f"{host}.evil.example:8000", None): 421,
        (name, "https://evil.example"): 403,
        (name, f"http://{host}.evil.example:8000"): 403,
    }
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=Bridge(app), base_url=URL) as http:
        found = {}
        for asked, origin in expected:
            headers = {**sent, "Host": asked, **({"Origin": origin} if origin else {})}
            found[asked, origin] = (await http.post("/mcp", json=call, headers=headers)).status_code
    assert found == expected


async def test_no_path_is_redirected(tenant: Tenant) -> None:
    app = http_app(make_server(tenant))
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=Bridge(app), base_url=URL) as http:
        for path in ("/mcp/", "/health/"):
            assert (await http.get(path, headers={"Host": "evil.example"})).status_code == 404


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "mcp.example.com", "localhost.example.com", ""])
def test_other_computers_are_not_let_in(host: str, tenant: Tenant) -> None:
    with pytest.raises(Refused, match=r"PP_HTTP_TOKENS_FILE.*PP_ALLOWED_HOSTS"):
        http_app(make_server(tenant), host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.2"])
def test_this_computer_is(host: str, tenant: Tenant) -> None:
    http_app(make_server(tenant), host)
