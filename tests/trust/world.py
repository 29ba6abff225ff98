"""A small tenant, the way to it, and an assistant at the server over it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import httpx2
from jsonschema import Draft202012Validator
from mcp import Client
from mcp.types import CallToolResult
from pydantic import SecretStr
from stage import Stage

from pp_mcp.config import Settings
from pp_mcp.demo import Faults, Sizes, Tenant
from pp_mcp.inventory import BY_NAME
from pp_mcp.server.app import PlusPlusServer, build_server

Json = dict[str, Any]
Carry = Callable[[httpx2.Request], Awaitable[httpx2.Response]]

TINY = Sizes(people=24, groups=5, content_items=24, assignments=120, enrollments=20)
KEY = "a key of the trust tests, of 40 letters."


def tiny() -> Tenant:
    """A tenant that is made in a millisecond, with something for every tool to work on."""
    tenant = Tenant(sizes=Sizes(people=1, groups=0, content_items=0, assignments=0, enrollments=0), seed=8)
    _template().connection.backup(tenant.connection)
    return tenant


@cache
def _template() -> Tenant:
    tenant = Tenant(sizes=TINY)
    mend = tenant.connection.execute
    # One attempt for each person and item, so that whatever was taken back can be taken back.
    mend("DELETE FROM assignments WHERE id NOT IN (SELECT max(id) FROM assignments GROUP BY user_id, content_item_id)")
    loose = "id NOT IN (SELECT assignment_id FROM enrollments WHERE assignment_id IS NOT NULL)"
    for state in ("exempted", "dropped", "in_progress", "not_started"):
        # At least three of each state.
        mend(
            f"UPDATE assignments SET state = ?, completed_datetime = NULL, score = NULL, is_success = NULL WHERE id IN "
            f"(SELECT id FROM assignments WHERE {loose} AND state = 'completed' ORDER BY id LIMIT 3)",
            (state,),
        )
    mend("UPDATE assignments SET started_at = created WHERE state = 'in_progress' AND started_at IS NULL")
    mend("UPDATE assignments SET progress = 0.0, started_at = NULL WHERE state = 'not_started'")
    mend("UPDATE groups SET source = 'plusplus', source_key = 'plusplus' WHERE id <= 3")
    mend("DELETE FROM group_members WHERE group_id <= 3")
    mend("INSERT INTO group_members SELECT g.id, u.id FROM groups g JOIN users u ON u.id <= 6 WHERE g.id <= 3")
    mend(
        "INSERT OR IGNORE INTO item_groups SELECT c.id, g.id FROM content_items c JOIN groups g ON g.id = 1 WHERE c.id = 3"
    )
    mend("UPDATE content_items SET is_archived = 1 WHERE id IN (SELECT id FROM content_items ORDER BY id DESC LIMIT 2)")
    return tenant


class Switch(httpx2.AsyncBaseTransport):
    """Carries requests to the tenant that a test uses now. `between` may stand on the way."""

    def __init__(self, secrets_dir: Path) -> None:
        self.secrets_dir = secrets_dir
        self.server: PlusPlusServer
        """The server that the module's assistant is at."""
        self.inner: httpx2.AsyncBaseTransport | None = None
        self.between: Callable[[httpx2.Request, Carry], Awaitable[httpx2.Response]] | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        assert self.inner is not None
        if self.between is not None:
            return await self.between(request, self.inner.handle_async_request)
        return await self.inner.handle_async_request(request)


def serve(switch: Switch, **settings: Any) -> PlusPlusServer:
    """The real server on the real clock of its loop."""
    made = Settings(
        **{
            "base_url": "https://demo.plusplus.app/public_api/v2",
            "api_token": SecretStr("pp_demo_not_a_secret_0123456789"),
            "toolsets": frozenset({"all"}),
            "secret_key": SecretStr(KEY),
            "max_writes_per_hour": 0,
            **settings,
        }
    )
    return build_server(made, transport=switch, secrets_dir=switch.secrets_dir)


@cache
def validator(tool: str) -> Draft202012Validator:
    return Draft202012Validator(BY_NAME[tool].output_schema)


class World:
    """What one test works with."""

    def __init__(self, tenant: Tenant, client: Client, switch: Switch) -> None:
        self.tenant, self.client, self.switch = tenant, client, switch
        self.stage = Stage(tenant)
        self.validates = True
        """Against the output schema; the test of all faults leaves it, for it takes a quarter of the time."""
        switch.inner, switch.between = tenant.transport(), None

    def close(self) -> None:
        self.switch.between = None
        self.tenant.close()

    async def call(self, tool: str, client: Client | None = None, **arguments: Any) -> CallToolResult:
        """Calls a tool; whatever it answers is well-formed."""
        result = await (client or self.client).call_tool(tool, arguments)
        data, text = result.structured_content, result.content[0].text  # type: ignore[union-attr]
        assert isinstance(data, dict)
        if result.is_error:
            assert text.startswith(data["message"])
            assert data["code"] not in ("", "internal_error"), data
        else:
            assert json.loads(text) == data
            if self.validates:
                validator(tool).validate(data)
        return result

    async def ask(self, tool: str, client: Client | None = None, **arguments: Any) -> Json:
        """The answer, which must be no error."""
        result = await self.call(tool, client, **arguments)
        assert not result.is_error, result.structured_content
        return data_of(result)

    async def confirm(self, tool: str, client: Client | None = None, **arguments: Any) -> CallToolResult:
        """Calls a tool and, where it previews, once more with the token and the flags that the preview names."""
        result = await self.call(tool, client, **arguments)
        data = data_of(result)
        if result.is_error or data.get("status") != "confirmation_required":
            return result
        flags = dict.fromkeys(data.get("needs", []), True)
        return await self.call(tool, client, **arguments, **flags, confirm_token=data["confirm_token"])

    async def do(self, tool: str, client: Client | None = None, **arguments: Any) -> Json:
        """What a confirmed call answers, which must be no error."""
        result = await self.confirm(tool, client, **arguments)
        assert not result.is_error, result.structured_content
        return data_of(result)

    def snapshot(self) -> Json:
        """The whole state of the tenant, and when assignments expire, which the tenant's own takes for mere time."""
        query = "SELECT public_id, substr(expires_at, 1, 19) FROM assignments"
        return {**self.tenant.snapshot(), "expiry": dict(map(tuple, self.tenant.connection.execute(query)))}

    def writes(self) -> list[Any]:
        return self.stage.writes()

    def heal(self) -> None:
        """No faults any more."""
        self.tenant.faults = Faults()
        self.switch.between = None


def data_of(result: CallToolResult) -> Json:
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def quiet() -> None:
    """Lets the rate budget forget what it was told."""
    await anyio.sleep(600)
