"""What clients see before they call anything: the menu, held over every tool there is."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator
from mcp import Client
from mcp.types import Tool
from stage import WAYS, Way, connected, data_of, make_server, served

from pp_mcp.config import TOOLSETS, Settings
from pp_mcp.declare import Effect, Operation
from pp_mcp.demo import Tenant
from pp_mcp.inventory import ALL_TOOLS, BY_NAME
from pp_mcp.menu import enabled, unavailable
from tests.bench import menu

pytestmark = pytest.mark.anyio

ALWAYS_CONFIRMED = {
    "replace_group_members",
    "remove_group_members",
    "delete_content_item",
    "archive_content_items",
    "drop_assignment",
    "revert_completion",
    "create_api_token",
    "bulk_assign_content",
    "bulk_update_assignments",
}
SOMETIMES_CONFIRMED = {"update_user", "update_content_item", "update_article", "create_user", "add_group_members"}


class NoNetwork(httpx2.AsyncBaseTransport):
    """A way to nowhere: whoever uses it fails."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        raise AssertionError(f"{request.method} {request.url} was sent")


@asynccontextmanager
async def offline(tenant: Tenant, way: Way, **settings: Any) -> AsyncIterator[Client]:
    async with served(make_server(tenant, transport=NoNetwork(), **settings), way) as client:
        yield client


def on_the_wire(tool: Tool) -> dict[str, Any]:
    return tool.model_dump(mode="json", by_alias=True, exclude_none=True)


def test_every_tool_has_a_name_of_its_own_and_a_toolset_that_settings_know() -> None:
    assert len(BY_NAME) == len(ALL_TOOLS)
    assert {tool.toolset for tool in ALL_TOOLS} == set(TOOLSETS)


async def test_the_menu_is_the_same_in_every_way_and_needs_no_network(tenant: Tenant) -> None:
    menus: list[list[dict[str, Any]]] = []
    for way in WAYS:
        async with offline(tenant, way) as client:
            menus.append([on_the_wire(tool) for tool in (await client.list_tools()).tools])
    names = [tool["name"] for tool in menus[0]]
    assert names == sorted(BY_NAME)
    assert all(menu == menus[0] for menu in menus)


async def test_the_menu_is_what_was_declared(tenant: Tenant) -> None:
    async with offline(tenant, WAYS[0]) as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    for operation in ALL_TOOLS:
        tool = listed[operation.name]
        assert (tool.title, tool.description) == (operation.title, operation.description)
        assert tool.input_schema == operation.input_schema
        assert tool.output_schema == operation.output_schema
        assert tool.annotations == operation.annotations


def test_the_menu_fits_its_budget() -> None:
    assert menu.total() <= menu.BUDGET
    assert all(f"`{tool.name}`" in menu.table() for tool in menu.default_tools())


async def test_tools_list_whole_fits_its_budget(tenant: Tenant) -> None:
    async with offline(tenant, WAYS[0], toolsets=Settings().toolsets) as client:
        answer = await client.list_tools()
    assert menu.compact([on_the_wire(tool) for tool in answer.tools]) <= 53_000


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
async def test_the_instructions_arrive_and_are_short(tenant: Tenant, way: Way) -> None:
    mode = "legacy" if way.era == "2025-11-25" else "auto"
    async with served(make_server(tenant, transport=NoNetwork()), way, mode=mode) as client:
        instructions = client.instructions
    assert instructions is not None
    assert 500 < len(instructions) < 2_000
    for word in ("confirm_token", "public_id", "candidates", "undo", "data"):
        assert word in instructions


@pytest.mark.parametrize("tool", ALL_TOOLS, ids=lambda tool: tool.name)
def test_a_tool_is_declared_fully(tool: Operation) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", tool.name)
    assert 3 < len(tool.title) < 60
    assert 60 < len(tool.description) <= 400, len(tool.description)
    assert not re.search(r"\s{2}|\n", tool.description)
    for schema in (tool.input_schema, tool.output_schema):
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        assert "$ref" not in json.dumps(schema)
    for word in ("additionalProperties", '"null"', "anyOf"):
        assert word not in json.dumps(tool.input_schema)
    assert tool.output_schema["required"][0] == "summary"
    for name, prop in tool.input_schema["properties"].items():
        assert prop.get("description"), name
        assert "title" not in prop
        assert prop["description"].endswith("."), prop["description"]
    names = list(tool.input_schema["properties"])
    assert set(tool.input_schema.get("required", [])) <= set(names)
    assert ("confirm_token" in names) == (tool.effect is not Effect.READ)
    assert set(tool.references) <= set(names)


