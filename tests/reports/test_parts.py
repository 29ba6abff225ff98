"""CSV in parts that a client takes, each with its header; and addresses that ask for what there is not."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from stage import Network, ask, connected

from pp_mcp.demo import Sizes, Tenant
from pp_mcp.inventory import ALL_TOOLS
from pp_mcp.server.csv import MOST_CHARACTERS, csv_template

pytestmark = pytest.mark.anyio

SIZES = Sizes(people=320, groups=12, content_items=120, assignments=1_400, enrollments=260)


@pytest.fixture(scope="module")
def whole() -> Iterator[Tenant]:
    tenant = Tenant(sizes=SIZES)
    yield tenant
    tenant.close()


@pytest.fixture
async def client(whole: Tenant) -> AsyncIterator[Client]:
    async with connected(whole) as found:
        yield found


def with_part(uri: str, part: int | str) -> str:
    return f"{uri}{'&' if '?' in uri else '?'}part={part}"


async def text_of(client: Client, uri: str) -> str:
    (content,) = (await client.read_resource(uri)).contents
    return content.text


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


ANSWERS: list[tuple[str, dict[str, Any]]] = [
    ("report_assignments", {"group_by": ["user", "content_item"]}),
    ("report_assignments", {"group_by": ["user"], "is_active": True, "content_item": ["Security 101"]}),
    ("report_assignments", {"missing": True, "content_item": "Security 101", "manager": "Rosa Alvarez"}),
    ("report_content", {"stale_days": 1}),
    ("report_enrollments", {"group_by": ["user", "event"]}),
    ("list_assignments", {}),
    ("list_assignments", {"completed_gte": "2020-01-01"}),
    ("list_users", {}),
    ("search_content", {}),
]


@pytest.mark.parametrize(("tool", "given"), ANSWERS, ids=[f"{tool} {given}" for tool, given in ANSWERS])
async def test_the_parts_are_the_whole(client: Client, tool: str, given: dict[str, Any]) -> None:
    answer = await ask(client, tool, **given)
    uri, parts = answer["csv"], answer.get("csv_parts", 1)
    header, *rows = rows_of(await text_of(client, with_part(uri, "all")))
    assert len(rows) == len({tuple(row) for row in rows})
    texts = [await text_of(client, with_part(uri, part)) for part in range(1, parts + 1)]
    assert texts[0] == await text_of(client, uri)
    assert all(len(text) <= MOST_CHARACTERS for text in texts)
    read = [rows_of(text) for text in texts]
    assert [part[0] for part in read] == [header] * parts
    assert [row for part in read for row in part[1:]] == rows
    assert all(len(part) > 1 for part in read)
    assert "csv_parts" not in answer or answer["csv_parts"] > 1
    with pytest.raises(MCPError, match=f"There is no part {parts + 1}"):
        await client.read_resource(with_part(uri, parts + 1))


async def test_some_have_several_parts(client: Client, whole: Tenant) -> None:
    (count,) = whole.connection.execute("SELECT count(*) FROM assignments").fetchone()
    answer = await ask(client, "list_assignments")
    assert answer["csv_parts"] == math.ceil(count / 100) == 14
    assert "csv_parts" not in await ask(client, "list_groups", page_size=3)
    assert (await ask(client, "report_assignments", group_by=["user", "content_item"]))["csv_parts"] > 2


async def test_a_part_of_a_list_is_read_alone(whole: Tenant) -> None:
    network = Network(whole)
    async with connected(whole, transport=network) as client:
        await text_of(client, "plusplus://lists/assignments.csv?part=3")
    assert [query for query in network.queries if "page=3" in query and "page_size=100" in query] == network.queries


async def test_long_texts_are_cut_in_a_part_and_whole_in_all() -> None:
    tenant = Tenant(sizes=Sizes(people=220, groups=4, content_items=10, assignments=30, enrollments=0))
    tenant.connection.execute("UPDATE users SET name = 'N' || id || ' ' || replace(hex(zeroblob(400)), '00', 'ab')")
    async with connected(tenant) as client:
        text = await text_of(client, "plusplus://lists/users.csv")
        everything = await text_of(client, "plusplus://lists/users.csv?part=all")
    assert len(text) <= MOST_CHARACTERS
    assert len(rows_of(text)) == 201
    columns = rows_of(text)[0]
    assert "[cut]" in text
    for row in rows_of(text)[1:]:
        cells = dict(zip(columns, row, strict=True))
        assert "[cut]" not in cells["public_id"] + cells["email"] + cells["manager_email"]
    assert "[cut]" not in everything
    assert len(rows_of(everything)) == 221
    tenant.close()


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("plusplus://reports/assignments.csv?is_activ=false", "is_activ: unknown parameter; did you mean is_active"),
        (
            "plusplus://reports/content.csv?is_active=false",
            "is_active: unknown parameter; .*valid: content_type, channel",
        ),
        ("plusplus://lists/users.csv?page=2", "page: unknown parameter; .*valid: .*part"),
        ("plusplus://lists/users.csv?top=2&x=&y", "x: unknown parameter.*y: unknown parameter"),
        ("plusplus://lists/users.csv?role=admin&role=user", "role: given twice"),
        ("plusplus://lists/users.csv?part=0", "part: must be a number from 1, or all"),
        ("plusplus://lists/users.csv?part=last", "part: must be a number from 1, or all"),
        ("plusplus://lists/users.csv?part=99", "There is no part 99: 320 rows in 2 parts"),
        ("plusplus://lists/users.csv?is_active=perhaps", "is_active"),
        ("plusplus://users/jane.doe@acme.example?detail=full", "takes no parameters"),
        ("plusplus://lists/nothing.csv", "Unknown resource"),
        ("plusplus://users/", "Unknown resource"),
        ("file://lists/users.csv", "Unknown resource"),
    ],
)
async def test_what_there_is_not_is_an_error(whole: Tenant, uri: str, words: str) -> None:
    network = Network(whole)
    async with connected(whole, transport=network) as client:
        with pytest.raises(MCPError, match=words):
            await client.read_resource(uri)
    assert len(network.paths) <= (1 if "99" in uri else 0)


async def test_a_thousand_wrong_parameters_are_answered_shortly(client: Client) -> None:
    query = "&".join(f"wrong{number}=1" for number in range(1_000))
    with pytest.raises(MCPError) as caught:
        await client.read_resource(f"plusplus://lists/users.csv?{query}")
    assert len(str(caught.value)) < 3_000


async def test_an_empty_value_is_none(client: Client) -> None:
    assert await text_of(client, "plusplus://lists/groups.csv?source=&search=") == await text_of(
        client, "plusplus://lists/groups.csv"
    )


async def test_several_names_make_the_round_trip(client: Client, whole: Tenant) -> None:
    names = ["Security, 101", "R&D = fun; part=2"]
    for number, name in enumerate(names):
        whole.connection.execute(
            "UPDATE content_items SET name = ?, name_key = ? WHERE id = (SELECT id FROM content_items WHERE content_type = 'course' ORDER BY total_assignments DESC LIMIT 1 OFFSET ?)",
            (name, name.casefold(), number + 3),
        )
    answer = await ask(client, "report_assignments", content_item=names, group_by=["content_item"])
    assert [one["name"] for one in answer["resolved"]["content_item"]] == names
    rows = rows_of(await text_of(client, answer["csv"]))
    assert {row[0] for row in rows[1:]} == {row["content_item"] for row in answer["rows"]} == set(names)


def test_every_template_takes_a_part() -> None:
    assert all(csv_template(tool).endswith(",part}") for tool in ALL_TOOLS if tool.csv)


async def test_rows_that_a_list_leaves_out_are_no_part(whole: Tenant) -> None:
    network = Network(whole)

    def loses_one(request: httpx2.Request, _number: int) -> httpx2.Response | None:
        if request.url.params.get("page") != "2":
            return None
        rows = [{"public_id": f"p{number}", "name": "x"} for number in range(99)]
        return httpx2.Response(200, json={"data": rows, "meta": {"page": 2, "page_size": 100, "total_count": 320}})

    network.before = loses_one
    async with connected(whole, transport=network) as client:
        with pytest.raises(MCPError, match="Only 199 of 200 rows could be read"):
            await client.read_resource("plusplus://lists/users.csv")
