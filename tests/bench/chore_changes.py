"""Twelve changes of an administrator on the demo tenant, each with two solutions and what must come out.

The mirror's solutions are as short as its operations allow: the largest pages, every filter that helps, and where a
filter asks for a request per person and a list holds everybody, whichever takes fewer calls.
"""

from __future__ import annotations

from typing import Any

from tests.bench.facts import (
    COURSE,
    JANE,
    OF,
    OPEN,
    OVERDUE,
    PRIVACY,
    ROSA,
    TRACK,
    due_dates,
    group_id,
    held,
    in_days,
    is_open,
    item_id,
    members,
    person_id,
    states,
    team_late_plain,
)
from tests.bench.plain import Json
from tests.bench.tasks import Desk, Sql, Task


async def two_more_weeks(desk: Desk) -> Any:
    (row,) = (await desk.call("list_assignments", user=JANE, content_item=COURSE))["items"]
    await desk.confirmed("update_assignment", assignment=row["public_id"], due_date=in_days(14))


async def two_more_weeks_plain(desk: Desk) -> Any:
    row = await open_row_plain(desk, JANE, COURSE)
    await desk.call("update_assignment", public_id=row["public_id"], due_date=in_days(14))


async def open_row_plain(desk: Desk, email: str, title: str) -> Json:
    """The mirror's look-up of one person's outstanding assignment."""
    rows = await desk.rows(
        "list_assignments", user=await person_id(desk, email), content_item=await item_id(desk, title)
    )
    return next(filter(is_open, rows))


def two_more_weeks_wanted(sql: Sql) -> Any:
    (one,) = sql(f"SELECT a.id {OF} WHERE u.email = ? AND c.name = ? AND {OPEN}", JANE, COURSE)
    return due_dates(sql) | {one: in_days(14)}


async def extend_team(desk: Desk) -> Any:
    what = {"action": "set_due_date", "manager": ROSA, "is_overdue": True, "due_date": in_days(7)}
    await desk.confirmed("bulk_update_assignments", **what)


async def extend_team_plain(desk: Desk) -> Any:
    for row in await team_late_plain(desk):
        await desk.call("update_assignment", public_id=row["public_id"], due_date=in_days(7))


def extend_team_wanted(sql: Sql) -> Any:
    late = sql(f"SELECT a.id {OF} JOIN users m ON m.id = u.manager_id WHERE m.name = ? AND {OVERDUE}", ROSA)
    return due_dates(sql) | dict.fromkeys(late, in_days(7))


async def roll_out(desk: Desk) -> Any:
    await desk.confirmed("bulk_assign_content", content_item=PRIVACY, group="New Hires", due_date=in_days(14))


async def roll_out_plain(desk: Desk) -> Any:
    item, group = await item_id(desk, PRIVACY), await group_id(desk, "New Hires")
    have = {row["user"]["public_id"] for row in await desk.rows("list_assignments", content_item=item)}
    for person in await desk.rows("list_users", group=group):
        if person["public_id"] not in have and person["is_active"]:
            await desk.call("assign_content", user_id=person["public_id"], content_item_id=item, due_date=in_days(14))


def roll_out_wanted(sql: Sql) -> Any:
    have = set(sql(f"SELECT u.email {OF} WHERE c.name = ?", PRIVACY))
    left = set(sql("SELECT email FROM users WHERE NOT is_active"))
    given = [(email, PRIVACY, 0, in_days(14)) for email in members(sql, "New Hires") if email not in have | left]
    return sorted([*held(sql), *given])


ROSTER = tuple(
    f"{name}@acme.example" for name in ("jane.doe", "rosa.alvarez", "jose.pereira", "felix.galli", "nina.choi")
)
CHAMPIONS, BUDDIES = "Security Champions", "Onboarding Buddies"


def roster(sql: Sql) -> list[str]:
    """The list that the champions shall match: most of those there are, and five more."""
    return sorted({*members(sql, CHAMPIONS)[3:], *ROSTER})


async def match_roster(desk: Desk) -> Any:
    await desk.confirmed("replace_group_members", group=CHAMPIONS, members=desk.given)


async def match_roster_plain(desk: Desk) -> Any:
    people = {row["email"]: row["public_id"] for row in await desk.rows("list_users")}
    ids = [people[email] for email in desk.given]
    await desk.call(
        "replace_group_members", public_id=await group_id(desk, CHAMPIONS), member_ids=ids, confirm_replace=True
    )


