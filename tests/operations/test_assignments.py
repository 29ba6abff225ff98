"""Assignments: what is there already, dates, states, and what an answer can say of them."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from mcp import Client
from stage import Stage, ask, confirmed, connected, refused

from .between import Between, on

pytestmark = pytest.mark.anyio


async def test_what_is_outstanding_already_is_said_with_its_id(client: Client, stage: Stage) -> None:
    target = stage.assignment("in_progress")
    user, item = stage.tenant.connection.execute(
        "SELECT u.public_id, c.public_id FROM assignments a JOIN users u ON u.id = a.user_id JOIN content_items c "
        "ON c.id = a.content_item_id WHERE a.public_id = ?",
        (target,),
    ).fetchone()
    answer = await ask(client, "assign_content", user=user, content_item=item, due_date="2030-01-01")
    assert answer["status"] == "unchanged"
    assert "is already outstanding: in_progress" in answer["summary"]
    assert answer["target"]["public_id"] == target
    assert "update_assignment" in answer["summary"]
    assert stage.writes() == []


@pytest.mark.parametrize("state", ["completed", "dropped", "exempted"])
async def test_what_is_over_can_be_assigned_again(client: Client, stage: Stage, state: str) -> None:
    user, item, old = stage.tenant.connection.execute(
        "SELECT u.public_id, c.public_id, a.public_id FROM assignments a JOIN users u ON u.id = a.user_id "
        "JOIN content_items c ON c.id = a.content_item_id WHERE a.state = ? AND u.is_active AND NOT c.is_archived AND "
        "(SELECT count(*) FROM assignments b WHERE b.user_id = u.id AND b.content_item_id = c.id) = 1 "
        "AND c.content_type NOT IN ('event', 'scheduled_track')",
        (state,),
    ).fetchone()
    answer = await ask(client, "assign_content", user=user, content_item=item)
    assert answer["status"] == "done"
    assert answer["target"]["public_id"] != old
    assert answer["summary"].endswith("with no due date.")


async def test_assigning_an_event_enrolls_nobody_and_says_so(client: Client, stage: Stage) -> None:
    user = stage.person()
    event = stage.one(
        "SELECT public_id FROM content_items WHERE content_type = 'event' AND NOT is_archived AND id NOT IN (SELECT "
        "content_item_id FROM assignments a JOIN users u ON u.id = a.user_id WHERE u.email = ?)",
        user,
    )
    answer = await ask(client, "assign_content", user=user, content_item=event)
    assert answer["status"] == "done"
    assert "not an enrollment" in answer["summary"]
    article = stage.unassigned(user)
    assert "enrollment" not in (await ask(client, "assign_content", user=user, content_item=article))["summary"]


async def test_somebody_else_assigned_it_meanwhile(stage: Stage) -> None:
    """The API answers 200 with what is there: that is no change of this call's, and nothing to undo."""
    user = stage.person()
    item = stage.unassigned(user)

    def first_the_other(request: httpx2.Request) -> httpx2.Response | None:
        if request.method == "POST":
            user_id = stage.one("SELECT id FROM users WHERE email = ?", user)
            item_id = stage.one("SELECT id FROM content_items WHERE public_id = ?", item)
            stage.change(
                "INSERT INTO assignments (public_id, user_id, content_item_id, state, created, due_date) "
                "VALUES ('00000000-0000-4000-8000-000000000001', ?, ?, 'not_started', '2026-01-01T00:00:00Z', NULL)",
                user_id,
                item_id,
            )
        return None

    async with connected(stage.tenant, transport=Between(stage.tenant, first_the_other)) as client:
        answer = await ask(client, "assign_content", user=user, content_item=item)
    assert answer["status"] == "unchanged"
    assert "already existed: not_started, with no due date. Nothing changed." in answer["summary"]
    assert "undo" not in answer


