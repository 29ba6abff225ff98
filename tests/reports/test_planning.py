"""Reports that the API counts: by how many requests, what is said, and what happens while rows move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from stage import FULL, NOON, TODAY, Stage

from pp_mcp.demo import Faults, Sizes, Tenant
from pp_mcp.reports import planning

pytestmark = pytest.mark.anyio

SIZES = Sizes(people=240, groups=12, content_items=60, assignments=3_000, enrollments=0)
SMALL = Sizes(people=40, groups=4, content_items=20, assignments=300, enrollments=0)
NONE = Sizes(people=1, groups=0, content_items=0, assignments=0, enrollments=0)
LATE = f"a.state IN ('not_started', 'in_progress') AND coalesce(a.due_date < '{TODAY}', 0)"
KEY = {"state": "a.state", "content_type": "c.content_type", "due_month": "coalesce(substr(a.due_date, 1, 7), 'none')"}
Rows = dict[str, tuple[int, int, int]]


@pytest.fixture(scope="module")
def whole() -> Iterator[Tenant]:
    tenant = Tenant(sizes=SIZES, now=lambda: NOON, rate_limit=10**9)
    yield tenant
    tenant.close()


@pytest.fixture
def small() -> Iterator[Stage]:
    tenant = Tenant(sizes=SMALL, now=lambda: NOON, rate_limit=10**9)
    yield Stage(tenant)
    tenant.close()


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever can be counted is, within reason."""

    def pays(counting: int, _reading: int) -> bool:
        return counting < 2_000

    monkeypatch.setattr(planning, "pays", pays)


def by_sql(there: Stage, group_by: str) -> Rows:
    """For each value: all, completed, overdue."""
    found = there.sql(
        f"""SELECT {KEY[group_by]}, count(*), sum(a.state = 'completed'), sum({LATE})
            FROM assignments a JOIN content_items c ON c.id = a.content_item_id GROUP BY 1"""
    )
    return {key: (total, done, late) for key, total, done, late in found}


def said(answer: dict[str, Any], group_by: str) -> Rows:
    return {row[group_by]: (row["total"], row["completed"], row["overdue"]) for row in answer["rows"]}


async def test_by_state_takes_eight_requests(there: Stage) -> None:
    answer = await there.answer("report_assignments", group_by=["state"])
    # All, five states, and of the two outstanding ones what is overdue.
    assert there.network.paths == ["GET /assignments"] * 8
    # The first of them is a page, which the report would have been read from if there were few.
    assert all(query.endswith("page_size=1") for query in there.network.queries[1:])
    assert answer["coverage"] == {
        "complete": True,
        "rows_read": 3_000,
        "rows_total": 3_000,
        "as_of": answer["coverage"]["as_of"],
        "how": "counted by 8 requests instead of reading 3,000 rows, so without people, inactive and average_progress, "
        "which PlusPlus does not count",
    }
    assert said(answer, "state") == by_sql(there, "state")
    assert not {"people", "inactive", "average_progress"} & set(answer["totals"])
    assert answer["totals"]["completion_rate"] > 0


async def test_what_takes_few_requests_to_read_is_read() -> None:
    # 2,500 rows are 25 requests.
    for most, way in ((2_500, "one pass over 2,500"), (2_501, "counted by 8 requests instead of reading 2,501")):
        tenant = Tenant(sizes=replace(SIZES, assignments=most), now=lambda: NOON)
        answer = await Stage(tenant).answer("report_assignments", group_by=["state"])
        assert answer["coverage"]["how"].startswith(way)
        assert ("people" in answer["totals"]) is ("average_progress" in answer["totals"]) is (most == 2_500)
        tenant.close()


@pytest.mark.parametrize(
    ("given", "most"),
    [
        ({"group_by": ["content_type"]}, 70),
        ({"group_by": ["content_type", "state"]}, 80),
        ({"group_by": ["content_item"]}, 7 + 6 * 60 + 2),
        ({"group_by": ["state"], "content_item": "Security 101"}, 9),
        ({"group_by": ["due_month"]}, 240),
        ({"group_by": ["due_month"], "due_date_gte": "2025-01-01", "due_date_lte": "2026-12-31"}, 7 + 6 * 24 + 20),
    ],
    ids=str,
)
async def test_requests_at_most(there: Stage, counting: None, given: dict[str, Any], most: int) -> None:
    answer = await there.answer("report_assignments", **given)
    assert answer["coverage"]["how"].startswith("counted by ")
    assert len(there.network.paths) <= most
    assert all(query.endswith("page_size=1") for query in there.network.queries if "state=" in query)


