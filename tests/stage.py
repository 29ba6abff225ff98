"""The one harness of the tests: a stage, which is a tenant, the way to it, and a server or a bare operation over it.

Over MCP: `connected(tenant)` gives a client, and `call`, `ask`, `refused` and `confirmed` call a tool with it.
Past MCP: `stage.answer(tool, …)` and `stage.plan(tool, …)` call the tool's function with a client of the API.
Past the API: `stage.one(sql)`, `stage.person()`, `stage.writes()`, `stage.snapshot()` and others look into the tenant.
`stage.network` counts what is sent and may interfere; `stage.clock` jumps instead of waiting.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import anyio.lowlevel
import httpx2
from asgi_bridge import Bridge
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, Implementation
from pydantic import SecretStr

from pp_mcp.api import Client as ApiClient
from pp_mcp.config import Settings
from pp_mcp.declare import Call
from pp_mcp.demo import Faults, Sizes, Tenant
from pp_mcp.inventory import BY_NAME
from pp_mcp.server.app import PlusPlusServer, build_server
from pp_mcp.server.arguments import prepare
from pp_mcp.server.confirm import Confirmer
from pp_mcp.server.http import http_app

Json = dict[str, Any]
Carry = Callable[[httpx2.Request], Awaitable[httpx2.Response]]

T = TypeVar("T")

FULL = os.environ.get("HYPOTHESIS_PROFILE") == "full"
"""Whether drawn arguments and troubles are tried at full depth, as `.ci/run` does."""


def some_of(cases: Iterable[T], one_in: int = 3) -> list[T]:
    """All cases at full depth, else one in so many."""
    return list(cases) if FULL else list(cases)[::one_in]


UNSHARED = "name_key NOT IN (SELECT name_key FROM users GROUP BY 1 HAVING count(*) > 1)"
"""SQL: the person's name is nobody else's."""

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
"""The present of tenants whose answers depend on the day."""

TODAY = NOON.date()

SMALL = Sizes(people=60, content_items=40, assignments=300, enrollments=60)
KEY = "a key that only the tests have: 40 chars."


def small_tenant(**options: Any) -> Tenant:
    """A tenant that is made in some milliseconds, or with these options."""
    return Tenant(**{"sizes": SMALL, **options}) if options else copy_of(_small())


@cache
def _small() -> Tenant:
    return Tenant(sizes=SMALL)


def copy_of(tenant: Tenant) -> Tenant:
    """A tenant with the same content, which is quicker than making one. Another seed, so that new ids are new."""
    made = Tenant(sizes=Sizes(people=1, groups=0, content_items=0, assignments=0, enrollments=0), seed=8)
    tenant.connection.backup(made.connection)
    return made


class Way(NamedTuple):
    """One way to a server."""

    transport: Literal["memory", "http", "stateless"]
    era: Literal["2026-07-28", "2025-11-25"]

    @property
    def mode(self) -> str:
        """What the SDK's client calls the era."""
        return "legacy" if self.era == "2025-11-25" else self.era


WAYS = [Way(transport, era) for transport in ("memory", "http") for era in ("2026-07-28", "2025-11-25")]
IN_MEMORY = WAYS[0]
LEGACY = WAYS[1]


@dataclass
class Clock:
    """Time passes only while somebody sleeps, or when a test says so."""

    time: float = 0.0
    slept: list[float] = field(default_factory=list[float])

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await anyio.lowlevel.checkpoint()


class Network(httpx2.AsyncBaseTransport):
    """The way to a tenant, with a say in every request.

    `before` is told each request and its number; it may raise, answer in the tenant's place, or move a clock. `between`
    stands on the way: it is given the request and a function that carries it to the tenant, and gives the answer.
    """

    def __init__(self, tenant: Tenant | None = None) -> None:
        self.inner = tenant.transport() if tenant else None
        self.paths: list[str] = []
        self.queries: list[str] = []
        self.under_way = 0
        self.most_under_way = 0
        self.before: Callable[[httpx2.Request, int], httpx2.Response | None] = lambda _request, _number: None
        self.between: Callable[[httpx2.Request, Carry], Awaitable[httpx2.Response]] | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        assert self.inner is not None
        self.paths.append(f"{request.method} {request.url.path.rpartition('/v2')[2]}")
        self.queries.append(request.url.query.decode())
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if (instead := self.before(request, len(self.paths))) is not None:
                return instead
            if self.between is not None:
                return await self.between(request, self.inner.handle_async_request)
            return await self.inner.handle_async_request(request)
        finally:
            self.under_way -= 1


def make_server(
    tenant: Tenant,
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    now: Callable[[], float] | None = None,
    clock: Any = None,
    key: str = KEY,
    secrets_dir: Path | None = None,
    **settings: Any,
) -> PlusPlusServer:
    """The real server over the tenant. `now` is the time that confirm tokens are measured by; `clock` that of waiting."""
    made = Settings(
        **{
            "base_url": tenant.base_url,
            "api_token": SecretStr(tenant.token),
            "toolsets": frozenset({"all"}),
            "secret_key": SecretStr(key),
            **settings,
        }
    )
    server = build_server(
        made, transport=transport or tenant.transport(), clock=clock or Clock(), secrets_dir=secrets_dir
    )
    if now is not None:
        server.runtime.confirmer = Confirmer([key.encode()], made.base_url, made.confirm, now)
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
    app = http_app(server, stateless=way.transport == "stateless")
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
    """The structured content, which is the same in every way of answering; of an error, what its text says."""
    if result.is_error:
        return _error_in(text_of(result))
    assert isinstance(result.structured_content, dict)
    return result.structured_content


