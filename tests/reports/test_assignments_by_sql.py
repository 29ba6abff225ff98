"""Every figure of a report, to the digit, against SQL that was written for this test alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage import FULL, TODAY, Stage

from pp_mcp.demo import Tenant
from pp_mcp.reports import planning, reading

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
OUTSTANDING = "a.state IN ('not_started', 'in_progress')"
OVERDUE = f"({OUTSTANDING} AND a.due_date < '{TODAY}')"
COUNTED = ("total", "people", "completed", "outstanding", "overdue", "in_progress", "dropped", "exempted", "inactive")
COUNTS = f"""
    count(*), count(DISTINCT u.id), sum(a.state = 'completed'), sum({OUTSTANDING}), coalesce(sum({OVERDUE}), 0),
    sum(a.state = 'in_progress'), sum(a.state = 'dropped'), sum(a.state = 'exempted'), sum(NOT u.is_active),
    sum(CASE WHEN {OUTSTANDING} THEN coalesce(a.progress, 0) END)
"""
TABLES = """
    FROM assignments a JOIN users u ON u.id = a.user_id LEFT JOIN users m ON m.id = u.manager_id
    JOIN content_items c ON c.id = a.content_item_id
"""
SEVERAL = ("user", "content_item")


def where(filters: dict[str, Any]) -> tuple[str, list[Any]]:
    clauses = {
        "user": "u.public_id IN ({})",
        "manager": "m.public_id = ?",
        "group": "u.id IN (SELECT user_id FROM group_members WHERE group_id = (SELECT id FROM groups WHERE public_id = ?))",
        "content_item": "c.public_id IN ({})",
        "content_type": "c.content_type = ?",
        "state": "a.state = ?",
        "is_overdue": f"coalesce({OVERDUE}, 0) = ?",
        "is_active": "u.is_active = ?",
        "due_date_gte": "a.due_date >= ?",
        "due_date_lte": "a.due_date <= ?",
        "created_gte": "substr(a.created, 1, 10) >= ?",
        "created_lte": "substr(a.created, 1, 10) <= ?",
        "completed_gte": "substr(a.completed_datetime, 1, 10) >= ?",
        "completed_lte": "substr(a.completed_datetime, 1, 10) <= ?",
    }
    params: list[Any] = []
    said = ["1"]
    for name, value in filters.items():
        values = value if isinstance(value, list) else [value]
        said.append(clauses[name].format(", ".join("?" * len(values))))
        params += values
    return " AND ".join(said), params


def figures(
    counts: tuple[Any, ...], *, rate: bool, by_person: bool = False, was_counted: bool = False
) -> dict[str, Any]:
    named = {name: count or 0 for name, count in zip(COUNTED, counts, strict=False)}
    counted = named["total"] - named["dropped"] - named["exempted"]
    completed, outstanding = named["completed"], named["outstanding"]
    for name in ("in_progress", "dropped", "exempted"):
        if not named[name]:
            del named[name]
    if by_person:
        del named["people"], named["inactive"]
    if was_counted:
        del named["people"], named["inactive"]
    elif outstanding:
        named["average_progress"] = pytest.approx((counts[9] or 0) / outstanding, abs=0.00051)
    return {**named, "completion_rate": round(completed / counted, 3) if counted else None} if rate else named


def may_have_rates(filters: dict[str, Any]) -> bool:
    return not {"state", "is_overdue", "completed_gte", "completed_lte"} & set(filters)


def fixed(group_by: list[str], filters: dict[str, Any]) -> set[str]:
    """The columns that need not be said again in every row."""
    names = {name for name in ("manager", "content_type", "state") if name in filters}
    names |= {name for name in SEVERAL if len(filters.get(name, ())) == 1}
    # One person has one manager.
    names |= {"manager"} if "user" in names else set()
    if names >= set(group_by):
        names = set()
    columns = names | {f"{name}_email" for name in names & {"user", "manager"}} | {f"{name}_id" for name in names}
    columns |= {"is_active"} if "is_active" in filters else set()
    return columns | ({"is_active"} if "user" in names else set())


def rows_by_sql(there: Stage, group_by: list[str], filters: dict[str, Any], was_counted: bool) -> list[dict[str, Any]]:
    clause, params = where(filters)
    keys = ", ".join(KEY[name] for name in group_by)
    names = "u.email, m.name, m.email, u.is_active, c.name"
    rate = may_have_rates(filters) and "state" not in group_by
    first = len(group_by) + 1
    found = there.sql(
        f"SELECT {keys}, {COUNTS}, {names} {TABLES} WHERE {clause} GROUP BY {keys} ORDER BY {first + 4} DESC, {first} DESC, {keys}",
        *params,
    )
    left_out = fixed(group_by, filters)
    rows: list[dict[str, Any]] = []
    for one in found:
        key, counts = one[: len(group_by)], one[len(group_by) : len(group_by) + 10]
        email, manager, manager_email, active, item = one[len(group_by) + 10 :]
        row: dict[str, Any] = figures(counts, rate=rate, by_person="user" in group_by, was_counted=was_counted)
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
        if "user" in group_by and not active:
            row["is_active"] = False
        rows.append({name: value for name, value in row.items() if name not in left_out})
    return rows


DAYS = st.dates(TODAY.replace(year=TODAY.year - 2), TODAY.replace(year=TODAY.year + 1)).map(str)
LATELY = st.dates(TODAY.replace(year=TODAY.year - 1), TODAY).map(str)
GROUPINGS = st.lists(st.sampled_from(sorted(KEY)), min_size=1, max_size=3, unique=True)
NUMBERS = st.integers(0, 10_000)


COUNTABLE = (
    "content_item", "content_type", "state", "is_overdue", "due_date_gte", "due_date_lte", "created_gte", "created_lte"
)  # fmt: skip
GROUPINGS_COUNTED = st.sampled_from(
    [
        [*one, *state]
        for one in ([], ["content_item"], ["content_type"], ["content_type", "content_item"], ["due_month"])
        for state in ([], ["state"])
        if one or state
    ]
)


@st.composite
def questions(
    draw: st.DrawFn, filters: Sequence[str] = (), groupings: st.SearchStrategy[list[str]] = GROUPINGS
) -> tuple[int, list[str], dict[str, Any]]:
    """A tenant, a grouping, and filters that name things by their position."""
    several = st.lists(NUMBERS, min_size=1, max_size=4)
    possible: dict[str, st.SearchStrategy[Any]] = {
        "user": several,
        "manager": NUMBERS,
        "group": NUMBERS,
        "content_item": several,
        "content_type": st.sampled_from(["article", "course", "video", "event", "track", "guide"]),
        "state": st.sampled_from(STATES),
        "is_overdue": st.booleans(),
        "is_active": st.booleans(),
        "due_date_gte": DAYS,
        "due_date_lte": DAYS,
        "created_gte": DAYS,
        "created_lte": DAYS,
        "completed_gte": LATELY,
        "completed_lte": LATELY,
    }
    names = draw(st.lists(st.sampled_from(sorted(filters or possible)), max_size=3, unique=True))
    return draw(st.integers(0, 1)), draw(groupings), {name: draw(possible[name]) for name in names}


SOURCES = {
    "user": "SELECT public_id FROM users ORDER BY id",
    "manager": "SELECT public_id FROM users WHERE id IN (SELECT manager_id FROM users) OR id % 10 = 0 ORDER BY id",
    "group": "SELECT public_id FROM groups ORDER BY id",
    "content_item": "SELECT public_id FROM content_items ORDER BY total_assignments DESC, id",
}


def things(tenant: Tenant, picked: dict[str, Any]) -> dict[str, Any]:
    """The filters with the ids of the things that they name by position."""
    filters: dict[str, Any] = {}
    for name, value in picked.items():
        if name not in SOURCES:
            filters[name] = value
            continue
        ids = Stage(tenant).column(SOURCES[name])
        if isinstance(value, list):
            filters[name] = list(dict.fromkeys(ids[one % len(ids)] for one in value))
        else:
            filters[name] = ids[value % len(ids)]
    return filters


CHECKED = settings(
    max_examples=100 if FULL else 25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
OF_EACH_PLAN = settings(CHECKED, max_examples=40 if FULL else 12)

Question = tuple[int, list[str], dict[str, Any]]


def force(
    monkeypatch: pytest.MonkeyPatch, *, counting: bool, way: Callable[[dict[str, int]], str] = reading.fewest
) -> None:
    """Has reports counted wherever they can be or never, and read in this way, whatever takes the fewest requests."""

    def pays(_counting: int, _reading: int) -> bool:
        return counting

    monkeypatch.setattr(planning, "pays", pays)
    monkeypatch.setattr(reading, "fewest", way)


@CHECKED
@given(question=questions())
async def test_assignments(tenants: list[Tenant], question: Question) -> None:
    await check(tenants, question)


@OF_EACH_PLAN
@given(question=questions(COUNTABLE, GROUPINGS_COUNTED))
async def test_assignments_that_are_counted(
    tenants: list[Tenant], question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, counting=True)
    how = await check(tenants, question)
    assert how.startswith("counted by ")


@OF_EACH_PLAN
@given(question=questions())
async def test_assignments_read_in_filtered_pages(
    tenants: list[Tenant], question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, counting=False, way=lambda ways: next(iter(ways)))
    how = await check(tenants, question)
    several = any(len(question[2].get(name, ())) > 1 for name in SEVERAL)
    assert not several or "one pass" not in how


@OF_EACH_PLAN
@given(question=questions())
async def test_assignments_read_in_one_pass(
    tenants: list[Tenant], question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, counting=False, way=lambda _: "everything")
    how = await check(tenants, question)
    assert how.startswith(("one pass over ", "nobody to read of"))


async def check(tenants: list[Tenant], question: Question) -> str:
    """Compares a report with SQL, and answers how it came about."""
    which, group_by, picked = question
    tenant = tenants[which]
    filters = things(tenant, picked)
    there = Stage(tenant)
    answer = await there.answer("report_assignments", group_by=group_by, top=100, **filters)
    how = answer["coverage"]["how"]
    was_counted = how.startswith("counted by ")
    expected = rows_by_sql(there, group_by, filters, was_counted)
    clause, params = where(filters)
    totals = there.sql(f"SELECT {COUNTS} {TABLES} WHERE {clause}", *params)[0]
    states = dict(there.sql(f"SELECT a.state, count(*) {TABLES} WHERE {clause} GROUP BY 1", *params))
    done = who_completed_all(there, filters)
    assert answer["coverage"]["complete"], answer["coverage"]
    tells = "user" in group_by and len(filters.get("content_item", ())) > 1
    tells = tells and not set(filters) - {"user", "manager", "group", "content_item", "is_active"}
    all_of_them = {"completed_all": len(done)} if tells else {}
    said = figures(totals, rate=may_have_rates(filters), was_counted=was_counted)
    assert answer["totals"] == {**said, "by_state": states, **all_of_them}
    shown = [dict(row) for row in answer["rows"]]
    name = next(name for name in group_by if name not in fixed(group_by, filters))
    more = len(expected) > len(shown) or (shown and "more)" in str(shown[-1].get(name)))
    rest = shown.pop() if more else None
    for row in shown:
        row.pop("user", None)
        if tells:
            assert row.pop("completed_all") is (row["user_email"] in done)
    assert shown == expected[: len(shown)]
    if rest is None:
        assert len(shown) == len(expected)
        return how
    hidden = expected[len(shown) :]
    assert rest[name] == f"({len(hidden):,} more)"
    for figure in ("total", "completed", "outstanding", "overdue", "dropped", "exempted"):
        assert rest.get(figure, 0) == sum(row.get(figure, 0) for row in hidden)
    people = {row["user_email"] for row in hidden if "user_email" in row}
    if people:
        assert rest["people"] == len(people)
    assert "read csv" in answer["summary"]
    return how


def who_completed_all(there: Stage, filters: dict[str, Any]) -> set[str]:
    """The e-mails of those who completed each of the content items, whatever else became of other attempts."""
    items = filters.get("content_item", [])
    clause, params = where({name: value for name, value in filters.items() if name != "content_item"})
    done = there.sql(
        f"""SELECT u.email {TABLES} WHERE {clause} AND a.state = 'completed' AND c.public_id IN ({", ".join("?" * len(items))})
            GROUP BY u.id HAVING count(DISTINCT c.id) = {len(items)}""",
        *params,
        *items,
    )
    return {email for (email,) in done}


@CHECKED
@given(
    which=st.integers(0, 1),
    items=st.lists(NUMBERS, min_size=1, max_size=3),
    group=st.none() | NUMBERS,
    manager=st.none() | NUMBERS,
    users=st.none() | st.lists(NUMBERS, min_size=1, max_size=6),
    active=st.none() | st.booleans(),
)
async def test_who_was_never_assigned_it(
    tenants: list[Tenant],
    which: int,
    items: list[int],
    group: int | None,
    manager: int | None,
    users: list[int] | None,
    active: bool | None,
) -> None:
    tenant = tenants[which]
    if group is manager is users is None:
        group = 0
    picked = {"group": group, "manager": manager, "user": users, "is_active": active, "content_item": items}
    filters = things(tenant, {name: value for name, value in picked.items() if value is not None})
    wanted = filters["content_item"]
    there = Stage(tenant)
    answer = await there.answer("report_assignments", missing=True, top=100, **filters)
    clause, params = where({name: value for name, value in filters.items() if name != "content_item"})
    people = there.sql(
        f"""SELECT u.email, m.email, u.is_active,
            (SELECT group_concat(DISTINCT c.public_id) FROM assignments a JOIN content_items c ON c.id = a.content_item_id WHERE a.user_id = u.id)
            FROM users u LEFT JOIN users m ON m.id = u.manager_id WHERE {clause}""",
        *params,
    )
    names = dict(there.sql("SELECT public_id, name FROM content_items"))
    lacks: dict[str, dict[str, Any]] = {}
    for email, boss, is_active, had in people:
        lacking = [names[item] for item in wanted if item not in (had or "").split(",")]
        if lacking:
            lacks[email] = {"manager_email": boss, "missing": lacking, "is_active": bool(is_active)}
    assert answer["totals"] == {"people": len(people), "missing": len(lacks)}
    assert answer["coverage"]["complete"]
    assert answer["summary"].startswith(f"{len(lacks):,} of {len(people):,} ")
    rows = [row for row in answer["rows"] if "user_email" in row]
    assert len(rows) == len(lacks) or answer["rows"][-1]["user"] == f"({len(lacks) - len(rows):,} more)"
    for row in rows:
        fact = lacks.pop(row["user_email"])
        assert row.get("is_active", True) is (fact["is_active"] or active is not None)
        assert row.get("missing") == (fact["missing"] if len(wanted) > 1 else None)
        assert ("manager" in row) is (manager is None)
        if manager is None:
            assert row.get("manager_email") == fact["manager_email"]


@CHECKED
@given(
    which=st.integers(0, 1),
    since=st.none() | LATELY,
    until=st.none() | LATELY,
    user=st.none() | NUMBERS,
    item=st.none() | NUMBERS,
    page=st.integers(1, 4),
    size=st.integers(1, 100),
)
async def test_lists_by_when_it_was_completed(
    tenants: list[Tenant],
    which: int,
    since: str | None,
    until: str | None,
    user: int | None,
    item: int | None,
    page: int,
    size: int,
) -> None:
    tenant = tenants[which]
    if since is until is None:
        since = str(TODAY)
    named = {"user": user, "content_item": item}
    filters = things(tenant, {name: value for name, value in named.items() if value is not None})
    filters |= {name: value for name, value in (("completed_gte", since), ("completed_lte", until)) if value}
    there = Stage(tenant)
    answer = await there.answer("list_assignments", page=page, page_size=size, **filters)
    clause, params = where(filters)
    expected = there.sql(
        f"SELECT a.public_id {TABLES} WHERE {clause} ORDER BY a.completed_datetime DESC, a.public_id DESC", *params
    )
    assert answer["total_count"] == len(expected)
    first = (page - 1) * size
    assert [row["public_id"] for row in answer["items"]] == [one for (one,) in expected[first : first + size]]
    assert answer.get("next_page") == (page + 1 if first + size < len(expected) else None)
