"""Thirty kinds of question that administrators ask, answered on the demo tenant: calls and characters of each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mcp import Client

from pp_mcp.commands import load_settings, make_server, of_tenant
from pp_mcp.demo import Tenant

Step = tuple[str, dict[str, Any]]
"""A tool and its arguments. A preview is confirmed by the next call."""


@dataclass(frozen=True)
class Asked:
    """A question in words; the calls that answer it; and what the last answer must have."""

    words: str
    steps: tuple[Step, ...]
    has: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """What answering took: calls, confirmations included, and the characters of arguments and answers."""

    words: str
    calls: int
    characters: int


def asked(tenant: Tenant) -> list[Asked]:
    """The questions, about people and things that the demo tenant has."""

    def one(query: str) -> Any:
        return tenant.connection.execute(query).fetchone()[0]

    busiest = one(
        "SELECT m.email FROM users u JOIN users m ON m.id = u.manager_id GROUP BY m.id ORDER BY count(*) DESC"
    )
    team = [
        row[0]
        for row in tenant.connection.execute(
            "SELECT u.email FROM users u JOIN users m ON m.id = u.manager_id WHERE m.email = ?", (busiest,)
        )
    ]
    heir = one(f"SELECT email FROM users WHERE manager_id IS NULL AND is_active AND email != '{busiest}' ORDER BY id")
    group, other = (
        row[0] for row in tenant.connection.execute("SELECT name FROM groups WHERE source = 'plusplus' LIMIT 2")
    )
    synced = one("SELECT name FROM groups WHERE source != 'plusplus'")
    course, second = "Security 101", "Accessibility in 20 Minutes"
    due = one(
        "SELECT a.public_id FROM assignments a JOIN content_items c ON c.id = a.content_item_id WHERE a.due_date NOT NULL "
        "AND a.state = 'not_started' AND c.content_type = 'article'"
    )
    report, bulk = "report_assignments", "bulk_update_assignments"
    return [
        Asked("Who left and still has overdue work?", ((report, {"is_active": False, "is_overdue": True, "group_by": ["user"]}),), ("rows",)),
        Asked("How far along are people in Security 101?", ((report, {"content_item": course}),), ("totals.average_progress",)),
        Asked("Average progress by manager?", ((report, {"group_by": ["manager"], "top": 10}),), ("totals.average_progress",)),
        Asked("How much was finished in 2026, by month of the due date?", ((report, {"completed_gte": "2026-01-01", "completed_lte": "2026-12-31", "group_by": ["due_month"]}),), ("totals",)),
        Asked("Who finished Security 101 since June?", (("list_assignments", {"content_item": course, "completed_gte": "2026-06-01", "page_size": 10}),), ("total_count",)),
        Asked("Who has done both courses?", ((report, {"content_item": [course, second], "group_by": ["user"], "top": 10}),), ("rows",)),
        Asked("Who in this group never got Security 101?", ((report, {"content_item": course, "group": group, "missing": True}),), ("totals.missing",)),
        Asked("Which of my people lack either course?", ((report, {"content_item": [course, second], "manager": busiest, "missing": True}),), ("totals.missing",)),
        Asked("What would assigning the course to the group do?", (("bulk_assign_content", {"content_item": second, "group": group, "due_date": "2027-01-31"}),), ("effects",)),
        Asked("Is there a Kubernetes Fundamentals course?", (("search_content", {"search": "Kubernetes"}),), ("items",)),
        Asked("Export everybody who is overdue", (("list_overdue_assignments", {"page_size": 1}),), ("csv",)),
        Asked("Can I change this synced group's members here?", (("get_group", {"group": synced}),), ("summary",)),
        Asked("How many people completed Security 101?", (("get_content_item", {"content_item": course}),), ("summary",)),
        Asked("What was assigned and never finished by anybody?", (("report_content", {}),), ("totals.never_finished",)),
        Asked("Put off everything overdue in a team by a week", ((bulk, {"action": "set_due_date", "manager": busiest, "is_overdue": True, "due_date": "2027-01-15"}),) * 2, ("undo",)),
        Asked("Move a leaver's reports to another manager", (("update_user", {"user": team, "manager": heir}),) * 2, ("undo",)),
        Asked("Who is in both groups?", (("list_users", {"group": [group, other]}),), ("total_count",)),
        Asked("How many different people have overdue work?", ((report, {"is_overdue": True}),), ("totals.people",)),
        Asked("Overdue by manager, and the next fifteen?", ((report, {"is_overdue": True, "group_by": ["manager"], "top": 15}),), ("rows",)),
        Asked("Which articles have odd descriptions?", (("list_articles", {"detail": "full", "page_size": 10}),), ("items",)),
        Asked("Who are our admins?", (("list_users", {"role": "admin"}),), ("items",)),
        Asked("Take the due date off one assignment", (("update_assignment", {"assignment": due, "clear": ["due_date"]}),), ("undo",)),
        Asked("Completion rate by kind of content?", ((report, {"group_by": ["content_type"]}),), ("rows",)),
        Asked("What falls due when?", ((report, {"group_by": ["due_month"]}),), ("rows",)),
        Asked("No-shows, by event?", (("report_enrollments", {"group_by": ["event"], "top": 10}),), ("totals",)),
        Asked("What is on Jane Doe's plate?", (("get_learner_summary", {"user": "jane.doe@acme.example"}),), ("summary",)),
        Asked("Deactivate two leavers", (("update_user", {"user": team[:2], "is_active": False}),) * 2, ("undo",)),
        Asked("Make the group match a list", (("replace_group_members", {"group": group, "members": team}),) * 2, ("undo",)),
        Asked("Excuse a team from a course", ((bulk, {"action": "exempt", "manager": heir, "content_item": course}),) * 2, ("undo",)),
        Asked("Which videos are in the catalogue, archived ones left out?", (("search_content", {"content_type": "video", "is_archived": False, "page_size": 10}),), ("items",)),
    ]  # fmt: skip


async def run() -> list[Cost]:
    """Asks them all, one after another, on one fresh demo tenant.

    Raises:
        AssertionError: an answer is an error, or lacks what was asked for.
    """
    tenant = Tenant()
    costs: list[Cost] = []
    settings = of_tenant(load_settings({"log_level": "ERROR"}, demo=True), tenant)
    async with Client(make_server(settings, tenant)) as client:
        for question in asked(tenant):
            characters, answer = 0, dict[str, Any]()
            for tool, arguments in question.steps:
                token: dict[str, Any] = dict.fromkeys(answer.get("needs", []), True)
                token |= {"confirm_token": answer["confirm_token"]} if "confirm_token" in answer else {}
                result = await client.call_tool(tool, arguments | token)
                text = "".join(block.text for block in result.content if block.type == "text")
                assert not result.is_error, (question.words, text)
                characters += len(json.dumps(arguments | token)) + len(text)
                answer = json.loads(text)
            for path in question.has:
                found: Any = answer
                for name in path.split("."):
                    assert name in found, (question.words, path, answer["summary"])
                    found = found[name]
            costs.append(Cost(question.words, len(question.steps), characters))
    tenant.close()
    return costs


def table(costs: list[Cost]) -> str:
    """The questions with their costs, as Markdown."""
    rows = ["| question | calls | characters |", "| --- | ---: | ---: |"]
    rows += [f"| {cost.words} | {cost.calls} | {cost.characters:,} |" for cost in costs]
    total = f"{sum(cost.characters for cost in costs):,}"
    return "\n".join([*rows, f"| **all {len(costs)}** | {sum(cost.calls for cost in costs)} | {total} |"])
