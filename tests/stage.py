"""Helpers of the tests: connecting in every way there is, and looking into a tenant past the API."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx2
from asgi_bridge import Bridge
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, Implementation
from pydantic import SecretStr

from pp_mcp.config import Settings
from pp_mcp.demo import Sizes, Tenant
from pp_mcp.server.app import PlusPlusServer, build_server
from pp_mcp.server.confirm import Confirmer
from pp_mcp.server.http import http_app

FULL = os.environ.get("HYPOTHESIS_PROFILE") == "full"
"""Whether drawn arguments and troubles are tried at full depth, as `.ci/run` does."""

UNSHARED = "name_key NOT IN (SELECT name_key FROM users GROUP BY 1 HAVING count(*) > 1)"
"""SQL: the person's name is nobody else's."""

SMALL = Sizes(people=60, content_items=40, assignments=300, enrollments=60)
KEY = "a key that only the tests have, of 40 ch."


def small_tenant(**options: Any) -> Tenant:
    """A tenant that is made in some ten milliseconds."""
    return Tenant(**{"sizes": SMALL, **options})


class Way(NamedTuple):
    """One way to a server."""

    transport: Literal["memory", "http"]
    era: Literal["2026-07-28", "2025-11-25"]

    @property
    def mode(self) -> str:
        """What the SDK's client calls the era."""
        return "legacy" if self.era == "2025-11-25" else self.era


WAYS = [Way(transport, era) for transport in ("memory", "http") for era in ("2026-07-28", "2025-11-25")]
IN_MEMORY = WAYS[0]
LEGACY = WAYS[1]


class NoWaiting:
    """A clock on which waiting takes no time: it jumps."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


def make_server(
    tenant: Tenant,
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    now: Callable[[], float] | None = None,
    key: str = KEY,
    secrets_dir: Path | None = None,
    **settings: Any,
) -> PlusPlusServer:
    """The real server over the tenant. `now` is the time that confirm tokens are measured by."""
    made = Settings(
        **{
            "base_url": tenant.base_url,
            "api_token": SecretStr(tenant.token),
            "toolsets": frozenset({"all"}),
            "secret_key": SecretStr(key),
            **settings,
        }
    )
    server = build_server(made, transport=transport or tenant.transport(), clock=NoWaiting(), secrets_dir=secrets_dir)
    if now is not None:
        server.runtime.confirmer = Confirmer(key.encode(), made.base_url, made.confirm, now)
    return server


@asynccontextmanager
async def served(
    server: PlusPlusServer, way: Way = IN_MEMORY, name: str = "tests", **options: Any
) -> AsyncIterator[Client]:
    """A client of `server`, connected in this way; `name` is what it calls itself."""
    options = {"mode": way.mode, "client_info": Implementation(name=name, version="1"), **options}
    if way.transport == "memory":
        async with Client(server, **options) as client:
            yield client
        return
    app = http_app(server)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=Bridge(app), base_url="http://127.0.0.1:8000") as http,
        Client(streamable_http_client("http://127.0.0.1:8000/mcp", http_client=http), **options) as client,
    ):
        yield client


@asynccontextmanager
async def connected(
    tenant: Tenant, way: Way = IN_MEMORY, *, name: str = "tests", client: Mapping[str, Any] | None = None, **server: Any
) -> AsyncIterator[Client]:
    """A client of a new server over the tenant."""
    try:
        async with served(make_server(tenant, **server), way, name, **(client or {})) as found:
            yield found
    except BaseExceptionGroup as group:
        raise _only(group) from group


def _only(error: BaseException) -> BaseException:
    """What failed in a test's body, out of the groups that the client's tasks wrap around it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def data_of(result: CallToolResult) -> dict[str, Any]:
    """The structured content, which is the same in every way of answering."""
    assert isinstance(result.structured_content, dict)
    return result.structured_content


def text_of(result: CallToolResult) -> str:
    """The text block, which comes first."""
    block = result.content[0]
    assert block.type == "text"
    return block.text


