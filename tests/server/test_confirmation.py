"""Confirm tokens: good for exactly what was previewed, to the one it was shown to, for ten minutes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mcp import Client
from stage import KEY, Stage, ask, connected, data_of, refused

from pp_mcp.answers import Named
from pp_mcp.plan import Done, Plan
from pp_mcp.server.confirm import LIFETIME, Binding, Confirmer

from .cases import PREVIEWED, Case

pytestmark = pytest.mark.anyio


async def still_previewed(client: Client, stage: Stage, tool: str, **arguments: Any) -> dict[str, Any]:
    """Calls with a token that must not fit: nothing is written, and a new preview is given."""
    before = stage.tenant.snapshot()
    answer = await ask(client, tool, **arguments)
    assert answer["status"] == "confirmation_required", answer["summary"]
    assert answer["summary"].startswith("The confirmation is no longer valid")
    assert "Not done yet." in answer["summary"]
    assert stage.writes() == []
    assert stage.tenant.snapshot() == before
    return answer


async def test_a_new_preview_after_a_misfit_can_be_confirmed(client: Client, stage: Stage) -> None:
    target = stage.assignment("not_started")
    answer = await still_previewed(client, stage, "drop_assignment", assignment=target, confirm_token="abc.def")
    done = await ask(client, "drop_assignment", assignment=target, confirm_token=answer["confirm_token"])
    assert done["status"] == "done"
    assert stage.state(target) == "dropped"


async def test_another_argument(client: Client, stage: Stage) -> None:
    target = stage.assignment("not_started")
    preview = await ask(client, "drop_assignment", assignment=target, reason="left")
    for given_reason in ({}, {"reason": "left the company"}):
        call = {"assignment": target, "confirm_token": preview["confirm_token"], **given_reason}
        await still_previewed(client, stage, "drop_assignment", **call)


async def test_another_list(client: Client, stage: Stage) -> None:
    group = stage.group()
    members = stage.members(group)
    preview = await ask(client, "remove_group_members", group=group, members=members[:1])
    for others in (members[1:2], members[:2]):
        call = {"group": group, "members": others, "confirm_token": preview["confirm_token"]}
        await still_previewed(client, stage, "remove_group_members", **call)


async def test_another_target(client: Client, stage: Stage) -> None:
    preview = await ask(client, "drop_assignment", assignment=stage.assignment("not_started"))
    call = {"assignment": stage.assignment("not_started", 1), "confirm_token": preview["confirm_token"]}
    await still_previewed(client, stage, "drop_assignment", **call)


async def test_another_tool(client: Client, stage: Stage) -> None:
    item = stage.item()
    preview = await ask(client, "archive_content_items", items=[item])
    call = {"content_item": item, "confirm_token": preview["confirm_token"]}
    await still_previewed(client, stage, "delete_content_item", **call)
    group, member = stage.group(), stage.members(stage.group())[:1]
    preview = await ask(client, "remove_group_members", group=group, members=member)
    call = {"group": group, "members": member, "confirm_token": preview["confirm_token"], "confirm_replace": True}
    await still_previewed(client, stage, "replace_group_members", confirm_large_removal=True, **call)


STATE_CHANGES = {
    "drop_assignment": ("UPDATE assignments SET state = 'in_progress' WHERE public_id = ?", "assignment"),
    "revert_completion": ("UPDATE assignments SET score = 0.25 WHERE public_id = ?", "assignment"),
    "delete_content_item": (
        "DELETE FROM assignments WHERE content_item_id = (SELECT id FROM content_items WHERE public_id = ?)",
        "content_item",
    ),
    "archive_content_items": ("UPDATE content_items SET name = name || ' II' WHERE public_id = ?", "items"),
    "update_user": ("UPDATE users SET employee_id = 'changed' WHERE email = ?", "user"),
    "update_content_item": ("UPDATE content_items SET name = name || ' II' WHERE public_id = ?", "content_item"),
    "remove_group_members": (
        "INSERT INTO group_members SELECT g.id, u.id FROM groups g, users u WHERE g.public_id = ? AND u.id NOT IN "
        "(SELECT user_id FROM group_members WHERE group_id = g.id) ORDER BY u.id LIMIT 1",
        "group",
    ),
}
STATE_CHANGES["replace_group_members"] = STATE_CHANGES["remove_group_members"]


@pytest.mark.parametrize("case", [one for one in PREVIEWED if one.tool in STATE_CHANGES], ids=lambda case: case.tool)
async def test_a_target_that_changed_meanwhile(case: Case, client: Client, stage: Stage) -> None:
    arguments = case.arguments(stage)
    preview = await ask(client, case.tool, **arguments)
    query, name = STATE_CHANGES[case.tool]
    value = arguments[name]
    stage.change(query, value[0] if isinstance(value, list) else value)
    flags = dict.fromkeys(preview.get("needs", []), True)
    answer = await still_previewed(
        client, stage, case.tool, **arguments, **flags, confirm_token=preview["confirm_token"]
    )
    assert answer["confirm_token"] != preview["confirm_token"]


async def test_ten_minutes(stage: Stage) -> None:
    now = [1_000_000.0]
    target = stage.assignment("not_started")
    async with connected(stage.tenant, now=lambda: now[0]) as client:
        preview = await ask(client, "drop_assignment", assignment=target)
        assert preview["expires_at"] == "1970-01-12T13:56:40Z"
        now[0] += LIFETIME
        late = {"assignment": target, "confirm_token": preview["confirm_token"]}
        await still_previewed(client, stage, "drop_assignment", **late)
        now[0] -= 1
        assert (await ask(client, "drop_assignment", **late))["status"] == "done"


async def test_a_token_of_the_future_is_none(stage: Stage) -> None:
    now = [1_000_000.0]
    target = stage.assignment("not_started")
    async with connected(stage.tenant, now=lambda: now[0]) as client:
        preview = await ask(client, "drop_assignment", assignment=target)
        now[0] -= 2
        late = {"assignment": target, "confirm_token": preview["confirm_token"]}
        await still_previewed(client, stage, "drop_assignment", **late)


@pytest.mark.parametrize(
    ("other", "fits"),
    [
        ({}, True),
        ({"name": "somebody else"}, False),
        ({"key": "another key that is as long as it has to be"}, False),
        ({"base_url": "https://other.plusplus.app/public_api/v2"}, False),
    ],
    ids=["another replica", "another caller", "another key", "another tenant"],
)
async def test_another_server(stage: Stage, other: dict[str, Any], fits: bool) -> None:
    """Tokens are checked without anything stored: any replica with the same key takes them, and nobody else."""
    target = stage.assignment("not_started")
    async with connected(stage.tenant) as client:
        preview = await ask(client, "drop_assignment", assignment=target)
    async with connected(stage.tenant, **other) as client:
        call = {"assignment": target, "confirm_token": preview["confirm_token"]}
        if fits:
            assert (await ask(client, "drop_assignment", **call))["status"] == "done"
        else:
            await still_previewed(client, stage, "drop_assignment", **call)


@pytest.mark.parametrize("case", PREVIEWED, ids=lambda case: case.tool)
async def test_a_token_works_once(case: Case, stage: Stage, tmp_path: Any) -> None:
    arguments = case.arguments(stage)
    async with connected(stage.tenant, secrets_dir=tmp_path) as client:
        preview = await ask(client, case.tool, **arguments)
        flags = dict.fromkeys(preview.get("needs", []), True)
        arguments |= {**flags, "confirm_token": preview["confirm_token"]}
        assert (await ask(client, case.tool, **arguments))["status"] == "done"
        state, sent = stage.tenant.snapshot(), len(stage.writes())
        again = await client.call_tool(case.tool, arguments)
    assert len(stage.writes()) == sent
    assert stage.tenant.snapshot() == state
    if again.is_error:
        # What it was about is gone, or there by now.
        codes = {"delete_content_item": "unclear_reference", "create_user": "invalid_argument"}
        assert data_of(again)["code"] == codes[case.tool]
    else:
        assert data_of(again)["status"] in ("unchanged", "confirmation_required")


async def test_the_flags_of_a_replacement_are_never_set_for_the_caller(client: Client, stage: Stage) -> None:
    group = stage.group()
    call: dict[str, Any] = {"group": group, "members": stage.members(group)[:1]}
    preview = await ask(client, "replace_group_members", **call)
    assert preview["needs"] == ["confirm_replace", "confirm_large_removal"]
    assert "confirm_replace=true and confirm_large_removal=true" in preview["summary"]
    assert any("more than half of the members" in effect for effect in preview["effects"])
    token = preview["confirm_token"]
    for flags, missing in (
        ({}, ["confirm_replace", "confirm_large_removal"]),
        ({"confirm_replace": True}, ["confirm_large_removal"]),
        ({"confirm_large_removal": True}, ["confirm_replace"]),
    ):
        answer = await ask(client, "replace_group_members", **call, **flags, confirm_token=token)
        assert answer["status"] == "confirmation_required"
        assert answer["needs"] == missing
        assert "missing" in answer["summary"]
        assert stage.writes() == []
    both = {"confirm_replace": True, "confirm_large_removal": True}
    without_token = await ask(client, "replace_group_members", **call, **both)
    assert without_token["status"] == "confirmation_required"
    assert "needs" not in without_token
    assert (await ask(client, "replace_group_members", **call, **both, confirm_token=token))["status"] == "done"
    assert stage.members(group) == call["members"]


async def test_a_small_replacement_needs_one_flag(client: Client, stage: Stage) -> None:
    group = stage.group()
    call = {"group": group, "members": stage.members(group)[1:]}
    preview = await ask(client, "replace_group_members", **call)
    assert preview["needs"] == ["confirm_replace"]
    answer = await ask(
        client, "replace_group_members", **call, confirm_replace=True, confirm_token=preview["confirm_token"]
    )
    assert answer["status"] == "done"


async def test_emptying_a_group_says_so(client: Client, stage: Stage) -> None:
    group = stage.group()
    preview = await ask(client, "replace_group_members", group=group, members=[])
    assert any("leaves the group empty" in effect for effect in preview["effects"])
    assert "100 %" in preview["summary"]


async def test_a_token_on_a_call_that_needs_none_is_ignored(client: Client, stage: Stage) -> None:
    answer = await ask(client, "update_user", user=stage.person(), name="Renamed", confirm_token="whatever")
    assert answer["status"] == "done"


async def test_allow_acts_at_once(stage: Stage, tmp_path: Any) -> None:
    async with connected(stage.tenant, confirm="allow", secrets_dir=tmp_path) as client:
        for case in PREVIEWED:
            if case.tool != "replace_group_members":
                assert (await ask(client, case.tool, **case.arguments(stage)))["status"] == "done", case.tool


async def test_allow_still_wants_the_flags(stage: Stage) -> None:
    group = stage.group()
    call = {"group": group, "members": []}
    async with connected(stage.tenant, confirm="allow") as client:
        error = await refused(client, "replace_group_members", **call)
        assert error["code"] == "invalid_argument"
        assert "confirm_replace=true and confirm_large_removal=true" in error["message"]
        assert stage.writes() == []
        flags = {"confirm_replace": True, "confirm_large_removal": True}
        assert (await ask(client, "replace_group_members", **call, **flags))["status"] == "done"


async def test_block_refuses_the_part_of_a_tool_that_needs_confirming(stage: Stage) -> None:
    async with connected(stage.tenant, confirm="block") as client:
        error = await refused(client, "update_user", user=stage.person(), is_active=False)
        assert error["code"] == "refused"
        assert "PP_CONFIRM=block" in error["message"]
        assert error["message"].endswith("Nothing was changed.")
        assert stage.writes() == []
        assert (await ask(client, "update_user", user=stage.person(), name="Renamed"))["status"] == "done"


# --- the token itself ---------------------------------------------------------------------------------------------


async def _nothing() -> Done:
    raise AssertionError("applied")


def binding(**changes: Any) -> Binding:
    plan = Plan(
        Named(kind="user", public_id="1", name="A"), "Do it.", _nothing, **{"state": [1], **changes.pop("plan", {})}
    )
    whole = {"tool": "t", "arguments": {"a": 1}, "things": {"user": "1"}, "caller": "c", "plan": plan, **changes}
    return Binding(**whole)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.text(max_size=60) | st.from_regex(r"[0-9a-f]{1,12}\.[A-Za-z0-9_-]{0,30}", fullmatch=True))
@example("")
@example(".")
@example("6b0546cc.")
@example("é.é")
@example("f" * 400 + ".x")
@example("\ud800.\ud800")
def test_no_garbage_is_a_token(text: str) -> None:
    assert not Confirmer([KEY.encode()], "t").fits(text, binding())


def test_a_token_is_bound_to_all_that_was_shown() -> None:
    confirmer = Confirmer([KEY.encode()], "t", now=lambda: 1_000.0)
    token, _ = confirmer.mint(binding())
    assert confirmer.fits(token, binding())
    assert confirmer.fits(f" {token}\n", binding())
    assert confirmer.fits(token, binding(arguments={"a": 1, "confirm_token": "x", "confirm_replace": True}))
    for other in (
        binding(tool="u"),
        binding(arguments={"a": 2}),
        binding(arguments={"a": 1, "b": None}),
        binding(caller="d"),
        binding(things={"user": "2"}),
        binding(things={"user": "1", "members": ["3"]}),
        binding(plan={"state": [2]}),
        binding(plan={"effects": ["more"]}),
    ):
        assert not confirmer.fits(token, other)
    for number in range(len(token)):
        bent = token[:number] + ("0" if token[number] != "0" else "1") + token[number + 1 :]
        assert not confirmer.fits(bent, binding())
    assert not Confirmer([KEY.encode()], "u", now=lambda: 1_000.0).fits(token, binding())
    assert not Confirmer([b"other"], "t", now=lambda: 1_000.0).fits(token, binding())


def test_tokens_of_the_old_key_are_good_while_it_is_listed() -> None:
    old, both, new = (Confirmer(keys, "t", now=lambda: 1_000.0) for keys in ([b"old"], [b"new", b"old"], [b"new"]))
    token, _ = old.mint(binding())
    assert both.fits(token, binding())
    assert not new.fits(token, binding())
    assert new.fits(both.mint(binding())[0], binding())
    assert not old.fits(both.mint(binding())[0], binding())
