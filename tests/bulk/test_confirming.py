"""Bulk calls over MCP: what is confirmed is exactly what was shown, by token or by a person, and how far it is."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from mcp.types import ElicitResult
from stage import IN_MEMORY, LEGACY, Stage, Way, ask, connected, make_server, served

from pp_mcp.demo import Tenant

from .chores import NEW_ITEM

pytestmark = pytest.mark.anyio

ASSIGN = "bulk_assign_content"
HOLDERS = "SELECT user_id, count(*) FROM assignments a JOIN content_items c ON c.id = content_item_id WHERE c.public_id = ? GROUP BY 1"


def holders(tenant: Tenant) -> dict[int, int]:
    """Who has the new item, and how often."""
    return dict(tenant.connection.execute(HOLDERS, (NEW_ITEM,)).fetchall())


def counts(answer: dict[str, Any]) -> tuple[int, int, int, int]:
    return answer["succeeded"], answer["unchanged"], answer["failed"], answer["unknown"]


def _one_comes_one_goes(stage: Stage, group: str) -> tuple[str, str]:
    """As many people in the group as before, but not the same; the ids of who came and who went."""
    stranger = stage.one("SELECT id FROM users WHERE email = ?", stage.strangers(group, 1)[0])
    leaver = stage.one(
        "SELECT min(user_id) FROM group_members WHERE group_id = (SELECT id FROM groups WHERE public_id = ?)", group
    )
    stage.change(
        "UPDATE group_members SET user_id = ? WHERE user_id = ? AND group_id = (SELECT id FROM groups WHERE public_id = ?)",
        stranger,
        leaver,
        group,
    )
    return stranger, leaver


async def test_what_is_done_is_the_set_that_was_shown(tenant: Tenant, stage: Stage) -> None:
    group = stage.group()
    given = {"content_item": NEW_ITEM, "group": group}
    async with connected(tenant) as client:
        preview = await ask(client, ASSIGN, **given)
        size = len(stage.members(group))
        assert f"to {size} people" in preview["summary"]
        stranger, leaver = _one_comes_one_goes(stage, group)
        for other in ({"due_date": "2027-01-01"}, {"reassign": True}):
            answer = await ask(client, ASSIGN, **given, **other, confirm_token=preview["confirm_token"])
            assert answer["status"] == "confirmation_required"
        assert holders(tenant) == {}
        done = await ask(client, ASSIGN, **given, confirm_token=preview["confirm_token"])
    assert counts(done) == (size, 0, 0, 0)
    assert leaver in holders(tenant)
    assert stranger not in holders(tenant)


async def test_another_process_compares_the_whole_set(tenant: Tenant, stage: Stage) -> None:
    group = stage.group()
    given = {"content_item": NEW_ITEM, "group": group}
    async with connected(tenant) as one, connected(tenant) as other:
        first = await ask(one, ASSIGN, **given)
        stranger, leaver = _one_comes_one_goes(stage, group)
        second = await ask(other, ASSIGN, **given, confirm_token=first["confirm_token"])
        assert second["status"] == "confirmation_required"
        assert second["summary"].startswith("The confirmation is no longer valid")
        assert holders(tenant) == {}
        assert (await ask(other, ASSIGN, **given, confirm_token=second["confirm_token"]))["status"] == "done"
    assert stranger in holders(tenant)
    assert leaver not in holders(tenant)


async def test_what_changed_after_the_preview_is_skipped(tenant: Tenant, stage: Stage) -> None:
    ids = [stage.assignment("not_started", number) for number in range(5)]
    given = {"action": "exempt", "assignments": ids}
    async with connected(tenant) as client:
        first = await ask(client, "bulk_update_assignments", **given)
        stage.change("UPDATE assignments SET state = 'in_progress' WHERE public_id = ?", ids[2])
        done = await ask(client, "bulk_update_assignments", **given, confirm_token=first["confirm_token"])
    assert (done["status"], done["succeeded"], done["skipped"]) == ("partial", 4, 1)
    assert [one["public_id"] for one in done["items"]] == [ids[2]]
    assert stage.state(ids[2]) == "in_progress"


@pytest.mark.parametrize("way", [IN_MEMORY, LEGACY], ids=str)
@pytest.mark.parametrize("agrees", [True, False])
async def test_a_person_is_asked(tenant: Tenant, stage: Stage, way: Way, agrees: bool) -> None:
    questions: list[str] = []

    async def person(_: Any, params: Any) -> ElicitResult:
        questions.append(params.message)
        return ElicitResult(action="accept", content={"confirm": True}) if agrees else ElicitResult(action="decline")

    given = {"content_item": NEW_ITEM, "manager": "Rosa Alvarez", "due_date": "2027-01-01"}
    async with connected(tenant, way, client={"elicitation_callback": person}, confirm="elicit") as client:
        answer = await ask(client, ASSIGN, **given)
    (question,) = questions
    lines = question.splitlines()
    team = stage.one(
        "SELECT count(*) FROM users WHERE is_active AND manager_id = (SELECT id FROM users WHERE name = 'Rosa Alvarez')"
    )
    assert lines[0] == f"Assign “Quite New” to {team} people reporting to “Rosa Alvarez”, due 2027-01-01."
    assert lines[1].startswith("Get it: “")
    assert lines[-1].startswith(f"Takes {team} requests")
    assert answer["status"] == ("done" if agrees else "unchanged")
    assert len(holders(tenant)) == (team if agrees else 0)


async def test_two_confirmed_at_once_assign_nobody_twice(tenant: Tenant) -> None:
    given = {"content_item": NEW_ITEM, "group": "Engineering"}
    answers: list[dict[str, Any]] = []

    async with served(make_server(tenant)) as client:
        token = (await ask(client, ASSIGN, **given))["confirm_token"]

        async def confirm() -> None:
            answers.append(await ask(client, ASSIGN, **given, confirm_token=token))

        async with anyio.create_task_group() as group:
            group.start_soon(confirm)
            group.start_soon(confirm)
    # The token is spent by then; what the other call sees is what is left, if anything.
    assert sorted(answer["status"] for answer in answers) in (["confirmation_required", "done"], ["done", "unchanged"])
    assert set(holders(tenant).values()) == {1}
    assert sum(one.method == "POST" for one in tenant.requests) == len(holders(tenant))


async def test_two_servers_at_once_assign_nobody_twice(tenant: Tenant) -> None:
    """Two replicas share nothing but the key: the API's own answer keeps them apart."""
    given = {"content_item": NEW_ITEM, "group": "Engineering"}
    answers: list[dict[str, Any]] = []
    async with served(make_server(tenant)) as one, served(make_server(tenant)) as other:
        token = (await ask(one, ASSIGN, **given))["confirm_token"]

        async def confirm(client: Any) -> None:
            answers.append(await ask(client, ASSIGN, **given, confirm_token=token))

        async with anyio.create_task_group() as group:
            group.start_soon(confirm, one)
            group.start_soon(confirm, other)
    people = holders(tenant)
    assert set(people.values()) == {1}
    # Each assignment is in exactly one of the two undo calls: each server takes back only what it made.
    undone = [answer["undo"]["arguments"] for answer in answers if answer.get("undo")]
    made = [key for arguments in undone for key in arguments["assignments"]]
    assert len(made) == len(set(made)) == len(people)