def _error_in(text: str) -> dict[str, Any]:
    """An error's parts, as its text has them: message, candidates, check, and the facts in brackets at the end."""
    *lines, last = text.split("\n")
    facts = {name: value for name, pattern in _FACTS.items() for value in re.findall(pattern, last)}
    candidates = [json.loads(line[2:]) for line in lines if line.startswith("- {")]
    message = "\n".join(line for line in lines if not line.startswith(("- {", "Check with ")))
    data: dict[str, Any] = {"message": message, "retryable": "may be tried again" in last, **facts}
    if candidates:
        data["candidates"] = candidates
    if found := re.search(r"^Check with (\w+) (.*)\.$", "\n".join(lines), re.M):
        data["check"] = {"tool": found[1], "arguments": json.loads(found[2])}
    for name in ("status", "retry_after"):
        if name in data:
            data[name] = int(data[name])
    return data


_FACTS = {
    "code": r"code ([^;)]+)",
    "status": r"HTTP (\d+)",
    "retry_after": r"wait (\d+) s",
    "request_id": r"request id ([^;)]+)",
}


def text_of(result: CallToolResult) -> str:
    """The text block, which comes first."""
    block = result.content[0]
    assert block.type == "text"
    return block.text


async def call(client: Client, tool: str, **arguments: Any) -> CallToolResult:
    """Calls a tool; whatever it answers is well-formed."""
    result = await client.call_tool(tool, arguments)
    data = data_of(result)
    if result.is_error:
        assert result.structured_content is None
        assert data["code"] not in ("", "internal_error"), data
    else:
        assert json.loads(text_of(result)) == data
    return result


async def ask(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool answers; it must not be an error."""
    result = await call(client, tool, **arguments)
    assert not result.is_error, text_of(result)
    return data_of(result)


async def refused(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The error that a tool answers with; its message stands first in the text too."""
    result = await call(client, tool, **arguments)
    assert result.is_error, text_of(result)
    return data_of(result)


async def confirm(client: Client, tool: str, **arguments: Any) -> CallToolResult:
    """Calls a tool and, where it previews, once more with the token and the flags that the preview names."""
    result = await call(client, tool, **arguments)
    if result.is_error or data_of(result).get("status") != "confirmation_required":
        return result
    preview = data_of(result)
    flags = dict.fromkeys(preview.get("needs", []), True)
    return await call(client, tool, **arguments, **flags, confirm_token=preview["confirm_token"])


async def confirmed(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The answer of a tool, its preview confirmed with what it names, as a person who agrees would have it done."""
    result = await confirm(client, tool, **arguments)
    assert not result.is_error, text_of(result)
    return data_of(result)


@dataclass
class Stage:
    """A tenant, the way to it, and what tests do there."""

    tenant: Tenant
    network: Network = field(default_factory=Network)
    clock: Clock = field(default_factory=Clock)
    max_concurrency: int = 8
    told: list[tuple[float, float | None, str]] = field(default_factory=list[tuple[float, float | None, str]])
    """The progress of calls past MCP, as a client would be told."""
    calls: list[Call] = field(default_factory=list[Call])
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    """The last call's arguments, references resolved to things."""
    client: Any = None
    """The MCP client that a module's tests share, and its server: in tests/trust."""
    server: Any = None

    def __post_init__(self) -> None:
        self.network.inner, self.network.between = self.tenant.transport(), None

    # --- past MCP -------------------------------------------------------------------------------------------------

    @cached_property
    def api(self) -> ApiClient:
        """A client of the API, without chance."""
        return ApiClient(
            base_url=self.tenant.base_url,
            token=SecretStr(self.tenant.token),
            transport=self.network,
            clock=self.clock,
            max_concurrency=self.max_concurrency,
            chance=lambda: 0.0,
        )

    def call(self, *, budget: float = 45.0, today: date = TODAY) -> Call:
        """A new call, whose time begins now."""

        async def progress(done: float, total: float | None, message: str) -> None:
            self.told.append((done, total, message))

        made = Call(api=self.api.call(budget=budget), today=today, progress=progress)
        self.calls.append(made)
        return made

    async def answer(self, tool: str, *, budget: float = 45.0, today: date = TODAY, **given: Any) -> Json:
        """What a reading tool's function answers."""
        answer = await self.plan(tool, budget=budget, today=today, **given)
        return answer.model_dump(mode="json", exclude_unset=True)

    async def plan(self, tool: str, *, budget: float = 45.0, today: date = TODAY, **given: Any) -> Any:
        """What a tool's function gives: an answer, or the plan of a write."""
        operation = BY_NAME[tool]
        call = self.call(budget=budget, today=today)
        values, _ = await prepare(operation, given, call)
        self.values = values
        return await operation.function(call, **values)

    # --- past the API ---------------------------------------------------------------------------------------------

    def sql(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        """Rows of the tenant's database."""
        return [tuple(row) for row in self.tenant.connection.execute(query, params)]

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

    def snapshot(self) -> Json:
        """The whole state, and when assignments expire, which the tenant's own snapshot leaves out as a mere time."""
        expiry = dict(self.sql("SELECT public_id, substr(expires_at, 1, 19) FROM assignments"))
        return {**self.tenant.snapshot(), "expiry": expiry}

    def close(self) -> None:
        """The end of a stage whose network others use after it."""
        self.network.between = None
        self.tenant.close()

    def heal(self) -> None:
        """No faults any more."""
        self.tenant.faults = Faults()
        self.network.between = None

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


async def settled(turns: int = 60) -> None:
    """Gives every task its turns until all of them wait for something. `wait_all_tasks_blocked` would wait 0.1 s."""
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
