"""The size of answers: never more than a client takes, valid JSON, and a true word on how to get the rest."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from mcp import Client
from stage import Stage, ask, confirmed, connected, data_of, small_tenant, text_of

from pp_mcp.answers import ErrorAnswer, ItemAnswer, ListAnswer, Named, Row, ToolCall, WriteAnswer
from pp_mcp.demo import Sizes
from pp_mcp.inventory import BY_NAME
from pp_mcp.server import render
from pp_mcp.server.render import LIMIT, compact, rendered, rendered_error

pytestmark = pytest.mark.anyio

LISTS = ["list_users", "list_groups", "list_articles", "search_content", "list_assignments", "list_enrollments"]
LISTS += ["list_overdue_assignments"]


@pytest.fixture
def hostile() -> Any:
    """A tenant whose every name and description is far too long."""
    stage = Stage(small_tenant(sizes=Sizes(people=120, groups=40, content_items=120, assignments=900, enrollments=120)))
    long = "Very long " * 1_000
    for table, field in (("users", "name"), ("groups", "name"), ("content_items", "name")):
        stage.change(f"UPDATE {table} SET {field} = {field} || ?", long)
    stage.change("UPDATE content_items SET description = ?, content_type = 'article' WHERE id > 60", long)
    yield stage
    stage.tenant.close()


def said_rest(answer: dict[str, Any]) -> tuple[range, int, bool]:
    """The pages, their size, and whether rows come again, as the summary names them."""
    found = re.search(
        r"page=(\d+)(?: to (\d+))?,? (?:with )?page_size=(\d+),? ha(?:s|ve) (?:it|them)(, among)?", answer["summary"]
    )
    assert found, answer["summary"]
    first, last, size, again = found.groups()
    return range(int(first), int(last or first) + 1), int(size), again is not None


@pytest.mark.parametrize("tool", LISTS)
async def test_25_concise_rows_of_long_names(tool: str, hostile: Stage) -> None:
    async with connected(hostile.tenant) as client:
        answer = await ask(client, tool)
    assert len(compact(answer)) <= 8_000
    assert len(answer["items"]) + answer.get("left_out", 0) == min(25, answer["total_count"])
    assert "…[cut]" in compact(answer["items"])
    Draft202012Validator(BY_NAME[tool].output_schema).validate(answer)


@pytest.mark.parametrize("tool", LISTS)
async def test_25_concise_rows_of_ordinary_names_are_whole(tool: str, client: Client) -> None:
    answer = await ask(client, tool)
    assert len(compact(answer)) <= 8_000
    assert "left_out" not in answer
    assert "[cut]" not in compact(answer)


@pytest.mark.parametrize("tool", ["search_content", "list_users", "list_assignments"])
@pytest.mark.parametrize(("page", "page_size"), [(1, 100), (2, 60), (2, 50)])
async def test_what_is_left_out_can_be_had(tool: str, page: int, page_size: int, hostile: Stage) -> None:
    """Following the summary's word gives exactly the missing rows."""
    hostile.change("UPDATE users SET employee_id = printf('%0.3000c', 'e')")
    async with connected(hostile.tenant) as client:
        call = {"page_size": page_size, "page": page, "detail": "full"}
        whole = [one["public_id"] for one in await rows_of(client, tool, page=page, page_size=page_size)]
        answer = await ask(client, tool, **call)
        assert len(compact(answer)) <= LIMIT
        got = [one["public_id"] for one in answer["items"]]
        assert got == whole[: len(got)]
        if "left_out" not in answer:
            assert got == whole
            return
        assert answer["left_out"] == len(whole) - len(got)
        pages, size, again = said_rest(answer)
        rest: list[str] = []
        for number in pages:
            part = await ask(client, tool, page=number, page_size=size, detail="full")
            assert "left_out" not in part
            rest += [one["public_id"] for one in part["items"]]
        missing = whole[len(got) :]
        if again:
            assert rest[-len(missing) :] == missing or set(missing) <= set(rest)
        else:
            assert rest == missing


