"""Changes as read back: what was asked for and not taken over is named, and only what differs is sent."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from mcp import Client
from stage import UNSHARED, Stage, ask, confirmed, connected, refused

from .between import Between

pytestmark = pytest.mark.anyio


def answering(**fields: Any) -> Any:
    """The API's answers to writes, with these fields as it likes."""

    def after(request: httpx2.Request, body: Any) -> Any:
        return {**body, **fields} if request.method in ("POST", "PATCH") else body

    return after


async def test_only_what_differs_is_sent(stage: Stage) -> None:
    user = stage.person()
    name = stage.one("SELECT name FROM users WHERE email = ?", user)
    between = Between(stage.tenant)
    async with connected(stage.tenant, transport=between) as client:
        answer = await ask(client, "update_user", user=user, name=name, employee_id="E-77")
    (sent,) = [one for one in between.requests if one.method == "PATCH"]
    assert json.loads(sent.content) == {"employee_id": "E-77"}
    assert list(answer["changes"]) == ["employee_id"]
    assert "Changed employee_id of the user" in answer["summary"]


CREATED: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("create_user", {"email": "x@acme.example", "name": "X Y"}, {"role": "admin"}, ["role"]),
    ("create_user", {"email": "x@acme.example", "name": "X Y"}, {"email": "z@acme.example"}, ["email"]),
    (
        "create_user",
        {"email": "x@acme.example", "name": "X Y", "employee_id": "7"},
        {"employee_id": None},
        ["employee_id"],
    ),
    ("create_group", {"name": "New"}, {"source": "scim"}, ["source"]),
    ("create_article", {"name": "New", "duration": 5}, {"duration_minutes": 6}, ["duration"]),
]


@pytest.mark.parametrize(("tool", "arguments", "fields", "missed"), CREATED)
async def test_what_a_creation_did_not_take_over(
    tool: str, arguments: dict[str, Any], fields: dict[str, Any], missed: list[str], stage: Stage
) -> None:
    async with connected(stage.tenant, transport=Between(stage.tenant, after=answering(**fields))) as client:
        answer = await ask(client, tool, **arguments)
    assert answer["status"] == "partial"
    assert answer["not_applied"] == missed
    assert answer["summary"].endswith(f"did not set {missed[0]}.")


async def test_a_change_that_was_not_taken_over(stage: Stage) -> None:
    user = stage.person()
    name = stage.one("SELECT name FROM users WHERE email = ?", user)
    kept = Between(stage.tenant, after=answering(name=name))
    async with connected(stage.tenant, transport=kept) as client:
        answer = await ask(client, "update_user", user=user, name="Another Name", employee_id="E-1")
    assert answer["status"] == "partial"
    assert answer["not_applied"] == ["name"]
    assert list(answer["changes"]) == ["employee_id"]
    assert list(answer["undo"]["arguments"]) == ["user", "employee_id"]
    assert answer["summary"].endswith("did not set name.")


async def test_a_change_of_which_nothing_was_taken_over(stage: Stage) -> None:
    user = stage.person()
    name = stage.one("SELECT name FROM users WHERE email = ?", user)
    async with connected(stage.tenant, transport=Between(stage.tenant, after=answering(name=name))) as client:
        answer = await ask(client, "update_user", user=user, name="Another Name")
    assert answer["status"] == "partial"
    assert (answer.get("undo"), answer["changes"]) == (None, {})
    assert answer["summary"].startswith("Nothing of the user")


async def test_an_email_that_is_taken(client: Client, stage: Stage) -> None:
    error = await refused(client, "create_user", email=stage.person().upper(), name="Somebody New")
    assert "already belongs to " in error["message"]
    assert "Use update_user" in error["message"]
    assert error["field_errors"] == {"email": ["a person with this e-mail already exists"]}
    assert stage.writes() == []


async def test_a_new_person_with_everything(client: Client, stage: Stage) -> None:
    boss = stage.person()
    name = stage.one("SELECT name FROM users WHERE email = ?", boss)
    answer = await ask(
        client, "create_user", email="x@acme.example", name="X Y", role="admin", employee_id="E-9", manager=boss
    )
    assert answer["changes"]["manager"] == ["", name]
    assert answer["changes"]["employee_id"] == ["", "E-9"]
    assert stage.one("SELECT employee_id FROM users WHERE email = 'x@acme.example'") == "E-9"


