"""What a server imports before it has listed its tools, and that the list is the code's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mcp.types import Tool
from stage import IN_MEMORY, make_server, served

from pp_mcp import contract
from pp_mcp.demo import Tenant
from pp_mcp.inventory import ALL_TOOLS
from pp_mcp.menu import menu

ROOT = Path(__file__).parents[2]

LISTING = """
import json, sys
import anyio
from mcp import Client
from pp_mcp.commands import load_settings, make_server

async def main():
    server = make_server(load_settings({"tenant": "acme"}, demo=False, strict=False), None)
    async with Client(server, mode="2026-07-28") as client:
        listed = len((await client.list_tools()).tools)
    print(json.dumps([listed, sorted(sys.modules)]))

anyio.run(main)
"""

FOR_CALLS = {
    *("pp_mcp.answers", "pp_mcp.api", "pp_mcp.audit", "pp_mcp.bulk", "pp_mcp.demo", "pp_mcp.inventory"),
    *(
        "pp_mcp.models",
        "pp_mcp.operations",
        "pp_mcp.reports",
        "pp_mcp.server.call",
        "pp_mcp.server.http",
        "pp_mcp.server.prompts",
    ),
}
"""What only calls, the demo or HTTP need."""


def test_listing_the_tools_imports_nothing_that_only_calls_need() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LISTING], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    listed, modules = json.loads(ended.stdout)
    assert listed == len(ALL_TOOLS) - 1
    assert FOR_CALLS.isdisjoint(modules)
    assert "pp_mcp.server.app" in modules


def test_the_menu_is_what_the_code_declares() -> None:
    assert list(menu()) == sorted(tool.name for tool in ALL_TOOLS), "run: pp-mcp contract --write"
    for tool in ALL_TOOLS:
        listed = menu()[tool.name]
        assert (listed.toolset, listed.effect) == (tool.toolset, tool.effect)
        assert listed.definition == contract.tool_definition(tool), "run: pp-mcp contract --write"


@pytest.mark.anyio
async def test_what_calls_share_is_made_by_the_first(tenant: Tenant) -> None:
    server = make_server(tenant)
    async with served(server, IN_MEMORY) as client:
        listed = await client.list_tools()
        assert listed.tools == [Tool.model_validate(one.definition) for one in menu().values()]
        assert "runtime" not in vars(server)
        result = await client.call_tool("get_user", {"user": "nobody@acme.example"})
        assert result.is_error
        assert "runtime" in vars(server)
