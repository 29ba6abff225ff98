"""The MCP Inspector lists the tools without errors and calls one, over HTTP and stdio, in both eras."""

from __future__ import annotations

import pytest

from .conftest import SERVE_DEMO, Run

NPM = ("@modelcontextprotocol/inspector@2.12.0",)
SCRIPT = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
ERAS = ("modern", "legacy")


@pytest.mark.parametrize("era", ERAS)
def test_the_list_has_no_errors(era: str, demo_url: str, node: Run) -> None:
    """It warns of every nullable type, for clients that know no JSON Schema; only its errors fail here."""
    how = ("--method", "tools/list", "--protocol-era", era, "--strict", "--format", "json")
    ended = node(SCRIPT, "--cli", f"{demo_url}/mcp", "--transport", "http", *how)
    assert ended.returncode == 0, ended.stderr[-4_000:]
    assert "list_users" in ended.stdout


@pytest.mark.parametrize("over", ["http", "stdio"])
@pytest.mark.parametrize("era", ERAS)
def test_a_call_is_answered(era: str, over: str, demo_url: str, node: Run) -> None:
    way = [f"{demo_url}/mcp", "--transport", "http"] if over == "http" else SERVE_DEMO
    what = ("--method", "tools/call", "--tool-name", "list_users", "--tool-args-json", '{"page_size":1}')
    ended = node(SCRIPT, "--cli", *way, *what, "--protocol-era", era, "--format", "json")
    assert ended.returncode == 0, ended.stderr[-4_000:]
    assert "total_count" in ended.stdout
