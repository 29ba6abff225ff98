"""The tour: a real MCP client at the real server over the demo tenant, in a minute of reading."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import anyio
from mcp import Client
from mcp.types import CallToolResult

from pp_mcp.server.app import PlusPlusServer

Say = Callable[[str], None]

_CONNECT = """\
Connect an assistant to the demo:

  Claude Code     claude mcp add plusplus-demo -- {command} serve --demo
  Claude Desktop, Cursor and others, in their mcpServers settings:
                  {{"plusplus-demo": {{"command": "{command}", "args": ["serve", "--demo"]}}}}

and to your own tenant: the same without "serve --demo", with PP_TENANT and PP_API_TOKEN in its environment."""


def _command() -> str:
    """How this program is called from anywhere: clients start servers in a bare environment."""
    called = Path(sys.argv[0])
    return str(called.resolve()) if called.stem == "pp-mcp" else "pp-mcp"


def run_tour(server: PlusPlusServer, say: Say) -> None:
    """Shows the server at work; `say` gets every line."""
    anyio.run(_tour, server, say)


async def _tour(server: PlusPlusServer, say: Say) -> None:
    async with Client(server) as client:
        tools = (await client.list_tools()).tools
        say(f"pp-mcp serves {len(tools)} tools over a demo tenant. An assistant asks in them what you ask in words.\n")

        course = "Security 101"
        by_manager = {"content_item": course, "group_by": ["manager"], "top": 3}
        await _ask(client, say, f"Who is overdue on {course}, by manager?", "report_assignments", **by_manager)
        await _ask(client, say, "What is on Jane Doe's plate?", "get_learner_summary", user="jane.doe@acme.example")
        await _ask(client, say, "Show me Sam Lee.", "get_user", user="Sam Lee")

        say("An unclear name is never guessed. Now a change to many, which has to be confirmed:\n")
        extend: dict[str, Any] = {
            "action": "set_due_date",
            "manager": "Rosa Alvarez",
            "is_overdue": True,
            "due_date": (datetime.now(UTC).date() + timedelta(days=7)).isoformat(),
        }
        tool = "bulk_update_assignments"
        preview = await _ask(client, say, "Extend everything overdue in Rosa's team by a week.", tool, **extend)
        if "confirm_token" in _data(preview):
            say("You agree, and the assistant calls again with the token:\n")
            token = _data(preview)["confirm_token"]
            done = await _ask(client, say, "Yes, go ahead.", tool, **extend, confirm_token=token)
            undo = _data(done)["undo"]
            say(f"To undo it, the answer holds a call of {undo['tool']} with each assignment's own date from before.\n")
        question = "Is anything of Rosa's team still overdue?"
        await _ask(client, say, question, "report_assignments", manager="Rosa Alvarez", is_overdue=True)
    say(_CONNECT.format(command=_command()))


async def _ask(client: Client, say: Say, question: str, tool: str, **arguments: Any) -> CallToolResult:
    say(f"» {question}")
    shown = {name: value if len(str(value)) <= 40 else f"{str(value)[:12]}…" for name, value in arguments.items()}
    say(f"  {tool} {json.dumps(shown, ensure_ascii=False)}")
    result = await client.call_tool(tool, arguments)
    data = _data(result)
    say(f"  → {data.get('summary') or data.get('message')}")
    for row in data.get("rows", [])[:3]:
        say(f"     · {_line(row)}")
    for candidate in data.get("candidates", [])[:3]:
        say(f"     · {_line(candidate)}")
    for effect in data.get("effects", []):
        say(f"     ! {effect}")
    for name, (before, after) in data.get("changes", {}).items():
        say(f"     {name}: {before} → {after}")
    say("")
    return result


def _data(result: CallToolResult) -> dict[str, Any]:
    data = result.structured_content
    return cast(dict[str, Any], data) if isinstance(data, dict) else {}


def _line(row: dict[str, Any]) -> str:
    name = row.get("manager") or row.get("user") or row.get("name")
    words = [name, row.get("manager_email") or row.get("email")]
    if "overdue" in row:
        words.append(f"{row['overdue']} of {row['total']} overdue")
    return ", ".join(str(word) for word in words if word)
