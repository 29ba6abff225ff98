"""A server with our tasks extension and the tools that the official suite's scenarios for tasks call."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import anyio
import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INTERNAL_ERROR,
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    TextContent,
    Tool,
)
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from pp_mcp.server.redact import Redactor
from pp_mcp.server.store import ProcessStore
from pp_mcp.server.tasks import Job, Tasks

ASKED = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def said(text: str, *, is_error: bool = False) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=is_error)


@dataclass
class Fixture:
    """A tool in the form that `Tasks` runs."""

    name: str
    is_long: bool = True
    is_read: bool = True

    @property
    def operation(self) -> Any:
        return SimpleNamespace(name=self.name)

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], job: Job | None = None) -> Any:
        """What the suite's description of the tool asks for."""
        if self.name == "greet":
            return said(f"Hello, {arguments.get('name', 'you')}!")
        answer: Any = (context.input_responses or {}).get("user_name")
        if self.name == "test_tool_with_task" and answer is None:
            params = ElicitRequestFormParams(message="Who are you?", requested_schema=ASKED)
            return InputRequiredResult(
                input_requests={"user_name": ElicitRequest(params=params)}, request_state="asked"
            )
        if job is not None:
            job.may_be_task.set()
        await anyio.sleep(float(arguments.get("seconds", 0.3)))
        if self.name == "failing_job":
            return said("It failed.", is_error=True)
        if self.name == "protocol_error_job":
            raise MCPError(code=INTERNAL_ERROR, message="It broke.")
        return said(f"Done, {answer.content['name'] if answer else arguments.get('label', 'as asked')}.")


TOOLS = {
    one.name: one
    for one in (
        Fixture("greet", is_long=False),
        *(Fixture(name) for name in ("slow_compute", "failing_job", "protocol_error_job")),
        *(Fixture(name) for name in ("confirm_delete", "test_tool_with_task")),
    )
}


class Server(MCPServer[Any]):
    """Passes its calls to the extension, as ours does."""

    tasks: Tasks

    async def list_tools(self) -> list[Tool]:
        return [Tool(name=name, input_schema={"type": "object"}) for name in TOOLS]

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
        tool: Any = TOOLS[name]
        return await self.tasks.answer(tool, arguments, context)


def main(port: int) -> None:
    store = ProcessStore()
    tasks = Tasks(Redactor(SecretStr("")), lambda: store)
    tasks.soon = 0.1
    server = Server("tasks", extensions=[tasks], lifespan=lambda _: tasks.working())
    server.tasks = tasks

    @server.custom_route("/health", methods=["GET"])
    async def health(_: Request) -> Response:
        return Response()

    uvicorn.run(server.streamable_http_app(), port=port, log_level="error")


if __name__ == "__main__":
    main(int(sys.argv[1]))
