"""A write whose answer is lost is never reported as done, nor as undone: the error names the call that shows it."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from server.cases import WRITES, Case
from stage import Carry, Stage, ask, confirm, data_of

from pp_mcp.inventory import BY_NAME

pytestmark = pytest.mark.anyio

MEMBERS = {"add_group_members", "remove_group_members", "replace_group_members"}
MANY = {"archive_content_items", "unarchive_content_items", "bulk_assign_content", "bulk_update_assignments"}
GARBAGE = b"<!DOCTYPE html><html><body>Something else</body></html>"


async def garbled(request: httpx2.Request, carry: Carry) -> httpx2.Response:
    """Every write arrives; what comes back when it is done is a proxy's page."""
    answer = await carry(request)
    return answer if request.method == "GET" or answer.is_error else httpx2.Response(200, content=GARBAGE)


async def cut(request: httpx2.Request, carry: Carry) -> httpx2.Response:
    """Every write arrives; the connection breaks when it is done, before the answer."""
    answer = await carry(request)
    if request.method != "GET" and not answer.is_error:
        raise httpx2.ReadError("Connection reset by peer.", request=request)
    return answer


@pytest.mark.parametrize("between", [garbled, cut])
@pytest.mark.parametrize("case", WRITES, ids=lambda case: case.tool)
async def test_a_lost_answer_is_no_success(case: Case, between: Any, stage: Stage) -> None:
    arguments = case.arguments(stage)
    before = stage.tenant.snapshot()
    stage.network.between = between
    result = await confirm(stage.client, case.tool, **arguments)
    answer = data_of(result)
    assert stage.tenant.snapshot() != before
    if case.tool == "delete_content_item":
        # Asked a second time, for deleting twice does no more, the API says that it is gone.
        assert answer["status"] == "done"
        assert "second" in answer["summary"]
    elif case.tool in ("archive_content_items", "unarchive_content_items"):
        # The items are read again, and show that they are as they were to be.
        assert (answer["status"], answer["unknown"]) == ("done", 0)
        assert answer["undo"]
    elif case.tool in MANY:
        assert (answer["status"], answer["succeeded"], answer.get("undo")) == ("partial", 0, None)
        assert answer["unknown"] == len(answer["items"]) > 0
    elif case.tool in MEMBERS and between is garbled:
        # It was taken, for the status says so, and the roster shows what came of it.
        assert answer["status"] == "done"
        assert answer["undo"]
    else:
        assert result.is_error
        assert answer["code"] == "answer_lost"
        assert "may have happened or not" in answer["message"]
        assert "Nothing was changed" not in answer["message"]
        assert answer["retryable"] is False
        if case.tool == "create_api_token":
            assert "Look in PlusPlus" in answer["message"]
        else:
            stage.heal()
            check = answer["check"]
            assert not BY_NAME[check["tool"]].annotations.destructive_hint
            assert BY_NAME[check["tool"]].annotations.read_only_hint
            await ask(stage.client, check["tool"], **check["arguments"])


@pytest.mark.parametrize("trouble", ["401", "403", "429", "503", "garbage", "dropped"])
@pytest.mark.parametrize("tool", sorted(MEMBERS))
async def test_a_roster_that_cannot_be_read_after_the_write_leaves_it_unknown(
    tool: str, trouble: str, stage: Stage
) -> None:
    group = stage.group()
    before = stage.members(group)
    members = {
        "add_group_members": stage.strangers(group, 2),
        "remove_group_members": before[:2],
        "replace_group_members": before[:1],
    }[tool]
    written = False

    async def between(request: httpx2.Request, carry: Carry) -> httpx2.Response:
        nonlocal written
        if written and request.method == "GET":
            if trouble == "dropped":
                raise httpx2.ReadError("Connection reset by peer.", request=request)
            if trouble == "garbage":
                return httpx2.Response(200, content=GARBAGE)
            return httpx2.Response(int(trouble), headers={"Retry-After": "100"} if trouble == "429" else {})
        written = written or request.method != "GET"
        return await carry(request)

    stage.network.between = between
    result = await confirm(stage.client, tool, group=group, members=members)
    answer = data_of(result)
    assert result.is_error
    assert (answer["code"], answer["check"]["tool"]) == ("answer_lost", "list_group_members")
    assert "may have happened or not" in answer["message"]
    assert "Nothing was changed" not in answer["message"]
    assert stage.members(group) != before


async def test_a_secret_that_cannot_be_known_leaves_no_file(stage: Stage) -> None:
    folder = stage.server.runtime.secrets_dir
    there = set(folder.iterdir())
    stage.network.between = garbled
    assert (await confirm(stage.client, "create_api_token", name="job")).is_error
    assert set(folder.iterdir()) == there
