"""Who is in a group: read again after each change, for that alone shows what became of it."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest
from mcp import Client
from stage import Stage, ask, confirmed, connected, refused

from .between import Between, on

pytestmark = pytest.mark.anyio


async def test_the_preview_shows_both_sides(client: Client, stage: Stage) -> None:
    group = stage.group()
    there, new = stage.members(group), stage.strangers(group, 2)
    preview = await ask(client, "replace_group_members", group=group, members=there[1:] + new)
    said = preview["summary"]
    assert f"add 2, remove 1 ({round(100 / len(there))} % of its {len(there)} members), keep {len(there) - 1}" in said
    added, removed = preview["effects"][:2]
    assert added.startswith("Added: ")
    assert all(person in added for person in new)
    assert removed.startswith("Removed: ")
    assert there[0] in removed


async def test_a_group_that_another_system_keeps(client: Client, stage: Stage) -> None:
    group = stage.one("SELECT public_id FROM groups WHERE source <> 'plusplus'")
    people = stage.strangers(group, 2)
    preview = await ask(client, "replace_group_members", group=group, members=people)
    assert any("rebuilt at its next sync" in effect for effect in preview["effects"])
    preview = await ask(client, "add_group_members", group=group, members=people)
    assert preview["status"] == "confirmation_required"
    assert any("rebuilt at its next sync" in effect for effect in preview["effects"])
    answer = await confirmed(client, "add_group_members", group=group, members=people)
    assert "rebuilt at its next sync" in answer["summary"]


async def test_lists_say_which_groups_another_system_keeps(client: Client, stage: Stage) -> None:
    rows = (await ask(client, "list_groups", page_size=100))["items"]
    kept = {row["public_id"] for row in rows if "rebuilt at its next sync" in row.get("note", "")}
    assert kept == set(stage.column("SELECT public_id FROM groups WHERE source <> 'plusplus'"))
    one = await ask(client, "get_group", group=kept.pop())
    assert "rebuilt at its next sync" in one["summary"]
    assert "note" in one["item"]


async def test_the_undo_of_a_replaced_roster_takes_back_only_that(client: Client, stage: Stage) -> None:
    group = stage.group()
    there, new, other = stage.members(group), *[stage.strangers(group, 2)[n : n + 1] for n in (0, 1)]
    answer = await confirmed(
        client, "replace_group_members", group=group, members=there[1:] + new, confirm_replace=True
    )
    assert [one["tool"] for one in answer["undo"]] == ["remove_group_members", "add_group_members"]
    assert [len(one["arguments"]["members"]) for one in answer["undo"]] == [1, 1]
    await ask(client, "add_group_members", group=group, members=other)
    for undo in answer["undo"]:
        await confirmed(client, undo["tool"], **undo["arguments"])
    assert stage.members(group) == sorted(there + other)


async def test_people_who_are_not_in_the_group(client: Client, stage: Stage) -> None:
    group = stage.group()
    inside, outside = stage.members(group)[:1], stage.strangers(group, 2)
    preview = await ask(client, "remove_group_members", group=group, members=inside + outside)
    assert "Remove 1 person from" in preview["summary"]
    assert any("2 people on the list not in the group" in effect for effect in preview["effects"])
    for people, said in ((outside, "These 2 people are not in"), (outside[:1], "This person is not in")):
        answer = await ask(client, "remove_group_members", group=group, members=people)
        assert answer["summary"].startswith(said)
    inside = stage.members(group)[:2]
    for people, said in ((inside, "All 2 people are already in"), (inside[:1], "This person is already in")):
        answer = await ask(client, "add_group_members", group=group, members=people)
        assert answer["summary"].startswith(said)
        assert answer["status"] == "unchanged"


async def test_what_the_api_did_not_take_over_is_named(stage: Stage) -> None:
    """It answers as if it had; the roster, read again, shows that it has not."""
    group = stage.group()
    people = stage.strangers(group, 2)
    pretends = on("POST", "/members", httpx2.Response(200, json={"public_id": group, "name": "G"}))
    async with connected(stage.tenant, transport=Between(stage.tenant, pretends)) as client:
        answer = await ask(client, "add_group_members", group=group, members=people)
    assert answer["status"] == "partial"
    assert answer["not_applied"] == ["members"]
    assert "did not change. PlusPlus accepted the request but left out " in answer["summary"]
    assert all(person in answer["summary"] for person in people)
    assert "undo" not in answer
    assert answer["changes"] == {}


async def test_an_odd_answer_to_a_change_that_was_made(stage: Stage) -> None:
    """What the API answers to it is documented nowhere: the roster is what counts."""
    group = stage.group()
    people = stage.strangers(group, 1)

    def odd(request: httpx2.Request, body: Any) -> Any:
        return ["something", "else"] if request.method == "POST" else body

    async with connected(stage.tenant, transport=Between(stage.tenant, after=odd)) as client:
        answer = await ask(client, "add_group_members", group=group, members=people)
    assert answer["status"] == "done"
    assert people[0] in stage.members(group)


async def test_a_roster_that_cannot_be_read_afterwards(stage: Stage) -> None:
    group = stage.group()
    down = httpx2.Response(503, json={})
    sent: list[bool] = []

    def after_the_write(request: httpx2.Request) -> httpx2.Response | None:
        sent.extend([True] * (request.method != "GET"))
        return down if sent and request.method == "GET" and request.url.path.endswith("/users") else None

    async with connected(stage.tenant, transport=Between(stage.tenant, after_the_write)) as client:
        error = await refused(client, "add_group_members", group=group, members=stage.strangers(group, 1))
    assert error["code"] == "answer_lost"
    assert "may have happened" in error["message"]
    assert error["check"] == {"tool": "list_group_members", "arguments": {"group": group}}
    assert error["retryable"] is False


async def test_very_many_people_and_their_undo(client: Client, stage: Stage) -> None:
    group = stage.group()
    for number in range(900):
        stage.change(
            "INSERT INTO users (public_id, email, email_key, name, name_key, role, date_joined) "
            "VALUES (?, ?, ?, 'New', 'new', 'user', '2026-01-01T00:00:00Z')",
            f"00000000-0000-4000-8000-{number:012}",
            f"new{number}@acme.example",
            f"new{number}@acme.example",
        )
    many = stage.column("SELECT public_id FROM users WHERE name = 'New'")
    answer = await confirmed(client, "add_group_members", group=group, members=many)
    assert answer["status"] == "done"
    assert sorted(answer["undo"]["arguments"]["members"]) == sorted(many)
    preview = await ask(client, "remove_group_members", group=group, members=many)
    assert "and 875 more" in preview["effects"][0]
    assert re.search(r"99 % of its \d+ members", preview["summary"])
    answer = await confirmed(client, answer["undo"]["tool"], **answer["undo"]["arguments"])
    assert sorted(answer["undo"]["arguments"]["members"]) == sorted(many)


async def test_the_same_person_named_twice_counts_once(client: Client, stage: Stage) -> None:
    group = stage.group()
    email = stage.strangers(group, 1)[0]
    public_id = stage.one("SELECT public_id FROM users WHERE email = ?", email)
    answer = await ask(client, "add_group_members", group=group, members=[email, public_id])
    assert "added 1 person." in answer["summary"]
