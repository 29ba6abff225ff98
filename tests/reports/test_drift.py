"""Rows that come and go while they are read: a report is right, or it says that it is not complete."""

from __future__ import annotations

import math

import pytest
from stage import NOON, TODAY, Stage

from pp_mcp.demo import Faults, Sizes, Tenant

pytestmark = pytest.mark.anyio

SIZES = Sizes(people=80, groups=12, content_items=40, assignments=900, enrollments=320)
SEEDS = range(8)


async def right(there: Stage) -> list[bool]:
    """Asks three reports of a tenant that drifts; checks those that claim to be complete, and answers which did."""
    manager = there.one(
        "SELECT m.public_id FROM users u JOIN users m ON m.id = u.manager_id GROUP BY m.id ORDER BY count(*) DESC"
    )
    claims: list[bool] = []
    for given in (
        {"group_by": ["manager"]},
        {"group_by": ["state"], "manager": manager},
        {"group_by": ["user", "state"]},
    ):
        answer = await there.answer("report_assignments", top=100, **given)
        claims.append(answer["coverage"]["complete"])
        if claims[-1]:
            where = "" if "manager" not in given else " AND u.manager_id = (SELECT id FROM users WHERE public_id = ?)"
            total, done, late = there.sql(
                f"""SELECT count(*), sum(a.state = 'completed'),
                    sum(a.state IN ('not_started', 'in_progress') AND coalesce(a.due_date < ?, 0))
                FROM assignments a JOIN users u ON u.id = a.user_id WHERE 1{where}""",
                str(TODAY),
                *([manager] if where else []),
            )[0]
            assert (answer["totals"]["total"], answer["totals"]["completed"], answer["totals"]["overdue"]) == (
                total,
                done,
                late,
            )
            assert sum(row["total"] for row in answer["rows"]) == total
        else:
            assert "rows were added or removed" in answer["coverage"]["reason"]
            assert answer["summary"].startswith("Incomplete: ")
            assert "completion_rate" not in str(answer)
    attendance = await there.answer("report_enrollments", group_by=["status"])
    claims.append(attendance["coverage"]["complete"])
    if claims[-1]:
        assert attendance["totals"]["total"] == there.one("SELECT count(*) FROM enrollments")
    return claims


async def test_never_both_wrong_and_sure() -> None:
    claims: list[bool] = []
    for seed in SEEDS:
        tenant = Tenant(sizes=SIZES, now=lambda: NOON, seed=seed, faults=Faults(drift=0.03 + 0.05 * seed, seed=seed))
        there = Stage(tenant)
        claims += await right(there)
        tenant.close()
    # Some reports were read in a quiet moment, and for some there was none.
    assert 4 <= sum(claims) < len(claims) - 4


async def test_a_second_reading_mends_the_first() -> None:
    tenant = Tenant(sizes=SIZES, now=lambda: NOON, faults=Faults())
    there = Stage(tenant)
    tenant.faults.script(["ok", "ok", "drift"], path="/assignments")
    answer = await there.answer("report_assignments", group_by=["state"])
    assert answer["coverage"] == {
        "complete": True,
        "rows_read": there.one("SELECT count(*) FROM assignments"),
        "rows_total": there.one("SELECT count(*) FROM assignments"),
        "as_of": answer["coverage"]["as_of"],
        "how": f"one pass over {there.one('SELECT count(*) FROM assignments'):,} assignments, profiles of 80 people",
    }
    # A page of people, and two passes; the row that moved may have opened or closed a last page of the first.
    assert abs(len(there.network.paths) - (1 + 9 + math.ceil(answer["coverage"]["rows_total"] / 100))) <= 1
    assert answer["totals"]["total"] == there.one("SELECT count(*) FROM assignments")
    tenant.close()
