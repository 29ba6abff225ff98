"""One action on many assignments: which it means, what the preview says, what it does."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from stage import Stage

from pp_mcp.errors import InvalidArgument, OutOfTime

from .chores import NOT_AN_EVENTS, OUTSTANDING, do, outcomes, outstanding, planned, states, undo, writes

pytestmark = pytest.mark.anyio

UPDATE = "bulk_update_assignments"


def late_under(there: Stage, manager: str) -> list[str]:
    query = f"""SELECT a.public_id FROM assignments a JOIN users u ON u.id = a.user_id
        WHERE u.manager_id = (SELECT id FROM users WHERE name = ?) AND a.state IN {OUTSTANDING}
        AND a.due_date < '2026-03-10' AND a.{NOT_AN_EVENTS} ORDER BY 1"""
    return [row[0] for row in there.sql(query, manager)]


async def test_extend_everything_overdue_in_my_team(there: Stage) -> None:
    there.tenant.connection.execute("DELETE FROM enrollments")
    there.tenant.connection.execute(
        "UPDATE assignments SET due_date = '2026-02-01' WHERE id % 2 AND content_item_id NOT IN (SELECT id FROM content_items WHERE content_type = 'event')"
    )
    wanted = late_under(there, "Rosa Alvarez")
    assert len(wanted) > 5
    plan = await planned(
        there, UPDATE, action="set_due_date", manager="Rosa Alvarez", is_overdue=True, due_date="2026-03-13"
    )
    assert plan.summary == f"Set the due date of {len(wanted)} overdue assignments under “Rosa Alvarez” to 2026-03-13."
    assert plan.effects[0].endswith(f"; {len(wanted)} overdue.")
    assert plan.effects[1].startswith("Among them: “")
    assert plan.effects[1].count("@acme.example") == 5
    assert [one for one, _, _ in plan.state] == wanted
    done = await plan.apply()
    assert outcomes(done) == {"succeeded": len(wanted)}
    assert {
        row[0]
        for row in there.sql(
            f"SELECT due_date FROM assignments WHERE public_id IN ({', '.join('?' * len(wanted))})", *wanted
        )
    } == {"2026-03-13"}
    assert len(writes(there)) == len(wanted)
    plan = await planned(
        there, UPDATE, action="set_due_date", manager="Rosa Alvarez", is_overdue=True, due_date="2026-03-13"
    )
    assert plan.unchanged == "No overdue assignments under “Rosa Alvarez”."


@pytest.mark.parametrize(
    ("action", "state", "verb"),
    [("complete", "completed", "Completed"), ("exempt", "exempted", "Exempted"), ("drop", "dropped", "Dropped")],
)
async def test_each_action(there: Stage, action: str, state: str, verb: str) -> None:
    ids = outstanding(there, 8)
    done_before = there.one("SELECT public_id FROM assignments WHERE state = 'completed' ORDER BY id")
    dropped = there.one("SELECT public_id FROM assignments WHERE state = 'dropped' ORDER BY id")
    plan = await planned(there, UPDATE, action=action, assignments=[*ids, done_before, dropped])
    assert plan.irreversible is (action == "drop")
    left = {
        "complete": ("1 already completed", "(dropped)"),
        "drop": ("1 already dropped", "(completed)"),
        "exempt": ("Not possible for 1 (completed): “", "(dropped)"),
    }
    for words in left[action]:
        assert any(words in effect for effect in plan.effects), words
    done = await plan.apply()
    assert done.summary.startswith(f"{verb} 8 assignments.")
    assert outcomes(done) == {"succeeded": 8}
    assert states(there, ids) == {state}
    assert len(writes(there)) == 8
    again = await planned(there, UPDATE, action=action, assignments=ids)
    assert again.unchanged == f"Nothing to do for 8 assignments: 8 already {state}."


STATES = ("not_started", "in_progress", "completed", "dropped", "exempted")
WORKS_ON = {
    "complete": {"not_started", "in_progress", "exempted"},
    "drop": {"not_started", "in_progress", "exempted"},
    "exempt": {"not_started", "in_progress"},
    "revert_completion": {"completed"},
    "revert_exemption": {"exempted"},
}
"""What the API documents, for one as for many."""


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("action", WORKS_ON)
async def test_each_action_works_on_what_the_api_documents(there: Stage, action: str, state: str) -> None:
    one = there.one(
        f"""SELECT public_id FROM assignments a WHERE state = ? AND {NOT_AN_EVENTS} AND (SELECT count(*) FROM
            assignments b WHERE b.user_id = a.user_id AND b.content_item_id = a.content_item_id) = 1 ORDER BY id""",
        state,
    )
    plan = await planned(there, UPDATE, action=action, assignments=[one])
    assert (plan.unchanged is None) is (state in WORKS_ON[action])
    if plan.unchanged is None:
        assert outcomes(await plan.apply()) == {"succeeded": 1}
    assert (states(there, [one]) != {state}) is (state in WORKS_ON[action])


async def test_completing_exempted_ones_is_undone_by_two_calls(there: Stage) -> None:
    exempted = there.one(
        f"""SELECT public_id FROM assignments a WHERE state = 'exempted' AND {NOT_AN_EVENTS} AND (SELECT count(*) FROM
            assignments b WHERE b.user_id = a.user_id AND b.content_item_id = a.content_item_id) = 1 ORDER BY id"""
    )
    before = there.tenant.snapshot()
    done = await do(there, UPDATE, action="complete", assignments=[*outstanding(there, 2), exempted])
    assert outcomes(done) == {"succeeded": 3}
    assert isinstance(done.undo, list)
    assert [one.arguments["action"] for one in done.undo] == ["revert_completion", "exempt"]
    assert done.undo[1].arguments["assignments"] == [exempted]
    await undo(there, done)
    assert there.tenant.snapshot()["assignments"].keys() == before["assignments"].keys()
    assert states(there, [exempted]) == {"exempted"}


async def test_the_reason_for_dropping_is_recorded(there: Stage) -> None:
    ids = outstanding(there, 3)
    await do(there, UPDATE, action="drop", assignments=ids, reason="team was closed")
    reasons = there.sql("SELECT DISTINCT drop_reason FROM assignments WHERE public_id IN (?, ?, ?)", *ids)
    assert reasons == [("team was closed",)]


async def test_removing_due_dates(there: Stage) -> None:
    ids = [
        one for one in outstanding(there, 30) if there.one("SELECT due_date FROM assignments WHERE public_id = ?", one)
    ][:4]
    done = await do(there, UPDATE, action="set_due_date", assignments=ids, clear=["due_date"])
    assert done.changes["due_date"][1] == ""
    assert done.summary.startswith("Removed the due date of 4 assignments")
    assert there.sql(f"SELECT DISTINCT due_date FROM assignments WHERE public_id IN ({', '.join('?' * 4)})", *ids) == [
        (None,)
    ]


async def test_each_its_own_date(there: Stage) -> None:
    ids = outstanding(there, 3)
    dates = dict(zip(ids, ["2027-01-01", None, "2027-03-03"], strict=True))
    own = [{"assignment": one, "due_date": day} if day else {"assignment": one} for one, day in dates.items()]
    plan = await planned(there, UPDATE, action="set_due_date", due_dates=own)
    assert plan.summary.startswith("Set the due date of ")
    assert "each to its own (2027-01-01 to 2027-03-03, 1 none)" in plan.summary
    await plan.apply()
    for one, day in dates.items():
        assert there.one("SELECT due_date FROM assignments WHERE public_id = ?", one) == day


async def test_events_manage_their_own_dates(there: Stage) -> None:
    theirs = there.sql(
        f"SELECT a.public_id FROM assignments a JOIN enrollments e ON e.assignment_id = a.id WHERE a.state IN {OUTSTANDING} ORDER BY 1"
    )
    assert len(theirs) >= 4
    mine = outstanding(there, 1)
    plan = await planned(
        there, UPDATE, action="set_due_date", assignments=[*mine, *(one for (one,) in theirs)], due_date="2026-12-01"
    )
    assert plan.summary == "Set the due date of 1 assignment to 2026-12-01."
    assert plan.effects[1].startswith("Namely: “")
    words = f"Not possible for {len(theirs):,} (the event manages its dates): “"
    (said,) = (effect for effect in plan.effects if effect.startswith(words))
    assert said.count("@acme.example") == min(len(theirs), 25)
    assert outcomes(await plan.apply()) == {"succeeded": 1}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"action": "complete"}, "Say which, in one way"),
        ({"action": "complete", "assignments": []}, "Say which, in one way"),
        ({"action": "complete", "assignments": 2, "state": "in_progress"}, "Say which, in one way"),
        ({"action": "set_due_date", "due_dates": 2, "due_date": "2026-12-01"}, "set_due_date needs one of"),
        ({"action": "set_due_date", "assignments": 2, "due_date": "2026-12-01", "clear": ["due_date"]}, "needs one of"),
        ({"action": "drop", "assignments": 2, "clear": ["due_date"]}, "clear goes with action=set_due_date"),
        ({"action": "set_due_date", "due_dates": []}, "Say which, in one way"),
        ({"action": "set_due_date", "due_dates": 2, "group": "Platform"}, "Say which, in one way"),
        ({"action": "set_due_date", "due_dates": 2, "assignments": 2}, "Say which, in one way"),
        ({"action": "set_due_date", "assignments": 2}, "set_due_date needs one of"),
        (
            {"action": "complete", "assignments": 2, "due_date": "2026-12-01"},
            "due_date goes with action=set_due_date, not with complete",
        ),
        ({"action": "exempt", "assignments": 2, "reason": "ill"}, "reason goes with action=drop"),
        (
            {"action": "set_due_date", "due_dates": [{"assignment": "aaaaaaaa-0000-4000-8000-000000000001"}]},
            "No assignments have these ids: aaaaaaaa-",
        ),
    ],
)
async def test_arguments_that_do_not_go_together(there: Stage, given: dict[str, Any], words: str) -> None:
    ids = outstanding(there, 2)
    real = {
        name: {"assignments": ids, "due_dates": [{"assignment": one} for one in ids]}[name] if value == 2 else value
        for name, value in given.items()
    }
    with pytest.raises(InvalidArgument, match=words):
        await planned(there, UPDATE, **real)


async def test_a_filter_that_fits_nothing(there: Stage) -> None:
    person = there.one(
        "SELECT public_id FROM users WHERE id NOT IN (SELECT user_id FROM assignments WHERE state = 'exempted')"
    )
    plan = await planned(there, UPDATE, action="revert_exemption", user=person, state="exempted")
    assert plan.unchanged is not None
    assert plan.unchanged.startswith("No assignments for “")
    assert plan.unchanged.endswith(" in state exempted.")


async def test_a_filter_that_fits_only_what_cannot_be_done(there: Stage) -> None:
    item = there.one("SELECT public_id FROM content_items ORDER BY completed_assignments_count DESC")
    done = there.one(
        "SELECT count(*) FROM assignments a JOIN content_items c ON c.id = a.content_item_id WHERE c.public_id = ? AND state = 'completed'",
        item,
    )
    plan = await planned(there, UPDATE, action="drop", content_item=item, state="completed")
    assert plan.unchanged is not None
    assert plan.unchanged.endswith(f" in state completed: not possible for {done:,} (completed).")


async def test_what_the_filters_leave_must_be_read_whole(there: Stage) -> None:
    there.network.before = lambda request, _: httpx2.Response(503) if request.url.params.get("page") == "3" else None
    with pytest.raises(
        OutOfTime,
        match=r"Not all of them could be read \(PlusPlus failed on a page, several times\)\. Nothing was changed\.",
    ):
        await planned(there, UPDATE, action="exempt", state="not_started")


async def test_a_lost_run_can_be_looked_for(there: Stage) -> None:
    plan = await planned(there, UPDATE, action="exempt", content_item="Security 101", state="not_started")
    assert plan.check is not None
    item = there.one("SELECT public_id FROM content_items WHERE name = 'Security 101'")
    assert (plan.check.tool, plan.check.arguments) == (
        "list_assignments",
        {"state": "not_started", "content_item": item},
    )
