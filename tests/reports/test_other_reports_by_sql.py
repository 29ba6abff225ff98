"""Attendance and the catalogue, to the digit, against SQL that was written for this test alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import FULL, NOON, TODAY, Stage

from pp_mcp.demo import Tenant

pytestmark = pytest.mark.anyio

DAYS = st.dates(TODAY.replace(year=TODAY.year - 2), TODAY.replace(year=TODAY.year + 1)).map(str)


@settings(max_examples=100 if FULL else 12)
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
    events = Stage(tenant).column(
        "SELECT DISTINCT c.public_id FROM enrollments e JOIN content_items c ON c.id = e.event_id ORDER BY 1"
    )
    people = Stage(tenant).column(
        "SELECT public_id FROM users WHERE id IN (SELECT user_id FROM enrollments) ORDER BY 1"
    )
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
    there = Stage(tenant)
    answer = await there.answer("report_enrollments", group_by=group_by, top=100, **filters)
    tables = f"""FROM enrollments e JOIN users u ON u.id = e.user_id JOIN content_items c ON c.id = e.event_id
        WHERE {" AND ".join(["1", *(clauses[name] for name in filters)])}"""
    by = ", ".join(keys[name] for name in group_by)
    found = there.sql(f"SELECT {status}, {by}, count(*) {tables} GROUP BY 1, {by}", *filters.values())
    people = {
        tuple(key): count
        for *key, count in there.sql(f"SELECT {by}, count(DISTINCT u.id) {tables} GROUP BY {by}", *filters.values())
    }
    everybody = there.sql(f"SELECT count(DISTINCT u.id) {tables}", *filters.values())[0][0]
    totals: dict[str, int] = {}
    groups: dict[tuple[str, ...], dict[str, int]] = {}
    for said, *key, count in found:
        totals[said] = totals.get(said, 0) + count
        groups.setdefault(tuple(key), {})[said] = count

    def with_rate(counts: dict[str, int], people: int, allowed: bool = True) -> dict[str, Any]:
        came, missed = counts.get("checked_in", 0), counts.get("no_show", 0)
        rate = {"no_show_rate": round(missed / (came + missed), 3)} if allowed and came + missed else {}
        return {"total": sum(counts.values()), "people": people, **counts, **rate}

    assert answer["coverage"]["complete"]
    assert answer["totals"] == with_rate(totals, everybody)
    fields = {"event": "event_id", "user": "email", "status": "status", "attendance_method": "attendance_method"}
    # What the filters fix is not said again in every row, if anything else names the rows.
    fixed = {name for name in ("event", "user") if name in filters}
    fixed = set() if fixed >= set(group_by) else fixed
    known = {"event": filters.get("event"), "user": None}
    if "user" in fixed:
        known["user"] = next(iter(groups))[group_by.index("user")] if groups and "user" in group_by else None
    kept = [name for name in group_by if name not in fixed]
    shown = [row for row in answer["rows"] if "more)" not in str(row.get(kept[0]))]
    assert len(shown) == len(groups) or "more)" in str(answer["rows"][-1][kept[0]])
    for row in shown:
        assert not {name for name in fixed if name in row or fields[name] in row}
        key = tuple(known[name] if name in fixed else row[fields[name]] for name in group_by)
        counts = groups.pop(key)
        figures = {
            name: value
            for name, value in row.items()
            if name not in ("event", "event_id", "user", "email", "status", "attendance_method")
        }
        # That one person is one person need not be said.
        wanted = with_rate(counts, people.pop(key), "status" not in group_by)
        assert figures == {name: value for name, value in wanted.items() if name != "people" or "user" not in group_by}
    if groups:
        rest = answer["rows"][-1]
        assert rest["total"] == sum(sum(counts.values()) for counts in groups.values())
        assert rest.get("no_show", 0) == sum(counts.get("no_show", 0) for counts in groups.values())


@settings(max_examples=100 if FULL else 12)
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
        ids = Stage(tenant).column("SELECT public_id FROM groups ORDER BY id")
        filters["group"] = ids[group % len(ids)]
        clauses.append(
            "c.id IN (SELECT content_item_id FROM item_groups i JOIN groups g ON g.id = i.group_id WHERE g.public_id = ?)"
        )
        params.append(filters["group"])
    if channel is not None:
        ids = Stage(tenant).column("SELECT public_id FROM channels ORDER BY id")
        filters["channel"] = ids[channel % len(ids)]
        clauses.append("c.channel_id = (SELECT id FROM channels WHERE public_id = ?)")
        params.append(filters["channel"])
    there = Stage(tenant)
    since = there.sql("SELECT date(?, ?)", str(TODAY), f"-{days} days")[0][0]
    answer = await there.answer("report_content", top=100, **filters)
    found = there.sql(
        f"""SELECT c.public_id, c.is_archived, c.is_hidden, count(a.id) = 0,
            count(a.id) > 0 AND coalesce(substr(max(a.completed_datetime), 1, 10), '') < ?,
            avg(a.feedback_rating) < 3, substr(c.modified, 1, 10) < ?, substr(max(a.completed_datetime), 1, 10),
            count(a.id) > 0 AND count(a.completed_datetime) = 0
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
        "never_finished": sum(row[8] for row in live.values()),
    }
    shown = {row["public_id"]: row for row in answer["rows"] if "public_id" in row}
    assert {key: row["findings"] for key, row in shown.items()} == {key: flagged[key] for key in shown}
    assert len(shown) == len(flagged) or f"({len(flagged) - len(shown):,} more)" == answer["rows"][-1]["name"]
    for key, row in shown.items():
        assert row.get("last_finished", live[key][7]) == live[key][7]
