"""Assignments that did not change are not sent again."""

from contextlib import suppress
from typing import Any

import httpx2
import pytest

from pp_mcp.errors import AnswerLost, Conflict, ServerFailure, UnexpectedAnswer
from pp_mcp.models import Assignment, User

from .play import RECORD, Connect, reply, success

pytestmark = pytest.mark.anyio


async def test_an_unchanged_assignment_is_not_sent_again(connect: Connect) -> None:
    client, script = connect(reply(200, RECORD, {"ETag": '"v1"'}), reply(304), reply(304), success)
    first = await client.call().one("get_assignment", Assignment, "x1")
    assert "if-none-match" not in script.last.headers
    assert await client.call().one("get_assignment", Assignment, "x1") == first
    assert script.last.headers["if-none-match"] == '"v1"'
    assert await client.call().one("get_assignment", Assignment, "x1") == first
    await client.call().one("get_user", User, "x1")
    assert "if-none-match" not in script.last.headers


async def test_a_changed_assignment_is_kept_anew(connect: Connect) -> None:
    changed = {**RECORD, "state": "completed"}
    client, script = connect(
        reply(200, RECORD, {"ETag": '"v1"'}), reply(200, changed, {"ETag": '"v2"'}), reply(304), success
    )
    api = client.call()
    states = [(await api.one("get_assignment", Assignment, "x1")).state for _ in range(3)]
    assert states == ["not_started", "completed", "completed"]
    assert script.last.headers["if-none-match"] == '"v2"'


@pytest.mark.parametrize("outcome", [reply(200, RECORD), reply(409), reply(503), httpx2.ReadTimeout("t")])
async def test_a_write_forgets_what_was_kept(connect: Connect, outcome: Any) -> None:
    client, script = connect(reply(200, RECORD, {"ETag": '"v1"'}), outcome, success)
    api = client.call()
    await api.one("get_assignment", Assignment, "x1")
    with suppress(Conflict, AnswerLost, ServerFailure):
        await api.write("complete_assignment", Assignment, public_id="x1")
    await api.one("get_assignment", Assignment, "x1")
    assert "if-none-match" not in script.last.headers


async def test_an_assignment_without_a_tag_any_more_is_forgotten(connect: Connect) -> None:
    client, script = connect(reply(200, RECORD, {"ETag": '"v1"'}), success, success)
    for _ in range(3):
        await client.call().one("get_assignment", Assignment, "x1")
    assert "if-none-match" not in script.last.headers


@pytest.mark.parametrize("odd", [{"ETag": "x" * 300}, {"ETag": ""}])
async def test_odd_tags_are_not_kept(connect: Connect, odd: dict[str, str]) -> None:
    client, script = connect(reply(200, RECORD, odd))
    await client.call().one("get_assignment", Assignment, "x1")
    await client.call().one("get_assignment", Assignment, "x1")
    assert "if-none-match" not in script.last.headers


async def test_what_was_used_longest_ago_is_dropped(connect: Connect) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        record = {**RECORD, "public_id": request.url.path.rpartition("/")[2]}
        return httpx2.Response(200, json=record, headers={"ETag": '"v"'})

    client, script = connect(answer)
    api = client.call()
    for number in [*range(256), 0, 256]:
        await api.one("get_assignment", Assignment, f"x{number}")
    kept = {}
    for number in (0, 1, 2, 256):
        await api.one("get_assignment", Assignment, f"x{number}")
        kept[number] = "if-none-match" in script.last.headers
    # Asking for 1 kept it again and so dropped 2.
    assert kept == {0: True, 1: False, 2: False, 256: True}


async def test_304_without_having_asked_is_no_answer(connect: Connect) -> None:
    client, _ = connect(reply(304))
    with pytest.raises(UnexpectedAnswer):
        await client.call().one("get_assignment", Assignment, "x1")
