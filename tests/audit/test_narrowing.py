"""A request narrows the menu by header and never widens it; and the brake on writes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from asgi_bridge import Bridge
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import PromptReference
from stage import Stage, ask, confirmed, connected, make_server, refused

from pp_mcp.declare import Effect
from pp_mcp.demo import Tenant
from pp_mcp.errors import Refused
from pp_mcp.inventory import BY_NAME
from pp_mcp.server.http import http_app
from pp_mcp.server.perform import Brake

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def asking(tenant: Tenant, headers: Any, mode: str, **settings: Any) -> AsyncIterator[Client]:
    """A client over HTTP whose every request carries these headers."""
    app = http_app(make_server(tenant, **settings))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=Bridge(app), base_url="http://127.0.0.1:8000", headers=headers) as http,
        Client(streamable_http_client("http://127.0.0.1:8000/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


USERS = {tool.name for tool in BY_NAME.values() if tool.toolset == "users"}
READS_OF_USERS = {name for name in USERS if BY_NAME[name].effect is Effect.READ}

modes = pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])


@modes
async def test_only_reading(mode: str, tenant: Tenant, stage: Stage) -> None:
    async with asking(tenant, {"X-PP-Read-Only": "true"}, mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names == {name for name, tool in BY_NAME.items() if tool.effect is Effect.READ}
        error = await refused(client, "create_group", name="New")
        assert "X-PP-Read-Only" in error["message"]
        assert (await ask(client, "list_users"))["total_count"]
    assert stage.writes() == []


@modes
async def test_only_some_toolsets_also_as_resources(mode: str, tenant: Tenant, stage: Stage) -> None:
    async with asking(tenant, {"X-PP-Toolsets": "users, Groups"}, mode) as client:
        assert {BY_NAME[tool.name].toolset for tool in (await client.list_tools()).tools} == {"users", "groups"}
        assert "X-PP-Toolsets" in (await refused(client, "list_assignments"))["message"]
        uris = [one.uri_template for one in (await client.list_resource_templates()).resource_templates]
        assert uris
        assert not [uri for uri in uris if "assignments" in uri or "content" in uri]
        await client.read_resource(f"plusplus://users/{stage.person()}")
        with pytest.raises(MCPError, match="X-PP-Toolsets"):
            await client.read_resource(f"plusplus://assignments/{stage.assignment('completed')}")
        with pytest.raises(MCPError, match="X-PP-Toolsets"):
            await client.read_resource("plusplus://reports/assignments.csv")


@modes
async def test_a_request_cannot_widen(mode: str, tenant: Tenant) -> None:
    headers = {"X-PP-Read-Only": "false", "X-PP-Toolsets": "users,tokens,bulk"}
    async with asking(tenant, headers, mode, read_only=True, toolsets=frozenset({"users"})) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names == READS_OF_USERS
        assert "PP_READ_ONLY" in (await refused(client, "create_user", email="a@b.example", name="A"))["message"]
        assert "PP_" in (await refused(client, "create_api_token", name="A"))["message"]


@modes
@pytest.mark.parametrize("headers", [{"X-PP-Read-Only": "yes please"}, {"X-PP-Toolsets": "users,evrything"}])
async def test_a_header_that_says_nothing_known_lets_nothing_through(
    headers: dict[str, str], mode: str, tenant: Tenant, stage: Stage
) -> None:
    async with asking(tenant, headers, mode) as client:
        with pytest.raises(MCPError, match="The header X-PP-"):
            await client.list_tools()
        with pytest.raises(MCPError, match="The header X-PP-"):
            await client.list_resource_templates()
        with pytest.raises(MCPError, match="The header X-PP-"):
            await client.read_resource(f"plusplus://users/{stage.person()}")
        assert (await client.call_tool("list_users", {})).is_error
    assert tenant.requests == type(tenant.requests)() or not list(tenant.requests)


@modes
@pytest.mark.parametrize(
    ("headers", "names"),
    [
        ([("X-PP-Read-Only", "false"), ("X-PP-Read-Only", "true")], READS_OF_USERS),
        ([("X-PP-Read-Only", "true"), ("X-PP-Read-Only", "")], READS_OF_USERS),
        ([("X-PP-Read-Only", "true, false")], READS_OF_USERS),
        ([("X-PP-Toolsets", "groups,users"), ("X-PP-Toolsets", "users,bulk")], USERS),
        ([("X-PP-Toolsets", "groups"), ("X-PP-Toolsets", "bulk")], set()),
    ],
)
async def test_of_a_header_sent_twice_the_narrowest_counts(
    headers: Any, names: set[str], mode: str, tenant: Tenant
) -> None:
    users = frozenset({"users"}) if headers[0][0] == "X-PP-Read-Only" else frozenset({"all"})
    async with asking(tenant, headers, mode, toolsets=users) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == names


@modes
async def test_completion_is_narrowed_too(mode: str, tenant: Tenant, stage: Stage) -> None:
    ref = PromptReference(type="ref/prompt", name="onboard_new_hire")
    person = {"name": "person", "value": ""}
    async with asking(tenant, {"X-PP-Read-Only": "true"}, mode) as client:
        assert (await client.complete(ref=ref, argument=person)).completion.values
    tenant.requests.clear()
    async with asking(tenant, {"X-PP-Toolsets": "content"}, mode) as client:
        assert (await client.complete(ref=ref, argument=person)).completion.values == []
    async with asking(tenant, {"X-PP-Toolsets": "nonsense"}, mode) as client:
        with pytest.raises(MCPError, match="X-PP-Toolsets"):
            await client.complete(ref=ref, argument=person)
    assert not tenant.requests


async def test_the_brake_counts_an_hour() -> None:
    time = 0.0
    brake = Brake(10, now=lambda: time)
    brake.take("", 6)
    time = 1_800
    brake.take("", 4)
    with pytest.raises(Refused, match=r"11 changes within an hour; 10 are allowed .* 10 were made.*31 minutes"):
        brake.take("", 1)
    time = 3_601
    brake.take("", 6)
    with pytest.raises(Refused):
        brake.take("", 1)
    Brake(None).take("", 10**9)


async def test_a_call_larger_than_the_limit_is_refused_at_once() -> None:
    with pytest.raises(Refused, match="12 changes within an hour; 10 are allowed") as caught:
        Brake(10).take("", 12)
    assert "minutes" not in str(caught.value)


async def test_a_runaway_agent_is_stopped_and_nothing_more_is_sent(tenant: Tenant, stage: Stage) -> None:
    async with connected(tenant, max_writes_per_hour=3) as client:
        person = stage.person()
        for number in range(3):
            await ask(client, "update_user", user=person, name=f"Name {number}")
        error = await refused(client, "update_user", user=person, name="Name 4")
        assert error["code"] == "refused"
        assert "PP_MAX_WRITES_PER_HOUR" in error["message"]
        assert len(stage.writes()) == 3
        assert (await ask(client, "update_user", user=person, name="Name 2"))["status"] == "unchanged"
        await ask(client, "list_users")


async def test_bulk_counts_each_of_its_writes(tenant: Tenant, stage: Stage) -> None:
    ids = [stage.assignment("not_started", number) for number in range(4)]
    async with connected(tenant, max_writes_per_hour=3) as client:
        preview = await ask(client, "bulk_update_assignments", action="exempt", assignments=ids)
        token = preview["confirm_token"]
        error = await refused(client, "bulk_update_assignments", action="exempt", assignments=ids, confirm_token=token)
        assert "4 changes" in error["message"]
        assert stage.writes() == []
        done = await confirmed(client, "bulk_update_assignments", action="exempt", assignments=ids[:3])
        assert done["succeeded"] == 3
