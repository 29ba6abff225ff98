"""Reports and lists whole, as CSV through their resources: every row by SQL, safe in a spreadsheet, or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from stage import Network, ask, connected

from pp_mcp.demo import Sizes, Tenant
from pp_mcp.inventory import ALL_TOOLS, BY_NAME
from pp_mcp.reports.answers import ReportAnswer
from pp_mcp.server.csv import csv_uri

pytestmark = pytest.mark.anyio

SIZES = Sizes(people=140, groups=12, content_items=60, assignments=700, enrollments=150)


@pytest.fixture(scope="module")
def whole() -> Iterator[Tenant]:
    tenant = Tenant(sizes=SIZES)
    yield tenant
    tenant.close()


@pytest.fixture
async def client(whole: Tenant) -> AsyncIterator[Client]:
    async with connected(whole) as found:
        yield found


async def table(client: Client, uri: str, part: str = "all") -> list[dict[str, str]]:
    """The rows of a CSV, all of them unless a part is named."""
    uri += f"{'&' if '?' in uri else '?'}part={part}"
    (content,) = (await client.read_resource(uri)).contents
    assert content.mime_type == "text/csv"
    assert content.text.endswith("\r\n")
    return list(csv.DictReader(io.StringIO(content.text, newline="")))


def sql(tenant: Tenant, query: str, *params: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in tenant.connection.execute(query, params)]


def texts(rows: list[tuple[Any, ...]]) -> list[tuple[str, ...]]:
    return [tuple("" if value is None else str(value) for value in row) for row in rows]


FLAG = "CASE {0} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END"
ASSIGNMENTS = f"""SELECT a.public_id, u.public_id, u.name, u.email, c.name, c.content_type, a.state, a.due_date, a.attempt,
    {FLAG.format("a.is_success")}, CASE WHEN a.state IN ('not_started', 'in_progress') AND coalesce(a.due_date < date('now'), 0) THEN 'true' ELSE 'false' END
    FROM assignments a JOIN users u ON u.id = a.user_id JOIN content_items c ON c.id = a.content_item_id"""
ASSIGNMENT_COLUMNS = (
    "public_id user_public_id user_name user_email content_item_name content_item_content_type state due_date attempt "
    "is_success is_overdue"
)
USERS = f"SELECT u.public_id, u.name, u.email, u.role, u.employee_id, {FLAG.format('u.is_active')}, m.email FROM users u LEFT JOIN users m ON m.id = u.manager_id"
USER_COLUMNS = "public_id name email role employee_id is_active manager_email"

LISTS = [
    ("users", {}, USERS, USER_COLUMNS),
    ("users", {"is_active": "false"}, f"{USERS} WHERE NOT u.is_active", USER_COLUMNS),
    (
        "group_members",
        {"group": "Platform"},
        f"{USERS} JOIN group_members x ON x.user_id = u.id WHERE x.group_id = 1",
        USER_COLUMNS,
    ),
    (
        "groups",
        {},
        "SELECT public_id, name, source, (SELECT count(*) FROM group_members WHERE group_id = g.id) FROM groups g",
        "public_id name source member_count",
    ),
    (
        "content",
        {},
        "SELECT public_id, name, content_type, duration_minutes, total_assignments FROM content_items",
        "public_id name content_type duration_minutes total_assignments",
    ),
    (
        "content",
        {"content_type": "video,course"},
        "SELECT public_id FROM content_items WHERE content_type IN ('video', 'course')",
        "public_id",
    ),
    ("articles", {}, "SELECT public_id, name FROM content_items WHERE content_type = 'article'", "public_id name"),
    ("assignments", {}, ASSIGNMENTS, ASSIGNMENT_COLUMNS),
    ("assignments", {"state": "completed"}, f"{ASSIGNMENTS} WHERE a.state = 'completed'", ASSIGNMENT_COLUMNS),
    (
        "overdue_assignments",
        {},
        f"{ASSIGNMENTS} WHERE a.state IN ('not_started', 'in_progress') AND a.due_date < date('now')",
        ASSIGNMENT_COLUMNS,
    ),
    (
        "enrollments",
        {},
        "SELECT e.public_id, u.email, c.name, e.attendance_method FROM enrollments e JOIN users u ON u.id = e.user_id JOIN content_items c ON c.id = e.event_id",
        "public_id user_email event_name attendance_method",
    ),
]


@pytest.mark.parametrize(
    ("path", "query", "select", "columns"), LISTS, ids=[f"{path} {query}" for path, query, _, _ in LISTS]
)
async def test_lists(
    client: Client, whole: Tenant, path: str, query: dict[str, str], select: str, columns: str
) -> None:
    uri = f"plusplus://lists/{path}.csv" + (
        "?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else ""
    )
    rows = await table(client, uri)
    wanted = sorted(texts(sql(whole, select)))
    assert len(wanted) > 0
    assert sorted(tuple(row[name] for name in columns.split()) for row in rows) == wanted


async def test_rows_stand_in_the_apis_order(client: Client, whole: Tenant) -> None:
    rows = await table(client, "plusplus://lists/assignments.csv")
    assert [row["public_id"] for row in rows] == [
        one for (one,) in sql(whole, "SELECT public_id FROM assignments ORDER BY id DESC")
    ]


async def test_report_on_assignments(client: Client, whole: Tenant) -> None:
    rows = await table(client, "plusplus://reports/assignments.csv?group_by=user,content_type&is_overdue=true")
    wanted = sql(
        whole,
        f"""SELECT u.name, u.email, c.content_type, coalesce(m.name, 'none'), m.email, {FLAG.format("u.is_active")}, count(*), 1,
           0, count(*), count(*), sum(a.state = 'in_progress'), 0, 0, 0, CASE WHEN u.is_active THEN 0 ELSE count(*) END, avg(coalesce(a.progress, 0))
           FROM assignments a JOIN users u ON u.id = a.user_id LEFT JOIN users m ON m.id = u.manager_id
           JOIN content_items c ON c.id = a.content_item_id
           WHERE a.state IN ('not_started', 'in_progress') AND a.due_date < date('now') GROUP BY u.id, c.content_type""",
    )
    header = [
        "user",
        "user_email",
        "content_type",
        "manager",
        "manager_email",
        "is_active",
        "total",
        "people",
        "completed",
        "outstanding",
        "overdue",
        "in_progress",
        "dropped",
        "exempted",
        "other",
        "inactive",
    ]
    assert list(rows[0]) == [*header, "average_progress"]
    assert sorted(tuple(row[name] for name in header) for row in rows) == sorted(texts([row[:-1] for row in wanted]))
    assert sorted(float(row["average_progress"]) for row in rows) == pytest.approx(
        sorted(row[-1] for row in wanted), abs=0.0006
    )
    assert {row["is_active"] for row in rows} == {"true", "false"}


async def test_report_on_content(client: Client, whole: Tenant) -> None:
    rows = await table(client, "plusplus://reports/content.csv?content_type=article,video&stale_days=200")
    wanted = sql(
        whole,
        """SELECT public_id, total_assignments FROM content_items c WHERE content_type IN ('article', 'video') AND NOT is_archived
           AND (total_assignments = 0 OR rating_sum * 1.0 / rating_count < 3 OR substr(modified, 1, 10) < date('now', '-200 days')
             OR coalesce((SELECT max(substr(completed_datetime, 1, 10)) FROM assignments WHERE content_item_id = c.id), '') < date('now', '-200 days'))""",
    )
    assert sorted((row["public_id"], row["total_assignments"]) for row in rows) == sorted(texts(wanted))
    assert any(row["findings"].count("; ") for row in rows)


async def test_report_on_attendance(client: Client, whole: Tenant) -> None:
    rows = await table(client, "plusplus://reports/enrollments.csv")
    wanted = sql(
        whole,
        """SELECT c.name, c.public_id, count(*), sum(recorded = 'waitlisted') FROM enrollments e JOIN content_items c ON c.id = e.event_id GROUP BY 1, 2""",
    )
    assert sorted((row["event"], row["event_id"], row["total"], row["waitlisted"]) for row in rows) == sorted(
        texts(wanted)
    )
    assert sum(int(row["no_show"]) for row in rows) > 0


@pytest.mark.parametrize(
    ("uri", "header"),
    [
        (
            "plusplus://lists/users.csv?search=nobody%20at%20all",
            "public_id,name,email,role,employee_id,is_active,manager_public_id,manager_name,manager_email,date_joined,suspicious",
        ),
        (
            "plusplus://reports/assignments.csv?due_date_lte=1999-01-01&group_by=manager,due_month",
            "manager,manager_email,due_month,total,people,completed,outstanding,overdue,in_progress,dropped,exempted,other,inactive,average_progress,completion_rate",
        ),
        (
            "plusplus://reports/enrollments.csv?created_lte=1999-01-01&group_by=status",
            "status,total,people,enrolled,waitlisted,checked_in,no_show,dropped,cancelled",
        ),
        (
            "plusplus://reports/content.csv?channel=aaaaaaaa-0000-4000-8000-000000000001",
            "public_id,name,content_type,findings,total_assignments,completed_assignments_count,last_finished,avg_feedback_rating,created,modified",
        ),
    ],
)
async def test_a_table_of_no_rows_has_a_header(client: Client, uri: str, header: str) -> None:
    (content,) = (await client.read_resource(uri)).contents
    assert content.text == header + "\r\n"


REQUIRED = {"group": "Platform", "user": "jane.doe@acme.example", "manager": "jane.doe@acme.example"}
"""What a required argument can be in the seed."""


@pytest.mark.parametrize("name", sorted(tool.name for tool in ALL_TOOLS if tool.csv))
async def test_what_could_not_be_read_whole_is_an_error(whole: Tenant, name: str) -> None:
    network = Network(whole)
    network.before = lambda request, _: (
        httpx2.Response(200, json={"data": [], "meta": {"page": 1, "page_size": 100, "total_count": 300}})
        if request.method == "GET" and "page" in request.url.params and request.url.params.get("name") is None
        else None
    )
    async with connected(whole, transport=network) as client:
        for part in ("1", "all"):
            required = BY_NAME[name].input_schema.get("required", [])
            query = f"?part={part}" + "".join(f"&{argument}={REQUIRED[argument]}" for argument in required)
            with pytest.raises(MCPError, match=r"Only 0 of \d+ rows could be read") as caught:
                await client.read_resource(f"plusplus://{BY_NAME[name].csv}.csv{query}")
            assert "there is no table" in str(caught.value)


async def test_the_links_of_answers_can_be_read(client: Client, whole: Tenant) -> None:
    for tool, asked in (
        ("report_assignments", {"group_by": ["manager", "state"], "is_overdue": True, "content_item": "Security 101"}),
        ("report_content", {"content_type": ["article", "track"], "stale_days": 30}),
        ("report_enrollments", {"group_by": ["event"], "created_gte": "2020-01-01"}),
        ("list_assignments", {"page_size": 3, "due_date_gte": "2024-01-01", "detail": "full"}),
        ("search_content", {"content_type": ["article", "video"], "page_size": 2, "is_archived": False}),
    ):
        answer = await ask(client, tool, **asked)
        rows = await table(client, answer["csv"])
        whole_answer = await ask(
            client,
            tool,
            **{**asked, ("top" if "top" in BY_NAME[tool].arguments.model_fields else "page_size"): 100},
        )
        kept = [
            row for row in whole_answer.get("rows", whole_answer.get("items", [])) if "more)" not in json.dumps(row)
        ]
        assert len(rows) == max(len(kept), answer.get("total_count", 0))


NAMES = [
    "R&D / Plattform, München",
    "50 % + 1 = ?",
    "a=b&group=Platform#x",
    "研究チーム",
    "one word",
    "quo'te\"s",
]


async def test_names_of_all_kinds_make_the_round_trip(whole: Tenant) -> None:
    tenant = Tenant(sizes=Sizes(people=30, groups=6, content_items=10, assignments=40, enrollments=0))
    for number, name in enumerate(NAMES, 1):
        tenant.connection.execute(
            "UPDATE groups SET name = ?, name_key = ? WHERE id = ?", (name, name.casefold(), number)
        )
        tenant.connection.execute("INSERT OR IGNORE INTO group_members VALUES (?, ?)", (number, number))
    async with connected(tenant) as client:
        for number, name in enumerate(NAMES, 1):
            answer = await ask(client, "report_assignments", group=name, group_by=["user"])
            rows = await table(client, answer["csv"])
            assert {row["user_email"] for row in rows} == {row["user_email"] for row in answer["rows"]}
            members = sql(tenant, "SELECT count(*) FROM group_members WHERE group_id = ?", number)[0][0]
            assert len(await table(client, csv_uri(BY_NAME["list_group_members"], {"group": name}))) == members
    tenant.close()


async def test_formulas_of_the_tenants_stay_text(whole: Tenant) -> None:
    evil = '=HYPERLINK("http://x","y")'
    tenant = Tenant(sizes=Sizes(people=10, groups=2, content_items=4, assignments=6, enrollments=0))
    tenant.connection.execute("UPDATE users SET name = ?, employee_id = '-1+2'", (evil,))
    async with connected(tenant) as client:
        rows = await table(client, "plusplus://lists/users.csv")
    assert {row["name"] for row in rows} == {"'" + evil}
    assert {row["employee_id"] for row in rows} == {"'-1+2"}
    tenant.close()


def test_every_report_and_list_has_its_csv() -> None:
    with_rows = {
        tool.name
        for tool in ALL_TOOLS
        if issubclass(tool.answer, ReportAnswer) or {"items", "total_count"} <= set(tool.answer.model_fields)
    }
    assert {tool.name for tool in ALL_TOOLS if tool.csv} == with_rows
    assert with_rows >= {tool.name for tool in ALL_TOOLS if tool.name.startswith(("report_", "list_", "search_"))}
    paths = [tool.csv for tool in ALL_TOOLS if tool.csv]
    assert len(set(paths)) == len(paths)
    assert all((tool.record is None) == issubclass(tool.answer, ReportAnswer) for tool in ALL_TOOLS if tool.csv)
