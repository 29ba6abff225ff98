"""No success without evidence: what a write answers is what the API's answer showed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from mcp import Client
from stage import Carry, Json, Network, Stage, ask, call, confirmed, data_of

pytestmark = pytest.mark.anyio

LATER = {"due_date": "2031-02-03", "expires_at": "2031-03-04T00:00:00Z"}


def ignoring(*fields: str) -> Any:
    """An API that overlooks these fields of what it is sent."""

    async def between(request: httpx2.Request, carry: Carry) -> httpx2.Response:
        if request.method == "GET" or not request.content:
            return await carry(request)
        body = {name: value for name, value in json.loads(request.content).items() if name not in fields}
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        return await carry(httpx2.Request(request.method, request.url, headers=headers, json=body))

    return between


def _user(stage: Stage) -> Json:
    query = "SELECT public_id FROM users WHERE role = 'user' AND manager_id NOT NULL AND is_active ORDER BY id DESC"
    return {"user": stage.one(query)}


def _article(stage: Stage) -> Json:
    return {"article": stage.item("content_type = 'article' AND NOT is_hidden AND is_self_assignable")}


def _pair(stage: Stage) -> Json:
    user = stage.person()
    return {"user": user, "content_item": stage.unassigned(user)}


IGNORED: list[tuple[str, str, Callable[[Stage], Json], Json]] = [
    # The API's name of the field that it ignores, and what is asked for.
    ("update_user", "name", _user, {"name": "New Name"}),
    ("update_user", "role", _user, {"role": "organizer", "name": "New Name"}),
    ("update_user", "employee_id", _user, {"employee_id": "E-77"}),
    ("update_user", "manager", _user, {"clear": ["manager"], "name": "New Name"}),
    ("update_user", "is_active", _user, {"is_active": False}),
    ("create_user", "role", lambda _: {}, {"email": "a.new@acme.example", "name": "A New", "role": "admin"}),
    ("create_user", "employee_id", lambda _: {}, {"email": "a.new@acme.example", "name": "A", "employee_id": "E-1"}),
    ("create_group", "source", lambda _: {}, {"name": "Night", "source": "acme"}),
    ("update_group", "name", lambda w: {"group": w.group()}, {"name": "Night"}),
    ("update_content_item", "name", lambda w: {"content_item": w.item()}, {"name": "N", "is_hidden": True}),
    (
        "update_content_item",
        "is_hidden",
        lambda w: {"content_item": w.item("NOT is_hidden")},
        {"is_hidden": True},
    ),
    (
        "update_content_item",
        "groups",
        lambda w: {"content_item": w.item("id IN (SELECT content_item_id FROM item_groups)")},
        {"groups": []},
    ),
    ("create_article", "is_hidden", lambda _: {}, {"name": "N", "is_hidden": True}),
    ("create_article", "is_self_assignable", lambda _: {}, {"name": "N", "is_self_assignable": False}),
    ("create_article", "duration", lambda _: {}, {"name": "N", "duration": 9}),
    ("update_article", "name", _article, {"name": "N", "duration": 99}),
    ("update_article", "is_hidden", _article, {"is_hidden": True}),
    ("update_article", "is_self_assignable", _article, {"is_self_assignable": False}),
    ("update_article", "duration", _article, {"duration": 99}),
    ("assign_content", "due_date", _pair, LATER),
    ("assign_content", "expires_at", _pair, LATER),
    ("update_assignment", "due_date", lambda w: {"assignment": w.assignment("not_started")}, LATER),
    ("update_assignment", "expires_at", lambda w: {"assignment": w.assignment("not_started")}, LATER),
    (
        "bulk_assign_content",
        "due_date",
        lambda w: {"content_item": w.unassigned(w.person()), "users": [w.person()]},
        LATER,
    ),
    (
        "bulk_assign_content",
        "expires_at",
        lambda w: {"content_item": w.unassigned(w.person()), "users": [w.person()]},
        LATER,
    ),
    ("create_api_token", "expires_at", lambda _: {}, {"name": "job", "expires_at": "2031-01-01"}),
]


@pytest.mark.parametrize(
    ("tool", "field", "target", "asked"), IGNORED, ids=lambda one: one if isinstance(one, str) else ""
)
async def test_a_field_that_the_api_ignores_is_named(
    tool: str, field: str, target: Callable[[Stage], Json], asked: Json, stage: Stage
) -> None:
    arguments = target(stage) | asked
    stage.network.between = ignoring(field)
    answer = await confirmed(stage.client, tool, **arguments)
    assert answer["status"] == "partial"
    assert answer["not_applied"] == [field]
    assert field in answer["summary"]
    taken = {name for name in asked if name not in (field, "clear")}
    if not tool.startswith(("create_", "assign_", "bulk_")):
        assert set(answer["changes"]) == taken
        given = answer["undo"]["arguments"] if taken else {}
        back = {*given, *given.get("clear", [])} - {"clear"}
        assert back == (taken | set(target(stage)) if taken else set())
        assert ("undo" in answer) is bool(taken)


@pytest.mark.parametrize(
    ("tool", "chosen"),
    [
        ("add_group_members", lambda stage, group: stage.strangers(group, 3)),
        ("remove_group_members", lambda stage, group: stage.members(group)[:3]),
        ("replace_group_members", lambda stage, group: stage.members(group)[:1] + stage.strangers(group, 2)),
    ],
)
async def test_members_that_the_api_leaves_out_are_named(tool: str, chosen: Any, stage: Stage) -> None:
    group = stage.group()
    before, members = stage.members(group), chosen(stage, group)

    async def between(request: httpx2.Request, carry: Carry) -> httpx2.Response:
        if request.method == "GET":
            return await carry(request)
        body = json.loads(request.content)
        body["member_ids"] = body["member_ids"][:-1]
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        return await carry(httpx2.Request(request.method, request.url, headers=headers, json=body))

    stage.network.between = between
    answer = await confirmed(stage.client, tool, group=group, members=members)
    assert answer["status"] == "partial"
    assert answer["not_applied"] == ["members"]
    assert members[-1] in answer["summary"]
    stage.heal()
    for back in answer["undo"] if isinstance(answer["undo"], list) else [answer["undo"]]:
        await confirmed(stage.client, back["tool"], **back["arguments"])
    assert stage.members(group) == before


STEPS = {
    "complete_assignment": "in_progress",
    "drop_assignment": "not_started",
    "exempt_assignment": "not_started",
    "revert_completion": "completed",
    "revert_exemption": "exempted",
}


@pytest.mark.parametrize(("tool", "state"), STEPS.items())
async def test_a_step_that_the_api_does_not_take_is_no_success(tool: str, state: str, stage: Stage) -> None:
    target = stage.assignment(state)

    async def between(request: httpx2.Request, carry: Carry) -> httpx2.Response:
        if request.method == "GET":
            return await carry(request)
        shown = httpx2.Request("GET", str(request.url).rsplit("/", 1)[0], headers=request.headers)
        return await carry(shown)

    stage.network.between = between
    answer = await confirmed(stage.client, tool, assignment=target)
    assert (answer["status"], answer["not_applied"], answer.get("undo")) == ("partial", ["state"], None)
    assert state in answer["summary"]
    bulk = {"drop_assignment": "drop", "complete_assignment": "complete", "exempt_assignment": "exempt"}.get(tool, tool)
    many = await confirmed(stage.client, "bulk_update_assignments", action=bulk, assignments=[target])
    assert (many["status"], many["failed"], many["succeeded"], many.get("undo")) == ("partial", 1, 0, None)
    assert stage.state(target) == state


async def test_dates_that_the_api_ignores_fail_one_by_one(stage: Stage) -> None:
    two = [stage.assignment("not_started"), stage.assignment("in_progress")]
    stage.network.between = ignoring("due_date")
    answer = await confirmed(
        stage.client, "bulk_update_assignments", action="set_due_date", assignments=two, due_date="2031-01-01"
    )
    assert (answer["status"], answer["failed"], answer["changes"]) == ("partial", 2, {})
    assert {one["public_id"] for one in answer["items"]} == set(two)


async def test_an_item_that_the_api_fails_to_archive_is_named(stage: Stage) -> None:
    good, bad = stage.item(), stage.item(number=1)

    async def between(request: httpx2.Request, carry: Carry) -> httpx2.Response:
        if request.method == "POST":
            stage.change("DELETE FROM content_items WHERE public_id = ?", bad)
        return await carry(request)

    stage.network.between = between
    answer = await confirmed(stage.client, "archive_content_items", items=[good, bad])
    assert (answer["status"], answer["succeeded"], answer["failed"]) == ("partial", 1, 1)
    assert answer["items"][0]["public_id"] == bad
    assert answer["undo"]["arguments"] == {"items": [good]}


async def test_what_the_api_does_not_say_is_not_taken_for_empty(stage: Stage) -> None:
    """Access groups that an answer leaves out may be any: opening the item is confirmed, and has no undo."""
    item = stage.item("id IN (SELECT content_item_id FROM item_groups)")

    async def between(request: httpx2.Request, carry: Carry) -> httpx2.Response:
        answer = await carry(request)
        body = json.loads(await answer.aread())
        body.pop("groups", None)
        return httpx2.Response(answer.status_code, json=body)

    stage.network.between = between
    preview = await ask(stage.client, "update_content_item", content_item=item, groups=[])
    assert preview["status"] == "confirmation_required"
    answer = await confirmed(stage.client, "update_content_item", content_item=item, groups=[])
    assert (answer["status"], answer["not_applied"], answer.get("undo")) == ("partial", ["groups"], None)


async def test_an_undo_that_its_own_tool_would_refuse_is_not_offered(stage: Stage) -> None:
    user = _user(stage)
    stage.change("UPDATE users SET role = 'external', name = '  ' WHERE public_id = ?", user["user"])
    answer = await confirmed(stage.client, "update_user", **user, role="user", name="Some Name")
    assert answer["status"] == "done"
    assert "undo" not in answer
    assert "cannot set back what was there before" in answer["undo_note"]


async def test_an_undo_that_cannot_bring_back_hidden_characters_says_so(stage: Stage) -> None:
    user = _user(stage)
    stage.change("UPDATE users SET name = ? WHERE public_id = ?", "Jo\u200bhn\u202e Doe ", user["user"])
    answer = await confirmed(stage.client, "update_user", **user, name="John")
    assert "undo" not in answer, "a name that hides something would be refused"
    assert "cannot set back what was there before" in answer["undo_note"]


async def test_somebody_elses_assignment_is_not_taken_for_ones_own(
    stage: Stage, assistant: Client, network: Network
) -> None:
    """Assigned by another between the look and the write: nothing this call did, so nothing its undo may take away."""
    pair = _pair(stage)

    async def between(request: httpx2.Request, carry: Carry) -> httpx2.Response:
        if request.method == "POST":
            await carry(httpx2.Request("POST", request.url, headers=request.headers, content=request.content))
        return await carry(request)

    stage.network.between = between
    answer = await confirmed(stage.client, "assign_content", **pair)
    assert (answer["status"], answer.get("undo")) == ("unchanged", None)
    query = (
        "SELECT email FROM users u WHERE is_active AND NOT EXISTS (SELECT 1 FROM assignments a JOIN content_items c ON "
        "c.id = a.content_item_id WHERE a.user_id = u.id AND c.public_id = ?) LIMIT 2"
    )
    other = {"content_item": pair["content_item"], "users": stage.column(query, pair["content_item"])}
    many = await confirmed(stage.client, "bulk_assign_content", **other)
    assert (many["status"], many["unchanged"], many["succeeded"], many.get("undo")) == ("unchanged", 2, 0, None)
    assert data_of(await call(stage.client, "assign_content", **pair))["status"] == "unchanged"
