"""Every figure of a report, to the digit, against SQL that was written for this test alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from desk import NOON, TODAY, Desk, desk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pp_mcp.demo import Sizes, Tenant

pytestmark = pytest.mark.anyio

SIZES = Sizes(people=150, groups=12, content_items=60, assignments=2_400, enrollments=300)
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


@pytest.fixture(scope="module")
def tenants() -> Iterator[list[Tenant]]:
    """One as the reference documents it, one as the guides show it."""
    made = [
        Tenant(sizes=SIZES, now=lambda: NOON),
        Tenant(sizes=SIZES, now=lambda: NOON, seed=11, ids="ulid", envelope="data", total_pages=True),
    ]
    yield made
    for tenant in made:
        tenant.close()


def column(tenant: Tenant, query: str) -> list[Any]:
    return [row[0] for row in tenant.connection.execute(query)]


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


def rows_by_sql(there: Desk, group_by: list[str], filters: dict[str, Any]) -> list[dict[str, Any]]:
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


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=questions())
async def test_assignments(tenants: list[Tenant], question: tuple[int, list[str], dict[str, Any]]) -> None:
    which, group_by, picked = question
    tenant = tenants[which]
    filters: dict[str, Any] = {}
    for name, value in picked.items():
        things = column(tenant, SOURCES[name]) if name in SOURCES else None
        filters[name] = things[value % len(things)] if things else value
    async with desk(tenant) as there:
        answer = await there.ask("report_assignments", group_by=group_by, top=100, **filters)
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


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    which=st.integers(0, 1),
    group_by=st.lists(
        st.sampled_from(["event", "status", "attendance_method", "user"]), min_size=1, unique=True, max_size=3
    ),
    event=st.none() | st.integers(0, 100),
    user=st.none() | st.integers(0, 1_000),
    since=st.none() | DAYS,
    until=st.none() | DAYS,
)
async def test_enrollments(
    tenants: list[Tenant],
    which: int,
    group_by: list[str],
    event: int | None,
    user: int | None,
    since: str | None,
    until: str | None,
) -> None:
    tenant = tenants[which]
    events = column(
        tenant, "SELECT DISTINCT c.public_id FROM enrollments e JOIN content_items c ON c.id = e.event_id ORDER BY 1"
    )
    people = column(tenant, "SELECT public_id FROM users WHERE id IN (SELECT user_id FROM enrollments) ORDER BY 1")
    given_: dict[str, Any] = {
        "event": events[event % len(events)] if event is not None else None,
        "user": people[user % len(people)] if user is not None else None,
        "created_gte": since,
        "created_lte": until,
    }
    filters = {name: value for name, value in given_.items() if value is not None}
    clauses = {
        "event": "c.public_id = ?",
        "user": "u.public_id = ?",
        "created_gte": "substr(e.created, 1, 10) >= ?",
        "created_lte": "substr(e.created, 1, 10) <= ?",
    }
    status = f"""CASE WHEN e.recorded <> 'enrolled' THEN e.recorded WHEN c.is_cancelled THEN 'cancelled'
        WHEN e.checkin_datetime IS NOT NULL THEN 'checked_in'
        WHEN c.checkin_closes_at < '{NOON:%Y-%m-%dT%H:%M:%S}' THEN 'no_show' ELSE 'enrolled' END"""
    keys = {
        "event": "c.public_id",
        "user": "u.email",
        "status": status,
        "attendance_method": "coalesce(e.attendance_method, 'none')",
    }
    async with desk(tenant) as there:
        answer = await there.ask("report_enrollments", group_by=group_by, top=100, **filters)
        query = f"""SELECT {status}, {", ".join(keys[name] for name in group_by)}, count(*)
            FROM enrollments e JOIN users u ON u.id = e.user_id JOIN content_items c ON c.id = e.event_id
            WHERE {" AND ".join(["1", *(clauses[name] for name in filters)])} GROUP BY 1, {", ".join(keys[name] for name in group_by)}"""
        found = there.sql(query, *filters.values())
    totals: dict[str, int] = {}
    groups: dict[tuple[str, ...], dict[str, int]] = {}
    for said, *key, count in found:
        totals[said] = totals.get(said, 0) + count
        groups.setdefault(tuple(key), {})[said] = count

    def with_rate(counts: dict[str, int], allowed: bool = True) -> dict[str, Any]:
        came, missed = counts.get("checked_in", 0), counts.get("no_show", 0)
        rate = {"no_show_rate": round(missed / (came + missed), 3)} if allowed and came + missed else {}
        return {"total": sum(counts.values()), **counts, **rate}

    assert answer["coverage"]["complete"]
    assert answer["totals"] == with_rate(totals)
    fields = {"event": "event_id", "user": "email", "status": "status", "attendance_method": "attendance_method"}
    shown = [row for row in answer["rows"] if "more)" not in str(row[group_by[0]])]
    assert len(shown) == len(groups) or "more)" in str(answer["rows"][-1][group_by[0]])
    for row in shown:
        counts = groups.pop(tuple(row[fields[name]] for name in group_by))
        kept = {
            name: value
            for name, value in row.items()
            if name not in ("event", "event_id", "user", "email", "status", "attendance_method")
        }
        assert kept == with_rate(counts, "status" not in group_by)
    if groups:
        rest = answer["rows"][-1]
        assert rest["total"] == sum(sum(counts.values()) for counts in groups.values())
        assert rest.get("no_show", 0) == sum(counts.get("no_show", 0) for counts in groups.values())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    which=st.integers(0, 1),
    types=st.none()
    | st.lists(st.sampled_from(["article", "course", "video", "event", "track"]), min_size=1, unique=True),
    group=st.none() | st.integers(0, 20),
    channel=st.none() | st.integers(0, 20),
    days=st.integers(1, 900),
)
async def test_content(
    tenants: list[Tenant], which: int, types: list[str] | None, group: int | None, channel: int | None, days: int
) -> None:
    tenant = tenants[which]
    filters: dict[str, Any] = {"stale_days": days}
    clauses, params = ["1"], []
    if types:
        filters["content_type"] = types
        clauses.append(f"c.content_type IN ({', '.join('?' * len(types))})")
        params += types
    if group is not None:
        ids = column(tenant, "SELECT public_id FROM groups ORDER BY id")
        filters["group"] = ids[group % len(ids)]
        clauses.append(
            "c.id IN (SELECT content_item_id FROM item_groups i JOIN groups g ON g.id = i.group_id WHERE g.public_id = ?)"
        )
        params.append(filters["group"])
    if channel is not None:
        ids = column(tenant, "SELECT public_id FROM channels ORDER BY id")
        filters["channel"] = ids[channel % len(ids)]
        clauses.append("c.channel_id = (SELECT id FROM channels WHERE public_id = ?)")
        params.append(filters["channel"])
    async with desk(tenant) as there:
        since = there.sql("SELECT date(?, ?)", str(TODAY), f"-{days} days")[0][0]
        answer = await there.ask("report_content", top=100, **filters)
        found = there.sql(
            f"""SELECT c.public_id, c.is_archived, c.is_hidden, count(a.id) = 0,
                count(a.id) > 0 AND coalesce(substr(max(a.completed_datetime), 1, 10), '') < ?,
                avg(a.feedback_rating) < 3, substr(c.modified, 1, 10) < ?, substr(max(a.completed_datetime), 1, 10)
            FROM content_items c LEFT JOIN assignments a ON a.content_item_id = c.id AND (a.state = 'completed' OR 1)
            WHERE {" AND ".join(clauses)} GROUP BY c.id""",
            since,
            since,
            *params,
        )
    live = {row[0]: row for row in found if not row[1]}
    names = ("never_assigned", "nobody_finished", "low_rated", "stale")
    findings = {key: [name for name, said in zip(names, row[3:7], strict=True) if said] for key, row in live.items()}
    flagged = {key: said for key, said in findings.items() if said}
    assert answer["coverage"]["complete"]
    assert answer["totals"] == {
        "total": len(found),
        "in_use": len(live),
        "archived": len(found) - len(live),
        "hidden": sum(row[2] for row in found),
        "with_findings": len(flagged),
        **{name: sum(name in said for said in findings.values()) for name in names},
    }
    shown = {row["public_id"]: row for row in answer["rows"] if "public_id" in row}
    assert {key: row["findings"] for key, row in shown.items()} == {key: flagged[key] for key in shown}
    assert len(shown) == len(flagged) or f"({len(flagged) - len(shown):,} more)" == answer["rows"][-1]["name"]
    for key, row in shown.items():
        assert row.get("last_finished", live[key][7]) == live[key][7]
