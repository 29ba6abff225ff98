"""How many requests the commonest tools make of the API, asked as people ask: by names and e-mail addresses."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import httpx2
from mcp import Client as McpClient

from pp_mcp.config import Settings
from pp_mcp.demo import DEMO_TOKEN, Sizes, Tenant
from pp_mcp.server.app import build_server

SIZES = Sizes(people=240, groups=12, content_items=60, assignments=3_000, enrollments=60)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Chore:
    """`most` requests are allowed for an answer or preview, and `then` for the call that confirms."""

    tool: str
    words: str
    arguments: dict[str, Any]
    most: int
    then: int = 0


@dataclass
class Spent:
    """What a chore took: the look-ups that were made twice before anything was written, too."""

    chore: Chore
    requests: list[int] = field(default_factory=list[int])
    twice: list[str] = field(default_factory=list[str])

    @property
    def is_over(self) -> bool:
        """Whether it took more than it may."""
        first, *then = self.requests
        return first > self.chore.most or sum(then) > self.chore.then or bool(self.twice)


def chores(tenant: Tenant) -> list[Chore]:
    """The fifteen commonest tools, each with something that it is usually asked."""

    def one(query: str) -> str:
        return str(tenant.connection.execute(query).fetchone()[0])

    person = one(
        "SELECT email FROM users WHERE is_active AND id > 20 AND id NOT IN (SELECT user_id FROM group_members)"
    )
    manager = one(
        "SELECT m.email FROM users u JOIN users m ON m.id = u.manager_id GROUP BY 1 HAVING count(*) BETWEEN 4 AND 8"
    )
    group = one("SELECT name FROM groups WHERE source = 'plusplus' ORDER BY id")
    to_do = one(
        "SELECT public_id FROM assignments WHERE state = 'not_started' AND id NOT IN "
        "(SELECT assignment_id FROM enrollments WHERE assignment_id IS NOT NULL)"
    )
    course, rare = "Security 101", one("SELECT name FROM content_items WHERE NOT is_archived AND total_assignments = 0")
    return [
        Chore("list_users", "a manager's people", {"manager": manager}, 2),
        Chore("get_user", "one person by e-mail", {"user": person}, 1),
        Chore("list_groups", "groups by a word", {"search": "plat"}, 1),
        Chore("list_group_members", "who is in a group", {"group": group}, 2),
        Chore("add_group_members", "two people into a group", {"group": group, "members": [person, manager]}, 6),
        Chore("search_content", "courses by a word", {"search": "security"}, 1),
        Chore("get_content_item", "one course, with three pages of completions", {"content_item": course}, 4),
        Chore("list_assignments", "what a person has open", {"user": person, "state": "not_started"}, 2),
        Chore("list_overdue_assignments", "who is late with a course", {"content_item": course}, 2),
        Chore("assign_content", "a course to a person", {"user": person, "content_item": rare}, 4),
        Chore("update_assignment", "another due date", {"assignment": to_do, "due_date": "2027-01-31"}, 2),
        Chore("complete_assignment", "done", {"assignment": to_do}, 2),
        Chore("get_learner_summary", "one person's plate", {"user": person}, 2),
        Chore("report_assignments", "3,000 assignments by state", {"group_by": ["state"]}, 8),
        Chore("bulk_assign_content", "a course to a manager's seven", {"content_item": rare, "manager": manager}, 4, 7),
    ]


async def spent() -> list[Spent]:
    """Does every chore on a tenant of its own, and counts."""
    tenant = Tenant(sizes=SIZES, now=lambda: NOON, rate_limit=1_000_000)
    network = _Noting(tenant)
    settings = Settings.model_validate({"base_url": tenant.base_url, "api_token": DEMO_TOKEN, "secret_key": "k" * 40})
    found: list[Spent] = []
    async with McpClient(build_server(settings, transport=network)) as client:
        for chore in chores(tenant):
            done = Spent(chore)
            arguments = chore.arguments
            while True:
                network.asked.clear()
                result = await client.call_tool(chore.tool, arguments)
                answer = cast("dict[str, Any]", result.structured_content or {})
                if result.is_error:
                    raise AssertionError(f"{chore.tool}: {result.content}")
                done.requests.append(len(network.asked))
                done.twice += _twice(network.asked)
                if answer.get("status") != "confirmation_required":
                    break
                arguments = {**arguments, "confirm_token": answer["confirm_token"]}
            found.append(done)
    tenant.close()
    return found


class _Noting(httpx2.AsyncBaseTransport):
    """The way to a tenant, with a note of each request."""

    def __init__(self, tenant: Tenant) -> None:
        self._inner = tenant.transport()
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends the request on."""
        self.asked.append(f"{request.method} {request.url.raw_path.decode()}")
        return await self._inner.handle_async_request(request)


def _twice(asked: list[str]) -> list[str]:
    seen: set[str] = set()
    twice: list[str] = []
    for one in asked:
        if not one.startswith("GET "):
            # What is read after a write is not what was read before it.
            break
        twice += [one] if one in seen else []
        seen.add(one)
    return twice


def table(found: list[Spent]) -> str:
    """The figures as a Markdown table."""
    rows = ["| tool | asked for | requests | confirmed by |", "| --- | --- | ---: | ---: |"]
    for one in found:
        first, *then = one.requests
        rows.append(f"| `{one.chore.tool}` | {one.chore.words} | {first} | {then[0] if then else ''} |")
    return "\n".join(rows)
