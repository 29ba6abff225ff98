"""LangChain's adapters as `get_tools` gives them: a process for every call."""

import asyncio
import sys
from typing import Any

from langchain_core.messages import ToolCall
from langchain_mcp_adapters.client import MultiServerMCPClient
from talk import talk, tell


async def main(command: str, *args: str) -> None:
    client = MultiServerMCPClient({"plusplus": {"transport": "stdio", "command": command, "args": list(args)}})
    tools = {tool.name: tool for tool in await client.get_tools()}

    async def say(name: str, arguments: dict[str, Any]) -> str:
        call = ToolCall(name=name, args=arguments, id="1", type="tool_call")
        message = await tools[name].ainvoke(call)
        blocks = [{"type": "text", "text": message.content}] if isinstance(message.content, str) else message.content
        # The chat models of OpenAI, Gemini and Anthropic refuse a message of the tool with any other block.
        if others := {block["type"] for block in blocks} - {"text"}:
            raise TypeError(f"blocks of the type {others}")
        return "\n".join(block["text"] for block in blocks)

    tell(tools=len(tools), **await talk(say))


asyncio.run(main(*sys.argv[1:]))
