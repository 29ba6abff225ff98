"""A tenant, the way to it and a client of the server over it, in memory; what answers say, whatever shape they have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp import Client
from mcp.types import CallToolResult
from stage import IN_MEMORY, Json, Stage, Way, connected, small_tenant

from pp_mcp.demo import Sizes, Tenant


@asynccontextmanager
async def scene(
    people: int = 0, way: Way = IN_MEMORY, client: Json | None = None, **settings: Any
) -> AsyncIterator[tuple[Stage, Client]]:
    """A stage and a client. `people` makes a larger tenant; `settings` are the server's."""
    tenant = small_tenant()
    if people:
        tenant = Tenant(sizes=Sizes(people=people, content_items=40, assignments=6 * people, enrollments=60))
    stage = Stage(tenant)
    try:
        clock = settings.pop("clock", stage.clock)
        async with connected(tenant, way, client=client, transport=stage.network, clock=clock, **settings) as found:
            yield stage, found
    finally:
        stage.close()


def text(result: CallToolResult) -> str:
    """All text of an answer."""
    return "\n".join(block.text for block in result.content if block.type == "text")


def data(result: CallToolResult) -> Json:
    """The structured content, where there is one."""
    return result.structured_content if isinstance(result.structured_content, dict) else {}


def status(result: CallToolResult) -> str:
    """`error`, or the status of a write's answer."""
    return "error" if result.is_error else str(data(result).get("status", "read"))


def asks(result: CallToolResult) -> bool:
    """Whether the answer is a preview with a token to confirm it."""
    return status(result) == "confirmation_required" and bool(data(result).get("confirm_token"))


def applied(stage: Stage) -> list[str]:
    """The writes that changed the tenant."""
    return [f"{one.method} {one.path}" for one in stage.writes() if one.applied]


async def agree(client: Client, tool: str, arguments: Json, preview: CallToolResult) -> CallToolResult:
    """The call that a preview names."""
    flags = dict.fromkeys(data(preview).get("needs", []), True)
    given = {**arguments, **flags, "confirm_token": data(preview)["confirm_token"]}
    return await client.call_tool(tool, given)


async def do(client: Client, tool: str, **arguments: Any) -> CallToolResult:
    """A call, confirmed where it asks."""
    result = await client.call_tool(tool, arguments)
    return await agree(client, tool, arguments, result) if asks(result) else result
