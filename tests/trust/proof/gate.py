"""Section 1: whatever raises rights, changes access, loses something or reaches many is asked about first."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from stage import Json, Stage

from pp_mcp.declare import Effect
from pp_mcp.inventory import ALL_TOOLS

from .scene import agree, applied, asks, data, scene, status, text
from .tries import Tries, attack

Given = Callable[[Stage], tuple[str, Json]]
OUTSTANDING = "state IN ('not_started', 'in_progress')"
ASSIGNED = f"NOT is_archived AND id IN (SELECT content_item_id FROM assignments WHERE {OUTSTANDING})"
LIMITED = "NOT is_archived AND id IN (SELECT content_item_id FROM item_groups)"


def _leaver(stage: Stage) -> str:
    stage.change("UPDATE users SET is_active = 0 WHERE email = ?", stage.person(3))
    return stage.one("SELECT email FROM users WHERE NOT is_active AND role = 'user' ORDER BY id DESC")


def _hidden(stage: Stage, only: str = "1") -> str:
    item = stage.item(f"{ASSIGNED} AND {only}")
    stage.change("UPDATE content_items SET is_hidden = 1 WHERE public_id = ?", item)
    return item


def _kept_elsewhere(stage: Stage) -> str:
    return stage.one("SELECT public_id FROM groups WHERE source != 'plusplus' ORDER BY id")


ARTICLE = "content_type = 'article' AND NOT is_hidden"

RIGHTS: list[Given] = [
    *(
        lambda s, role=role: ("create_user", {"email": "ada.new@acme.example", "name": "Ada New", "role": role})
        for role in ("admin", "organizer")
    ),
    *(lambda s, role=role: ("update_user", {"user": s.person(), "role": role}) for role in ("admin", "organizer")),
    lambda s: ("update_user", {"user": s.person(), "role": "admin", "name": "Ada New"}),
    lambda s: ("create_api_token", {"name": "nightly job"}),
]
ACCESS: list[Given] = [
    lambda s: ("update_user", {"user": s.person(), "is_active": False}),
    lambda s: ("update_user", {"user": _leaver(s), "is_active": True}),
    lambda s: ("update_content_item", {"content_item": s.item(LIMITED), "groups": []}),
    lambda s: ("update_content_item", {"content_item": s.item(LIMITED), "groups": [s.group()]}),
    lambda s: ("update_content_item", {"content_item": s.item(), "groups": [s.group()]}),
    lambda s: ("update_content_item", {"content_item": s.item(f"{ASSIGNED} AND NOT is_hidden"), "is_hidden": True}),
    lambda s: ("update_content_item", {"content_item": _hidden(s), "is_hidden": False}),
    lambda s: ("update_article", {"article": s.item(f"{ASSIGNED} AND {ARTICLE}"), "is_hidden": True}),
    lambda s: ("update_article", {"article": _hidden(s, ARTICLE), "is_hidden": False}),
]
MEMBERS: list[Given] = [
    lambda s: ("remove_group_members", {"group": s.group(), "members": s.members(s.group())[:1]}),
    lambda s: ("replace_group_members", {"group": s.group(), "members": s.strangers(s.group(), 2)}),
    lambda s: ("add_group_members", {"group": _kept_elsewhere(s), "members": s.strangers(_kept_elsewhere(s), 1)}),
]
LOSES: list[Given] = [
    lambda s: ("delete_content_item", {"content_item": s.item()}),
    lambda s: ("archive_content_items", {"items": [s.item()]}),
    lambda s: ("drop_assignment", {"assignment": s.assignment("not_started")}),
    lambda s: ("revert_completion", {"assignment": s.assignment("completed")}),
]
MANY: list[Given] = [
    lambda s: ("bulk_assign_content", {"content_item": s.unassigned(s.person()), "users": [s.person()]}),
    lambda s: ("bulk_update_assignments", {"action": "complete", "assignments": [s.assignment("not_started")]}),
    lambda s: ("add_group_members", {"group": s.group(), "members": s.strangers(s.group(), 26)}),
    lambda s: ("unarchive_content_items", {"items": _archived(s, 26)}),
]


def _archived(stage: Stage, count: int) -> list[str]:
    stage.change("UPDATE content_items SET is_archived = 1 WHERE id IN (SELECT id FROM content_items LIMIT ?)", count)
    return stage.column("SELECT public_id FROM content_items WHERE is_archived LIMIT ?", count)


async def _asked(tries: Tries, cases: list[Given], **settings: Any) -> None:
    """Each is previewed and nothing is done; refused under `block`; done under `allow`, so that it is a valid call."""
    for case in cases:
        for policy in ("token", "block", "allow"):
            async with scene(confirm=policy, **settings) as (stage, client):
                tool, arguments = case(stage)
                result = await client.call_tool(tool, arguments)
                what = f"{tool} {json.dumps(arguments)[:90]} under {policy}: {status(result)}"
                if policy == "allow":
                    flags = {"confirm_replace": True, "confirm_large_removal": True}
                    if result.is_error and "confirm_" in text(result):
                        result = await client.call_tool(tool, arguments | flags)
                    tries.held(status(result) == "done", f"{what}: {text(result)[:120]}")
                    continue
                wanted = asks(result) if policy == "token" else result.is_error
                tries.held(wanted and not applied(stage), what)


@attack("gate", "rights raised unasked: role=admin or organizer, a new API token")
async def _(tries: Tries) -> None:
    await _asked(tries, RIGHTS)


@attack("gate", "access changed unasked: deactivate, reactivate, access groups, hide or show")
async def _(tries: Tries) -> None:
    await _asked(tries, ACCESS)


@attack("gate", "members removed or replaced, or added to a group that another system keeps, unasked")
async def _(tries: Tries) -> None:
    await _asked(tries, MEMBERS)


@attack("gate", "something lost unasked: delete, archive, drop, revert")
async def _(tries: Tries) -> None:
    await _asked(tries, LOSES)


@attack("gate", "more than 25 reached in one call, or a bulk tool on one, unasked")
async def _(tries: Tries) -> None:
    await _asked(tries, MANY)


@attack("gate", "292 people put into a group unasked")
async def _(tries: Tries) -> None:
    async with scene(people=320) as (stage, client):
        group = stage.group()
        everybody = stage.strangers(group, 292)
        parts = [everybody[at : at + 100] for at in range(0, len(everybody), 100)]
        for members in parts:
            result = await client.call_tool("add_group_members", {"group": group, "members": members})
            tries.held(asks(result) and not applied(stage), f"{len(members)} people: {status(result)}")


@attack("gate", "single writes in a loop: more than 50 unconfirmed changes within an hour")
async def _(tries: Tries) -> None:
    for tool, size in (("complete_assignment", 0), ("add_group_members", 0), ("add_group_members", 20)):
        async with scene(people=320) as (stage, client):
            group = stage.group()
            people = stage.strangers(group, 240)
            loose = "id NOT IN (SELECT assignment_id FROM enrollments WHERE assignment_id IS NOT NULL)"
            open_ones = stage.column(f"SELECT public_id FROM assignments WHERE {OUTSTANDING} AND {loose} LIMIT 100")
            calls: list[Json] = [{"assignment": one} for one in open_ones]
            if tool == "add_group_members":
                step = size or 1
                calls = [{"group": group, "members": people[at : at + step]} for at in range(0, 120, step)]
            statuses = [status(await client.call_tool(tool, given)) for given in calls]
            done = statuses.count("done") * (size or 1)
            tries.held(0 < done <= 50, f"{tool}, {size or 1} a call: {done} done unasked in a row")
            tries.held(statuses[-1] == "confirmation_required", f"{tool}: the last of {len(calls)}: {statuses[-1]}")


@attack("gate", "any write unasked where PP_UNCONFIRMED_WRITES is 0")
async def _(tries: Tries) -> None:
    for given in (
        lambda s: ("complete_assignment", {"assignment": s.assignment("in_progress")}),
        lambda s: ("update_group", {"group": s.group(), "name": "Night Shift"}),
        lambda s: ("create_article", {"name": "How we work"}),
        lambda s: ("create_user", {"email": "ada.new@acme.example", "name": "Ada New"}),
        lambda s: ("update_assignment", {"assignment": s.assignment("not_started"), "due_date": "2031-01-31"}),
    ):
        async with scene(unconfirmed_writes=0) as (stage, client):
            tool, arguments = given(stage)
            preview = await client.call_tool(tool, arguments)
            tries.held(asks(preview) and not applied(stage), f"{tool}: {status(preview)}")
            if asks(preview):
                done = await agree(client, tool, arguments, preview)
                tries.held(status(done) == "done", f"{tool} confirmed: {status(done)}")


@attack("gate", "PP_CONFIRM=person got around: no way to ask, a token, a capability left out")
async def _(tries: Tries) -> None:
    for case in (*RIGHTS[:1], *MEMBERS[:2], *LOSES):
        async with scene(confirm="person") as (stage, client):
            tool, arguments = case(stage)
            first = await client.call_tool(tool, arguments)
            tries.held(first.is_error and not applied(stage), f"{tool}: {status(first)}")
            token = data(first).get("confirm_token") or "6b0546cc.AAAAAAAAAAAAAAAAAAAAAAAA"
            flags = {"confirm_replace": True} if tool == "replace_group_members" else {}
            second = await client.call_tool(tool, {**arguments, **flags, "confirm_token": token})
            tries.held(second.is_error and not applied(stage), f"{tool} with a token: {status(second)}")


@attack("gate", "a preview that leaves out what a person would want to know")
async def _(tries: Tries) -> None:
    async with scene() as (stage, client):
        boss = stage.one("SELECT m.public_id FROM users u JOIN users m ON m.id = u.manager_id WHERE m.is_active")
        stage.change(
            "UPDATE users SET is_active = 1 WHERE manager_id = (SELECT id FROM users WHERE public_id = ?)", boss
        )
        mine = "JOIN users m ON m.id = {} WHERE m.public_id = ?"
        reports = stage.column("SELECT u.name FROM users u " + mine.format("u.manager_id"), boss)
        late = stage.one("SELECT count(*) FROM assignments a " + mine.format("a.user_id") + f" AND {OUTSTANDING}", boss)
        shown = data(await client.call_tool("update_user", {"user": boss, "is_active": False}))
        said = " ".join([shown.get("summary", ""), *shown.get("effects", [])])
        tries.held(f"{len(reports)} " in said and "report" in said, f"direct reports ({len(reports)}) not in: {said}")
        tries.held(any(name in said for name in reports[:5]), f"no name of a report in: {said}")
        tries.held(not late or f"{late} " in said, f"outstanding assignments ({late}) not in: {said}")
        item = {"content_item": stage.item(LIMITED), "groups": [stage.group()]}
        shown = data(await client.call_tool("update_content_item", item))
        said = " ".join(shown.get("effects", []))
        tries.held("gain" in said or "lose" in said, f"who gains or loses access is not in: {said}")
        other = _kept_elsewhere(stage)
        source = stage.one("SELECT source FROM groups WHERE public_id = ?", other)
        given = {"group": other, "members": stage.strangers(other, 1)}
        result = await client.call_tool("add_group_members", given)
        tries.held(asks(result) and source in text(result), f"{source} is not said before: {text(result)[:200]}")
        event = stage.one("SELECT public_id FROM content_items WHERE content_type = 'event' AND NOT is_archived")
        result = await client.call_tool("assign_content", {"user": stage.person(), "content_item": event})
        tries.held("enroll" in text(result), f"an event is assigned without a word on enrollment: {text(result)[:200]}")


@attack("gate", "a hint that calls a tool harmless which can lose something or change access")
async def _(tries: Tries) -> None:
    risky = {"update_user", "update_content_item", "update_article"}
    harmless = {"create_group", "create_article", "assign_content", "complete_assignment", "unarchive_content_items"}
    for tool in ALL_TOOLS:
        hint = tool.annotations.destructive_hint
        if tool.effect is Effect.DESTROY or tool.name in risky:
            tries.held(hint is True, f"{tool.name}: destructiveHint {hint}")
        elif tool.effect is not Effect.READ:
            properties = tool.input_schema["properties"]
            tries.held("confirm_token" in properties, f"{tool.name} takes no confirm_token")
        if tool.name in harmless:
            tries.held(hint is False, f"{tool.name}: destructiveHint {hint}")
