"""What the chores start from: the tenant's database, and how the mirror looks things up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.bench.plain import Json
from tests.bench.tasks import Desk, Sql

COURSE, PRIVACY, TRACK = "Security 101", "Data Privacy Essentials", "Engineering Onboarding"
JANE, ROSA = "jane.doe@acme.example", "Rosa Alvarez"
OPEN = "state IN ('not_started', 'in_progress')"
OVERDUE = f"{OPEN} AND due_date < date('now')"
OF = "FROM assignments a JOIN users u ON u.id = a.user_id JOIN content_items c ON c.id = a.content_item_id"


def in_days(days: int) -> str:
    """A date from today."""
    return (datetime.now(UTC).date() + timedelta(days=days)).isoformat()


def is_open(row: Json) -> bool:
    """Whether the API's row of an assignment is outstanding."""
    return row["state"] in ("not_started", "in_progress")


def members(sql: Sql, group: str) -> list[str]:
    """E-mails of a group's members, in order."""
    return sql(
        "SELECT u.email FROM group_members m JOIN users u ON u.id = m.user_id JOIN groups g ON g.id = m.group_id "
        "WHERE g.name = ? ORDER BY u.email",
        group,
    )


def due_dates(sql: Sql) -> dict[int, str | None]:
    """Every assignment's due date."""
    return dict(sql("SELECT id, due_date FROM assignments"))


def states(sql: Sql) -> dict[int, str]:
    """Every assignment's state."""
    return dict(sql("SELECT id, state FROM assignments"))


def held(sql: Sql) -> list[Any]:
    """Who has which item, how often, with which due date."""
    return sorted(sql(f"SELECT u.email, c.name, a.due_date IS NULL, coalesce(a.due_date, '') {OF}"))


async def item_id(desk: Desk, title: str) -> str:
    """The mirror's look-up of a content item."""
    return (await desk.one("list_content_items", search=title))["public_id"]


async def person_id(desk: Desk, email: str) -> str:
    """The mirror's look-up of a person."""
    return (await desk.one("list_users", email=email))["public_id"]


async def group_id(desk: Desk, name: str) -> str:
    """The mirror's look-up of a group."""
    return (await desk.one("list_groups", name=name))["public_id"]


async def team_late_plain(desk: Desk) -> list[Json]:
    """Rows of what is overdue among Rosa's reports."""
    rosa = (await desk.one("list_users", search=ROSA))["public_id"]
    team = {row["public_id"] for row in await desk.rows("list_users", manager=rosa)}
    late = await desk.rows("list_assignments", is_overdue=True)
    return [row for row in late if row["user"]["public_id"] in team]
