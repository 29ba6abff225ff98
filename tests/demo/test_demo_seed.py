"""What is in a new tenant."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pp_mcp.demo import Sizes, Tenant

from .conftest import Clock

TODAY = "2026-03-10"
OUT = "('not_started', 'in_progress')"


@pytest.fixture(scope="module")
def seeded() -> Iterator[Tenant]:
    tenant = Tenant(now=Clock())
    yield tenant
    tenant.close()


@pytest.fixture
def value(seeded: Tenant) -> Callable[..., Any]:
    return lambda query: seeded.connection.execute(query).fetchone()[0]


def test_the_sizes(value: Callable[..., Any]) -> None:
    for table, count in (
        ("users", 300),
        ("groups", 12),
        ("content_items", 120),
        ("assignments", 4000),
        ("enrollments", 600),
        ("channels", 5),
    ):
        assert value(f"SELECT count(*) FROM {table}") == count


def test_the_people(seeded: Tenant, value: Callable[..., Any]) -> None:
    assert value("SELECT count(DISTINCT email_key) FROM users") == 300
    assert value("SELECT count(*) FROM users WHERE email NOT LIKE '%_._%@acme.example'") == 0
    assert value("SELECT count(*) FROM users WHERE email GLOB '*[^a-z0-9.@-]*'") == 0
    assert value("SELECT email FROM users WHERE name = 'Jane Doe'") == "jane.doe@acme.example"
    twice = [
        tuple(row) for row in seeded.connection.execute("SELECT name FROM users GROUP BY name HAVING count(*) > 1")
    ]
    assert twice == [("Sam Lee",)]
    assert value("SELECT count(*) FROM users WHERE manager_id IS NULL") == 1
    rosa = "(SELECT id FROM users WHERE name = 'Rosa Alvarez')"
    assert value(f"SELECT count(*) FROM users WHERE manager_id = {rosa}") == 12
    assert 12 <= value("SELECT count(DISTINCT manager_id) FROM users") <= 20
    depth = """
        WITH RECURSIVE line (id, depth) AS (
            SELECT id, 1 FROM users WHERE manager_id IS NULL
            UNION ALL SELECT u.id, depth + 1 FROM users u JOIN line l ON u.manager_id = l.id
        ) SELECT max(depth) || '/' || count(*) FROM line
    """
    assert value(depth) == "5/300"
    assert value("SELECT count(*) FROM users WHERE NOT is_active") == 18
    assert value("SELECT count(*) FROM users m WHERE NOT is_active AND id IN (SELECT manager_id FROM users)") == 0
    assert value("SELECT count(*) FROM users WHERE role <> 'user'") >= 5
    assert value("SELECT count(*) FROM users WHERE date_joined > '2026-02-08' AND date_joined < '2026-03-10'") >= 8
    assert value("SELECT min(date_joined) FROM users") < "2021"
    assert 0 < value("SELECT count(*) FROM users WHERE employee_id IS NULL") < 30
    assert value("SELECT count(DISTINCT employee_id) = count(employee_id) FROM users") == 1


def test_the_groups(seeded: Tenant, value: Callable[..., Any]) -> None:
    names = [row[0] for row in seeded.connection.execute("SELECT name FROM groups")]
    assert names.count("Project Phoenix") == 2
    assert {"Platform", "New Hires", "Engineering", "Sales", "Security Champions", "People Managers"} <= set(names)
    assert {row[0] for row in seeded.connection.execute("SELECT DISTINCT source FROM groups")} == {
        "plusplus",
        "workday",
        "rule",
    }
    assert value("SELECT min(n) FROM (SELECT count(*) n FROM group_members GROUP BY group_id)") >= 4
    assert value("SELECT count(DISTINCT group_id) FROM group_members") == 12


def test_the_catalogue(value: Callable[..., Any]) -> None:
    assert value("SELECT count(DISTINCT content_type) FROM content_items") == 10
    assert value("SELECT count(DISTINCT name) FROM content_items") == 120
    for name, content_type in (
        ("Security 101", "course"),
        ("Engineering Onboarding", "track"),
        ("React Workshop", "event"),
    ):
        assert value(f"SELECT content_type FROM content_items WHERE name = '{name}'") == content_type
    for condition in (
        "is_archived",
        "is_hidden",
        "NOT is_self_assignable",
        "total_assignments = 0 AND is_completable",
        "total_assignments > 5 AND completed_assignments_count = 0",
        "rating_count > 3 AND rating_sum < 2.5 * rating_count",
        "modified < '2025'",
        "id IN (SELECT content_item_id FROM item_groups)",
        "description IS NULL",
    ):
        assert 0 < value(f"SELECT count(*) FROM content_items WHERE {condition}") < 60, condition
    assert value("SELECT count(*) FROM content_items WHERE modified < created OR created > '2026-03-10'") == 0
    assert value("SELECT count(DISTINCT channel_id) FROM content_items") == 5


def test_the_assignments(value: Callable[..., Any]) -> None:
    assert value("SELECT count(DISTINCT state) FROM assignments") == 5
    overdue = f"FROM assignments WHERE state IN {OUT} AND due_date < '{TODAY}'"
    assert 200 < value(f"SELECT count(*) {overdue}") < 900
    assert value(f"SELECT min(due_date) {overdue}") < "2025-10"
    assert value(f"SELECT count(DISTINCT user_id) {overdue}") > 100
    for condition in (
        f"expires_at < '{TODAY}'",
        "score < 0.7 AND NOT is_success",
        "score = 1.0",
        "attempt = 3",
        "feedback_rating = 5",
        "due_date IS NULL",
        "state = 'in_progress' AND progress BETWEEN 0.05 AND 0.95",
        "state = 'dropped' AND drop_reason IS NOT NULL",
        "user_id IN (SELECT id FROM users WHERE NOT is_active)",
        f"due_date > '{TODAY}' AND state IN {OUT}",
    ):
        assert value(f"SELECT count(*) FROM assignments WHERE {condition}") > 0, condition
    for never in (
        "(state = 'completed') <> (completed_datetime IS NOT NULL)",
        "(state = 'completed') <> (is_success IS NOT NULL)",
        "(state = 'dropped') <> (dropped_at IS NOT NULL)",
        "(state = 'exempted') <> (exempted_at IS NOT NULL)",
        "state = 'not_started' AND (started_at IS NOT NULL OR progress <> 0)",
        "state = 'completed' AND progress <> 1",
        "completed_datetime < started_at OR started_at < created OR dropped_at < created OR exempted_at < created",
        f"max(created, coalesce(started_at, ''), coalesce(completed_datetime, dropped_at, '')) > '{TODAY}'",
        "created < (SELECT date_joined FROM users u WHERE u.id = user_id)",
        "created < (SELECT substr(created, 1, 10) FROM content_items c WHERE c.id = content_item_id)",
    ):
        assert value(f"SELECT count(*) FROM assignments WHERE {never}") == 0, never
    assert (
        value("SELECT count(*) FROM assignments a JOIN assignments b ON b.id = a.id + 1 WHERE a.created > b.created")
        == 0
    )
    attempts = "SELECT max(attempt) m, count(*) n FROM assignments GROUP BY user_id, content_item_id"
    assert value(f"SELECT count(*) FROM ({attempts}) WHERE m <> n") == 0


def test_the_enrollments(value: Callable[..., Any]) -> None:
    react = "FROM enrollments e JOIN content_items c ON c.id = e.event_id WHERE c.name = 'React Workshop'"
    assert value(f"SELECT event_starts_at {react}") == "2026-03-03T14:00:00.000000Z"
    assert value(f"SELECT count(*) {react} AND recorded = 'waitlisted'") == 6
    assert value(f"SELECT count(*) {react} AND recorded = 'enrolled' AND checkin_datetime IS NULL") == 9
    assert value("SELECT count(*) FROM (SELECT 1 FROM enrollments GROUP BY user_id, event_id HAVING count(*) > 1)") == 0
    ahead = f"event_id IN (SELECT id FROM content_items WHERE event_starts_at > '{TODAY}')"
    assert value(f"SELECT count(*) FROM enrollments WHERE {ahead}") > 50
    assert value(f"SELECT count(*) FROM enrollments WHERE {ahead} AND checkin_datetime IS NOT NULL") == 0
    assert value(f"SELECT count(*) FROM enrollments WHERE created > '{TODAY}'") == 0
    assert value("SELECT count(*) FROM enrollments WHERE (assignment_id IS NULL) <> (recorded = 'waitlisted')") == 0
    mismatch = """
        SELECT count(*) FROM enrollments e JOIN assignments a ON a.id = e.assignment_id
        WHERE a.user_id <> e.user_id OR a.content_item_id <> e.event_id OR a.created <> e.created
    """
    assert value(mismatch) == 0
    events = "content_item_id IN (SELECT id FROM content_items WHERE content_type = 'event')"
    assert value(f"SELECT count(*) FROM assignments WHERE {events}") == value(
        "SELECT count(*) FROM enrollments WHERE assignment_id IS NOT NULL"
    )


def test_the_same_seed_makes_the_same_tenant(make: Callable[..., Tenant], clock: Clock) -> None:
    def rows(tenant: Tenant) -> list[str]:
        return list(tenant.connection.iterdump())

    first = rows(make())
    assert rows(make()) == first
    clock.pass_(hours=3)
    assert rows(make()) == first
    assert rows(make(seed=8)) != first
    clock.pass_(days=1)
    assert rows(make()) != first


@pytest.mark.parametrize(
    "sizes",
    [
        Sizes(people=1, groups=0, content_items=0, assignments=0, enrollments=0),
        Sizes(people=1, groups=1, content_items=1, assignments=3, enrollments=3),
        Sizes(people=5, groups=3, content_items=3, assignments=12, enrollments=20),
        Sizes(people=9, groups=20, content_items=14, assignments=2, enrollments=30),
        Sizes(people=50, groups=12, content_items=0, assignments=100, enrollments=100),
        Sizes(people=40, groups=12, content_items=20, assignments=3000, enrollments=5),
    ],
)
def test_odd_sizes(make: Callable[..., Tenant], sizes: Sizes) -> None:
    tenant = make(sizes=sizes)
    count = {
        table: tenant.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("users", "groups", "content_items", "assignments", "enrollments")
    }
    assert count["users"] == sizes.people
    assert count["groups"] == sizes.groups
    assert count["content_items"] >= sizes.content_items
    assert count["enrollments"] <= sizes.enrollments
    if sizes.content_items and sizes.people > 1:
        assert count["assignments"] == sizes.assignments


def test_enrollments_leave_room_for_other_assignments(make: Callable[..., Tenant]) -> None:
    tenant = make(sizes=Sizes(people=40, assignments=100))
    linked = "SELECT count(*), count(assignment_id) FROM enrollments"
    count, with_assignment = tenant.connection.execute(linked).fetchone()
    assert count > with_assignment == 50


def test_wrong_sizes() -> None:
    with pytest.raises(ValueError, match="at least one person"):
        Sizes(people=0)
    with pytest.raises(ValueError, match="negative"):
        Sizes(enrollments=-1)


def test_names_do_not_run_out(make: Callable[..., Tenant]) -> None:
    tenant = make(sizes=Sizes(people=25_000, groups=2, content_items=12, assignments=0, enrollments=0))
    twice = "SELECT count(*) FROM (SELECT name FROM users GROUP BY name HAVING count(*) > 1)"
    assert tenant.connection.execute(twice).fetchone()[0] == 1


def test_a_large_tenant() -> None:
    started = time.perf_counter()
    tenant = Tenant(sizes=Sizes(people=2_000, assignments=20_000), now=Clock())
    took = time.perf_counter() - started
    try:
        (twice,) = tenant.connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM assignments WHERE state IN {OUT}"
            " GROUP BY user_id, content_item_id HAVING count(*) > 1)"
        ).fetchone()
        assert twice == 0
        assert tenant.connection.execute("SELECT count(*) FROM assignments").fetchone()[0] == 20_000
        # Generous: what it takes alone is a tenth of it.
        assert took < 10
    finally:
        tenant.close()