async def rows_of(client: Client, tool: str, *, page: int, page_size: int) -> list[dict[str, Any]]:
    """The rows of a page, read in smaller ones that fit."""
    rows: list[dict[str, Any]] = []
    for number in range((page - 1) * page_size // 10 + 1, page * page_size // 10 + 1):
        answer = await ask(client, tool, page=number, page_size=10)
        assert "left_out" not in answer
        rows += answer["items"]
    return rows


def page(rows: list[Row], **changes: Any) -> ListAnswer[Row]:
    fields = {"page": 1, "page_size": len(rows), "next_page": None, "total_count": 1_000, **changes}
    return ListAnswer[Row](summary="Rows.", items=rows, **fields)


def row(number: int, size: int = 1_000) -> Row:
    return Row.model_validate({"public_id": f"{number}", "values": ["x" * 35] * (size // 38)})


@pytest.mark.parametrize("page_size", [1, 2, 7, 25, 60, 97, 99, 100])
@pytest.mark.parametrize("number", [1, 2, 5])
@pytest.mark.parametrize("row_size", [300, 450, 1_200, 9_000])
def test_the_word_on_the_rest_is_true(page_size: int, number: int, row_size: int) -> None:
    """For any page: the pages it names hold every row that is left out, and none of the others unless it says so."""
    start = (number - 1) * page_size
    rows = [row(start + one, row_size) for one in range(page_size)]
    answer = rendered(page(rows, page=number, page_size=page_size)).structured_content
    assert isinstance(answer, dict)
    assert len(compact(answer)) <= LIMIT
    shown = len(answer["items"])
    if shown == page_size:
        assert "left_out" not in answer
        return
    assert shown > 0
    assert answer["left_out"] == page_size - shown
    pages, size, again = said_rest(answer)
    offered = [one for at in pages for one in range((at - 1) * size, at * size)]
    missing = set(range(start + shown, start + page_size))
    assert missing <= set(offered)
    assert again or set(offered) == missing
    assert size <= shown


def test_one_row_that_is_too_long_for_an_answer() -> None:
    giant = Row.model_validate({"public_id": "1", "groups": [{"public_id": "g" * 36, "name": "n" * 36}] * 2_000})
    answer = rendered(page([giant, row(2)], page_size=2)).structured_content
    assert isinstance(answer, dict)
    assert len(compact(answer)) <= LIMIT
    assert answer["items"][0]["public_id"] == "1"
    assert 100 < len(answer["items"][0]["groups"]) < 2_000
    assert re.search(r"the last 1,\d\d\d of groups are left out", answer["summary"])


def test_one_thing_that_is_too_long_for_an_answer() -> None:
    giant = Row.model_validate({"public_id": "1", "groups": [{"public_id": "g" * 36, "name": "n" * 36}] * 2_000})
    answer = rendered(ItemAnswer[Row](summary="One.", item=giant)).structured_content
    assert isinstance(answer, dict)
    assert len(compact(answer)) <= LIMIT
    kept = len(answer["item"]["groups"])
    assert answer["left_out"] == 2_000 - kept
    assert answer["summary"] == f"One. Too long: the last {2_000 - kept:,} of groups are left out."


def test_an_undo_is_whole_or_not_there() -> None:
    def write(ids: int, effects: int) -> dict[str, Any]:
        undo = ToolCall(tool="add_group_members", arguments={"members": ["m" * 36] * ids})
        target, changes = Named(kind="group"), {"members": ["a" * 2_000, "b" * 2_000]}
        made = WriteAnswer(
            status="done", summary="Done.", target=target, changes=changes, undo=undo, effects=["e" * 100] * effects
        )
        answer = rendered(made).structured_content
        assert isinstance(answer, dict)
        assert len(compact(answer)) <= LIMIT
        assert len(answer["changes"]["members"]) == 2
        Draft202012Validator(BY_NAME["add_group_members"].output_schema).validate(answer)
        return answer

    assert "left_out" not in write(800, 10)
    mostly_undo = write(800, 200)
    assert len(mostly_undo["undo"]["arguments"]["members"]) == 800
    assert mostly_undo["left_out"] == 200 - len(mostly_undo["effects"])
    too_much = write(1_000, 10)
    assert "undo" not in too_much
    assert "too long" in too_much["undo_note"]


def test_an_error_is_short_whatever_the_api_said() -> None:
    candidates = [{"public_id": str(number), "name": "n" * 5_000} for number in range(5)]
    error = ErrorAnswer(code="x", message="m" * 9_000, candidates=candidates)
    result = rendered_error(error)
    assert result.is_error
    assert result.structured_content is None
    assert len(text_of(result)) <= LIMIT
    data = data_of(result)
    assert data["message"].endswith("…[cut]")
    assert [one["public_id"] for one in data["candidates"]] == ["0", "1", "2", "3", "4"]


async def test_a_thousand_items_archived_in_one_answer(client: Client, stage: Stage) -> None:
    for number in range(1_000):
        stage.change(
            "INSERT INTO content_items (public_id, name, name_key, content_type, created, modified) "
            "VALUES (?, 'Item', 'item', 'article', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z')",
            f"00000000-0000-4000-8000-{number:012}",
        )
    items = stage.column("SELECT public_id FROM content_items WHERE name = 'Item'")
    answer = await confirmed(client, "archive_content_items", items=items)
    assert answer["status"] == "done"
    assert answer["succeeded"] == 1_000
    assert len(compact(answer)) <= LIMIT
    assert len(stage.writes()) == 10
    # Half of an undo is another change.
    undo = answer.get("undo")
    assert len(undo["arguments"]["items"]) == 1_000 if undo else answer["undo_note"]
    assert json.loads(json.dumps(answer)) == answer


def test_one_thing_with_too_many_long_texts() -> None:
    fields = {f"field_{number}": "x" * 2_000 for number in range(100)}
    result = rendered(ItemAnswer[Row](summary="One.", item=Row.model_validate({"public_id": "1", **fields})))
    assert len(text_of(result)) <= LIMIT
    assert len(compact(result.structured_content)) <= LIMIT
    assert isinstance(result.structured_content, dict)
    assert result.structured_content["item"]["public_id"] == "1"
    assert "…[cut]" in text_of(result)


async def test_names_are_one_short_line_but_for_the_thing_itself(client: Client, stage: Stage) -> None:
    person = stage.person()
    name = "First line\nsecond line " + "long " * 100
    stage.change("UPDATE users SET name = ? WHERE email = ?", name, person)
    (row,) = (await ask(client, "list_users", email=person))["items"]
    assert len(row["name"]) <= 200
    assert "\n" not in row["name"]
    whole = await ask(client, "get_user", user=person)
    assert len(whole["item"]["name"]) > 400
    assert "\n" not in whole["summary"]
    assert len(whole["resolved"]["user"]["name"]) <= 200


VALUE = st.text(alphabet=st.sampled_from('ab "\\\n\u200b\ufe0f\u3164é中\x1b'), max_size=8) | st.sampled_from(
    ["x" * 200, "x" * 201]
)


@settings(deadline=None, derandomize=True, max_examples=600)
@given(
    st.dictionaries(
        st.sampled_from(["name", "public_id", "note", "a\u200bb", "k" * 201]), VALUE | st.lists(VALUE, max_size=2)
    )
)
def test_what_counts_as_clean_has_nothing_to_clean(data: dict[str, Any]) -> None:
    if render._is_clean(compact(data)):
        assert render._clean(data, render.VALUE_LIMIT, label_limit=render.LABEL_LIMIT) == data
