"""Every figure of a report, to the digit, against SQL that was written for this test alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import FULL, TODAY, Stage

from pp_mcp.demo import Tenant

pytestmark = pytest.mark.anyio

STATES = ["not_started", "in_progress", "completed", "dropped", "exempted"]
KEY = {
    "user": "u.public_id",
    "manager": "coalesce(m.public_id, '')",
    "content_item": "c.public_id",
    "content_type": "c.content_type",
    "state": "a.state",
    "due_month": "coalesce(substr(a.due_date, 1, 7), '')",
}
OVERDUE = f"(a.state IN ('not_started', 'in_progress') AND a.due_date < '{TODAY}')"
COUNTS = f"""
    count(*), sum(a.state = 'completed'), sum(a.state IN ('not_started', 'in_progress')),
    coalesce(sum({OVERDUE}), 0), sum(a.state = 'dropped'), sum(a.state = 'exempted')
"""
TABLES = """
    FROM assignments a JOIN users u ON u.id = a.user_id LEFT JOIN users m ON m.id = u.manager_id
    JOIN content_items c ON c.id = a.content_item_id
"""


def where(filters: dict[str, Any]) -> tuple[str, list[Any]]:
    clauses = {
        "user": "u.public_id = ?",
        "manager": "m.public_id = ?",
        "group": "u.id IN (SELECT user_id FROM group_members WHERE group_id = (SELECT id FROM groups WHERE public_id = ?))",
        "content_item": "c.public_id = ?",
        "content_type": "c.content_type = ?",
        "state": "a.state = ?",
        "is_overdue": f"coalesce({OVERDUE}, 0) = ?",
        "due_date_gte": "a.due_date >= ?",
        "due_date_lte": "a.due_date <= ?",
        "created_gte": "substr(a.created, 1, 10) >= ?",
        "created_lte": "substr(a.created, 1, 10) <= ?",
    }
    return " AND ".join(["1", *(clauses[name] for name in filters)]), list(filters.values())


def figures(counts: tuple[int, ...], *, rate: bool) -> dict[str, Any]:
    total, completed, outstanding, overdue, dropped, exempted = (count or 0 for count in counts)
    named: dict[str, Any] = {
        "total": total,
        "completed": completed,
        "outstanding": outstanding,
        "overdue": overdue,
        **({"dropped": dropped} if dropped else {}),
        **({"exempted": exempted} if exempted else {}),
    }
    counted = total - dropped - exempted
    return {**named, "completion_rate": round(completed / counted, 3) if counted else None} if rate else named


def rows_by_sql(there: Stage, group_by: list[str], filters: dict[str, Any]) -> list[dict[str, Any]]:
    clause, params = where(filters)
    keys = ", ".join(KEY[name] for name in group_by)
    names = "u.email, m.name, m.email, u.is_active, c.name"
    rate = not {"state", "is_overdue"} & set(filters) and "state" not in group_by
    found = there.sql(
        f"SELECT {keys}, {COUNTS}, {names} {TABLES} WHERE {clause} GROUP BY {keys} ORDER BY {', '.join(map(str, (len(group_by) + 4,)))} DESC, {len(group_by) + 1} DESC, {keys}",
        *params,
    )
    rows: list[dict[str, Any]] = []
    for one in found:
        key, counts = one[: len(group_by)], one[len(group_by) : len(group_by) + 6]
        email, manager, manager_email, active, item = one[len(group_by) + 6 :]
        row: dict[str, Any] = figures(counts, rate=rate)
        for name, value in zip(group_by, key, strict=True):
            if name == "user":
                row["user_email"] = email
            elif name == "manager":
                row |= {"manager": manager or "none", "manager_email": manager_email}
            elif name == "content_item":
                row |= {"content_item": item, "content_item_id": value}
            else:
                row[name] = value or "none"
        if "user" in group_by and "manager" not in group_by:
            row["manager"] = manager or "none"
            if manager:
                row["manager_email"] = manager_email
            if not active:
                row["is_active"] = False
        rows.append(row)
    return rows


DAYS = st.dates(TODAY.replace(year=TODAY.year - 2), TODAY.replace(year=TODAY.year + 1)).map(str)
GROUPINGS = st.lists(st.sampled_from(sorted(KEY)), min_size=1, max_size=3, unique=True)


@st.composite
def questions(draw: st.DrawFn) -> tuple[int, list[str], dict[str, Any]]:
    """A tenant, a grouping, and filters that name things by their position."""
    number = st.integers(0, 10_000)
    possible: dict[str, st.SearchStrategy[Any]] = {
        "user": number,
        "manager": number,
        "group": number,
        "content_item": number,
        "content_type": st.sampled_from(["article", "course", "video", "event", "track", "guide"]),
        "state": st.sampled_from(STATES),
        "is_overdue": st.booleans(),
        "due_date_gte": DAYS,
        "due_date_lte": DAYS,
        "created_gte": DAYS,
        "created_lte": DAYS,
    }
    names = draw(st.lists(st.sampled_from(sorted(possible)), max_size=3, unique=True))
    return draw(st.integers(0, 1)), draw(GROUPINGS), {name: draw(possible[name]) for name in names}


SOURCES = {
    "user": "SELECT public_id FROM users ORDER BY id",
    "manager": "SELECT public_id FROM users WHERE id IN (SELECT manager_id FROM users) OR id % 10 = 0 ORDER BY id",
    "group": "SELECT public_id FROM groups ORDER BY id",
    "content_item": "SELECT public_id FROM content_items ORDER BY total_assignments DESC, id",
}


@settings(max_examples=200 if FULL else 30)
@given(question=questions())
async def test_assignments(tenants: list[Tenant], question: tuple[int, list[str], dict[str, Any]]) -> None:
    which, group_by, picked = question
    tenant = tenants[which]
    filters: dict[str, Any] = {}
    for name, value in picked.items():
        things = Stage(tenant).column(SOURCES[name]) if name in SOURCES else None
        filters[name] = things[value % len(things)] if things else value
    there = Stage(tenant)
    answer = await there.answer("report_assignments", group_by=group_by, top=100, **filters)
    expected = rows_by_sql(there, group_by, filters)
    clause, params = where(filters)
    totals = there.sql(f"SELECT {COUNTS} {TABLES} WHERE {clause}", *params)[0]
    states = dict(there.sql(f"SELECT a.state, count(*) {TABLES} WHERE {clause} GROUP BY 1", *params))
    assert answer["coverage"]["complete"], answer["coverage"]
    rates = not {"state", "is_overdue"} & set(filters)
    assert answer["totals"] == {**figures(totals, rate=rates), "by_state": states}
    shown = [dict(row) for row in answer["rows"]]
    more = len(expected) > len(shown) or (shown and "more)" in str(shown[-1][group_by[0]]))
    rest = shown.pop() if more else None
    for row in shown:
        row.pop("user", None)
    assert shown == expected[: len(shown)]
    if rest is None:
        assert len(shown) == len(expected)
        return
    hidden = expected[len(shown) :]
    assert rest[group_by[0]] == f"({len(hidden):,} more)"
    for name in ("total", "completed", "outstanding", "overdue", "dropped", "exempted"):
        assert rest.get(name, 0) == sum(row.get(name, 0) for row in hidden)
