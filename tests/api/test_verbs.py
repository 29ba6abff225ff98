"""What is sent for each verb, and how answers are read."""

import json
from typing import Any

import httpx2
import pytest

from pp_mcp.api import ROUTES, override
from pp_mcp.errors import AnswerLost, InvalidArgument, NotFound, UnexpectedAnswer
from pp_mcp.models import Assignment, ContentItem, Group, User

from .play import META, RECORD, TOKEN, Connect, perform, reply, success

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("operation", sorted(ROUTES))
async def test_every_operation_goes_where_its_route_says(connect: Connect, operation: str) -> None:
    client, script = connect(success)
    api = client.call()
    await perform(api, operation)
    route = ROUTES[operation]
    request = script.last
    assert request.method == route.method
    assert request.url.path == "/public_api/v2" + route.path.replace("{public_id}", "x1")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["accept"] == "application/json"
    assert request.headers["user-agent"] == "pp-mcp"
    assert ("content-type" in request.headers) is bool(request.content)
    assert api.requests == script.sent == 1


@pytest.mark.parametrize("body", [RECORD, {"data": RECORD}, {"data": RECORD, "meta": {}}, {**RECORD, "data": "text"}])
async def test_a_record_is_read_bare_or_wrapped(connect: Connect, body: Any) -> None:
    client, _ = connect(reply(200, body))
    assert (await client.call().one("get_user", User, "x1")).public_id == "x1"
    written = await client.call().write("update_user", User, {"name": "N"}, public_id="x1")
    assert (written.value.name, written.status, written.attempts) == ("N", 200, 1)


async def test_what_a_write_sends_and_tells(connect: Connect) -> None:
    client, script = connect(reply(201, RECORD, {"X-Request-Id": "req_1"}))
    api = client.call()
    written = await api.write("create_user", User, {"name": "Zoë", "manager": None, "n": [1, True]})
    assert json.loads(script.last.content) == {"name": "Zoë", "manager": None, "n": [1, True]}
    assert (written.status, written.request_id, api.request_ids) == (201, "req_1", ["req_1"])
    await api.write("complete_assignment", Assignment, public_id="x1")
    assert script.last.content == b""


async def test_a_deletion_with_a_body(connect: Connect) -> None:
    client, script = connect(reply(200, RECORD))
    await client.call().write("remove_group_members", Group, {"member_ids": ["a"]}, public_id="x1")
    assert script.last.method == "DELETE"
    assert json.loads(script.last.content) == {"member_ids": ["a"]}


@pytest.mark.parametrize("body", [{"x": "\ud800"}, {"x": float("nan")}, {"x": float("inf")}])
async def test_a_body_json_cannot_hold(connect: Connect, body: dict[str, Any]) -> None:
    client, script = connect(success)
    with pytest.raises(InvalidArgument):
        await client.call().write("create_user", User, body)
    assert script.sent == 0


async def test_a_page(connect: Connect) -> None:
    client, script = connect(reply(200, {"data": [RECORD, {"public_id": "x2"}], "meta": {**META, "total_count": 51}}))
    page = await client.call().page(
        "list_content_items",
        ContentItem,
        page=2,
        content_type=["article", "video"],
        is_archived=False,
        is_hidden=True,
        search="R&D, 50% off?",
        channel=None,
        group=[],
    )
    assert dict(script.last.url.params) == {
        "content_type": "article,video",
        "is_archived": "false",
        "is_hidden": "true",
        "search": "R&D, 50% off?",
        "page": "2",
        "page_size": "25",
    }
    assert [item.public_id for item in page.items] == ["x1", "x2"]
    assert (page.total_count, page.total_pages, page.next_page) == (51, 3, 2)


