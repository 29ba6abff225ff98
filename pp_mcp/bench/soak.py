"""Mixed traffic against a faulty tenant, for some minutes: no wrong answer, nothing leaked, memory flat.

The tenant's API is served by a real uvicorn on loopback, so that connections and file handles are real. Several MCP
clients work at the same time, each on people and assignments of its own, so that each answer can be held against the
tenant's database.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
from mcp import Client
from mcp.types import CallToolResult

from pp_mcp.config import load
from pp_mcp.demo import Faults, Sizes, Tenant
from pp_mcp.demo.serve import server as api_server
from pp_mcp.server.app import PlusPlusServer, build_server

FAULTS = (
    "latency=0.002",
    "429=0.01",
    "5xx=0.02",
    "5xx-after=0.01",
    "drop-before=0.02",
    "drop-after=0.02",
    "truncate=0.01",
    "garbage=0.01",
)

WORKERS = 4

SLOPE = 12.0
"""MB that memory may grow after the first third."""


@dataclass
class Tally:
    """What a soak saw."""

    calls: Counter[str] = field(default_factory=Counter[str])
    ended: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])
    figures: dict[str, str] = field(default_factory=dict[str, str])

    def table(self) -> str:
        """The figures, a line each."""
        lines = [f"{name:28} {value}" for name, value in self.figures.items()]
        lines += [f"  {name:26} {count:,}" for name, count in self.ended.most_common()]
        return "\n".join([*lines, *(f"WRONG {one}" for one in self.wrong[:20])])


class Worker:
    """One assistant at work on its own part of the tenant."""

    def __init__(self, number: int, client: Client, tenant: Tenant, tally: Tally) -> None:
        self._client = client
        self._tenant = tenant
        self._tally = tally
        self._chance = random.Random(number)
        users = self._column("SELECT email FROM users WHERE is_active ORDER BY id LIMIT 20 OFFSET ?", number * 20)
        self._users = [str(one) for one in users]
        query = (
            "SELECT public_id FROM assignments WHERE state = 'not_started' AND id NOT IN (SELECT assignment_id FROM "
            "enrollments WHERE assignment_id IS NOT NULL) ORDER BY id LIMIT 12 OFFSET ?"
        )
        self._assignments = [str(one) for one in self._column(query, number * 12)]
        self._acts: list[Callable[[], Awaitable[None]]] = [
            self._count,
            self._plate,
            self._report,
            self._rename,
            self._rename,
            self._exempt,
            self._extend,
            self._bad_token,
        ]

    async def work(self, until: float) -> None:
        """Does one thing after the other until the time is up."""
        while time.monotonic() < until:
            await self._chance.choice(self._acts)()

    def _column(self, query: str, *values: Any) -> list[Any]:
        return [row[0] for row in self._tenant.connection.execute(query, values)]

    async def _call(self, tool: str, **arguments: Any) -> dict[str, Any] | None:
        """The answer, or None after an error; an error must be a clean one."""
        result: CallToolResult = await self._client.call_tool(tool, arguments)
        data = cast("dict[str, Any]", result.structured_content or {})
        self._tally.calls[tool] += 1
        self._tally.ended[str(data.get("code") or data.get("status") or "read")] += 1
        if result.is_error and (data.get("code") in (None, "internal_error") or not data.get("message")):
            self._wrong(f"{tool}: no clean error: {data}")
        return None if result.is_error else data

    def _wrong(self, what: str) -> None:
        self._tally.wrong.append(what)

    def _expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self._wrong(f"{what}: {found!r}, and not {wanted!r}")

    async def _count(self) -> None:
        answer = await self._call("list_users", page_size=5)
        if answer:
            self._expect("people", answer["total_count"], self._column("SELECT count(*) FROM users")[0])

    async def _plate(self) -> None:
        user = self._chance.choice(self._users)
        answer = await self._call("get_learner_summary", user=user)
        if answer and answer["coverage"]["complete"]:
            query = "SELECT count(*) FROM assignments a JOIN users u ON u.id = a.user_id WHERE u.email = ?"
            self._expect(f"assignments of {user}", answer["totals"]["total"], self._column(query, user)[0])

    async def _report(self) -> None:
        answer = await self._call("report_assignments", group_by=["state"])
        if answer and answer["coverage"]["complete"]:
            self._expect("all", answer["totals"]["total"], self._column("SELECT count(*) FROM assignments")[0])

    async def _rename(self) -> None:
        user, name = self._chance.choice(self._users), f"Name {self._chance.randrange(10**9)}"
        query = "SELECT name FROM users WHERE email = ?"
        before = self._column(query, user)[0]
        answer = await self._call("update_user", user=user, name=name)
        after = self._column(query, user)[0]
        if answer:
            self._expect(f"the name of {user}", after, name)
        elif after not in (before, name):
            self._wrong(f"the name of {user} is {after!r}, which nobody gave")

    async def _exempt(self) -> None:
        target = self._chance.choice(self._assignments[:6])
        query = "SELECT state FROM assignments WHERE public_id = ?"
        back = self._column(query, target)[0] == "exempted"
        answer = await self._call("revert_exemption" if back else "exempt_assignment", assignment=target)
        if answer:
            wanted = "not_started" if back else "exempted"
            self._expect(f"the state of {target}", self._column(query, target)[0], wanted)

    async def _extend(self) -> None:
        due = f"2031-{self._chance.randrange(1, 13):02}-{self._chance.randrange(1, 29):02}"
        given = {"action": "set_due_date", "assignments": self._assignments[6:], "due_date": due}
        preview = await self._call("bulk_update_assignments", **given)
        if not preview or preview["status"] != "confirmation_required":
            return
        done = await self._call("bulk_update_assignments", **given, confirm_token=preview["confirm_token"])
        if done and done["status"] == "done":
            marks = ", ".join("?" * len(self._assignments[6:]))
            query = f"SELECT DISTINCT due_date FROM assignments WHERE public_id IN ({marks})"
            self._expect("due dates", self._column(query, *self._assignments[6:]), [due])

    async def _bad_token(self) -> None:
        target = self._chance.choice(self._assignments)
        answer = await self._call(
            "drop_assignment", assignment=target, confirm_token="6b053f6f.AAAAAAAAAAAAAAAAAAAAAAAA"
        )
        if answer and answer["status"] not in ("confirmation_required", "unchanged"):
            self._wrong(f"dropped {target} with a made-up token")


async def run(minutes: float, say: Callable[[str], None]) -> Tally:
    """Works for that long, and tallies. Everything it starts it ends."""
    tally = Tally()
    gc.collect()
    handles = _handles()
    tasks = len(asyncio.all_tasks())
    tenant = Tenant(sizes=Sizes(people=150, content_items=40, assignments=1_200, enrollments=60), rate_limit=10**9)
    api = api_server(tenant, "127.0.0.1", 0)
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(api.serve)
            for _ in range(200):
                if api.started:
                    break
                await anyio.sleep(0.05)
            port = api.servers[0].sockets[0].getsockname()[1]
            tenant.faults = Faults.parse(list(FAULTS))
            await _traffic(_server(tenant, port), tenant, tally, minutes, say)
            api.should_exit = True
    finally:
        tenant.close()
    await anyio.sleep(0.5)
    gc.collect()
    leaked = len(asyncio.all_tasks()) - tasks
    open_still = _handles() - handles
    tally.figures |= {"tasks left over": str(leaked), "file handles left over": str(open_still)}
    if leaked > 0 or open_still > 0:
        tally.wrong.append(f"{leaked} tasks and {open_still} file handles are left over")
    return tally


def _server(tenant: Tenant, port: int) -> PlusPlusServer:
    overrides = {"base_url": f"http://127.0.0.1:{port}/public_api/v2", "max_writes_per_hour": 0}
    settings = load(overrides, environ={"PP_API_TOKEN": tenant.token})
    return build_server(settings)


async def _traffic(
    server: PlusPlusServer, tenant: Tenant, tally: Tally, minutes: float, say: Callable[[str], None]
) -> None:
    began = time.monotonic()
    until = began + 60 * minutes
    warm = 0.0
    async with Client(server) as client, anyio.create_task_group() as group:
        for number in range(WORKERS):
            group.start_soon(Worker(number, client, tenant, tally).work, until)
        while time.monotonic() < until:
            await anyio.sleep(min(10.0, max(0.1, until - time.monotonic())))
            if not warm and time.monotonic() - began > 20 * minutes:
                warm = _megabytes()
            say(f"{time.monotonic() - began:5.0f} s  {tally.calls.total():,} calls  {_megabytes():.1f} MB")
    grown = _megabytes() - warm
    tally.figures |= {
        "minutes": f"{minutes:g}",
        "calls": f"{tally.calls.total():,}",
        "faults": ", ".join(FAULTS),
        "wrong answers": str(len(tally.wrong)),
        "memory after a third": f"{warm:.1f} MB",
        "grown since": f"{grown:.1f} MB",
    }
    if grown > SLOPE:
        tally.wrong.append(f"memory grew by {grown:.1f} MB")


def _handles() -> int:
    return len(os.listdir("/proc/self/fd"))


def _megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1_000_000
