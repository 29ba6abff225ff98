"""Resource templates: single things and tables, hidden with their tools, with completion of names."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from mcp import Client, MCPError
from mcp.types import PromptReference, ResourceTemplateReference
from stage import IN_MEMORY, LEGACY, Stage, Way, ask, connected

from pp_mcp.demo import Faults, Tenant
from pp_mcp.inventory import ALL_TOOLS
from pp_mcp.server.csv import csv_template

pytestmark = pytest.mark.anyio

THINGS = {
    "plusplus://users/{user}": "get_user",
    "plusplus://groups/{group}": "get_group",
    "plusplus://content/{content_item}": "get_content_item",
    "plusplus://assignments/{assignment}": "get_assignment",
}
TOOL_OF = THINGS | {csv_template(tool): tool.name for tool in ALL_TOOLS if tool.csv}


async def templates(client: Client) -> set[str]:
    return {template.uri_template for template in (await client.list_resource_templates()).resource_templates}


async def read(client: Client, uri: str) -> dict[str, object]:
    (content,) = (await client.read_resource(uri)).contents
    assert content.mime_type == "application/json"
    return json.loads(content.text)


@pytest.mark.parametrize("way", [IN_MEMORY, LEGACY], ids=str)
async def test_all_templates_are_listed(tenant: Tenant, way: Way) -> None:
    async with connected(tenant, way) as client:
        assert await templates(client) == set(TOOL_OF)
        listed = (await client.list_resource_templates()).resource_templates
        assert all(template.description and template.title for template in listed)


@pytest.mark.parametrize("way", [IN_MEMORY, LEGACY], ids=str)
async def test_four_tables_can_be_picked_from_a_list(tenant: Tenant, way: Way) -> None:
    async with connected(tenant, way) as client:
        listed = [one for one in (await client.list_resources()).resources if not one.uri.startswith("ui://")]
        assert [one.uri for one in listed] == [
            "plusplus://reports/assignments.csv",
            "plusplus://reports/content.csv",
            "plusplus://reports/enrollments.csv",
            "plusplus://lists/overdue_assignments.csv",
        ]
        for one in listed:
            assert one.description
            (content,) = (await client.read_resource(one.uri)).contents
            header = content.text.partition("\r\n")[0].split(",")
            described = one.description.partition("Columns: ")[2]
            assert "public_id" in header or "total" in header
            assert [name for name in header if name not in described and not name.endswith(("_item", "_id"))] == []
    async with connected(tenant, way, tools=frozenset({"report_content"})) as client:
        assert [one.name for one in (await client.list_resources()).resources] == ["reports_content", "report"]


@pytest.mark.parametrize(
    ("settings", "gone"),
    [
        (
            {"toolsets": frozenset({"users", "groups"})},
            lambda tool: not tool.startswith(("list_users", "list_group", "get_user", "get_group")),
        ),
        (
            {"tools": frozenset({"report_assignments", "get_user"})},
            lambda tool: tool not in ("report_assignments", "get_user"),
        ),
        ({"read_only": True}, lambda _: False),
    ],
    ids=["toolsets", "tools", "read only"],
)
async def test_templates_of_tools_that_are_off_are_hidden(
    tenant: Tenant, settings: dict[str, object], gone: object
) -> None:
    assert callable(gone)
    async with connected(tenant, **settings) as client:
        shown = await templates(client)
        assert shown == {uri for uri, tool in TOOL_OF.items() if not gone(tool)}
        for uri in set(TOOL_OF) - shown:
            with pytest.raises(MCPError):
                await client.read_resource(uri.partition("{")[0] + ("x" if uri in THINGS else ""))
    assert len(tenant.requests) == 0


async def test_single_things_are_what_their_tools_answer(client: Client, stage: Stage) -> None:
    item = stage.one(
        "SELECT name FROM content_items WHERE name LIKE '% %' AND name NOT IN (SELECT name FROM content_items GROUP BY 1 HAVING count(*) > 1)"
    )
    cases = {
        f"plusplus://users/{stage.person()}": ("get_user", {"user": stage.person()}),
        "plusplus://groups/New%20Hires": ("get_group", {"group": "New Hires"}),
        f"plusplus://content/{item.replace(' ', '%20')}": ("get_content_item", {"content_item": item}),
        f"plusplus://assignments/{stage.assignment('completed')}": (
            "get_assignment",
            {"assignment": stage.assignment("completed")},
        ),
    }
    for uri, (tool, given) in cases.items():
        answer = await ask(client, tool, **given)
        answer.pop("resolved", None)
        assert await read(client, uri) == answer


async def test_an_unclear_name_says_who_is_meant(client: Client, tenant: Tenant) -> None:
    tenant.connection.execute("UPDATE users SET name = 'Sam Lee', name_key = 'sam lee' WHERE id IN (20, 21)")
    with pytest.raises(MCPError, match="people are called “Sam Lee”") as caught:
        await client.read_resource("plusplus://users/Sam%20Lee")
    for (public_id,) in tenant.connection.execute("SELECT public_id FROM users WHERE id IN (20, 21)"):
        assert public_id in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("plusplus://groups/No%20such%20team", "no group is called"),
        ("plusplus://lists/assignments.csv?state=late", "state: must be one of not_started"),
        ("plusplus://reports/assignments.csv?group_by=user,planet", "must be one of"),
        ("plusplus://reports/content.csv?stale_days=0", "stale_days: .*greater than or equal to 1"),
        ("plusplus://lists/group_members.csv", "group: is required"),
    ],
)
async def test_mistakes_are_in_words(client: Client, uri: str, words: str) -> None:
    with pytest.raises(MCPError, match=words):
        await client.read_resource(uri)


async def suggestions(client: Client, name: str, value: str, uri: str = "plusplus://x") -> list[str]:
    found = await client.complete(ResourceTemplateReference(uri=uri), {"name": name, "value": value})
    return found.completion.values


async def test_names_are_completed(client: Client, stage: Stage) -> None:
    assert await suggestions(client, "user", "jane") == ["jane.doe@acme.example"]
    assert await suggestions(client, "manager", "Rosa Al") == ["rosa.alvarez@acme.example"]
    assert await suggestions(client, "group", "new h") == ["New Hires"]
    assert await suggestions(client, "content_item", "Security 101") == ["Security 101"]
    assert len(await suggestions(client, "user", "")) == 20
    events = await suggestions(client, "event", "")
    assert 0 < len(events) <= 20
    assert set(events) <= set(stage.column("SELECT name FROM content_items WHERE content_type = 'event'"))


async def test_values_are_completed(client: Client) -> None:
    assert await suggestions(client, "state", "") == ["not_started", "in_progress", "completed", "dropped", "exempted"]
    assert await suggestions(client, "state", "in") == ["in_progress"]
    assert await suggestions(client, "is_overdue", "t") == ["true"]
    assert await suggestions(client, "group_by", "man") == ["manager"]
    assert await suggestions(client, "no such argument", "") == []


async def test_arguments_of_prompts_are_completed(client: Client) -> None:
    found = await client.complete(PromptReference(name="onboard_new_hire"), {"name": "person", "value": "jane"})
    assert found.completion.values == ["jane.doe@acme.example"]


async def test_it_is_said_that_there_are_more(client: Client, stage: Stage) -> None:
    found = await client.complete(ResourceTemplateReference(uri="plusplus://x"), {"name": "user", "value": ""})
    assert (found.completion.total, found.completion.has_more) == (stage.one("SELECT count(*) FROM users"), True)
    found = await client.complete(ResourceTemplateReference(uri="plusplus://x"), {"name": "user", "value": "jane.doe"})
    assert (found.completion.total, found.completion.has_more) == (1, False)


async def test_only_what_the_served_tools_take_is_completed(tenant: Tenant) -> None:
    async with connected(tenant, toolsets=frozenset({"content"})) as client:
        assert await suggestions(client, "user", "jane") == []
        assert await suggestions(client, "person", "jane") == []
        assert await suggestions(client, "state", "") == []
        assert await suggestions(client, "content_item", "Security 101") == ["Security 101"]
        assert await suggestions(client, "content_type", "art") == ["article"]
    assert [one.path for one in tenant.requests] == ["/content-items"]


async def test_completing_never_fails(client: Client, tenant: Tenant) -> None:
    tenant.faults = Faults(server_error=1.0)
    assert await suggestions(client, "user", "jane") == []


@pytest.fixture
async def narrow(tenant: Tenant) -> AsyncIterator[Client]:
    async with connected(tenant, toolsets=frozenset({"reports"})) as found:
        yield found


async def test_a_table_of_a_served_tool_needs_no_other_tool(narrow: Client) -> None:
    (content,) = (await narrow.read_resource("plusplus://reports/assignments.csv?group=Platform")).contents
    assert content.text.startswith("content_item,content_item_id,total,")
