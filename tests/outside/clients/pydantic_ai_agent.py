"""pydantic-ai: its test model calls tools with arguments of its own making, and an agent's toolset holds the talk."""

import asyncio
import json
import sys
from typing import Any

from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.test import TestModel
from talk import talk, tell


async def main(command: str, *args: str) -> None:
    toolset = MCPToolset(StdioTransport(command, list(args)), init_timeout=60)
    model = TestModel(call_tools=["list_users", "list_overdue_assignments", "report_assignments", "report_content"])
    async with toolset:
        result = await Agent(model, toolsets=[toolset]).run("Who is late?")
        tools = len(await toolset.list_tools())

        async def say(name: str, arguments: dict[str, Any]) -> str:
            try:
                return json.dumps(await toolset.direct_call_tool(name, arguments))
            except ModelRetry as retry:
                return retry.message

        tell(tools=tools, agent=result.output, **await talk(say))


asyncio.run(main(*sys.argv[1:]))
