"""google-genai turns every tool into a Gemini function declaration."""

import asyncio
import sys

from google.genai import _mcp_utils
from mcp import Client, StdioServerParameters
from talk import tell


async def main(command: str, *args: str) -> None:
    async with Client(StdioServerParameters(command=command, args=list(args))) as client:
        tools = (await client.list_tools()).tools
    failed: dict[str, str] = {}
    for tool in tools:
        try:
            declaration = (_mcp_utils.mcp_to_gemini_tool(tool).function_declarations or [])[0]
            assert declaration.parameters is not None
            assert set(declaration.parameters.properties or {}) == set(tool.input_schema["properties"])
        except Exception as error:
            failed[tool.name] = f"{type(error).__name__}: {error}"[:200]
    tell(tools=len(tools), failed=failed)


asyncio.run(main(*sys.argv[1:]))