async def test_a_manager_who_leaves(client: Client, stage: Stage) -> None:
    boss = stage.one(
        "SELECT m.email FROM users u JOIN users m ON m.id = u.manager_id WHERE m.is_active GROUP BY m.id "
        "ORDER BY count(*) DESC"
    )
    reports = stage.one("SELECT count(*) FROM users u JOIN users m ON m.id = u.manager_id WHERE m.email = ?", boss)
    preview = await ask(client, "update_user", user=boss, is_active=False)
    assert preview["status"] == "confirmation_required"
    assert "is_active: yes → no" in preview["effects"]
    assert any("lose access at once" in effect for effect in preview["effects"])
    assert f"{reports} people report to this person." in preview["effects"]


async def test_a_role_is_said_with_its_article(client: Client, stage: Stage) -> None:
    for role, said in (("organizer", "an organizer"), ("admin", "an admin")):
        preview = await ask(client, "update_user", user=stage.person(), role=role)
        assert any(f"gets the rights of {said} at once." in effect for effect in preview["effects"])
    admin = stage.one("SELECT email FROM users WHERE role <> 'user'")
    preview = await ask(client, "update_user", user=admin, role="user")
    assert any("the rights of a user" in effect for effect in preview["effects"])


async def test_who_comes_back_needs_no_confirming(client: Client, stage: Stage) -> None:
    gone = stage.one(f"SELECT email FROM users WHERE NOT is_active AND {UNSHARED}")
    answer = await ask(client, "update_user", user=gone, is_active=True)
    assert answer["status"] == "done"
    assert answer["changes"] == {"is_active": [False, True]}


async def test_a_manager_is_named_in_changes_and_given_by_id_in_the_undo(client: Client, stage: Stage) -> None:
    user, boss = stage.person(1), stage.person()
    answer = await ask(client, "update_user", user=user, manager=boss)
    assert answer["changes"]["manager"][1] == stage.one("SELECT name FROM users WHERE email = ?", boss)
    former = stage.one("SELECT m.public_id FROM users m WHERE m.name = ?", answer["changes"]["manager"][0])
    assert answer["undo"]["arguments"]["manager"] == former


async def test_a_twin_group_is_warned_about(client: Client) -> None:
    answer = await ask(client, "create_group", name="Project Phoenix")
    assert answer["summary"] == "Created the group “Project Phoenix”, empty. 2 other groups have that name."


async def test_opening_an_item_to_everybody_is_previewed_and_narrowing_it_is_not(client: Client, stage: Stage) -> None:
    item = stage.item("id IN (SELECT content_item_id FROM item_groups) AND NOT is_archived")
    group = stage.group()
    narrowed = await ask(client, "update_content_item", content_item=item, groups=[group])
    assert narrowed["status"] == "done"
    preview = await ask(client, "update_content_item", content_item=item, groups=[])
    name = stage.one("SELECT name FROM groups WHERE public_id = ?", group)
    assert preview["effects"] == [
        f"groups: “{name}” → none",
        "Everyone can then open it, as far as its channel allows.",
    ]
    opened = await confirmed(client, "update_content_item", content_item=item, groups=[])
    assert opened["changes"]["groups"] == [[name], []]
    again = await ask(client, "update_content_item", content_item=item, groups=[])
    assert again["status"] == "unchanged"


async def test_deleting_says_what_is_lost(client: Client, stage: Stage) -> None:
    public_id, total, finished = stage.tenant.connection.execute(
        "SELECT c.public_id, count(*), sum(a.state = 'completed') FROM content_items c JOIN assignments a "
        "ON a.content_item_id = c.id GROUP BY c.id ORDER BY 2 DESC"
    ).fetchone()
    preview = await ask(client, "delete_content_item", content_item=public_id)
    assert preview["irreversible"] is True
    assert f"{total} assignments ({finished} completed)" in preview["effects"][0]
    assert preview["effects"][1].startswith("archive_content_items takes it out of use")


async def test_what_was_deleted_although_the_answer_was_lost(stage: Stage) -> None:
    item = stage.item()
    stage.tenant.faults.script(["drop-after"], writes_only=True)
    async with connected(stage.tenant) as client:
        answer = await confirmed(client, "delete_content_item", content_item=item)
    assert answer["status"] == "done"
    assert answer["summary"].endswith("already gone on a second try.")
