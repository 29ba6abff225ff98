"""`python -m tests.bench tasks`: twenty chores of an administrator, by our tools and by a plain mirror of the API.

Each is solved twice by a script that knows its tools and makes no mistake, each time on a tenant of its own, and what
was answered or written is compared with the database. A model reads every call and every answer, so these are counted
in tokens; both menus, which it reads once, are counted beside.
"""

from __future__ import annotations

import json
import sqlite3
import time
import warnings
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from mcp import Client
from mcp.types import Tool
from pydantic import SecretStr

from pp_mcp.config import load
from pp_mcp.demo import Sizes, Tenant
from pp_mcp.server.app import build_server
from tests.bench.plain import Json, Metered, plain_server

LATENCY = 0.05
"""Seconds that each request to the API takes longer than in one process."""

Sql = Callable[..., list[Any]]
"""Runs a query: the rows, and of rows with one column just that."""


class Desk:
    """Where a task is solved: calls tools of one server and counts what the model writes and reads."""

    def __init__(self, client: Client, given: Any) -> None:
        self._client = client
        self.given = given
        """What the administrator has at hand, such as a roster."""
        self.calls = 0
        self.tokens = 0

    async def call(self, tool: str, **arguments: Any) -> Json:
        """One call. Raises RuntimeError if the tool answers with an error."""
        self.calls += 1
        result = await self._client.call_tool(tool, arguments)
        text = "".join(block.text for block in result.content if block.type == "text")
        self.tokens += tokens(compact({"name": tool, "arguments": arguments})) + tokens(text)
        if result.is_error:
            raise RuntimeError(f"{tool} {arguments}: {text}")
        return cast("Json", json.loads(text)) if text else {}

    async def confirmed(self, tool: str, **arguments: Any) -> Json:
        """A call of ours and, if it answers with a preview, the same once more with what that asks for."""
        answer = await self.call(tool, **arguments)
        if answer.get("status") != "confirmation_required":
            return answer
        flags = dict.fromkeys(answer.get("needs", []), True)
        return await self.call(tool, **arguments, **flags, confirm_token=answer["confirm_token"])

    async def rows(self, tool: str, **filters: Any) -> list[Json]:
        """All rows of a list of the mirror, by the largest pages there are."""
        found: list[Json] = []
        while True:
            page = await self.call(tool, **filters, page=len(found) // 100 + 1, page_size=100)
            found += page["data"]
            if len(found) >= page["meta"]["total_count"]:
                return found

    async def one(self, tool: str, **filters: Any) -> Json:
        """The row of a list of the mirror that has these values, where a search finds others too."""
        name = filters.get("search")
        return next(row for row in await self.rows(tool, **filters) if name in (None, row["name"]))


Solution = Callable[[Desk], Awaitable[Any]]


@dataclass(frozen=True)
class Task:
    """One chore. `wanted` is computed before; `state` reads what was written, and without it the answer counts."""

    words: str
    ours: Solution
    mirror: Solution
    wanted: Callable[[Sql], Any]
    state: Callable[[Sql], Any] | None = None
    given: Callable[[Sql], Any] = lambda _sql: None


@dataclass(frozen=True)
class Effort:
    """What one solution took."""

    calls: int = 0
    tokens: int = 0
    requests: int = 0
    seconds: float = 0.0
    right: bool = True

    def __add__(self, other: Effort) -> Effort:
        return Effort(
            self.calls + other.calls,
            self.tokens + other.tokens,
            self.requests + other.requests,
            self.seconds + other.seconds,
            self.right and other.right,
        )


@dataclass(frozen=True)
class Comparison:
    """A task's effort by our tools and by the mirror."""

    words: str
    ours: Effort
    mirror: Effort


@cache
def _encoding() -> Any:
    with warnings.catch_warnings():
        # It opens its own data in a way that Python 3.11 and 3.12 call deprecated; 3.13 does not.
        warnings.simplefilter("ignore", DeprecationWarning)
        import bpe_openai  # pyright: ignore[reportMissingTypeStubs]

        return bpe_openai.get_encoding("o200k_base")


def tokens(text: str) -> int:
    """How many tokens of o200k a text is."""
    return len(_encoding().encode(text))


def compact(value: object) -> str:
    """JSON without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def menu_tokens(tools: list[Tool]) -> int:
    """What a model reads of a menu: names, descriptions, input schemas."""
    shown = [{"name": one.name, "description": one.description, "inputSchema": one.input_schema} for one in tools]
    return tokens(compact(shown))


def _sql(tenant: Tenant) -> Sql:
    def run(query: str, *values: object) -> list[Any]:
        rows = cast("list[sqlite3.Row]", tenant.connection.execute(query, values).fetchall())
        return [row[0] if len(row) == 1 else tuple(row) for row in rows]

    return run


@cache
def _seeded() -> Tenant:
    return Tenant()


def _tenant() -> Tenant:
    """The demo tenant as it is at first; a copy, which is quicker than making one. By its seed, new ids are new."""
    nothing = Sizes(people=1, groups=0, content_items=0, assignments=0, enrollments=0)
    made = Tenant(sizes=nothing, seed=8)
    _seeded().connection.backup(made.connection)
    return made


async def solve(task: Task, *, ours: bool, latency: float = LATENCY) -> Effort:
    """Solves a task on a new tenant, by our tools or by the mirror."""
    with closing(_tenant()) as tenant:
        sql, way = _sql(tenant), Metered(tenant, latency)
        wanted, given = task.wanted(sql), task.given(sql)
        async with Client(_server(tenant, way) if ours else plain_server(tenant, way)) as client:
            desk, began = Desk(client, given), time.perf_counter()
            answer = await (task.ours if ours else task.mirror)(desk)
            seconds = time.perf_counter() - began
        right = (task.state(sql) if task.state else answer) == wanted
        return Effort(desk.calls, desk.tokens, way.requests, seconds, right)


def _server(tenant: Tenant, way: Metered) -> Any:
    settings = load({"base_url": tenant.base_url, "api_token": SecretStr(tenant.token)}, environ={})
    return build_server(settings, transport=way)


async def menus() -> tuple[int, int]:
    """Tokens of both menus, ours first."""
    found: list[int] = []
    with closing(_tenant()) as tenant:
        way = Metered(tenant, 0)
        for server in (_server(tenant, way), plain_server(tenant, way)):
            async with Client(server) as client:
                found.append(menu_tokens((await client.list_tools()).tools))
    return found[0], found[1]


async def run(tasks: list[Task], say: Callable[[str], None], latency: float = LATENCY) -> list[Comparison]:
    """Solves all tasks by both ways."""
    done: list[Comparison] = []
    await solve(tasks[0], ours=True, latency=0)  # imports are not what is measured
    for number, task in enumerate(tasks, 1):
        say(f"{number} of {len(tasks)}: {task.words}")
        ours = await solve(task, ours=True, latency=latency)
        mirror = await solve(task, ours=False, latency=latency)
        done.append(Comparison(task.words, ours, mirror))
    return done


def total(compared: list[Comparison]) -> Comparison:
    """The sums over all tasks."""
    nothing = Effort()
    return Comparison(
        f"all {len(compared)}",
        sum((one.ours for one in compared), nothing),
        sum((one.mirror for one in compared), nothing),
    )


def _beside(ours: int, mirror: int) -> str:
    ratio = mirror / ours
    return f"{ours:,} / {mirror:,} ({ratio:,.{int(ratio < 10)}f} ×)".replace(" ", "\u00a0")


def table(compared: list[Comparison], menu: tuple[int, int]) -> str:
    """Each task and the sums: ours, the mirror's, and how many times ours the mirror's are."""
    lines = [
        "| task | calls | tokens | requests | seconds | right |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for one in [*compared, total(compared)]:
        a, b = one.ours, one.mirror
        right = " / ".join("yes" if effort.right else "no" for effort in (a, b))
        cells = [
            _beside(a.calls, b.calls),
            _beside(a.tokens, b.tokens),
            f"{a.requests:,} / {b.requests:,}",
            f"{a.seconds:,.1f} / {b.seconds:,.1f}",
        ]
        lines.append(f"| {one.words} | {' | '.join(cells)} | {right} |")
    ours, mirror = menu
    lines += ["", f"Read once beside: the menu, {ours:,} tokens of ours and {mirror:,} of the mirror's."]
    return "\n".join(lines)
