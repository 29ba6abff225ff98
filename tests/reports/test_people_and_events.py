"""One person's plate, and attendance: what the figures of the property tests do not show."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stage import NOON, TODAY, Stage

from pp_mcp.demo import Sizes, Tenant

pytestmark = pytest.mark.anyio

SIZES = Sizes(people=60, groups=12, content_items=60, assignments=600, enrollments=120)


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    made = Tenant(sizes=SIZES, now=lambda: NOON)
    yield made
    made.close()


@pytest.fixture
def there(tenant: Tenant) -> Stage:
    return Stage(tenant)


async def test_everybodys_plate_by_sql(there: Stage) -> None:
    for public_id, number in there.sql("SELECT public_id, id FROM users ORDER BY id LIMIT 25"):
        answer = await there.answer("get_learner_summary", user=public_id)
        late = there.sql(
            "SELECT public_id FROM assignments WHERE user_id = ? AND state IN ('not_started', 'in_progress') AND due_date < ? ORDER BY due_date, public_id",
            number,
            str(TODAY),
        )
        coming = there.sql(
            "SELECT public_id FROM assignments WHERE user_id = ? AND state IN ('not_started', 'in_progress') AND coalesce(due_date, '9999') >= ? ORDER BY coalesce(due_date, '9999'), public_id",
            number,
            str(TODAY),
        )
        done = there.sql(
            "SELECT public_id FROM assignments WHERE user_id = ? AND state = 'completed' AND completed_datetime >= ? ORDER BY completed_datetime DESC, public_id DESC",
            number,
            "2026-02-08",
        )
        for name, rows in (("overdue", late), ("next_due", coming), ("completed_lately", done)):
            assert [row["assignment"] for row in answer[name]] == [row[0] for row in rows[:8]]
        assert answer["totals"]["overdue"] == len(late)
        assert answer["totals"]["outstanding"] == len(late) + len(coming)
        total = there.one("SELECT count(*) FROM assignments WHERE user_id = ?", number)
        assert answer["totals"]["total"] == answer["coverage"]["rows_read"] == total


async def test_a_plate_in_words(there: Stage) -> None:
    change = there.tenant.connection.execute
    change("DELETE FROM assignments")
    person = there.one("SELECT public_id FROM users WHERE id = 5")
    assert (await there.answer("get_learner_summary", user=person))[
        "summary"
    ] == "“Jane Doe” (jane.doe@acme.example): no assignments."
    change("UPDATE users SET is_active = 0 WHERE id = 5")
    change("""INSERT INTO assignments (public_id, user_id, content_item_id, state, due_date, completed_datetime, created, progress) VALUES
        ('aaaaaaaa-0000-4000-8000-000000000001', 5, 1, 'in_progress', '2026-03-01', NULL, '2026-01-01T00:00:00.000000Z', 0.5),
        ('aaaaaaaa-0000-4000-8000-000000000002', 5, 2, 'not_started', '2026-04-01', NULL, '2026-01-01T00:00:00.000000Z', 0),
        ('aaaaaaaa-0000-4000-8000-000000000003', 5, 3, 'completed', NULL, '2026-03-09T10:00:00.000000Z', '2026-01-01T00:00:00.000000Z', 1)""")
    names = [row[0] for row in there.sql("SELECT name FROM content_items WHERE id < 4 ORDER BY id")]
    answer = await there.answer("get_learner_summary", user=person)
    assert answer["summary"] == (
        "“Jane Doe” (jane.doe@acme.example) (inactive): 2 outstanding, 1 of them overdue; 1 completed (1 in the last 30 days). "
        f"Late: “{names[0]}” (due 2026-03-01). Next: “{names[1]}”, due 2026-04-01."
    )
    assert answer["totals"]["completion_rate"] == 0.333
    assert answer["overdue"][0]["progress"] == 0.5
    assert answer["completed_lately"][0]["completed"] == "2026-03-09"


async def test_attendance_in_words(there: Stage) -> None:
    change = there.tenant.connection.execute
    event = there.one("SELECT id FROM content_items WHERE checkin_closes_at < '2026-03-01' AND NOT is_cancelled")
    public_id, name = there.sql("SELECT public_id, name FROM content_items WHERE id = ?", event)[0]
    change("DELETE FROM enrollments")
    answer = await there.answer("report_enrollments", event=public_id)
    assert answer["summary"] == f"No enrollments in “{name}”."
    assert (answer["rows"], answer["totals"]) == ([], {"total": 0, "people": 0})

    def enroll(number: int, person: int, recorded: str, checkin: str | None = None) -> None:
        change(
            "INSERT INTO enrollments (public_id, user_id, event_id, recorded, checkin_datetime, created) VALUES (?, ?, ?, ?, ?, '2026-01-01T00:00:00.000000Z')",
            (f"aaaaaaaa-0000-4000-8000-{number:012}", person, event, recorded, checkin),
        )

    enroll(1, 5, "enrolled")
    answer = await there.answer("report_enrollments", event=public_id)
    assert answer["summary"] == (
        f"1 enrollment in “{name}”: 1 no show. No-show rate 100.0 %. Did not come: “Jane Doe” (jane.doe@acme.example)."
    )
    assert answer["rows"] == [
        {"user": "Jane Doe", "email": "jane.doe@acme.example", "total": 1, "no_show": 1, "no_show_rate": 1.0}
    ]
    enroll(2, 5, "enrolled")
    enroll(3, 6, "enrolled")
    enroll(4, 7, "enrolled", "2026-01-01T00:00:00.000000Z")
    enroll(5, 8, "waitlisted")
    enroll(6, 9, "Total nonsense\u202e")
    answer = await there.answer("report_enrollments")
    assert answer["summary"].startswith("6 enrollments: 3 no show, ")
    assert "“Total nonsense”" in answer["summary"]
    assert (
        "No-show rate 75.0 %. Did not come: “Jane Doe” (jane.doe@acme.example) 2 times and “Sam Lee” (sam.lee@acme.example)."
        in answer["summary"]
    )
    assert answer["totals"]["waitlisted"] == 1
    by_way = await there.answer("report_enrollments", group_by=["attendance_method", "status"])
    assert {row["attendance_method"] for row in by_way["rows"]} == {"none"}
    assert all("no_show_rate" not in row for row in by_way["rows"])


async def test_the_rest_of_attendance_is_summed(there: Stage) -> None:
    answer = await there.answer("report_enrollments", group_by=["user"], top=2)
    people = there.one("SELECT count(DISTINCT user_id) FROM enrollments")
    assert answer["rows"][-1]["user"] == f"({people - 2:,} more)"
    for name, count in answer["totals"].items():
        if name not in ("no_show_rate", "people"):
            assert sum(row.get(name, 0) for row in answer["rows"]) == count