STATES = ("not_started", "in_progress", "completed", "dropped", "exempted")
WORKS: dict[str, set[str]] = {
    "complete_assignment": {"not_started", "in_progress", "exempted"},
    "drop_assignment": {"not_started", "in_progress", "exempted"},
    "exempt_assignment": {"not_started", "in_progress"},
    "revert_completion": {"completed"},
    "revert_exemption": {"exempted"},
}
THERE = {
    "complete_assignment": {"completed"},
    "drop_assignment": {"dropped"},
    "exempt_assignment": {"exempted"},
    "revert_completion": {"not_started", "in_progress"},
    "revert_exemption": {"not_started", "in_progress"},
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("tool", WORKS)
async def test_every_step_from_every_state(tool: str, state: str, client: Client, stage: Stage) -> None:
    target = stage.assignment(state)
    if state in WORKS[tool] | THERE[tool]:
        answer = await confirmed(client, tool, assignment=target)
        assert answer["status"] == ("done" if state in WORKS[tool] else "unchanged")
        assert (stage.state(target) != state) == (state in WORKS[tool])
        return
    error = await refused(client, tool, assignment=target)
    assert error["code"] == "invalid_argument"
    assert f"is {state}: {tool} works on" in error["message"]
    assert stage.state(target) == state
    assert stage.writes() == []


async def test_the_api_may_leave_a_step_undone(stage: Stage) -> None:
    target = stage.assignment("not_started")

    def unmoved(request: httpx2.Request, body: Any) -> Any:
        return {**body, "state": "not_started"} if request.method == "POST" else body

    async with connected(stage.tenant, transport=Between(stage.tenant, after=unmoved)) as client:
        answer = await ask(client, "exempt_assignment", assignment=target)
    assert answer["status"] == "partial"
    assert answer["not_applied"] == ["state"]
    assert "undo" not in answer


async def test_a_state_nobody_documented_is_tried(stage: Stage) -> None:
    """Values the documents do not name pass: the API knows better what works on them."""
    target = stage.assignment("not_started")

    def paused(request: httpx2.Request, body: Any) -> Any:
        return {**body, "state": "paused"} if request.method == "GET" and "state" in body else body

    async with connected(stage.tenant, transport=Between(stage.tenant, after=paused)) as client:
        answer = await ask(client, "complete_assignment", assignment=target)
    assert answer["changes"] == {"state": ["paused", "completed"]}


async def test_dates_of_an_enrollment_are_the_events(client: Client, stage: Stage) -> None:
    target = stage.one(
        "SELECT a.public_id FROM assignments a JOIN enrollments e ON e.assignment_id = a.id WHERE a.state = 'not_started'"
    )
    error = await refused(client, "update_assignment", assignment=target, due_date="2030-01-01")
    assert error["code"] == "conflict"
    assert "Dates of an event's enrollment are managed by the event." in error["message"]
    assert error["message"].endswith("Nothing was changed.")


async def test_the_same_moment_in_another_spelling_is_no_change(client: Client, stage: Stage) -> None:
    target = stage.assignment("not_started")
    await ask(client, "update_assignment", assignment=target, expires_at="2030-01-01T10:00:00Z")
    sent = len(stage.writes())
    for same in ("2030-01-01T12:00:00+02:00", "2030-01-01T10:00:00", "2030-01-01t10:00:00.4Z"):
        answer = await ask(client, "update_assignment", assignment=target, expires_at=same)
        assert answer["status"] == "unchanged", same
    assert len(stage.writes()) == sent


async def test_an_assignment_is_read_once_while_it_does_not_change(stage: Stage) -> None:
    target = stage.assignment("completed")
    async with connected(stage.tenant) as client:
        first = await ask(client, "get_assignment", assignment=target)
        assert await ask(client, "get_assignment", assignment=target) == first
    assert [one.status for one in stage.tenant.requests] == [200, 304]


async def test_a_conflict_whose_state_cannot_be_read(stage: Stage) -> None:
    refusing = on("POST", "/exempt", httpx2.Response(409, json={"error": {"code": "conflict", "message": "No."}}))
    target = stage.assignment("not_started")
    tried: list[bool] = []

    def between(request: httpx2.Request) -> httpx2.Response | None:
        if tried and request.method == "GET":
            return httpx2.Response(403, json={})
        tried.extend([True] * (request.method == "POST"))
        return refusing(request)

    async with connected(stage.tenant, transport=Between(stage.tenant, between)) as client:
        error = await refused(client, "exempt_assignment", assignment=target)
    assert error["message"] == "The state does not allow exempt_assignment: “No”. Nothing was changed."
