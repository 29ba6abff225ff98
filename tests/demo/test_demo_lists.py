"""Pages and filters, compared with queries of their own over the same database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pp_mcp.demo import Sizes, Tenant

from .conftest import Client, Clock

pytestmark = pytest.mark.anyio

TODAY = "2026-03-10"
OUT = "('not_started', 'in_progress')"

# path, parameters (a value in <> is looked up first), and the SQL that finds the same ids.
FILTERS: list[tuple[str, dict[str, str], str]] = [
    ("/users", {"email": "JANE.doe@Acme.example"}, "FROM users x WHERE email = 'jane.doe@acme.example'"),
    ("/users", {"email": "jane.doe"}, "FROM users x WHERE 0"),
    ("/users", {"employee_id": "EMP-1004"}, "FROM users x WHERE employee_id = 'EMP-1004'"),
    ("/users", {"search": "sAm LeE"}, "FROM users x WHERE name = 'Sam Lee'"),
    ("/users", {"search": "S@ACME"}, "FROM users x WHERE email LIKE '%s@acme%'"),
    ("/users", {"search": "TOMÁS"}, "FROM users x WHERE name LIKE 'Tomás%' OR name LIKE '% Tomás%'"),
    ("/users", {"search": ""}, "FROM users x"),
    ("/users", {"search": "100%"}, "FROM users x WHERE 0"),
    ("/users", {"is_active": "false"}, "FROM users x WHERE is_active = 0"),
    ("/users", {"is_active": "true"}, "FROM users x WHERE is_active = 1"),
    ("/users", {"role": "organizer"}, "FROM users x WHERE role = 'organizer'"),
    (
        "/users",
        {"manager": "<users WHERE name = 'Rosa Alvarez'>", "is_active": "true"},
        "FROM users x WHERE is_active AND manager_id IN (SELECT id FROM users WHERE name = 'Rosa Alvarez')",
    ),
    (
        "/users",
        {"group": "<groups WHERE name = 'Engineering'>"},
        "FROM users x JOIN group_members m ON m.user_id = x.id JOIN groups g ON g.id = m.group_id"
        " WHERE g.name = 'Engineering'",
    ),
    ("/users", {"group": "<users>"}, "FROM users x WHERE 0"),
    ("/groups", {"name": "pHOENIX"}, "FROM groups x WHERE name = 'Project Phoenix'"),
    ("/groups", {"source": "workday"}, "FROM groups x WHERE source = 'workday'"),
    ("/groups", {"source": "work"}, "FROM groups x WHERE 0"),
    ("/groups", {"search": "RULE"}, "FROM groups x WHERE source = 'rule' OR name LIKE '%rule%'"),
    ("/groups", {"search": "p", "source": "plusplus"}, "FROM groups x WHERE source = 'plusplus'"),
    ("/articles", {}, "FROM content_items x WHERE content_type = 'article'"),
    ("/articles", {"search": "POSTmortem"}, "FROM content_items x WHERE name = 'Writing Good Postmortems'"),
    ("/articles", {"is_archived": "false"}, "FROM content_items x WHERE content_type = 'article' AND NOT is_archived"),
    ("/articles", {"is_hidden": "false"}, "FROM content_items x WHERE content_type = 'article' AND NOT is_hidden"),
    ("/content-items", {"search": "workshop"}, "FROM content_items x WHERE name LIKE '%workshop%'"),
    ("/content-items", {"content_type": "track"}, "FROM content_items x WHERE content_type = 'track'"),
    ("/content-items", {"content_type": "podcast"}, "FROM content_items x WHERE 0"),
    (
        "/content-items",
        {"content_type": "course, video"},
        "FROM content_items x WHERE content_type IN ('course', 'video')",
    ),
    ("/content-items", {"is_archived": "true"}, "FROM content_items x WHERE is_archived"),
    ("/content-items", {"is_hidden": "true"}, "FROM content_items x WHERE is_hidden"),
    ("/content-items", {"created_gte": "2025-01-01T00:00:00Z"}, "FROM content_items x WHERE created > '2025-01-01'"),
    ("/content-items", {"created_lte": "2025-01-01T00:00:00Z"}, "FROM content_items x WHERE created < '2025-01-01'"),
    (
        "/content-items",
        {"modified_gte": "2025-06-01T02:00:00+02:00"},
        "FROM content_items x WHERE modified > '2025-06'",
    ),
    ("/content-items", {"modified_lte": "2025-06-01T00:00:00Z"}, "FROM content_items x WHERE modified < '2025-06'"),
    ("/content-items", {"channel": "<channels WHERE id = 2>"}, "FROM content_items x WHERE channel_id = 2"),
    ("/content-items", {"channel": "<users>"}, "FROM content_items x WHERE 0"),
    (
        "/content-items",
        {"group": "<groups WHERE id = (SELECT min(group_id) FROM item_groups)>"},
        "FROM content_items x JOIN item_groups l ON l.content_item_id = x.id"
        " WHERE l.group_id = (SELECT min(group_id) FROM item_groups)",
    ),
    (
        "/assignments",
        {"user": "<users WHERE name = 'Jane Doe'>"},
        "FROM assignments x JOIN users u ON u.id = x.user_id WHERE u.name = 'Jane Doe'",
    ),
    (
        "/assignments",
        {"content_item": "<content_items WHERE id = 1>", "state": "completed"},
        "FROM assignments x WHERE content_item_id = 1 AND state = 'completed'",
    ),
    ("/assignments", {"state": "exempted"}, "FROM assignments x WHERE state = 'exempted'"),
    ("/assignments", {"state": "lost"}, "FROM assignments x WHERE 0"),
    (
        "/assignments",
        {"content_type": "event"},
        "FROM assignments x JOIN content_items c ON c.id = x.content_item_id WHERE c.content_type = 'event'",
    ),
    ("/assignments", {"is_overdue": "true"}, f"FROM assignments x WHERE state IN {OUT} AND due_date < '{TODAY}'"),
    (
        "/assignments",
        {"is_overdue": "false"},
        f"FROM assignments x WHERE state NOT IN {OUT} OR due_date IS NULL OR due_date >= '{TODAY}'",
    ),
    ("/assignments", {"due_date_gte": "2026-03-01"}, "FROM assignments x WHERE due_date >= '2026-03-01'"),
    ("/assignments", {"due_date_lte": "2026-03-01"}, "FROM assignments x WHERE due_date <= '2026-03-01'"),
    ("/assignments", {"created_gte": "2026-01-01T00:00:00Z"}, "FROM assignments x WHERE created > '2026'"),
    ("/assignments", {"created_lte": "2026-01-01T00:00:00Z"}, "FROM assignments x WHERE created < '2026'"),
    (
        "/enrollments",
        {"user": "<users WHERE id = (SELECT max(user_id) FROM enrollments)>"},
        "FROM enrollments x WHERE user_id = (SELECT max(user_id) FROM enrollments)",
    ),
    (
        "/enrollments",
        {"event": "<content_items WHERE name = 'React Workshop'>"},
        "FROM enrollments x JOIN content_items c ON c.id = x.event_id WHERE c.name = 'React Workshop'",
    ),
    (
        "/enrollments",
        {"status": "no_show"},
        "FROM enrollments x JOIN content_items c ON c.id = x.event_id WHERE x.recorded = 'enrolled'"
        f" AND NOT c.is_cancelled AND x.checkin_datetime IS NULL AND c.checkin_closes_at < '{TODAY}T12'",
    ),
    ("/enrollments", {"status": "waitlisted"}, "FROM enrollments x WHERE recorded = 'waitlisted'"),
    ("/enrollments", {"attendance_method": "online"}, "FROM enrollments x WHERE attendance_method = 'online'"),
    ("/enrollments", {"created_gte": "2026-01-01T00:00:00Z"}, "FROM enrollments x WHERE created > '2026'"),
    ("/enrollments", {"created_lte": "2026-01-01T00:00:00Z"}, "FROM enrollments x WHERE created < '2026'"),
]


@pytest.mark.parametrize(("path", "params", "query"), FILTERS, ids=lambda value: str(value)[:50])
async def test_filters(client: Client, path: str, params: dict[str, str], query: str) -> None:
    given = {
        name: client.sql(f"SELECT public_id FROM {value[1:-1]}") if value.startswith("<") else value
        for name, value in params.items()
    }
    found = await client.walk(path, size=9, **given)
    wanted = client.column(f"SELECT x.public_id {query}")
    assert sorted(found) == sorted(wanted)
    if " WHERE 0" not in query:
        assert found


@pytest.mark.parametrize("path", ["/users", "/groups", "/articles", "/content-items", "/assignments", "/enrollments"])
async def test_the_order_holds_for_every_page_size(client: Client, path: str) -> None:
    assert await client.walk(path, size=100) == await client.walk(path, size=7)


async def test_assignments_come_newest_first(client: Client) -> None:
    created = [row["created"] for row in (await client.get("/assignments?page_size=100")).json()["data"]]
    assert created == sorted(created, reverse=True)


async def test_past_the_last_page_there_is_nothing(client: Client) -> None:
    for path in ("/users?page=61&page_size=1", "/users?page=999999999999999999", "/users?is_active=true&page=99"):
        answer = (await client.get(path)).json()
        assert answer["data"] == []
        assert answer["meta"]["total_count"] > 0
    assert (await client.get("/users?page=61&page_size=1")).json()["meta"]["page"] == 61


async def test_a_page_has_25_rows_unless_told_otherwise(client: Client) -> None:
    answer = (await client.get("/users")).json()
    assert len(answer["data"]) == 25
    assert answer["meta"] == {"page": 1, "page_size": 25, "total_count": 60}


async def test_a_kept_list_notices_every_write(client: Client, tenant: Tenant) -> None:
    async def count() -> tuple[int, int]:
        every = (await client.get("/users")).json()["meta"]["total_count"]
        active = (await client.get("/users?is_active=true")).json()["meta"]["total_count"]
        return every, active

    every, active = await count()
    await client.post("/users", json={"email": "new@acme.example", "name": "New"})
    assert await count() == (every + 1, active + 1)
    tenant.connection.execute("UPDATE users SET is_active = 0 WHERE name = 'New'")
    assert await count() == (every + 1, active)


async def test_many_different_lists(client: Client) -> None:
    names = [f"{a}{b}" for a in "abcde" for b in "aeioulnr"]
    first = [(await client.get("/users", params={"search": name})).json() for name in names]
    assert first == [(await client.get("/users", params={"search": name})).json() for name in names]


async def test_overdue_follows_the_clock(client: Client, clock: Clock) -> None:
    async def overdue() -> int:
        return (await client.get("/assignments?is_overdue=true")).json()["meta"]["total_count"]

    before = await overdue()
    clock.pass_(days=40)
    assert await overdue() > before
    clock.pass_(days=-400)
    assert await overdue() < before


async def test_enrollment_states_and_statuses(client: Client, clock: Clock) -> None:
    rows: list[dict[str, Any]] = []
    for page in (1, 2):
        rows += (await client.get("/enrollments", params={"page": page, "page_size": 100})).json()["data"]
    states = {(row["status"], row["state"]) for row in rows}
    assert states <= {
        ("checked_in", "completed"),
        ("no_show", "not_started"),
        ("enrolled", "not_started"),
        ("waitlisted", None),
        ("dropped", "dropped"),
        ("cancelled", "dropped"),
    }
    assert all((row["checkin_datetime"] is not None) == (row["status"] == "checked_in") for row in rows)
    assert all((row["attendance_method"] is None) == (row["status"] == "dropped") for row in rows)
    enrolled = [row["public_id"] for row in rows if row["status"] == "enrolled"]
    clock.pass_(days=100)
    later = set(await client.walk("/enrollments", status="no_show"))
    assert set(enrolled) & later


async def test_a_cancelled_event_and_one_without_cutoff(make: Callable[..., Tenant]) -> None:
    tenant = make(sizes=Sizes(people=60, content_items=120, assignments=900, enrollments=600))
    async with Client(tenant) as client:
        cancelled = client.sql("SELECT public_id FROM content_items WHERE is_cancelled")
        for row in (await client.get("/enrollments", params={"event": cancelled})).json()["data"]:
            assert row["status"] in ("cancelled", "waitlisted", "dropped")
        lenient = client.sql(
            "SELECT public_id FROM content_items WHERE event_starts_at < '2026-03' AND checkin_closes_at IS NULL"
        )
        statuses = {row["status"] for row in (await client.get(f"/enrollments?event={lenient}")).json()["data"]}
        assert "enrolled" in statuses
        assert "no_show" not in statuses