@pytest.mark.parametrize("way", [IN_MEMORY, LEGACY], ids=str)
async def test_progress_reaches_the_client(tenant: Tenant, way: Way) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append((done, total, message))

    given = {"action": "exempt", "state": "not_started"}
    async with connected(tenant, way) as client:
        token = (await ask(client, "bulk_update_assignments", **given))["confirm_token"]
        result = await client.call_tool(
            "bulk_update_assignments", {**given, "confirm_token": token}, progress_callback=progress
        )
    assert result.structured_content is not None
    count = result.structured_content["succeeded"]
    messages = [message for _, _, message in told]
    assert messages[-1] == f"changing {count:,} of {count:,}"
    places = [done for done, _, _ in told]
    assert places == sorted(set(places))
    assert all(total is not None and done <= total for done, total, _ in told)


async def test_all_failures_are_listed_and_successes_counted(tenant: Tenant, stage: Stage) -> None:
    ids = [stage.assignment("not_started", number) for number in range(30)]
    tenant.faults.script(["ok", "drop-after", "5xx"] * 10, writes_only=True)
    async with connected(tenant) as client:
        token = (await ask(client, "bulk_update_assignments", action="exempt", assignments=ids))["confirm_token"]
        answer = await ask(client, "bulk_update_assignments", action="exempt", assignments=ids, confirm_token=token)
    assert answer["status"] == "partial"
    assert answer["succeeded"] + answer["unknown"] + answer.get("not_sent", 0) == 30
    assert len(answer["items"]) == answer["unknown"] > 0
    for item in answer["items"]:
        assert set(item) == {"public_id", "name", "status", "reason"}
        assert item["public_id"] in ids
