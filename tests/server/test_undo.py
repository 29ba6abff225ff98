"""Every write names the call that reverses it: applied, it brings the tenant back."""

from __future__ import annotations

from typing import Any

import pytest
from mcp import Client
from stage import UNSHARED, Stage, ask, confirmed, connected

from .cases import WRITES, Case

pytestmark = pytest.mark.anyio

RESTORED = [case for case in WRITES if case.undo == "restores"]
IRREVERSIBLE = [case for case in WRITES if case.undo is None]
IN_PART = {case.tool: case for case in WRITES if case not in RESTORED and case.undo is not None}


async def undone(client: Client, answer: dict[str, Any]) -> dict[str, Any]:
    """Makes the call or calls that the answer names, confirmed where they have to be; the last one's answer."""
    undo = answer["undo"]
    done = [
        await confirmed(client, one["tool"], **one["arguments"]) for one in (undo if isinstance(undo, list) else [undo])
    ]
    return done[-1]


@pytest.mark.parametrize("case", RESTORED, ids=lambda case: case.tool)
async def test_the_undo_brings_the_tenant_back(case: Case, client: Client, stage: Stage) -> None:
    before = stage.tenant.snapshot()
    answer = await confirmed(client, case.tool, **case.arguments(stage))
    assert answer["status"] == "done"
    changed = stage.tenant.snapshot()
    assert changed != before
    back = await undone(client, answer)
    assert back["status"] == "done"
    assert stage.tenant.snapshot() == before
    if "undo" in back and case.tool != "create_article" and not isinstance(answer["undo"], list):
        await undone(client, back)
        assert stage.tenant.snapshot() == changed


@pytest.mark.parametrize("case", IRREVERSIBLE, ids=lambda case: case.tool)
async def test_what_cannot_be_undone_says_so(case: Case, stage: Stage, tmp_path: Any) -> None:
    async with connected(stage.tenant, secrets_dir=tmp_path) as client:
        answer = await confirmed(client, case.tool, **case.arguments(stage))
    assert answer["status"] == "done"
    assert "undo" not in answer
    assert len(answer["undo_note"]) > 20


async def test_undoing_an_assignment_leaves_it_dropped(client: Client, stage: Stage) -> None:
    case = IN_PART["assign_content"]
    before = stage.tenant.snapshot()
    answer = await ask(client, case.tool, **case.arguments(stage))
    assert "dropped" in answer["undo_note"]
    await undone(client, answer)
    after = stage.tenant.snapshot()
    made = after["assignments"].pop(answer["target"]["public_id"])
    assert made["state"] == "dropped"
    assert after["assignments"] == before["assignments"]
    assert after["users"] == before["users"]


@pytest.mark.parametrize(
    ("state", "back_to"), [("in_progress", {"in_progress", "not_started"}), ("not_started", {"not_started"})]
)
async def test_undoing_a_completion_may_lose_progress(
    client: Client, stage: Stage, state: str, back_to: set[str]
) -> None:
    target = stage.assignment(state)
    answer = await ask(client, "complete_assignment", assignment=target)
    assert "may not come back" in answer["undo_note"]
    await undone(client, answer)
    assert stage.state(target) in back_to


async def test_completing_an_exempted_one_takes_two_calls_back(client: Client, stage: Stage) -> None:
    target = stage.assignment("exempted")
    answer = await ask(client, "complete_assignment", assignment=target)
    assert [call["tool"] for call in answer["undo"]] == ["revert_completion", "exempt_assignment"]
    await confirmed(client, "revert_completion", **answer["undo"][0]["arguments"])
    await ask(client, "exempt_assignment", **answer["undo"][1]["arguments"])
    assert stage.state(target) == "exempted"


async def test_the_undo_takes_back_only_what_the_call_did(client: Client, stage: Stage) -> None:
    """Five are added, two of whom were in already: the undo removes three."""
    group = stage.group()
    there, new = stage.members(group), stage.strangers(group, 3)
    answer = await ask(client, "add_group_members", group=group, members=there[:2] + new)
    assert answer["changes"] == {"member_count": [len(there), len(there) + 3]}
    assert len(answer["undo"]["arguments"]["members"]) == 3
    await undone(client, answer)
    assert stage.members(group) == there


