"""Google's ADK: declarations, and calls as an agent makes them."""

import asyncio
import sys
from typing import Any
from unittest.mock import MagicMock

from google.adk.tools.mcp_tool import McpToolset, StdioConnectionParams
from mcp import StdioServerParameters
from talk import talk, tell


async def main(command: str, *args: str) -> None:
    params = StdioConnectionParams(server_params=StdioServerParameters(command=command, args=list(args)), timeout=30)
    toolset = McpToolset(connection_params=params)
    tools = {tool.name: tool for tool in await toolset.get_tools()}
    failed: dict[str, str] = {}
    for name, tool in tools.items():
        try:
            assert tool._get_declaration() is not None
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"[:200]

    async def say(name: str, arguments: dict[str, Any]) -> str:
        # The model is given all of it, so any other block than text is one that it gets too.
        # ADK knows views, and hands a tool's view to the context of the agent's turn.
        answer = await tools[name].run_async(args=arguments, tool_context=MagicMock(function_call_id="1"))
        if others := {block["type"] for block in answer["content"]} - {"text"}:
            raise TypeError(f"blocks of the type {others}")
        return "\n".join(block["text"] for block in answer["content"])

    tell(tools=len(tools), failed=failed, **await talk(say))
    await toolset.close()


asyncio.run(main(*sys.argv[1:]))
