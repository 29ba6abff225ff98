"""A larger tenant, within what a suite can wait for: memory that does not grow with the rows, and as few requests."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from stage import NOON, TODAY, Stage

from pp_mcp.demo import Sizes, Tenant
from pp_mcp.inventory import ALL_TOOLS
from tests.bench.questions import Ids, questions

pytestmark = pytest.mark.anyio

PEOPLE = 500
SMALL, LARGE = 500, 6_000


class Passing:
    """A tenant's clock that moves with the desk's, so that its rate limit opens again when the desk has waited."""

    def __init__(self) -> None:
        self.desk: Stage | None = None

    def __call__(self) -> datetime:
        return NOON + timedelta(seconds=self.desk.clock.now() if self.desk else 0)


def made(assignments: int, window: float = 1.0) -> tuple[Tenant, Passing]:
    """A tenant that takes 20 requests a window, and its clock."""
    sizes = Sizes(people=PEOPLE, groups=12, content_items=60, assignments=assignments, enrollments=100)
    passing = Passing()
    return Tenant(sizes=sizes, now=passing, rate_limit=20, rate_window=window), passing


@asynccontextmanager
async def slowly(tenant: Tenant, passing: Passing) -> AsyncIterator[Stage]:
    """A desk whose waiting passes on the tenant's clock too, with 20 ms of latency for 8 requests at once."""
    there = Stage(tenant)
    passing.desk = there

    def takes(_request: object, _number: int) -> None:
        there.clock.time += 0.02 / 8

    there.network.before = takes
    yield there
    tenant.close()


async def peak(there: Stage, **given: Any) -> tuple[float, dict[str, Any]]:
    tracemalloc.start()
    try:
        answer = await there.answer("report_assignments", **given)
        return tracemalloc.get_traced_memory()[1] / 1e6, answer
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("group_by", [["manager"], ["user", "content_item"]], ids=["by manager", "people by items"])
async def test_memory_does_not_grow_with_the_rows(group_by: list[str]) -> None:
    async with slowly(*made(SMALL)) as there:
        little, _ = await peak(there, group_by=group_by)
    async with slowly(*made(LARGE)) as there:
        much, answer = await peak(there, group_by=group_by)
        assert answer["coverage"]["complete"], answer["coverage"]
        assert answer["totals"]["total"] == there.one("SELECT count(*) FROM assignments") == LARGE
        query = "SELECT count(*) FROM assignments WHERE state IN ('not_started', 'in_progress') AND due_date < ?"
        assert answer["totals"]["overdue"] == there.one(query, str(TODAY))
        # The rate limit was met and waited for, within the time of one call.
        assert 2 < there.clock.time < 41
        # All pages, and those of the people: each once.
        assert len(there.network.paths) <= LARGE // 100 + PEOPLE // 100
    # 40 MB for 200,000 rows are 1.2 MB for 6,000. The rows themselves would take ten times that.
    assert much - little < 1.2


async def test_a_rate_limit_that_is_too_tight_is_said() -> None:
    async with slowly(*made(LARGE, window=25.0)) as there:
        answer = await there.answer("report_assignments", group_by=["user"])
    assert not answer["coverage"]["complete"]
    assert answer["coverage"]["reason"] == "the API's rate limit left no room within the time for one call"
    assert 2_000 <= answer["coverage"]["rows_read"] <= 5_000
    assert answer["totals"]["total"] == answer["coverage"]["rows_read"]


def test_the_bench_asks_what_the_tools_take() -> None:
    asked = questions(Ids("c", "g", "p", ("a", "b"), ("x", "y")))
    by_name = {tool.name: tool for tool in ALL_TOOLS}
    assert {question.tool for question in asked} >= {
        "report_assignments",
        "report_content",
        "report_enrollments",
        "bulk_assign_content",
    }
    for question in asked:
        assert set(question.arguments) <= set(by_name[question.tool].arguments.model_fields)