async def test_the_undo_of_an_archive_leaves_what_was_archived_before(client: Client, stage: Stage) -> None:
    old, fresh = stage.item("is_archived"), stage.item()
    answer = await confirmed(client, "archive_content_items", items=[old, fresh, old])
    assert (answer["succeeded"], answer["unchanged"]) == (1, 1)
    assert answer["undo"] == {"tool": "unarchive_content_items", "arguments": {"items": [fresh]}}


UPDATES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("update_user", "user", {"clear": ["employee_id"]}, {"employee_id": "E-1"}),
    ("update_user", "user", {"clear": ["manager"]}, {}),
    ("update_user", "user", {"is_active": False}, {}),
    ("update_user", "user", {"name": "A", "employee_id": "E-2", "clear": ["manager"], "role": "organizer"}, {}),
    ("update_article", "article", {"clear": ["duration"]}, {"duration": 9}),
    ("update_article", "article", {"is_hidden": True, "is_self_assignable": False}, {"is_hidden": False}),
    ("update_assignment", "assignment", {"clear": ["due_date"]}, {"due_date": "2030-01-01"}),
    ("update_assignment", "assignment", {"due_date": "2031-05-05", "expires_at": "2032-01-01T10:00:00Z"}, {}),
    ("update_assignment", "assignment", {"clear": ["expires_at"]}, {"expires_at": "2030-01-01T00:00:00+02:00"}),
    ("update_content_item", "content_item", {"name": "B", "is_hidden": True}, {}),
]


@pytest.mark.parametrize(("tool", "reference", "asked", "first"), UPDATES)
async def test_every_field_goes_back(
    client: Client, stage: Stage, tool: str, reference: str, asked: dict[str, Any], first: dict[str, Any]
) -> None:
    things = {
        "user": lambda: stage.one("SELECT email FROM users WHERE role = 'user' AND manager_id NOT NULL AND is_active"),
        "article": lambda: stage.item("content_type = 'article' AND NOT is_hidden"),
        "assignment": lambda: stage.assignment("not_started"),
        "content_item": lambda: stage.item("NOT is_hidden"),
    }
    target = {reference: things[reference]()}
    if first:
        await ask(client, tool, **target, **first)
    before = stage.tenant.snapshot()
    answer = await confirmed(client, tool, **target, **asked)
    assert set(answer["changes"]) == {*asked, *asked.get("clear", [])} - {"clear"}
    assert stage.tenant.snapshot() != before
    await undone(client, answer)
    assert stage.tenant.snapshot() == before


async def test_the_groups_of_an_item_go_back(client: Client, stage: Stage) -> None:
    item = stage.item("id IN (SELECT content_item_id FROM item_groups)")
    before = stage.tenant.snapshot()
    names = stage.column(f"SELECT name FROM groups WHERE {UNSHARED.replace('users', 'groups')} LIMIT 2")
    answer = await confirmed(client, "update_content_item", content_item=item, groups=names)
    assert answer["status"] == "done"
    assert answer["changes"]["groups"][1] == names or sorted(answer["changes"]["groups"][1]) == sorted(names)
    await undone(client, answer)
    assert stage.tenant.snapshot() == before


REPEATABLE = [case for case in WRITES if case.undo is not None and case.tool != "create_article"]


@pytest.mark.parametrize("case", REPEATABLE, ids=lambda case: case.tool)
async def test_asking_for_what_is_so_sends_nothing(case: Case, client: Client, stage: Stage) -> None:
    arguments = case.arguments(stage)
    await confirmed(client, case.tool, **arguments)
    sent, state = len(stage.writes()), stage.tenant.snapshot()
    again = await confirmed(client, case.tool, **arguments)
    assert again["status"] == "unchanged"
    assert again["summary"].endswith("Nothing was sent.")
    assert "undo" not in again
    assert len(stage.writes()) == sent
    assert stage.tenant.snapshot() == state
