"""Calling one tool's operation over a demo tenant, past MCP, on a clock that never waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import httpx2
from pydantic import SecretStr
from stage import Clock as NoWaiting

from pp_mcp.api import Client
from pp_mcp.declare import Call
from pp_mcp.demo import Tenant
from pp_mcp.inventory import BY_NAME
from pp_mcp.server.arguments import prepare

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
"""The present of the tenants in these tests."""

TODAY = NOON.date()

Told = list[tuple[float, float | None, str]]


class Watched(httpx2.AsyncBaseTransport):
    """The way to a tenant, with a say in every request: `before` may raise, answer in its place, or move the clock."""

    def __init__(self, tenant: Tenant) -> None:
        self._inner = tenant.transport()
        self.paths: list[str] = []
        self.queries: list[str] = []
        self.under_way = 0
        self.most_under_way = 0
        self.before: Callable[[httpx2.Request, int], httpx2.Response | None] = lambda _request, _number: None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.paths.append(f"{request.method} {request.url.path.rpartition('/v2')[2]}")
        self.queries.append(request.url.query.decode())
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            instead = self.before(request, len(self.paths))
            return instead or await self._inner.handle_async_request(request)
        finally:
            self.under_way -= 1


@dataclass
class Desk:
    """One tenant's client, and calls of operations with it."""

    tenant: Tenant
    client: Client
    clock: NoWaiting
    network: Watched
    told: Told = field(default_factory=Told)
    """Progress, as the client would be told."""
    calls: list[Call] = field(default_factory=list[Call])
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    """The last call's arguments, references resolved to things."""

    def call(self, *, budget: float = 45.0, today: date = TODAY) -> Call:
        """A new call, whose time begins now."""

        async def progress(done: float, total: float | None, message: str) -> None:
            self.told.append((done, total, message))

        made = Call(api=self.client.call(budget=budget), today=today, progress=progress)
        self.calls.append(made)
        return made

    async def ask(self, tool: str, *, budget: float = 45.0, today: date = TODAY, **given: Any) -> dict[str, Any]:
        """What a reading tool answers."""
        answer = await self.plan(tool, budget=budget, today=today, **given)
        return answer.model_dump(mode="json", exclude_unset=True)

    async def plan(self, tool: str, *, budget: float = 45.0, today: date = TODAY, **given: Any) -> Any:
        """What a tool's operation gives: an answer, or the plan of a write."""
        operation = BY_NAME[tool]
        call = self.call(budget=budget, today=today)
        values, _ = await prepare(operation, given, call.api)
        self.values = values
        return await operation.function(call, **values)

    def sql(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        """Rows of the tenant's database."""
        return [tuple(row) for row in self.tenant.connection.execute(query, params)]

    def one(self, query: str, *params: Any) -> Any:
        """The first value of the first row."""
        return self.sql(query, *params)[0][0]


@asynccontextmanager
async def desk(tenant: Tenant, *, max_concurrency: int = 8, network: Watched | None = None) -> AsyncIterator[Desk]:
    """A desk at the tenant."""
    clock = NoWaiting()
    network = network or Watched(tenant)
    async with Client(
        base_url=tenant.base_url,
        token=SecretStr(tenant.token),
        transport=network,
        clock=clock,
        max_concurrency=max_concurrency,
        chance=lambda: 0.0,
    ) as client:
        yield Desk(tenant, client, clock, network)


def column(tenant: Tenant, query: str) -> list[Any]:
    """The first column of all rows."""
    return [row[0] for row in tenant.connection.execute(query)]
