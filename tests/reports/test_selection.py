"""Groups, managers and people: whose assignments they are, and the cheaper way to read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from stage import NOON, Stage

from pp_mcp.demo import Sizes, Tenant

pytestmark = pytest.mark.anyio

EMPTY = "aaaaaaaa-0000-4000-8000-00000000000e"
RARE = "SELECT public_id, total_assignments FROM content_items WHERE total_assignments = 2"
SIZES = Sizes(people=240, groups=12, content_items=60, assignments=3_000, enrollments=0)
ALL = 3_002


@pytest.fixture(scope="module")
def whole() -> Iterator[Tenant]:
    tenant = Tenant(sizes=SIZES, now=lambda: NOON)
    change = tenant.connection.execute
    change(
        f"INSERT INTO groups SELECT 9000, '{EMPTY}', 'Empty', 'empty', 'plusplus', 'plusplus', created, modified FROM groups WHERE id = 1"
    )
    change("""INSERT INTO assignments (public_id, user_id, content_item_id, state, due_date, created)
        SELECT 'aaaaaaaa-0000-4000-8000-00000000000' || u.id, u.id, min(c.id), 'not_started', '2026-01-01', min(c.created)
        FROM users u, content_items c WHERE u.id IN (5, 9) AND c.total_assignments = 0 GROUP BY u.id""")
    yield tenant
    tenant.close()


def manager_with(there: Stage, least: int) -> tuple[str, int]:
    """A manager by public_id, and how many report to them: the fewest that are at least so many."""
    return there.sql(
        "SELECT m.public_id, count(*) FROM users u JOIN users m ON m.id = u.manager_id GROUP BY m.id HAVING count(*) >= ? ORDER BY 2, 1",
        least,
    )[0]


def requests(there: Stage) -> Counter[str]:
    """What was asked, by path, and forgotten."""
    counts = Counter(path.removeprefix("GET ").partition("?")[0] for path in there.network.paths)
    there.network.paths.clear()
    return counts


async def test_few_people_are_read_one_by_one(there: Stage) -> None:
    manager, reports = manager_with(there, 2)
    assert reports < 30
    answer = await there.answer("report_assignments", manager=manager, group_by=["state"])
    assert answer["coverage"]["how"] == f"person by person, {reports:,} people"
    # The manager, the people, how many assignments there are, and then one request each.
    assert requests(there) == {f"/users/{manager}": 1, "/users": 1, "/assignments": 1 + reports}
    expected = there.one(
        "SELECT count(*) FROM assignments a JOIN users u ON u.id = a.user_id JOIN users m ON m.id = u.manager_id WHERE m.public_id = ?",
        manager,
    )
    assert answer["totals"]["total"] == answer["coverage"]["rows_read"] == answer["coverage"]["rows_total"] == expected


async def test_of_one_item_the_many_are_read_in_one_pass(there: Stage) -> None:
    group, members = there.sql(
        "SELECT g.public_id, count(*) FROM groups g JOIN group_members ON group_id = g.id GROUP BY g.id ORDER BY 2 DESC"
    )[0]
    item, total = there.sql("SELECT public_id, total_assignments FROM content_items ORDER BY total_assignments DESC")[0]
    answer = await there.answer("report_assignments", group=group, content_item=item, group_by=["state"])
    assert answer["coverage"]["how"] == f"one pass over {total:,} assignments, kept those of {members:,} people"
    pages = -(-total // 100)
    assert pages <= members
    assert requests(there) == {
        f"/groups/{group}": 1,
        f"/content-items/{item}": 1,
        "/users": 1,
        "/assignments": pages,
    }
    assert answer["coverage"]["rows_read"] == total
    assert answer["totals"]["total"] == there.one(
        """SELECT count(*) FROM assignments a JOIN content_items c ON c.id = a.content_item_id
           JOIN group_members m ON m.user_id = a.user_id JOIN groups g ON g.id = m.group_id
           WHERE c.public_id = ? AND g.public_id = ?""",
        item,
        group,
    )


async def test_an_empty_group_needs_no_reading(there: Stage) -> None:
    answer = await there.answer("report_assignments", group="Empty", group_by=["user"])
    assert answer["summary"] == "No assignments in the group “Empty”."
    assert answer["rows"] == []
    assert answer["totals"] == {
        "total": 0,
        "people": 0,
        "completed": 0,
        "outstanding": 0,
        "overdue": 0,
        "inactive": 0,
        "completion_rate": None,
        "by_state": {},
    }
    assert answer["coverage"]["complete"]
    assert answer["coverage"]["how"] == "nobody to read of"
    assert requests(there)["/assignments"] == 0


async def test_a_manager_without_reports(there: Stage) -> None:
    nobody = there.one(
        "SELECT public_id FROM users WHERE id NOT IN (SELECT manager_id FROM users WHERE manager_id IS NOT NULL)"
    )
    answer = await there.answer("report_assignments", manager=nobody, is_overdue=True)
    assert answer["summary"].startswith("No overdue assignments under “")
    assert answer["rows"] == []


async def test_a_person_within_a_group(there: Stage) -> None:
    group = there.one("SELECT public_id FROM groups ORDER BY id")
    inside, outside = (
        there.one(
            f"SELECT public_id FROM users WHERE id {said} (SELECT user_id FROM group_members WHERE group_id = 1) AND id IN (SELECT user_id FROM assignments) ORDER BY id",
        )
        for said in ("IN", "NOT IN")
    )
    answer = await there.answer("report_assignments", group=group, user=inside, group_by=["user"])
    assert answer["totals"]["total"] == there.one(
        "SELECT count(*) FROM assignments JOIN users u ON u.id = user_id WHERE u.public_id = ?", inside
    )
    assert len(answer["rows"]) == 1
    answer = await there.answer("report_assignments", group=group, user=outside, group_by=["user"])
    assert answer["totals"]["total"] == 0


async def test_people_without_a_manager_have_a_row_of_their_own(there: Stage) -> None:
    answer = await there.answer("report_assignments", group_by=["manager"], top=100)
    row = next(row for row in answer["rows"] if row["manager"] == "none")
    assert row["manager_email"] is None
    assert row["total"] == there.one(
        "SELECT count(*) FROM assignments JOIN users u ON u.id = user_id WHERE manager_id IS NULL"
    )


async def test_managers_of_few_assignments_are_looked_up(there: Stage) -> None:
    item, total = there.sql(RARE)[0]
    answer = await there.answer("report_assignments", content_item=item, group_by=["manager"])
    people = there.one(
        "SELECT count(DISTINCT user_id) FROM assignments a JOIN content_items c ON c.id = content_item_id WHERE c.public_id = ?",
        item,
    )
    asked = requests(there)
    assert asked["/users"] == 1, "only how many there are"
    assert sum(count for path, count in asked.items() if path.startswith("/users/")) == people
    assert answer["coverage"]["how"].endswith("profiles looked up")
    assert answer["totals"]["total"] == total
    named = there.sql(
        "SELECT DISTINCT m.name FROM assignments a JOIN content_items c ON c.id = content_item_id JOIN users u ON u.id = user_id JOIN users m ON m.id = u.manager_id WHERE c.public_id = ?",
        item,
    )
    assert {row["manager"] for row in answer["rows"]} == {name for (name,) in named}


async def test_of_late_people_the_managers_are_named(there: Stage) -> None:
    answer = await there.answer("report_assignments", group_by=["user"], is_overdue=True, top=15)
    asked = requests(there)
    assert asked["/users"] == 3, "all three pages, for that takes few requests"
    shown = {row["user_email"]: row["manager"] for row in answer["rows"][:-1]}
    emails = ", ".join("?" * len(shown))
    real = there.sql(
        f"SELECT u.email, coalesce(m.name, 'none') FROM users u LEFT JOIN users m ON m.id = u.manager_id WHERE u.email IN ({emails})",
        *shown,
    )
    assert shown == dict(real)


@pytest.mark.parametrize("code", [404, 503])
async def test_a_manager_that_cannot_be_read_spoils_nothing(there: Stage, code: int) -> None:
    def fails(request: httpx2.Request, _number: int) -> httpx2.Response | None:
        hit = "/users/" in request.url.path or request.url.params.get("page_size") == "100"
        return httpx2.Response(code, content=b"{}") if hit and "/users" in request.url.path else None

    there.network.before = fails
    answer = await there.answer("report_assignments", group_by=["user"], is_overdue=True, top=2)
    assert answer["coverage"]["complete"]
    assert [row["manager"] for row in answer["rows"][:2]] == ["not read" if code == 503 else "unknown"] * 2


@pytest.mark.parametrize(("code", "word"), [(404, "unknown"), (503, "not read")])
async def test_managers_that_cannot_be_looked_up(there: Stage, code: int, word: str) -> None:
    item = there.one(RARE)

    def fails(request: httpx2.Request, _number: int) -> httpx2.Response | None:
        return httpx2.Response(code, content=b"{}") if "/users/" in request.url.path else None

    there.network.before = fails
    answer = await there.answer("report_assignments", content_item=item, group_by=["manager"])
    assert [row["manager"] for row in answer["rows"]] == [word]
    # Somebody who is not there any more is a fact; a failing look-up is not.
    assert answer["coverage"]["complete"] is (code == 404)
    assert answer["coverage"].get("reason") == (None if code == 404 else "not all managers could be looked up")
    assert answer["totals"]["total"] > 0


def out_of(there: Stage, path: str, page: int) -> Any:
    def fails(request: httpx2.Request, _number: int) -> httpx2.Response | None:
        hit = request.url.path.endswith(path) and request.url.params.get("page") == str(page)
        return httpx2.Response(503, content=b"{}") if hit and request.url.params.get("page_size") == "100" else None

    return fails


async def test_managers_of_whom_not_all_people_could_be_read(there: Stage) -> None:
    there.network.before = out_of(there, "/users", 2)
    answer = await there.answer("report_assignments", group_by=["manager"], top=100)
    assert not answer["coverage"]["complete"]
    assert answer["coverage"]["reason"] == "managers: PlusPlus failed on a page, several times"
    assert answer["coverage"]["rows_read"] == answer["coverage"]["rows_total"] == ALL
    assert answer["totals"]["total"] == ALL
    assert "not read" in {row["manager"] for row in answer["rows"]}
    assert "completion_rate" not in str(answer)
    assert answer["summary"].startswith(f"Incomplete: {ALL:,} of {ALL:,} rows read (managers: ")


async def test_a_group_that_could_not_be_read_whole(there: Stage) -> None:
    group = there.one(
        "SELECT g.public_id FROM groups g JOIN group_members ON group_id = g.id GROUP BY g.id ORDER BY count(*) DESC"
    )
    real = there.network.before

    def says_more(request: httpx2.Request, _number: int) -> httpx2.Response | None:
        if request.url.params.get("group") is None or request.url.params.get("page") != "1":
            return out_of(there, "/users", 2)(request, 0) or real(request, 0)
        rows = [
            {"public_id": one, "name": "x", "email": "x@acme.example"}
            for (one,) in there.sql("SELECT public_id FROM users ORDER BY id LIMIT 5")
        ]
        return httpx2.Response(200, json={"data": rows, "meta": {"page": 1, "page_size": 100, "total_count": 150}})

    there.network.before = says_more
    answer = await there.answer("report_assignments", group=group, group_by=["state"])
    assert not answer["coverage"]["complete"]
    assert answer["coverage"]["reason"] == "the people: PlusPlus failed on a page, several times"
    assert answer["totals"]["total"] == there.one(
        "SELECT count(*) FROM assignments WHERE user_id IN (SELECT id FROM users ORDER BY id LIMIT 5)"
    )


async def test_people_take_at_most_half_of_the_time(there: Stage) -> None:
    def takes(request: httpx2.Request, _number: int) -> None:
        late = request.url.path.endswith("/users") and request.url.params["page"] != "1"
        there.clock.time += 50 if late else 0.1

    there.network.before = takes
    answer = await there.answer("report_assignments", group_by=["manager"], budget=100)
    assert not answer["coverage"]["complete"]
    assert answer["coverage"]["reason"] == "managers: the time for one call ran out"
    assert answer["totals"]["total"] == ALL


async def test_person_by_person_it_says_how_many_people_were_read(there: Stage) -> None:
    manager, reports = manager_with(there, 6)

    def takes(request: httpx2.Request, _number: int) -> None:
        there.clock.time += 10 if "user=" in request.url.query.decode() else 0

    there.network.before = takes
    answer = await there.answer("report_assignments", manager=manager, group_by=["state"])
    assert not answer["coverage"]["complete"]
    assert answer["coverage"]["reason"].endswith(f"of {reports:,} people read: the time for one call ran out")
    assert answer["coverage"]["rows_read"] == answer["totals"]["total"] > 0


async def test_person_by_person_a_refusal_rises(there: Stage) -> None:
    from pp_mcp.errors import Forbidden

    manager, _ = manager_with(there, 4)
    there.network.before = lambda request, _: (
        httpx2.Response(403, content=b"{}") if "user=" in request.url.query.decode() else None
    )
    with pytest.raises(Forbidden):
        await there.answer("report_assignments", manager=manager)
