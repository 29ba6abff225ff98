"""What the server says about itself, the same in both eras; and what it does before it is set up."""

from __future__ import annotations

import json
import xml.dom.minidom
from typing import Any
from urllib.parse import unquote

import pytest
from mcp import Client, MCPError
from mcp.types import PromptReference
from stage import IN_MEMORY, LEGACY, WAYS, Way, connected, served, text_of

from pp_mcp.config import load
from pp_mcp.demo import Tenant
from pp_mcp.menu import enabled
from pp_mcp.server.app import build_server
from pp_mcp.server.asking import Agreement

pytestmark = pytest.mark.anyio


def discovering(way: Way) -> dict[str, str]:
    """The mode in which a client learns who the server is."""
    return {"mode": "legacy" if way.era == "2025-11-25" else "auto"}


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_the_server_has_a_title_a_website_and_an_icon(tenant: Tenant, way: Way) -> None:
    async with connected(tenant, way, client=discovering(way)) as client:
        info = client.server_info
    assert (info.name, info.title) == ("pp-mcp", "PlusPlus")
    assert info.website_url
    assert info.website_url.startswith("https://")
    (icon,) = info.icons or []
    kind, _, drawing = icon.src.partition(",")
    assert (kind, icon.mime_type) == ("data:image/svg+xml", "image/svg+xml")
    assert len(icon.src) <= 400
    assert xml.dom.minidom.parseString(unquote(drawing)).documentElement.tagName == "svg"


async def test_capabilities_are_the_same_in_both_eras(tenant: Tenant) -> None:
    found: list[dict[str, Any]] = []
    for way in (IN_MEMORY, LEGACY):
        async with connected(tenant, way, client=discovering(way)) as client:
            found.append(
                client.server_capabilities.model_dump(by_alias=True, exclude_none=True, exclude={"extensions"})
            )
    assert found[0] == found[1]
    assert found[0]["tools"] == {"listChanged": False}
    assert "true" not in json.dumps(found)


def test_what_a_person_is_asked_has_a_title() -> None:
    schema = Agreement.model_json_schema()
    titles = [schema["title"], *(field["title"] for field in schema["properties"].values())]
    assert all(" " in title and "_" not in title for title in titles)


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_without_settings_it_answers_and_says_what_is_missing(way: Way) -> None:
    settings = load(environ={}, strict=False)
    async with served(build_server(settings), way, **discovering(way)) as client:
        assert len((await client.list_tools()).tools) == len(enabled(settings.toolsets))
        assert client.instructions
        await told_everywhere(client)


async def told_everywhere(client: Client) -> None:
    for tool in ("list_users", "create_group", "report_content"):
        result = await client.call_tool(tool, {"name": "x"} if tool == "create_group" else {})
        assert result.is_error
        for word in ("PP_TENANT", "PP_BASE_URL", "PP_API_TOKEN", "Dashboard"):
            assert word in text_of(result)
    with pytest.raises(MCPError, match="PP_API_TOKEN"):
        await client.read_resource("plusplus://reports/assignments.csv")
    ref = PromptReference(type="ref/prompt", name="onboard_new_hire")
    assert (await client.complete(ref=ref, argument={"name": "person", "value": "a"})).completion.values == []