async def ask(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool answers; it must not be an error."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    assert json.loads(text_of(result)) == data_of(result)
    return data_of(result)


async def refused(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The error that a tool answers with; its message stands first in the text too."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, text_of(result)
    data = data_of(result)
    assert text_of(result).startswith(data["message"])
    return data


async def confirmed(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The answer of a tool, its preview confirmed with what it names, as a person who agrees would have it done."""
    answer = await ask(client, tool, **arguments)
    if answer.get("status") != "confirmation_required":
        return answer
    flags = dict.fromkeys(answer.get("needs", []), True)
    return await ask(client, tool, **arguments, **flags, confirm_token=answer["confirm_token"])


@dataclass(frozen=True)
class Stage:
    """A tenant, looked into past the API."""

    tenant: Tenant

    def column(self, query: str, *params: Any) -> list[Any]:
        """The first column of all rows."""
        return [row[0] for row in self.tenant.connection.execute(query, params)]

    def one(self, query: str, *params: Any) -> Any:
        """The first value of the first row."""
        found = self.column(query, *params)
        return found[0] if found else None

    def change(self, query: str, *params: Any) -> None:
        """Changes the tenant as another person would."""
        self.tenant.connection.execute(query, params)

    def writes(self) -> list[Any]:
        """The requests so far that were not reads."""
        return [one for one in self.tenant.requests if one.method != "GET"]

    def person(self, number: int = 0) -> str:
        """The e-mail of an active person whose name nobody shares."""
        query = f"SELECT email FROM users WHERE is_active AND role = 'user' AND {UNSHARED} ORDER BY id LIMIT 1 OFFSET ?"
        return self.one(query, number)

    def group(self, source: str = "plusplus") -> str:
        """The public_id of a group of at least five people."""
        query = (
            "SELECT g.public_id FROM groups g JOIN group_members m ON m.group_id = g.id WHERE source = ? "
            "GROUP BY g.id HAVING count(*) >= 5 ORDER BY g.id"
        )
        return self.one(query, source)

    def members(self, group: str) -> list[str]:
        """The e-mails of a group's members, sorted."""
        query = (
            "SELECT u.email FROM group_members m JOIN users u ON u.id = m.user_id JOIN groups g ON g.id = m.group_id "
            "WHERE g.public_id = ? ORDER BY 1"
        )
        return self.column(query, group)

    def strangers(self, group: str, count: int) -> list[str]:
        """E-mails of people who are not in the group."""
        inside = set(self.members(group))
        everybody = self.column("SELECT email FROM users WHERE is_active ORDER BY id")
        return [one for one in everybody if one not in inside][:count]

    def assignment(self, state: str, number: int = 0) -> str:
        """The public_id of an assignment that did not come with an enrollment."""
        query = (
            "SELECT public_id FROM assignments WHERE state = ? AND id NOT IN (SELECT assignment_id FROM enrollments "
            "WHERE assignment_id IS NOT NULL) ORDER BY id LIMIT 1 OFFSET ?"
        )
        return self.one(query, state, number)

    def state(self, assignment: str) -> str:
        """The state of an assignment."""
        return self.one("SELECT state FROM assignments WHERE public_id = ?", assignment)

    def item(self, where: str = "NOT is_archived", number: int = 0) -> str:
        """The public_id of a content item."""
        return self.one(f"SELECT public_id FROM content_items WHERE {where} ORDER BY id LIMIT 1 OFFSET ?", number)

    def unassigned(self, person: str) -> str:
        """The public_id of a content item, not archived, that the person has no assignment of."""
        query = (
            "SELECT public_id FROM content_items WHERE NOT is_archived AND content_type = 'article' AND id NOT IN "
            "(SELECT content_item_id FROM assignments a JOIN users u ON u.id = a.user_id WHERE u.email = ?) ORDER BY id"
        )
        return self.one(query, person)