@pytest.mark.parametrize("group_by", [["user"], ["manager"], ["content_item", "due_month"], ["user", "state"]], ids=str)
async def test_what_counts_cannot_tell_is_read(small: Stage, counting: None, group_by: list[str]) -> None:
    answer = await small.answer("report_assignments", group_by=group_by)
    assert answer["coverage"]["how"].startswith("one pass over 300")


async def test_more_requests_than_pages_are_not_made(there: Stage) -> None:
    for group_by in ("content_item", "content_type", "due_month"):
        answer = await there.answer("report_assignments", group_by=[group_by])
        assert answer["coverage"]["how"].startswith("one pass over 3,000"), group_by
        assert answer["totals"]["people"] > 0
        # All pages, and what was asked to plan: how many assignments, people and items there are.
        assert len(there.network.paths) <= 30 + 3 + 3
        there.network.paths.clear()


CHANGES = {
    "is completed": f"UPDATE assignments AS a SET state = 'completed' WHERE id = (SELECT min(id) FROM assignments a WHERE {LATE})",
    "is added": """INSERT INTO assignments (public_id, user_id, content_item_id, state, created)
        SELECT 'ffffffff-0000-4000-8000-000000000000', user_id, content_item_id, 'not_started', created
        FROM assignments WHERE state = 'completed' LIMIT 1""",
    "is gone": "DELETE FROM assignments WHERE id = (SELECT min(id) FROM assignments WHERE state = 'completed')",
    "is due later": """UPDATE assignments SET due_date = '2026-06-30'
        WHERE id = (SELECT min(id) FROM assignments WHERE state = 'not_started' AND due_date < '2026-01-01')""",
    "is due no more": """UPDATE assignments SET due_date = NULL
        WHERE id = (SELECT min(id) FROM assignments WHERE state = 'dropped' AND due_date IS NOT NULL)""",
}


@pytest.mark.parametrize(
    ("group_by", "change"),
    [
        (group_by, change)
        for group_by in sorted(KEY)
        for change in sorted(CHANGES)
        # By month there are ten times as many places in which a row can move.
        if FULL or group_by != "due_month" or change == "is due later"
    ],
)
async def test_a_row_that_moves_is_counted_before_or_after(
    small: Stage, counting: None, group_by: str, change: str
) -> None:
    await small.answer("report_assignments", group_by=[group_by], top=100)
    requests, before = len(small.network.paths), by_sql(small, group_by)
    for number in range(1, requests + 1, 1 if requests < 20 else 13):
        there = Stage(Tenant(sizes=NONE, now=lambda: NOON, rate_limit=10**9))
        small.tenant.connection.backup(there.tenant.connection)
        there.network.before = lambda _request, at, there=there, number=number: (
            there.change(CHANGES[change]) if at == number else None
        )
        answer = await there.answer("report_assignments", group_by=[group_by], top=100)
        assert answer["coverage"]["complete"], (number, answer["coverage"])
        assert answer["coverage"]["how"].startswith("counted by "), number
        rows, after = said(answer, group_by), by_sql(there, group_by)
        if (group_by, change) == ("due_month", "is due later"):
            # No sum over states tells: each figure is then of one moment, but not all of the same.
            for at in range(3):
                shown, one, other = ({key: row[at] for key, row in them.items()} for them in (rows, before, after))
                assert shown in (one, other), (number, requests)
        else:
            assert rows in (before, after), (number, requests)
        there.close()


async def test_rows_that_keep_moving_are_said(small: Stage, counting: None) -> None:
    small.network.before = lambda _request, _number: small.change(
        "DELETE FROM assignments WHERE id = (SELECT min(id) FROM assignments)"
    )
    answer = await small.answer("report_assignments", group_by=["state"])
    assert answer["coverage"]["reason"] == "rows moved while they were counted; counts may be off by a few"
    assert answer["summary"].startswith("Incomplete: ")
    assert "completion_rate" not in str(answer)