@pytest.mark.parametrize("tool", ALL_TOOLS, ids=lambda tool: tool.name)
def test_the_annotations_follow_from_the_effect(tool: Operation) -> None:
    hints = tool.annotations
    assert hints.read_only_hint is (tool.effect is Effect.READ)
    assert hints.destructive_hint is (tool.may_confirm and tool.effect is not Effect.ADD)
    assert hints.open_world_hint is True
    assert hints.idempotent_hint is not tool.name.startswith("create_")
    assert (tool.effect is Effect.DESTROY) == (tool.name in ALWAYS_CONFIRMED)
    assert tool.may_confirm == (tool.name in ALWAYS_CONFIRMED | SOMETIMES_CONFIRMED)
    reads = tool.name.startswith(("get_", "list_", "search_", "report_"))
    assert reads == (tool.effect is Effect.READ)


def test_a_shared_parameter_is_described_identically() -> None:
    said: dict[tuple[str, str], set[str]] = {}
    for tool in ALL_TOOLS:
        for name in ("page", "page_size", "detail", "confirm_token", "user", "group", "content_item", "assignment"):
            if name in tool.input_schema["properties"]:
                said.setdefault((name, ""), set()).add(json.dumps(tool.input_schema["properties"][name]))
    # One is described in one way, one or several in another; search_content asks for the group that has access.
    assert {name: len(texts) for (name, _), texts in said.items() if len(texts) > 1} == {
        "group": 3,
        "user": 2,
        "content_item": 2,
    }


def test_what_settings_leave_of_the_menu() -> None:
    everything = frozenset(TOOLSETS)
    assert [tool.name for tool in enabled(everything)] == sorted(BY_NAME)
    assert {tool.name for tool in enabled(frozenset({"enrollments"}))} == {"list_enrollments"}
    assert {tool.name for tool in enabled(everything, frozenset({"get_user"}))} == {"get_user"}
    assert enabled(frozenset({"groups"}), frozenset({"get_user"})) == ()
    assert {tool.effect for tool in enabled(everything, read_only=True)} == {Effect.READ}
    blocked = set(BY_NAME) - {tool.name for tool in enabled(everything, block=True)}
    assert blocked == ALWAYS_CONFIRMED


def test_wrong_names_of_tools_are_told() -> None:
    assert unavailable(frozenset({"users"}), frozenset({"get_user", "list_users"})) == []
    assert unavailable(frozenset({"users"}), frozenset({"get_users", "xyz", "get_group"})) == [
        "PP_TOOLS: get_group belongs to the toolset groups: add that to PP_TOOLSETS.",
        "PP_TOOLS: there is no tool 'get_users'; did you mean get_user?",
        "PP_TOOLS: there is no tool 'xyz'.",
    ]


SWITCHED_OFF = [
    ({"read_only": True}, "assign_content", "PP_READ_ONLY"),
    ({"read_only": True}, "delete_content_item", "PP_READ_ONLY"),
    ({"toolsets": frozenset({"users"})}, "list_groups", "PP_TOOLSETS"),
    ({"toolsets": frozenset({"users", "groups"})}, "create_api_token", "PP_TOOLSETS"),
    ({"tools": frozenset({"get_user"})}, "list_users", "PP_TOOLS"),
    ({"confirm": "block"}, "drop_assignment", "PP_CONFIRM=block"),
    ({"confirm": "block"}, "create_api_token", "PP_CONFIRM=block"),
]


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize(("settings", "tool", "setting"), SWITCHED_OFF)
async def test_what_is_switched_off_is_hidden_and_refused(
    tenant: Tenant, way: Way, settings: dict[str, Any], tool: str, setting: str
) -> None:
    async with offline(tenant, way, **settings) as client:
        assert tool not in {one.name for one in (await client.list_tools()).tools}
        result = await client.call_tool(tool, {"anything": "at all"})
    assert result.is_error
    assert data_of(result)["code"] == "refused"
    message = data_of(result)["message"]
    assert message.startswith(f"{tool} is switched off")
    assert re.search(rf"\b{setting}\b", message)
    assert message.endswith("Nothing was sent.")


async def test_an_unknown_tool_is_an_error(tenant: Tenant) -> None:
    async with offline(tenant, WAYS[0]) as client:
        result = await client.call_tool("delete_everything", {})
    assert result.is_error


async def test_part_of_a_tool_is_refused_under_block(tenant: Tenant) -> None:
    async with connected(tenant, confirm="block") as client:
        assert "update_user" in {tool.name for tool in (await client.list_tools()).tools}
