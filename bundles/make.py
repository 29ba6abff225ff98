"""`python bundles/make.py`: what clients install the server from, made from the tables of settings and tools.

These are bundles, extensions, and the links of docs/publishing.md. A test fails when a file differs.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from pp_mcp import __version__
from pp_mcp.answers import Json
from pp_mcp.commands.clients import BY_NAME, VSCODE_INPUT, Launch
from pp_mcp.config import Settings, load, variable
from pp_mcp.contract import page
from pp_mcp.inventory import ALL_TOOLS

ROOT = Path(__file__).parents[1]

ABOUT = (
    "Administer a PlusPlus learning platform: people, groups, content, assignments and reports, with guarded writes."
)
AUTHORS = {"name": "the pp-mcp authors"}
LICENSE = "Apache-2.0"
RELEASE = f"pp-mcp@{__version__}"
"""How uvx names this release."""

_ASKED = {"tenant": "Tenant", "api_token": "API token", "read_only": "Only read"}
"""The settings that every client asks the person for, with their titles; all others can be set by hand."""

_TENANT_INPUT = VSCODE_INPUT | {"id": "plusplus-tenant", "description": "acme for acme.plusplus.app", "password": False}


def _setting(name: str) -> Json:
    """A setting as bundles of Claude Desktop and plugins of Claude Code ask for it."""
    asked: Json = {"title": _ASKED[name], "description": Settings.model_fields[name].description}
    if name == "read_only":
        return {"type": "boolean", **asked, "default": False}
    return {"type": "string", **asked, "required": True} | ({"sensitive": True} if name == "api_token" else {})


def _server(command: str, *arguments: str) -> Json:
    environment = {variable(name): f"${{user_config.{name}}}" for name in _ASKED}
    return {"command": command, "args": [*arguments], "env": environment}


def _mcpb() -> Json:
    start = _server("uv", "run", "--directory", "${__dirname}", "src/main.py")
    toolsets = load(demo=True, environ={}).toolsets
    tools = sorted((tool for tool in ALL_TOOLS if tool.toolset in toolsets), key=lambda tool: tool.name)
    return {
        "manifest_version": "0.4",
        "name": "pp-mcp",
        "display_name": "PlusPlus",
        "version": __version__,
        "description": ABOUT,
        "author": AUTHORS,
        "license": LICENSE,
        "icon": "icon.png",
        "server": {"type": "uv", "entry_point": "src/main.py", "mcp_config": start},
        "compatibility": {"platforms": ["darwin", "linux", "win32"], "runtimes": {"python": ">=3.11"}},
        "user_config": {name: _setting(name) for name in _ASKED},
        "tools": [{"name": tool.name, "description": tool.title} for tool in tools],
        "prompts_generated": True,
    }


_MCPB_PROJECT = f"""\
[project]
name = "pp-mcp-bundle"
version = "{__version__}"
requires-python = ">=3.11"
dependencies = ["pp-mcp=={__version__}"]
"""


def _plugin() -> Json:
    return {
        "name": "plusplus",
        "version": __version__,
        "description": ABOUT,
        "author": AUTHORS,
        "license": LICENSE,
        "keywords": ["plusplus", "learning", "lms"],
        "userConfig": {name: _setting(name) for name in _ASKED},
    }


def _marketplace() -> Json:
    plugin = {"name": "plusplus", "source": "./bundles/claude-code", "description": ABOUT, "version": __version__}
    return {"name": "pp-mcp", "description": ABOUT, "owner": AUTHORS, "plugins": [plugin]}


def _gemini() -> Json:
    def asked(name: str) -> Json:
        about: Json = {"name": _ASKED[name], "description": Settings.model_fields[name].description}
        return about | {"envVar": variable(name), "sensitive": name == "api_token"}

    return {
        "name": "plusplus",
        "version": __version__,
        "description": ABOUT,
        "mcpServers": {"plusplus": {"command": "uvx", "args": [RELEASE]}},
        "contextFileName": "GEMINI.md",
        "settings": [asked(name) for name in _ASKED],
    }


def files() -> dict[str, str]:
    """All files that are made, by their paths in the checkout."""
    made: dict[str, Any] = {
        "bundles/mcpb/manifest.json": _mcpb(),
        "bundles/claude-code/.claude-plugin/plugin.json": _plugin(),
        "bundles/claude-code/.mcp.json": {"mcpServers": {"plusplus": _server("uvx", RELEASE)}},
        ".claude-plugin/marketplace.json": _marketplace(),
        "bundles/gemini-cli/gemini-extension.json": _gemini(),
    }
    texts = {path: json.dumps(value, indent=2, ensure_ascii=False) + "\n" for path, value in made.items()}
    publishing = "docs/publishing.md"
    texts[publishing] = page(ROOT / publishing, "install", install_links())
    return {**texts, "bundles/mcpb/pyproject.toml": _MCPB_PROJECT}


def install_links() -> str:
    """The ways to install a published release, for a page: badges, and lines for a shell."""
    launch = Launch(("uvx", RELEASE), {"PP_TENANT": "${input:plusplus-tenant}"})
    code = {"name": launch.name, **BY_NAME["vscode"].entry(launch), "inputs": [_TENANT_INPUT, VSCODE_INPUT]}
    inner = quote(f"vscode:mcp/install?{quote(json.dumps(code, separators=(',', ':')), safe='')}", safe="")
    cursor = BY_NAME["cursor"].entry(Launch(launch.command, {"PP_TENANT": "acme"}))
    config = base64.b64encode(json.dumps(cursor, separators=(",", ":")).encode()).decode()
    badge = "https://img.shields.io/badge"
    return "\n".join(
        [
            f"[![Install in VS Code]({badge}/VS_Code-install-0098FF)](https://vscode.dev/redirect?url={inner})",
            f"[![Install in Cursor]({badge}/Cursor-install-black)]"
            f"(https://cursor.com/en/install-mcp?{urlencode({'name': launch.name, 'config': config})})",
            "",
            "```sh",
            f"uvx {RELEASE} demo",
            f"docker run --rm -i -e PP_TENANT -e PP_API_TOKEN pp-mcp/pp-mcp:{__version__} serve",
            "```",
        ]
    )


if __name__ == "__main__":
    for path, text in files().items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")
