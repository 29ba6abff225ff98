"""Eight questions of an administrator on the demo tenant, each with two solutions and what must come out.

The mirror's solutions are as short as its operations allow: the largest pages, every filter that helps, and where a
filter asks for a request per person and a list holds everybody, whichever takes fewer calls.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.bench.facts import (
    COURSE,
    JANE,
    OF,
    OPEN,
    OVERDUE,
    ROSA,
    group_id,
    is_open,
    item_id,
    members,
    person_id,
    team_late_plain,
)
from tests.bench.tasks import Desk, Sql, Task


async def overdue_by_manager(desk: Desk) -> Any:
    answer = await desk.call("report_assignments", content_item=COURSE, group_by=["manager"], is_overdue=True, top=50)
    return {row.get("manager_email"): row["overdue"] for row in answer["rows"]}


async def overdue_by_manager_plain(desk: Desk) -> Any:
    item = await item_id(desk, COURSE)
    late = await desk.rows("list_assignments", content_item=item, is_overdue=True)
    people = {row["public_id"]: row for row in await desk.rows("list_users")}
    above = (people[row["user"]["public_id"]]["manager"] for row in late)
    return dict(Counter(manager and manager["email"] for manager in above))


def overdue_by_manager_wanted(sql: Sql) -> Any:
    return dict(
        sql(
            f"SELECT m.email, count(*) {OF} LEFT JOIN users m ON m.id = u.manager_id WHERE c.name = ? AND {OVERDUE} GROUP BY m.id",
            COURSE,
        )
    )


async def rate_in_group(desk: Desk) -> Any:
    answer = await desk.call("report_assignments", content_item=COURSE, group="Platform", group_by=["state"])
    return round(answer["totals"]["completion_rate"], 2)


async def rate_in_group_plain(desk: Desk) -> Any:
    item, group = await item_id(desk, COURSE), await group_id(desk, "Platform")
    people = {row["public_id"] for row in await desk.rows("list_users", group=group)}
    found = Counter(
        row["state"]
        for row in await desk.rows("list_assignments", content_item=item)
        if row["user"]["public_id"] in people
    )
    return round(found["completed"] / (found.total() - found["dropped"] - found["exempted"]), 2)


def rate_in_group_wanted(sql: Sql) -> Any:
    (rate,) = sql(
        f"SELECT avg(a.state = 'completed') {OF} JOIN group_members g ON g.user_id = u.id WHERE c.name = ? AND "
        "g.group_id = (SELECT id FROM groups WHERE name = 'Platform') AND a.state NOT IN ('dropped', 'exempted')",
        COURSE,
    )
    return round(rate, 2)


async def plate(desk: Desk) -> Any:
    totals = (await desk.call("get_learner_summary", user=JANE))["totals"]
    return totals["outstanding"], totals["overdue"], totals["completed"]


async def plate_plain(desk: Desk) -> Any:
    rows = await desk.rows("list_assignments", user=await person_id(desk, JANE))
    return (
        sum(map(is_open, rows)),
        sum(row["is_overdue"] for row in rows),
        sum(row["state"] == "completed" for row in rows),
    )


def plate_wanted(sql: Sql) -> Any:
    return sql(
        f"SELECT sum({OPEN}), sum({OVERDUE}), sum(state = 'completed') FROM assignments WHERE user_id = "
        "(SELECT id FROM users WHERE email = ?)",
        JANE,
    )[0]


async def unused(desk: Desk) -> Any:
    answer = await desk.call("report_content", top=1)
    return answer["totals"]["never_assigned"]


async def unused_plain(desk: Desk) -> Any:
    rows = await desk.rows("list_content_items", is_archived=False)
    return sum(not row["total_assignments"] for row in rows)


def unused_wanted(sql: Sql) -> Any:
    return sql("SELECT count(*) FROM content_items WHERE NOT is_archived AND NOT total_assignments")[0]


async def attendance(desk: Desk) -> Any:
    totals = (await desk.call("report_enrollments", event="React Workshop", top=1))["totals"]
    return totals["checked_in"], totals["no_show"]


async def attendance_plain(desk: Desk) -> Any:
    rows = await desk.rows("list_enrollments", event=await item_id(desk, "React Workshop"))
    found = Counter(row["status"] for row in rows)
    return found["checked_in"], found["no_show"]


def attendance_wanted(sql: Sql) -> Any:
    return sql(
        "SELECT sum(checkin_datetime IS NOT NULL), sum(checkin_datetime IS NULL AND recorded = 'enrolled') "
        "FROM enrollments WHERE event_id = (SELECT id FROM content_items WHERE name = 'React Workshop')"
    )[0]


async def never_assigned(desk: Desk) -> Any:
    answer = await desk.call("report_assignments", content_item=COURSE, group="New Hires", missing=True)
    return sorted(row["user_email"] for row in answer["rows"])


async def never_assigned_plain(desk: Desk) -> Any:
    item, group = await item_id(desk, COURSE), await group_id(desk, "New Hires")
    have = {row["user"]["email"] for row in await desk.rows("list_assignments", content_item=item)}
    return sorted({row["email"] for row in await desk.rows("list_users", group=group)} - have)


def never_assigned_wanted(sql: Sql) -> Any:
    have = set(sql(f"SELECT u.email {OF} WHERE c.name = ?", COURSE))
    return [email for email in members(sql, "New Hires") if email not in have]


async def late_by_type(desk: Desk) -> Any:
    answer = await desk.call("report_assignments", group_by=["content_type"], is_overdue=True)
    return {row["content_type"]: row["overdue"] for row in answer["rows"]}


async def late_by_type_plain(desk: Desk) -> Any:
    return dict(
        Counter(row["content_item"]["content_type"] for row in await desk.rows("list_assignments", is_overdue=True))
    )


def late_by_type_wanted(sql: Sql) -> Any:
    return dict(sql(f"SELECT c.content_type, count(*) {OF} WHERE {OVERDUE} GROUP BY 1"))


async def late_in_team(desk: Desk) -> Any:
    answer = await desk.call("report_assignments", manager=ROSA, is_overdue=True, group_by=["user"], top=50)
    return {row["user_email"]: row["overdue"] for row in answer["rows"]}


async def late_in_team_plain(desk: Desk) -> Any:
    return dict(Counter(row["user"]["email"] for row in await team_late_plain(desk)))


def late_in_team_wanted(sql: Sql) -> Any:
    return dict(
        sql(
            f"SELECT u.email, count(*) {OF} JOIN users m ON m.id = u.manager_id WHERE m.name = ? AND {OVERDUE} GROUP BY 1",
            ROSA,
        )
    )


QUESTIONS = [
    Task(
        "Who is overdue on Security 101, by manager?",
        overdue_by_manager,
        overdue_by_manager_plain,
        overdue_by_manager_wanted,
    ),
    Task(
        "Completion rate of Security 101 in the group Platform?",
        rate_in_group,
        rate_in_group_plain,
        rate_in_group_wanted,
    ),
    Task("What is on Jane Doe's plate?", plate, plate_plain, plate_wanted),
    Task("How much of the catalogue was never assigned?", unused, unused_plain, unused_wanted),
    Task("How many came to the React Workshop, how many did not?", attendance, attendance_plain, attendance_wanted),
    Task("Who in New Hires never got Security 101?", never_assigned, never_assigned_plain, never_assigned_wanted),
    Task("What is overdue, by type of content?", late_by_type, late_by_type_plain, late_by_type_wanted),
    Task("Who in Rosa's team is late, and with how much?", late_in_team, late_in_team_plain, late_in_team_wanted),
]
