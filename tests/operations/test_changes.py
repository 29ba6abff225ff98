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
    assert stage.writes() == []


async def test_a_new_person_with_everything(client: Client, stage: Stage) -> None:
    boss = stage.person()
    name = stage.one("SELECT name FROM users WHERE email = ?", boss)
    answer = await confirmed(
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
    assert any("Loses access at once" in effect for effect in preview["effects"])
    assert any(f"{reports} direct reports (" in effect for effect in preview["effects"])


async def test_a_role_is_said_with_its_article(client: Client, stage: Stage) -> None:
    for role, said in (("organizer", "an organizer"), ("admin", "an admin")):
        preview = await ask(client, "update_user", user=stage.person(), role=role)
        assert any(f"Gets the rights of {said} at once" in effect for effect in preview["effects"])
    admin = stage.one("SELECT email FROM users WHERE role <> 'user'")
    preview = await ask(client, "update_user", user=admin, role="user")
    assert any("the rights of a user" in effect for effect in preview["effects"])


async def test_who_comes_back_needs_confirming(client: Client, stage: Stage) -> None:
    gone = stage.one(f"SELECT email FROM users WHERE NOT is_active AND {UNSHARED}")
    preview = await ask(client, "update_user", user=gone, is_active=True)
    assert preview["status"] == "confirmation_required"
    assert any("access back at once" in effect for effect in preview["effects"])
    assert stage.writes() == []
    answer = await confirmed(client, "update_user", user=gone, is_active=True)
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


def members(stage: Stage, group: str) -> set[str]:
    """E-mails of the active people in a group."""
    return set(
        stage.column(
            "SELECT u.email FROM group_members m JOIN users u ON u.id = m.user_id JOIN groups g ON g.id = m.group_id "
            "WHERE u.is_active AND g.public_id = ?",
            group,
        )
    )


async def test_every_change_of_access_is_previewed_with_its_people_counted(client: Client, stage: Stage) -> None:
    item = stage.item("id IN (SELECT content_item_id FROM item_groups) AND NOT is_archived")
    old = stage.column(
        "SELECT g.public_id FROM item_groups i JOIN groups g ON g.id = i.group_id JOIN content_items c ON "
        "c.id = i.content_item_id WHERE c.public_id = ?",
        item,
    )
    before = set[str]().union(*(members(stage, group) for group in old))
    group = next(one for one in stage.column("SELECT public_id FROM groups ORDER BY id") if one not in old)
    after, everyone = members(stage, group), stage.one("SELECT count(*) FROM users WHERE is_active")

    preview = await ask(client, "update_content_item", content_item=item, groups=[group])
    assert preview["status"] == "confirmation_required"
    figures = f"{len(after - before)} gain it, {len(before - after)} lose it, {len(after & before)} keep it"
    assert any(figures in effect for effect in preview["effects"])

    preview = await ask(client, "update_content_item", content_item=item, groups=[])
    assert any(f"{everyone - len(before)} gain it, nobody loses it" in effect for effect in preview["effects"])
    opened = await confirmed(client, "update_content_item", content_item=item, groups=[])
    assert opened["changes"]["groups"][1] == []
    again = await ask(client, "update_content_item", content_item=item, groups=[])
    assert again["status"] == "unchanged"

    preview = await ask(client, "update_content_item", content_item=item, groups=[group])
    assert any(f"nobody gains it, {everyone - len(after)} lose it" in effect for effect in preview["effects"])


async def test_access_that_cannot_be_counted_is_previewed_all_the_same(
    client: Client, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, group = stage.item("id IN (SELECT content_item_id FROM item_groups) AND NOT is_archived"), stage.group()

    def unsaid(request: httpx2.Request, body: Any) -> Any:
        return {name: value for name, value in body.items() if name != "groups"} if "content_type" in body else body

    async with connected(stage.tenant, transport=Between(stage.tenant, after=unsaid)) as other:
        preview = await ask(other, "update_content_item", content_item=item, groups=[group])
    assert preview["status"] == "confirmation_required"
    assert any("PlusPlus does not say who has it now" in effect for effect in preview["effects"])
    monkeypatch.setattr("pp_mcp.operations.access.MOST_PAGES", 0)
    preview = await ask(client, "update_content_item", content_item=item, groups=[group])
    assert preview["status"] == "confirmation_required"
    assert any("too many to count" in effect for effect in preview["effects"])


@pytest.mark.parametrize(
    ("tool", "reference"), [("update_content_item", "content_item"), ("update_article", "article")]
)
async def test_hiding_what_people_still_have_to_do_is_previewed(
    client: Client, stage: Stage, tool: str, reference: str
) -> None:
    public_id, outstanding = stage.tenant.connection.execute(
        "SELECT c.public_id, count(*) FROM content_items c JOIN assignments a ON a.content_item_id = c.id WHERE "
        "c.content_type = 'article' AND NOT c.is_hidden AND a.state IN ('not_started', 'in_progress') GROUP BY c.id"
    ).fetchone()
    preview = await ask(client, tool, **{reference: public_id}, is_hidden=True)
    assert preview["status"] == "confirmation_required"
    assert any(f"It has {outstanding} outstanding assignment" in effect for effect in preview["effects"])
    await confirmed(client, tool, **{reference: public_id}, is_hidden=True)
    shown = await ask(client, tool, **{reference: public_id}, is_hidden=False)
    assert shown["status"] == "confirmation_required"
    idle = stage.item(
        "content_type = 'article' AND NOT is_hidden AND NOT EXISTS (SELECT 1 FROM assignments a WHERE "
        "a.content_item_id = content_items.id AND a.state IN ('not_started', 'in_progress'))"
    )
    assert (await ask(client, tool, **{reference: idle}, is_hidden=True))["status"] == "done"


async def test_a_new_administrator_is_previewed(client: Client, stage: Stage) -> None:
    new = {"email": "x@acme.example", "name": "X Y"}
    for role in ("admin", "organizer"):
        preview = await ask(client, "create_user", **new, role=role)
        assert preview["status"] == "confirmation_required"
        assert any(f"rights of an {role}" in effect for effect in preview["effects"])
    assert stage.writes() == []
    assert (await ask(client, "create_user", **new))["status"] == "done"


async def test_what_a_leaver_leaves_behind(client: Client, stage: Stage) -> None:
    boss, user_id = stage.tenant.connection.execute(
        "SELECT m.email, m.id FROM users u JOIN users m ON m.id = u.manager_id WHERE m.is_active GROUP BY m.id "
        "ORDER BY count(*) DESC"
    ).fetchone()
    stage.change("UPDATE users SET manager_id = ? WHERE id > 20 AND id != ?", user_id, user_id)
    reports = stage.one("SELECT count(*) FROM users WHERE manager_id = ?", user_id)
    outstanding = stage.one(
        "SELECT count(*) FROM assignments WHERE user_id = ? AND state IN ('not_started', 'in_progress')", user_id
    )
    preview = await ask(client, "update_user", user=boss, is_active=False)
    (left,) = [effect for effect in preview["effects"] if effect.startswith("Left behind")]
    assert f"{reports} direct reports (" in left
    assert f"and {reports - 5} more)" in left
    assert left.count("@") == 5
    assert f"{outstanding} outstanding assignment" in left
    assert "enrolled, " in left


HIDDEN = ["Eve\u202eadmin", "Z\u200bero", "Tag\U000e0041", "Bell\u0007", "Tab\tName", "Line\nbreak", "\u3164Fill"]
FINE = ["José Nuñez", "می\u200cخواهم", "👩\u200d💻 Dev", "李小龍", "Ольга Ivanova", "❤\ufe0f"]


@pytest.mark.parametrize("name", HIDDEN)
async def test_text_that_hides_something_is_not_written(client: Client, stage: Stage, name: str) -> None:
    for tool, arguments in (
        ("create_user", {"email": "x@acme.example", "name": name}),
        ("create_group", {"name": name}),
        ("create_article", {"name": name}),
        ("update_user", {"user": stage.person(), "name": name}),
        ("update_user", {"user": stage.person(), "employee_id": name}),
    ):
        error = await refused(client, tool, **arguments)
        assert error["code"] == "invalid_argument", tool
        assert "U+" in error["message"], tool
    assert stage.writes() == []


@pytest.mark.parametrize("name", FINE)
async def test_text_in_any_script_is_written(client: Client, name: str) -> None:
    assert (await ask(client, "create_group", name=name))["changes"]["name"][1] == name


async def test_a_reason_may_have_lines_but_hides_nothing(client: Client, stage: Stage) -> None:
    target = stage.assignment("not_started")
    assert "confirm_token" in await ask(client, "drop_assignment", assignment=target, reason="Left.\nSee ticket 7.")
    error = await refused(client, "drop_assignment", assignment=target, reason="Left.\u202e")
    assert "U+202E" in error["message"]


async def test_letters_that_look_alike_are_pointed_out(client: Client, stage: Stage) -> None:
    lookalike = "P\u0430ypal Team"
    for tool, arguments in (
        ("create_user", {"email": "x@acme.example", "name": lookalike}),
        ("create_user", {"email": "j\u0430ne@acme.example", "name": "Jane"}),
        ("create_group", {"name": lookalike}),
        ("create_article", {"name": lookalike}),
        ("update_user", {"user": stage.person(), "name": lookalike}),
        ("update_group", {"group": stage.group(), "name": lookalike}),
        ("create_api_token", {"name": lookalike}),
    ):
        preview = await ask(client, tool, **arguments)
        assert preview["status"] == "confirmation_required", tool
        assert any("Cyrillic and Latin" in effect for effect in preview["effects"]), tool
    assert stage.writes() == []


async def test_clearing_is_explicit(client: Client, stage: Stage) -> None:
    user = stage.one(f"SELECT email FROM users WHERE manager_id NOT NULL AND is_active AND {UNSHARED}")
    answer = await ask(client, "update_user", user=user, clear=["manager"])
    assert answer["status"] == "done"
    assert answer["changes"]["manager"][1] == ""
    error = await refused(client, "update_user", user=user, employee_id="E-1", clear=["employee_id"])
    assert "both set and cleared" in error["message"]
    target = stage.assignment("not_started")
    await ask(client, "update_assignment", assignment=target, due_date="2030-01-01")
    answer = await ask(client, "update_assignment", assignment=target, clear=["due_date"])
    assert answer["undo"]["arguments"] == {"assignment": target, "due_date": "2030-01-01"}
    again = await ask(client, "update_assignment", assignment=target, due_date="2031-01-01")
    assert again["undo"]["arguments"] == {"assignment": target, "clear": ["due_date"]}
    for arguments in ({}, {"clear": []}):
        error = await refused(client, "update_assignment", assignment=target, **arguments)
        assert "clear" in error["message"]


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
