"""Several people or items at once, who is missing, who has left: in words, and by as few requests as it takes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx2
import pytest
from stage import Stage, ask, connected

from pp_mcp.demo import Sizes, Tenant
from pp_mcp.errors import InvalidArgument, OutOfTime

pytestmark = pytest.mark.anyio

SIZES = Sizes(people=240, groups=12, content_items=60, assignments=3_000, enrollments=60)


def items(there: Stage, count: int, *, least: int = 0) -> list[str]:
    """Content items by public_id, the least assigned that are assigned more than so often."""
    query = "SELECT public_id FROM content_items WHERE total_assignments > ? ORDER BY total_assignments, id LIMIT ?"
    return [one for (one,) in there.sql(query, least, count)]


def requests(there: Stage) -> Counter[str]:
    counts = Counter(path.removeprefix("GET ") for path in there.network.paths)
    there.network.paths.clear()
    return counts


async def test_a_few_items_are_read_by_themselves(there: Stage) -> None:
    few = items(there, 3)
    answer = await there.answer("report_assignments", content_item=few, group_by=["state"], is_active=True)
    assert "item by item, 3 items" in answer["coverage"]["how"]
    # The items, the people who are active, how many assignments there are, and a page for each item.
    assert requests(there)["/assignments"] == 1 + 3
    total = there.one(
        "SELECT count(*) FROM assignments a JOIN content_items c ON c.id = content_item_id WHERE c.public_id IN (?, ?, ?)",
        *few,
    )
    assert answer["coverage"]["rows_read"] == answer["coverage"]["rows_total"] == total


async def test_many_pages_of_few_items_are_all_read(there: Stage) -> None:
    change = there.tenant.connection.executemany
    most = [one for (one,) in there.sql("SELECT id FROM content_items ORDER BY total_assignments DESC LIMIT 2")]
    for item in most:
        change(
            "INSERT INTO assignments (public_id, user_id, content_item_id, state, created) VALUES (?, ?, ?, 'completed', '2026-01-01T00:00:00.000000Z')",
            [(f"ffffffff-{item:04}-4000-8000-{number:012}", number % 240 + 1, item) for number in range(230)],
        )
    ids = [there.one("SELECT public_id FROM content_items WHERE id = ?", one) for one in most]
    answer = await there.answer("report_assignments", content_item=ids, group_by=["user"], top=100)
    assert "item by item, 2 items" in answer["coverage"]["how"]
    wanted = there.sql(
        "SELECT count(*), count(DISTINCT user_id) FROM assignments WHERE content_item_id IN (?, ?)", *most
    )[0]
    assert (answer["totals"]["total"], answer["totals"]["people"]) == wanted
    assert answer["coverage"]["complete"]
    there.tenant.connection.execute("DELETE FROM assignments WHERE public_id LIKE 'ffffffff-%'")


async def test_rows_that_move_between_the_pages_of_items_are_noticed(there: Stage) -> None:
    few = items(there, 2)
    seen = iter(range(100))

    def grows(request: httpx2.Request, _number: int) -> httpx2.Response | None:
        if request.url.params.get("content_item") == few[0] and request.url.params.get("page_size") == "100":
            count = 2 + next(seen)
            rows = [row(f"a{number}", few[0]) for number in range(min(count, 3))]
            return httpx2.Response(
                200, json={"data": rows, "meta": {"page": 1, "page_size": 100, "total_count": count + 9}}
            )
        return None

    there.network.before = grows
    answer = await there.answer("report_assignments", content_item=few, group_by=["state"], user=people(there, 5))
    assert not answer["coverage"]["complete"]
    assert answer["summary"].startswith("Incomplete: ")
    assert "average_progress" not in str(answer)


def row(public_id: str, item: str) -> dict[str, Any]:
    return {
        "public_id": public_id,
        "user": {"public_id": "u", "name": "U", "email": "u@acme.example"},
        "content_item": {"public_id": item, "name": "I", "content_type": "course"},
        "state": "not_started",
    }


def people(there: Stage, count: int) -> list[str]:
    return [one for (one,) in there.sql("SELECT public_id FROM users ORDER BY id LIMIT ?", count)]


async def test_several_people_are_read_one_by_one(there: Stage) -> None:
    few = people(there, 4)
    answer = await there.answer("report_assignments", user=few, group_by=["user"])
    assert answer["coverage"]["how"] == "person by person, 4 people"
    assert answer["totals"]["people"] == len(answer["rows"]) == 4
    assert requests(there)["/assignments"] == 1 + 4


async def test_a_single_string_is_a_list_of_one(whole: Tenant) -> None:
    async with connected(whole) as client:
        answer = await ask(client, "report_assignments", user="jane.doe@acme.example", content_item="Security 101")
        assert answer["resolved"]["user"]["name"] == "Jane Doe"
        assert answer["resolved"]["content_item"]["name"] == "Security 101"
        assert "of “Security 101” for “Jane Doe”" in answer["summary"]
        answer = await ask(client, "report_assignments", content_item='["Security 101"]', group_by=["content_item"])
        assert answer["rows"][0]["content_item"] == "Security 101"


async def test_who_completed_all_is_said(there: Stage) -> None:
    # The two that most people completed, both of them.
    pair = list(
        there.sql(
            """SELECT x.public_id, y.public_id FROM assignments a JOIN assignments b ON a.user_id = b.user_id AND a.content_item_id < b.content_item_id
               JOIN content_items x ON x.id = a.content_item_id JOIN content_items y ON y.id = b.content_item_id
               WHERE a.state = b.state AND a.state = 'completed' GROUP BY 1, 2 ORDER BY count(DISTINCT a.user_id) DESC LIMIT 1"""
        )[0]
    )
    answer = await there.answer("report_assignments", content_item=pair, group_by=["user"], top=100)
    done = answer["totals"]["completed_all"]
    assert 0 < done < answer["totals"]["people"]
    assert f"{done} of {answer['totals']['people']} people completed all 2" in answer["summary"]
    assert {row["completed_all"] for row in answer["rows"] if "completed_all" in row} == {True, False}
    for given in ({"state": "not_started"}, {"completed_gte": "2026-01-01"}, {"created_gte": "2026-01-01"}):
        narrowed = await there.answer("report_assignments", content_item=pair, group_by=["user"], **given)
        assert "completed_all" not in str(narrowed), given
    assert "completed_all" not in str(
        await there.answer("report_assignments", content_item=pair[:1], group_by=["user"])
    )


async def test_who_left_and_has_overdue_work_is_one_call(there: Stage) -> None:
    answer = await there.answer("report_assignments", is_active=False, is_overdue=True, group_by=["user"], top=100)
    assert "overdue assignments held by deactivated people" in answer["summary"]
    count, persons = there.sql(
        "SELECT count(*), count(DISTINCT user_id) FROM assignments JOIN users u ON u.id = user_id WHERE NOT u.is_active AND state IN ('not_started', 'in_progress') AND due_date < '2026-03-10'"
    )[0]
    assert (answer["totals"]["total"], answer["totals"]["people"], answer["totals"]["inactive"]) == (
        count,
        persons,
        count,
    )
    assert {row["user_email"] for row in answer["rows"] if "user_email" in row} <= {
        email for (email,) in there.sql("SELECT email FROM users WHERE NOT is_active")
    }
    # What was asked for is not said in every row.
    assert all("is_active" not in row for row in answer["rows"])


@pytest.mark.parametrize("code", [403, 404, 503])
async def test_people_that_may_not_be_read_leave_the_report(there: Stage, code: int) -> None:
    there.network.before = lambda request, _: (
        httpx2.Response(code, content=b"{}") if request.url.path.endswith("/users") else None
    )
    answer = await there.answer("report_assignments", group_by=["content_item"])
    assert answer["coverage"]["complete"]
    assert "inactive" not in str(answer)
    assert answer["totals"]["people"] == there.one("SELECT count(DISTINCT user_id) FROM assignments")


async def test_many_people_are_not_read_for_who_is_active(there: Stage) -> None:
    there.network.before = lambda request, _: (
        httpx2.Response(200, json={"data": [], "meta": {"page": 1, "page_size": 1, "total_count": 2_501}})
        if request.url.path.endswith("/users")
        else None
    )
    answer = await there.answer("report_assignments", group_by=["content_item"])
    assert requests(there)["/users"] == 1
    assert "inactive" not in str(answer)
    # Of few assignments the people are looked up.
    answer = await there.answer("report_assignments", content_item=items(there, 1), group_by=["state"])
    assert "profiles looked up" in answer["coverage"]["how"]
    assert "inactive" in answer["totals"]


async def test_rows_do_not_repeat_what_was_asked(there: Stage) -> None:
    manager = there.one(
        "SELECT m.public_id FROM users u JOIN users m ON m.id = u.manager_id GROUP BY m.id ORDER BY count(*) DESC"
    )
    answer = await there.answer(
        "report_assignments", manager=manager, content_item="Security 101", group_by=["user", "content_item"]
    )
    assert answer["rows"]
    assert not {"manager", "manager_email", "content_item", "content_item_id"} & {
        name for row in answer["rows"] for name in row
    }
    answer = await there.answer("report_assignments", content_item="Security 101", group_by=["content_item"])
    assert [row["content_item"] for row in answer["rows"]] == ["Security 101"]


async def test_the_summary_leads_to_the_rest(there: Stage) -> None:
    answer = await there.answer("report_assignments", group_by=["user"], top=5, manager=people(there, 1)[0])
    more = answer["totals"]["people"] - 5
    if more > 0:
        assert f"{more} more people in the last row" in answer["summary"]
    answer = await there.answer("report_assignments", group_by=["user"], top=100)
    more = answer["totals"]["people"] - len(answer["rows"]) + 1
    assert f"{more} more people in the last row: narrow with manager, group" in answer["summary"]
    assert "raise top" not in answer["summary"]
    assert "read csv" in answer["summary"]
    answer = await there.answer(
        "report_assignments", group_by=["content_type", "state"], top=3, is_overdue=True, user=people(there, 9)
    )
    assert "more combinations" in answer["summary"]
    assert "raise top" in answer["summary"]
    assert "is_overdue" not in answer["summary"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "content_item: is required.*group: missing=true needs one of group, manager and user"),
        ({"content_item": "Security 101"}, "group: missing=true needs"),
        ({"group": "Platform"}, "content_item: is required"),
        ({"content_item": "Security 101", "group": "Platform", "state": "completed"}, "state: not with missing=true"),
        ({"content_item": "Security 101", "group": "Platform", "completed_lte": "2026-01-01"}, "completed_lte: not"),
        ({"content_item": "Security 101", "group": "Platform", "group_by": ["manager"]}, "group_by: not with"),
    ],
)
async def test_who_is_missing_needs_what_and_who(there: Stage, given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        await there.answer("report_assignments", missing=True, **given)
    assert requests(there)["/assignments"] == 0


async def test_who_is_missing_in_words(there: Stage) -> None:
    group = there.one("SELECT name FROM groups WHERE id = 1")
    pair = items(there, 2, least=20)
    answer = await there.answer("report_assignments", missing=True, content_item=pair[0], group=group, top=3)
    people, missing = answer["totals"]["people"], answer["totals"]["missing"]
    assert answer["summary"].startswith(f"{missing} of {people} people in the group “{group}” were never assigned “")
    assert "raise top" in answer["summary"]
    assert answer["rows"][-1] == {"user": f"({missing - 3} more)"}
    answer = await there.answer("report_assignments", missing=True, content_item=pair, group=group, is_active=False)
    assert "deactivated p" in answer["summary"]
    assert all(row["missing"] for row in answer["rows"] if "user_email" in row)
    none = await there.answer("report_assignments", missing=False, content_item=pair[0], group=group)
    assert "missing" not in none["totals"]


async def test_nobody_is_said_to_lack_what_could_not_be_read(there: Stage) -> None:
    manager = there.one(
        "SELECT m.public_id FROM users u JOIN users m ON m.id = u.manager_id GROUP BY m.id HAVING count(*) > 5"
    )

    def takes(request: httpx2.Request, _number: int) -> None:
        there.clock.time += 30 if request.url.path.endswith("/assignments") else 0

    there.network.before = takes
    with pytest.raises(OutOfTime, match="not everything could be read"):
        await there.answer("report_assignments", missing=True, content_item="Security 101", manager=manager)


async def test_a_list_that_could_not_be_read_whole_gives_no_count(there: Stage) -> None:
    there.network.before = lambda request, _: (
        httpx2.Response(503, content=b"{}") if request.url.params.get("page") == "3" else None
    )
    answer = await there.answer("list_assignments", completed_gte="2020-01-01")
    assert "total_count" not in answer
    assert answer["summary"].startswith("Incomplete: ")
    assert "rows read (PlusPlus failed on a page, several times)" in answer["summary"]
    assert len(answer["items"]) == 25


async def test_progress_stands_in_rows_where_something_is_begun(there: Stage) -> None:
    answer = await there.answer("list_assignments", state="in_progress", page_size=100)
    wanted = dict(there.sql("SELECT public_id, progress FROM assignments WHERE state = 'in_progress'"))
    assert any("progress" in row for row in answer["items"])
    for one in answer["items"]:
        value = wanted[one["public_id"]]
        assert one.get("progress") == (value if value and 0 < value < 1 else None)
    assert not any("progress" in row for row in (await there.answer("list_assignments", state="completed"))["items"])


async def test_what_nobody_ever_finished_is_told_beside(there: Stage) -> None:
    answer = await there.answer("report_content", stale_days=30)
    never = there.one(
        "SELECT count(*) FROM content_items c WHERE NOT is_archived AND total_assignments > 0 AND NOT EXISTS (SELECT 1 FROM assignments a WHERE a.content_item_id = c.id AND a.state = 'completed')"
    )
    assert answer["totals"]["never_finished"] == never
    assert (f"({never} of them never)" in answer["summary"]) is (never > 0)