async def test_other_names_of_parameters(connect: Connect) -> None:
    spec = {"list_assignments": {"query": {"due_date_gte": "due_date__gte", "page_size": "per_page"}}}
    client, script = connect(success, routes=override(ROUTES, spec))
    api = client.call()
    assert api.routes is client.routes
    with pytest.raises(UnexpectedAnswer):
        await api.page("list_assignments", Assignment, due_date_gte="2026-01-01")
    assert dict(script.last.url.params) == {"due_date__gte": "2026-01-01", "page": "1", "per_page": "25"}


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"page": 0}, "page"),
        ({"page": 1_000_001}, "page"),
        ({"page_size": 0}, "page_size"),
        ({"page_size": 101}, "page_size"),
        ({"emial": "x"}, "emial"),
        ({"email": ""}, "email"),
        ({"email": "  "}, "email"),
        ({"role": ["admin", ""]}, "role"),
        ({"role": ["admin,user"]}, "role"),
        ({"search": "\ud800"}, "search"),
    ],
)
async def test_filters_that_would_mislead(connect: Connect, arguments: dict[str, Any], field: str) -> None:
    client, script = connect(success)
    with pytest.raises(InvalidArgument) as caught:
        await client.call().page("list_users", User, **arguments)
    assert list(caught.value.field_errors) == [field]
    assert script.sent == 0


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ([], "list with its figures"),
        ({"data": {}, "meta": META}, "no list of rows"),
        ({"data": []}, "how many rows"),
        ({"data": [{"name": "no id"}], "meta": META}, "not a valid User (0.public_id: Field required)"),
        ({"data": [{"public_id": 7}], "meta": META}, "not a valid User (0.public_id: "),
        (b"", "it is empty"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"  <HTML>", "Check PP_BASE_URL"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
async def test_an_unreadable_page(connect: Connect, body: Any, detail: str) -> None:
    client, script = connect(reply(200, body, {"X-Request-Id": "req_9"}))
    with pytest.raises(UnexpectedAnswer) as caught:
        await client.call().page("list_users", User)
    assert detail in caught.value.detail
    assert (caught.value.status, caught.value.request_id, script.sent) == (200, "req_9", 3)


async def test_what_was_wrong_is_told_without_values(connect: Connect) -> None:
    client, _ = connect(reply(200, {"public_id": 77123, "email": {"secret": "77123"}}))
    with pytest.raises(UnexpectedAnswer) as caught:
        await client.call().one("get_user", User, "x1")
    assert "77123" not in caught.value.message
    assert "email" in caught.value.detail


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_a_write_whose_answer_cannot_be_read_may_have_happened(connect: Connect, status: int) -> None:
    client, _ = connect(reply(status))
    with pytest.raises(AnswerLost) as caught:
        await client.call().write("create_user", User, {})
    assert (caught.value.may_have_happened, caught.value.status, caught.value.method) == (True, status, "POST")
    assert "check before repeating" in caught.value.message


async def test_redirects_are_not_followed(connect: Connect) -> None:
    client, script = connect(reply(302, headers={"Location": "https://evil.test/users/x1"}))
    with pytest.raises(UnexpectedAnswer, match="PP_BASE_URL") as caught:
        await client.call().one("get_user", User, "x1")
    assert (script.sent, "evil" in caught.value.message) == (1, False)


async def test_cookies_are_not_kept(connect: Connect) -> None:
    client, script = connect(reply(200, RECORD, {"Set-Cookie": "sessionid=1; Path=/"}))
    api = client.call()
    await api.one("get_user", User, "x1")
    await api.one("get_user", User, "x1")
    assert "cookie" not in script.last.headers


# ------------------------------------------------------------------------------------------------ deletions


@pytest.mark.parametrize("answer", [reply(204), reply(200), reply(200, {"data": None})])
async def test_a_deletion(connect: Connect, answer: Any) -> None:
    client, script = connect(answer)
    written = await client.call().erase("delete_content_item", public_id="x1")
    assert (written.value, written.attempts, script.last.method) == (None, 1, "DELETE")


@pytest.mark.parametrize(
    "fault", [httpx2.ReadTimeout("t"), reply(503), reply(200, b"<html>busy</html>"), reply(200, [])]
)
async def test_a_lost_deletion_that_finds_nothing_the_second_time_is_done(connect: Connect, fault: Any) -> None:
    client, _ = connect(fault, reply(404))
    written = await client.call().erase("delete_content_item", public_id="x1")
    assert (written.value, written.status, written.attempts) == (None, 404, 2)


@pytest.mark.parametrize("before", [(), (httpx2.ConnectError("c"),), (reply(429),)])
async def test_a_deletion_that_was_never_begun_finds_nothing(connect: Connect, before: tuple[Any, ...]) -> None:
    client, _ = connect(*before, reply(404))
    with pytest.raises(NotFound):
        await client.call().erase("delete_content_item", public_id="x1")


async def test_a_page_in_place_of_a_deletion_is_not_taken_for_one(connect: Connect) -> None:
    client, script = connect(reply(200, b"<html>busy</html>"))
    with pytest.raises(AnswerLost):
        await client.call().erase("delete_content_item", public_id="x1")
    assert script.sent == 3


# ------------------------------------------------------------------------------------------------ batches


@pytest.mark.parametrize("status", [200, 207])
async def test_a_batch(connect: Connect, status: int) -> None:
    rows = [
        {"public_id": "b", "status": "failed", "error": {"code": "forbidden", "message": "Not yours."}},
        {"public_id": "a", "status": "succeeded"},
    ]
    client, script = connect(reply(status, {"data": rows, "meta": {"succeeded": 1, "failed": 1}}))
    answer = await client.call().bulk("archive_content_items", ["a", "b"])
    assert json.loads(script.last.content) == {"items": [{"public_id": "a"}, {"public_id": "b"}]}
    outcomes = [(item.public_id, item.status, item.error_message) for item in answer.items]
    assert outcomes == [("a", "succeeded", None), ("b", "failed", "Not yours.")]


async def test_a_batch_that_says_nothing_is_lost(connect: Connect) -> None:
    client, script = connect(reply(207, {"status": "partial"}))
    with pytest.raises(AnswerLost) as caught:
        await client.call().bulk("archive_content_items", ["a", "b"])
    assert (caught.value.status, script.sent) == (207, 3)


@pytest.mark.parametrize("ids", [[], ["x"] * 101, ["a", "../b"]])
async def test_a_batch_of_a_wrong_size(connect: Connect, ids: list[str]) -> None:
    client, script = connect(success)
    with pytest.raises(InvalidArgument) as caught:
        await client.call().bulk("archive_content_items", ids)
    assert (list(caught.value.field_errors), script.sent) == (["items"], 0)
