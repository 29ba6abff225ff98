"""openai-agents: strict schemas, and calls as an agent makes them."""

import asyncio
import sys
from typing import Any

from agents.mcp import MCPServerStdio, MCPUtil
from talk import talk, tell


async def main(command: str, *args: str) -> None:
    async with MCPServerStdio({"command": command, "args": list(args)}, client_session_timeout_seconds=30) as server:
        tools = await server.list_tools()
        functions = [MCPUtil.to_function_tool(tool, server, convert_schemas_to_strict=True) for tool in tools]
        failed = [function.name for function in functions if not function.strict_json_schema]

        async def say(name: str, arguments: dict[str, Any]) -> str:
            result = await server.call_tool(name, arguments)
            if others := {block.type for block in result.content} - {"text"}:
                raise TypeError(f"blocks of the type {others}")
            return "\n".join(block.text for block in result.content)

        tell(tools=len(tools), failed=failed, **await talk(say))


asyncio.run(main(*sys.argv[1:]))