async def add_people(desk: Desk) -> Any:
    await desk.confirmed("add_group_members", group=BUDDIES, members=list(ROSTER))


async def add_people_plain(desk: Desk) -> Any:
    ids = [await person_id(desk, email) for email in ROSTER]
    await desk.call("add_group_members", public_id=await group_id(desk, BUDDIES), member_ids=ids)


async def remove_people(desk: Desk) -> Any:
    await desk.confirmed("remove_group_members", group=BUDDIES, members=desk.given)


async def remove_people_plain(desk: Desk) -> Any:
    ids = [await person_id(desk, email) for email in desk.given]
    await desk.call("remove_group_members", public_id=await group_id(desk, BUDDIES), member_ids=ids)


def leaving(sql: Sql) -> list[str]:
    """Who goes."""
    return members(sql, BUDDIES)[:2]


RETIRED = ("Introduction to Terraform", "Introduction to TypeScript", "Writing Good Postmortems")


async def retire(desk: Desk) -> Any:
    await desk.confirmed("archive_content_items", items=list(RETIRED))


async def retire_plain(desk: Desk) -> Any:
    items = [{"public_id": await item_id(desk, title)} for title in RETIRED]
    await desk.call("archive_content_items", items=items)


def archived(sql: Sql) -> Any:
    """Titles of what is archived."""
    return sorted(sql("SELECT name FROM content_items WHERE is_archived"))


NEW = {"email": "mia.novak@acme.example", "name": "Mia Novak"}


async def onboard(desk: Desk) -> Any:
    await desk.confirmed("create_user", **NEW, manager=ROSA)
    await desk.confirmed("add_group_members", group="Platform", members=[NEW["email"]])
    await desk.confirmed("assign_content", user=NEW["email"], content_item=TRACK, due_date=in_days(30))


async def onboard_plain(desk: Desk) -> Any:
    rosa = (await desk.one("list_users", search=ROSA))["public_id"]
    made = await desk.call("create_user", **NEW, manager=rosa)
    person = made.get("data", made)["public_id"]
    await desk.call("add_group_members", public_id=await group_id(desk, "Platform"), member_ids=[person])
    item = await item_id(desk, TRACK)
    await desk.call("assign_content", user_id=person, content_item_id=item, due_date=in_days(30))


def onboarded(sql: Sql) -> Any:
    """The new person's manager, groups and training."""
    return (
        sql("SELECT m.name FROM users u JOIN users m ON m.id = u.manager_id WHERE u.email = ?", NEW["email"]),
        NEW["email"] in members(sql, "Platform"),
        sql(f"SELECT c.name, a.due_date {OF} WHERE u.email = ?", NEW["email"]),
    )


async def offboard(desk: Desk) -> Any:
    await desk.confirmed("bulk_update_assignments", action="drop", user=[JANE])
    await desk.confirmed("update_user", user=JANE, is_active=False)


async def offboard_plain(desk: Desk) -> Any:
    person = await person_id(desk, JANE)
    for row in filter(is_open, await desk.rows("list_assignments", user=person)):
        await desk.call("drop_assignment", public_id=row["public_id"])
    await desk.call("update_user", public_id=person, is_active=False)


def offboard_wanted(sql: Sql) -> Any:
    mine = sql(f"SELECT a.id {OF} WHERE u.email = ? AND {OPEN}", JANE)
    return states(sql) | dict.fromkeys(mine, "dropped"), sorted([*inactive(sql), JANE])


def inactive(sql: Sql) -> Any:
    """Who is inactive."""
    return sorted(sql("SELECT email FROM users WHERE NOT is_active"))


async def excuse(desk: Desk) -> Any:
    (row,) = (await desk.call("list_assignments", user=JANE, content_item=COURSE))["items"]
    await desk.confirmed("exempt_assignment", assignment=row["public_id"])


async def excuse_plain(desk: Desk) -> Any:
    row = await open_row_plain(desk, JANE, COURSE)
    await desk.call("exempt_assignment", public_id=row["public_id"])


def excuse_wanted(sql: Sql) -> Any:
    (one,) = sql(f"SELECT a.id {OF} WHERE u.email = ? AND c.name = ? AND {OPEN}", JANE, COURSE)
    return states(sql) | {one: "exempted"}


