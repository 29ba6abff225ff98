"""One item to many people: who gets it, who does not and why, and what is left to undo."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from stage import Stage

from pp_mcp.errors import InvalidArgument, OutOfTime

from .chores import NEW_ITEM, applied, do, outcomes, people, planned, undo, undo_arguments, writes

pytestmark = pytest.mark.anyio


def group_of(there: Stage, numbers: list[int]) -> str:
    """The public_id of a group of just these people, by their number."""
    there.tenant.connection.execute("DELETE FROM group_members WHERE group_id = 1")
    there.tenant.connection.executemany("INSERT INTO group_members VALUES (1, ?)", [(number,) for number in numbers])
    return there.one("SELECT public_id FROM groups WHERE id = 1")


def give(there: Stage, item: str, number: int, state: str, due: str | None = None) -> None:
    there.tenant.connection.execute(
        """INSERT INTO assignments (public_id, user_id, content_item_id, state, due_date, created)
           VALUES (?, ?, (SELECT id FROM content_items WHERE public_id = ?), ?, ?, '2026-01-01T00:00:00.000000Z')""",
        (f"aaaaaaaa-0000-4000-8000-{number:012}", number, item, state, due),
    )


async def test_the_preview_says_who_and_who_not(there: Stage) -> None:
    item = NEW_ITEM
    name = "Quite New"
    there.tenant.connection.execute(
        "UPDATE users SET is_active = id <> 20, name = 'Person ' || id, email = 'p' || id || '@acme.example'"
    )
    group = group_of(there, list(range(5, 21)))
    give(there, item, 5, "not_started", "2026-04-01")
    give(there, item, 6, "in_progress", "2026-05-01")
    give(there, item, 7, "completed")
    give(there, item, 8, "dropped")
    give(there, item, 9, "exempted")
    group_name = there.one("SELECT name FROM groups WHERE id = 1")
    plan = await planned(there, "bulk_assign_content", content_item=item, group=group, due_date="2026-04-01")
    assert plan.summary == f"Assign “{name}” to 10 people in the group “{group_name}”, due 2026-04-01."
    assert plan.effects[0].startswith("Get it: “Person ")
    assert plan.effects[0].endswith(" and 5 more.")
    for count, *words in [
        ("2 ", "already", "Person 5", "Person 6"),
        ("1 ", "completed", "Person 7", "reassign=true"),
        ("1 ", "dropped", "Person 8", "reassign=true"),
        ("1 ", "exempted", "Person 9", "reassign=true"),
        ("1 ", "inactive", "p20@acme.example"),
        ("1 ", "another due date"),
    ]:
        assert any(one.startswith(count) and all(word in one for word in words) for one in plan.effects), words
    assert plan.effects[-1].startswith("Takes 10 requests")
    wanted = [row[0] for row in there.sql("SELECT public_id FROM users WHERE id BETWEEN 10 AND 19 ORDER BY public_id")]
    assert plan.state == [[one, item] for one in wanted]
    assert (len(plan.affected), plan.affected_total) == (10, 10)
    assert plan.affected[0]["to"] == "2026-04-01"
    assert plan.reach == 10
    again = await planned(there, "bulk_assign_content", content_item=item, group=group, reassign=True)
    assert again.summary.startswith(f"Assign “{name}” to 13 people")
    assert any(one.startswith("3 people get it again") for one in again.effects)
    done = await plan.apply()
    assert done.summary.startswith(f"Assigned “{name}” to 10 people, due 2026-04-01. 2 already had it")
    assert outcomes(done) == {"succeeded": 10}
    assert (
        there.one(
            "SELECT count(*) FROM assignments a JOIN content_items c ON c.id = content_item_id WHERE c.public_id = ? AND due_date = '2026-04-01' AND state = 'not_started'",
            item,
        )
        == 11
    )
    rest = await planned(there, "bulk_assign_content", content_item=item, group=group)
    assert rest.unchanged is not None
    for words in (f"nobody in the group “{group_name}”", "12 have it already", "1 has completed it", "1 is inactive"):
        assert words in rest.unchanged


async def test_one_person_in_words(there: Stage) -> None:
    item = NEW_ITEM
    name = "Quite New"
    plan = await planned(there, "bulk_assign_content", content_item=item, users=["jane.doe@acme.example"])
    assert plan.summary == f"Assign “{name}” to 1 person, with no due date."
    assert plan.effects[0] == "Gets it: “Jane Doe” (jane.doe@acme.example)."
    assert plan.effects[1].startswith("Takes 1 request,")
    done = await plan.apply()
    assert done.summary.startswith(f"Assigned “{name}” to 1 person")
    assert done.changes == {"state": ["", "not_started"]}
    give(there, item, 6, "dropped")
    plan = await planned(there, "bulk_assign_content", content_item=item, users=[*people(there, 7)])
    assert any(one.startswith("1 has it already") for one in plan.effects)
    assert any(one.startswith("1 had it dropped") for one in plan.effects)


async def test_a_managers_team(there: Stage) -> None:
    item = NEW_ITEM
    done = await do(there, "bulk_assign_content", content_item=item, manager="Rosa Alvarez")
    team = there.one(
        "SELECT count(*) FROM users WHERE is_active AND manager_id = (SELECT id FROM users WHERE name = 'Rosa Alvarez')"
    )
    assert outcomes(done) == {"succeeded": team}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"group": "Platform"}, " in the group “Platform”"),
        ({"manager": "jane.doe@acme.example"}, " reporting to “Jane Doe”"),
    ],
)
async def test_nobody_at_all(there: Stage, given: dict[str, str], words: str) -> None:
    group_of(there, [])
    plan = await planned(there, "bulk_assign_content", content_item=NEW_ITEM, **given)
    assert plan.unchanged is not None
    assert f"nobody{words}" in plan.unchanged


async def test_the_same_person_named_twice_gets_it_once(there: Stage) -> None:
    item = NEW_ITEM
    jane = there.one("SELECT public_id FROM users WHERE email = 'jane.doe@acme.example'")
    done = await do(there, "bulk_assign_content", content_item=item, users=["jane.doe@acme.example", jane, "Jane Doe"])
    assert outcomes(done) == {"succeeded": 1}
    assert writes(there) == ["POST /assignments"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "exactly one of users, group and manager."),
        (
            {"users": ["jane.doe@acme.example"], "group": "Platform"},
            "exactly one of users, group and manager, not users and group.",
        ),
        ({"users": []}, "users is empty"),
    ],
)
async def test_who_is_said_in_one_way(there: Stage, given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words.replace(".", r"\.")):
        await planned(there, "bulk_assign_content", content_item=NEW_ITEM, **given)


async def test_an_archived_item_is_refused(there: Stage) -> None:
    archived = there.one("SELECT public_id FROM content_items WHERE is_archived")
    with pytest.raises(InvalidArgument, match=r"is archived: unarchive_content_items first\. Nothing was changed\."):
        await planned(there, "bulk_assign_content", content_item=archived, users=people(there, 2))


async def test_undoing_drops_just_those(there: Stage) -> None:
    item = NEW_ITEM
    give(there, item, 5, "not_started")
    before = there.tenant.snapshot()
    done = await do(there, "bulk_assign_content", content_item=item, users=people(there, 30), expires_at="2027-01-01")
    assert outcomes(done) == {"succeeded": 29}
    undone = await undo(there, done)
    assert outcomes(undone) == {"succeeded": 29}
    after = there.tenant.snapshot()
    new = {key: after["assignments"].pop(key) for key in set(after["assignments"]) - set(before["assignments"])}
    assert {row["state"] for row in new.values()} == {"dropped"}
    assert len(new) == 29
    assert done.undo_note is not None
    assert "history" in done.undo_note
    for table in before:
        if table != "content_items":
            assert after[table] == before[table]


async def test_what_somebody_else_assigned_meanwhile_is_not_ours(there: Stage) -> None:
    item = NEW_ITEM
    plan = await planned(there, "bulk_assign_content", content_item=item, users=people(there, 6))
    give(there, item, 3, "not_started")
    done = await plan.apply()
    assert outcomes(done) == {"succeeded": 5, "unchanged": 1}
    assert "to 5 people" in done.summary
    assert "1 already had it" in done.summary
    assert len(undo_arguments(done)["assignments"]) == 5
    assert "aaaaaaaa-0000-4000-8000-000000000003" not in undo_arguments(done)["assignments"]


async def test_a_date_that_is_not_taken_over_is_named(there: Stage) -> None:
    item = NEW_ITEM

    class Forgetful(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            if request.method == "POST":
                body = {name: value for name, value in json.loads(request.content).items() if name != "due_date"}
                request = httpx2.Request(
                    "POST", request.url, json=body, headers={"authorization": request.headers["authorization"]}
                )
            return await there.tenant.transport().handle_async_request(request)

    there.network.inner = Forgetful()
    done = await do(there, "bulk_assign_content", content_item=item, users=people(there, 3), due_date="2026-12-01")
    assert done.not_applied == ["due_date"]
    assert "did not set due_date" in done.summary
    assert "bulk_update_assignments" in done.summary


async def test_who_has_it_must_be_read_whole(there: Stage) -> None:
    item = there.one("SELECT public_id FROM content_items WHERE NOT is_archived ORDER BY total_assignments DESC")
    there.network.before = lambda request, _: (
        httpx2.Response(503) if request.url.params.get("page") == "2" and "content_item" in request.url.params else None
    )
    with pytest.raises(
        OutOfTime, match=r"could not be read in full \(PlusPlus failed on a page, several times\)\. Nothing was changed"
    ):
        await planned(there, "bulk_assign_content", content_item=item, users=people(there, 100))
    assert sum(applied(there).values()) == 0
