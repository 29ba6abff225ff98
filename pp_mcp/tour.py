"""The tour: a real MCP client at the real server over the demo tenant, in a minute of reading."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
from mcp import Client
from mcp.types import CallToolResult

from pp_mcp.server.app import PlusPlusServer

Say = Callable[[str], None]

_CONNECT = """\
Connect an assistant to the demo:

  Claude Code     claude mcp add plusplus-demo -- pp-mcp serve --demo
  Claude Desktop, Cursor and others, in their mcpServers settings:
                  {"plusplus-demo": {"command": "pp-mcp", "args": ["serve", "--demo"]}}

and to your own tenant: the same without --demo, with PP_TENANT and PP_API_TOKEN in its environment."""


def run_tour(server: PlusPlusServer, say: Say) -> None:
    """Shows the server at work; `say` gets every line."""
    anyio.run(_tour, server, say)


async def _tour(server: PlusPlusServer, say: Say) -> None:
    async with Client(server) as client:
        tools = (await client.list_tools()).tools
        say(f"pp-mcp serves {len(tools)} tools over a demo tenant. An assistant asks in them what you ask in words.\n")

        await _ask(
            client,
            say,
            "Who is late on Security 101?",
            "list_overdue_assignments",
            content_item="Security 101",
            page_size=3,
        )
        await _ask(client, say, "Who reports to Rosa Alvarez?", "list_users", manager="Rosa Alvarez", page_size=3)
        await _ask(client, say, "Show me Sam Lee.", "get_user", user="Sam Lee")

        say("An unclear name is never guessed. Now a change that has to be confirmed:\n")
        late = await client.call_tool("list_overdue_assignments", {"content_item": "Security 101", "page_size": 1})
        target = _data(late)["items"][0]["public_id"]
        preview = await _ask(
            client, say, "Take that first assignment away.", "drop_assignment", assignment=target, reason="moved teams"
        )
        token = _data(preview)["confirm_token"]
        say("You agree, and the assistant calls again with the token:\n")
        await _ask(
            client,
            say,
            "Yes, go ahead.",
            "drop_assignment",
            assignment=target,
            reason="moved teams",
            confirm_token=token,
        )
        await _ask(client, say, "Is it gone?", "get_assignment", assignment=target)
    say(_CONNECT)


async def _ask(client: Client, say: Say, question: str, tool: str, **arguments: Any) -> CallToolResult:
    say(f"» {question}")
    shown = {name: value if len(str(value)) <= 40 else f"{str(value)[:12]}…" for name, value in arguments.items()}
    say(f"  {tool} {json.dumps(shown, ensure_ascii=False)}")
    result = await client.call_tool(tool, arguments)
    data = _data(result)
    say(f"  → {data.get('summary') or data.get('message')}")
    for row in data.get("items", [])[:3]:
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
    return data if isinstance(data, dict) else {}


def _line(row: dict[str, Any]) -> str:
    person = row.get("user") or row
    words = [person.get("name"), person.get("email"), row.get("state"), row.get("role")]
    if row.get("due_date"):
        words.append(f"due {row['due_date']}")
    return ", ".join(str(word) for word in words if word)