async def mark_done(desk: Desk) -> Any:
    what = {"action": "complete", "user": desk.given, "content_item": COURSE}
    await desk.confirmed("bulk_update_assignments", **what)


async def mark_done_plain(desk: Desk) -> Any:
    item = await item_id(desk, COURSE)
    for email in desk.given:
        rows = await desk.rows("list_assignments", user=await person_id(desk, email), content_item=item)
        await desk.call("complete_assignment", public_id=next(filter(is_open, rows))["public_id"])


def attended(sql: Sql) -> dict[str, int]:
    """Who was there, with their assignments."""
    query = f"SELECT u.email, a.id {OF} WHERE c.name = ? AND u.is_active AND {OPEN} ORDER BY u.email LIMIT 4"
    return dict(sql(query, COURSE))


async def rename(desk: Desk) -> Any:
    await desk.confirmed("update_content_item", content_item="Welcome to Acme", name="Hello Acme")


async def rename_plain(desk: Desk) -> Any:
    await desk.call("update_content_item", public_id=await item_id(desk, "Welcome to Acme"), name="Hello Acme")


def titles(sql: Sql) -> Any:
    """All titles."""
    return sorted(sql("SELECT name FROM content_items"))


async def extend_course_in_group(desk: Desk) -> Any:
    what = {"action": "set_due_date", "group": "Platform", "content_item": COURSE, "is_overdue": True}
    await desk.confirmed("bulk_update_assignments", **what, due_date=in_days(10))


async def extend_course_in_group_plain(desk: Desk) -> Any:
    item, group = await item_id(desk, COURSE), await group_id(desk, "Platform")
    people = {row["public_id"] for row in await desk.rows("list_users", group=group)}
    for row in await desk.rows("list_assignments", content_item=item, is_overdue=True):
        if row["user"]["public_id"] in people:
            await desk.call("update_assignment", public_id=row["public_id"], due_date=in_days(10))


def extend_course_in_group_wanted(sql: Sql) -> Any:
    people = members(sql, "Platform")
    late = sql(f"SELECT a.id, u.email {OF} WHERE c.name = ? AND {OVERDUE}", COURSE)
    return due_dates(sql) | {one: in_days(10) for one, email in late if email in people}


CHANGES = [
    Task(
        "Give Jane two more weeks for Security 101",
        two_more_weeks,
        two_more_weeks_plain,
        two_more_weeks_wanted,
        due_dates,
    ),
    Task(
        "Extend everything overdue in Rosa's team by a week",
        extend_team,
        extend_team_plain,
        extend_team_wanted,
        due_dates,
    ),
    Task(
        "Extend Security 101 for the late of the group Platform",
        extend_course_in_group,
        extend_course_in_group_plain,
        extend_course_in_group_wanted,
        due_dates,
    ),
    Task("Assign Data Privacy Essentials to New Hires who lack it", roll_out, roll_out_plain, roll_out_wanted, held),
    Task(
        "Make Security Champions match a list of e-mails",
        match_roster,
        match_roster_plain,
        roster,
        lambda sql: members(sql, CHAMPIONS),
        roster,
    ),
    Task(
        "Add five people to Onboarding Buddies",
        add_people,
        add_people_plain,
        lambda sql: sorted({*members(sql, BUDDIES), *ROSTER}),
        lambda sql: members(sql, BUDDIES),
    ),
    Task(
        "Remove two people from Onboarding Buddies",
        remove_people,
        remove_people_plain,
        lambda sql: members(sql, BUDDIES)[2:],
        lambda sql: members(sql, BUDDIES),
        leaving,
    ),
    Task("Archive three articles", retire, retire_plain, lambda sql: sorted({*archived(sql), *RETIRED}), archived),
    Task(
        "Onboard a new hire: account, group, track",
        onboard,
        onboard_plain,
        lambda _sql: ([ROSA], True, [(TRACK, in_days(30))]),
        onboarded,
    ),
    Task(
        "Offboard Jane: drop what is open, deactivate",
        offboard,
        offboard_plain,
        offboard_wanted,
        lambda sql: (states(sql), inactive(sql)),
    ),
    Task("Excuse Jane from Security 101", excuse, excuse_plain, excuse_wanted, states),
    Task(
        "Mark Security 101 as done for four people",
        mark_done,
        mark_done_plain,
        lambda sql: states(sql) | dict.fromkeys(attended(sql).values(), "completed"),
        states,
        lambda sql: [*attended(sql)],
    ),
]