async def test_drift_is_noticed_or_right(counting: None) -> None:
    claims: list[bool] = []
    for seed in range(12):
        tenant = Tenant(
            sizes=SMALL,
            now=lambda: NOON,
            rate_limit=10**9,
            seed=seed,
            faults=Faults(drift=0.02 + 0.02 * seed, seed=seed),
        )
        there = Stage(tenant)
        counts: list[Rows] = [by_sql(there, "content_type")]
        there.network.before = lambda _request, _number, there=there, counts=counts: counts.append(
            by_sql(there, "content_type")
        )
        answer = await there.answer("report_assignments", group_by=["content_type"])
        claims.append(answer["coverage"]["complete"])
        assert not claims[-1] or said(answer, "content_type") in [*counts, by_sql(there, "content_type")]
        assert claims[-1] or answer["summary"].startswith("Incomplete: ")
        tenant.close()
    assert any(claims)


async def test_a_state_that_nobody_documented_is_read(small: Stage, counting: None) -> None:
    small.change("PRAGMA ignore_check_constraints = 1")
    small.change("UPDATE assignments SET state = 'on_hold' WHERE state = 'exempted'")
    answer = await small.answer("report_assignments", group_by=["state"])
    assert answer["coverage"]["how"].startswith("one pass over 300")
    assert said(answer, "state") == by_sql(small, "state")
    assert answer["totals"]["other"] == by_sql(small, "state")["on_hold"][0]


@pytest.mark.parametrize("ignored", ["state", "is_overdue", "content_type", "due_date_gte"])
async def test_a_filter_that_the_api_ignores_gives_no_wrong_count(small: Stage, counting: None, ignored: str) -> None:
    async def between(request: httpx2.Request, carry: Callable[[httpx2.Request], Any]) -> httpx2.Response:
        return await carry(
            httpx2.Request(request.method, request.url.copy_remove_param(ignored), headers=request.headers)
        )

    small.network.between = between
    group_by = "due_month" if ignored == "due_date_gte" else "content_type"
    answer = await small.answer("report_assignments", group_by=[group_by], top=100)
    assert answer["coverage"]["how"].startswith("one pass over 300")
    assert said(answer, group_by) == by_sql(small, group_by)


async def test_a_filter_that_the_api_refuses_is_not_needed(small: Stage, counting: None) -> None:
    small.network.before = lambda request, _: (
        httpx2.Response(422, content=b"{}") if "is_overdue" in request.url.params else None
    )
    answer = await small.answer("report_assignments", group_by=["state"])
    assert answer["coverage"]["complete"]
    assert said(answer, "state") == by_sql(small, "state")


async def test_items_that_the_catalogue_does_not_list_are_read(small: Stage, counting: None) -> None:
    small.network.before = lambda request, _: (
        httpx2.Response(200, json={"data": [row], "meta": {"page": 1, "page_size": 100, "total_count": 1}})
        if request.url.path.endswith("/content-items")
        else None
    )
    row = {"public_id": small.item("total_assignments > 0"), "name": "Only one", "content_type": "course"}
    answer = await small.answer("report_assignments", group_by=["content_item"], top=100)
    assert answer["coverage"]["how"].startswith("one pass over 300")
    assert answer["totals"]["total"] == 300


async def test_due_dates_far_away(small: Stage, counting: None) -> None:
    small.change("UPDATE assignments SET due_date = NULL WHERE id % 7")
    small.change("UPDATE assignments SET due_date = '2037-12-31' WHERE id = 7")
    answer = await small.answer("report_assignments", group_by=["due_month"], top=100)
    assert answer["coverage"]["how"].startswith("counted by ")
    assert said(answer, "due_month") == by_sql(small, "due_month")
    small.change("UPDATE assignments SET due_date = NULL")
    answer = await small.answer("report_assignments", group_by=["due_month"], top=100)
    assert answer["coverage"]["how"].startswith("counted by ")
    assert said(answer, "due_month") == by_sql(small, "due_month")


async def test_time_that_runs_out_is_said(small: Stage, counting: None) -> None:
    def takes(_request: object, _number: int) -> None:
        small.clock.time += 0.5

    small.network.before = takes
    answer = await small.answer("report_assignments", group_by=["content_type"], budget=20)
    assert answer["coverage"]["reason"] == "the time for one call ran out"
    assert 0 < answer["coverage"]["rows_read"] < answer["coverage"]["rows_total"] == 300
    real = by_sql(small, "content_type")
    assert all(real[key] == counts for key, counts in said(answer, "content_type").items())


async def test_progress_is_told(there: Stage) -> None:
    await there.answer("report_assignments", group_by=["state"])
    assert there.told[-1][2] == "7 of 7 counts taken"
