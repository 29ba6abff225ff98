"""There and back: what a bulk call changed, its undo call sets back to the digit."""

from __future__ import annotations

import random

import pytest
from desk import Desk

from pp_mcp.bulk.run import UNDO_LIMIT, UNDO_LIMIT_DATES

from .chores import NEW_ITEM, NOT_AN_EVENTS, OUTSTANDING, do, outcomes, outstanding, planned, undo

pytestmark = pytest.mark.anyio

UPDATE = "bulk_update_assignments"


def some(there: Desk, seed: int, states: str = OUTSTANDING) -> list[str]:
    """A random set of assignments in these states, 5 to 60 of them, that no event manages."""
    query = f"SELECT public_id FROM assignments WHERE state IN {states} AND {NOT_AN_EVENTS} ORDER BY id"
    found = [row[0] for row in there.sql(query)]
    draws = random.Random(seed)
    return draws.sample(found, min(len(found), draws.randint(5, 60)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("action", ["exempt", "complete", "set_due_date"])
async def test_and_back(there: Desk, action: str, seed: int) -> None:
    before = there.tenant.snapshot()
    day = {"due_date": "2027-07-07"} if action == "set_due_date" else {}
    done = await do(there, UPDATE, action=action, assignments=some(there, seed), **day)
    assert there.tenant.snapshot() != before
    assert set(outcomes(done)) == {"succeeded"}
    back = await undo(there, done)
    assert there.tenant.snapshot() == before
    if action != "complete":
        assert back.undo is not None, "and the undo can be undone"
        await undo(there, back)
        assert there.tenant.snapshot() != before


async def test_taking_back_exemptions_and_back(there: Desk) -> None:
    exempted = some(there, 1, "('exempted')")
    assert len(exempted) >= 5
    # Those of whom nobody has another one open: only these can be reopened.
    free = [
        one
        for one in exempted
        if not there.sql(
            f"""SELECT 1 FROM assignments a JOIN assignments b ON b.user_id = a.user_id AND b.content_item_id = a.content_item_id
                WHERE a.public_id = ? AND b.state IN {OUTSTANDING}""",
            one,
        )
    ]
    before = there.tenant.snapshot()
    done = await do(there, UPDATE, action="revert_exemption", assignments=free)
    assert there.tenant.snapshot() != before
    await undo(there, done)
    assert there.tenant.snapshot() == before


async def test_dates_that_were_the_same_go_back_by_one_date(there: Desk) -> None:
    ids = outstanding(there, 12)
    there.tenant.connection.execute("UPDATE assignments SET due_date = '2026-05-05'")
    done = await do(there, UPDATE, action="set_due_date", assignments=ids, due_date="2026-06-06")
    assert done.changes == {"due_date": ["2026-05-05", "2026-06-06"]}
    assert done.undo is not None
    assert done.undo.arguments == {"action": "set_due_date", "assignments": sorted(ids), "due_date": "2026-05-05"}


async def test_dates_that_were_none_go_back_to_none(there: Desk) -> None:
    ids = outstanding(there, 4)
    there.tenant.connection.execute("UPDATE assignments SET due_date = NULL")
    before = there.tenant.snapshot()
    done = await do(there, UPDATE, action="set_due_date", assignments=ids, due_date="2026-06-06")
    assert done.changes == {"due_date": ["none", "2026-06-06"]}
    assert done.undo is not None
    assert done.undo.arguments["due_date"] is None
    await undo(there, done)
    assert there.tenant.snapshot() == before


async def test_dates_that_differed_go_back_each_to_its_own(there: Desk) -> None:
    ids = outstanding(there, 3)
    for day, one in enumerate(ids, 1):
        there.tenant.connection.execute(
            "UPDATE assignments SET due_date = ? WHERE public_id = ?", (f"2026-05-{day:02}", one)
        )
    done = await do(there, UPDATE, action="set_due_date", assignments=ids, due_date="2026-05-02")
    assert done.summary == "Set the due date of 2 assignments. 1 was so already."
    assert done.undo is not None
    assert done.undo.arguments == {
        "action": "set_due_date",
        "due_dates": {
            one: f"2026-05-{day:02}" for day, one in sorted(enumerate(ids, 1), key=lambda pair: pair[1]) if day != 2
        },
    }


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("drop", "The API has no un-drop; bulk_assign_content makes new assignments."),
        ("revert_completion", "Completing again would set today's date and no score."),
    ],
)
async def test_what_cannot_be_undone_says_so(there: Desk, action: str, words: str) -> None:
    if action == "revert_completion":
        there.tenant.connection.execute(f"DELETE FROM assignments WHERE state IN {OUTSTANDING}")
        there.tenant.connection.execute("DELETE FROM assignments WHERE attempt > 1")
    ids = some(there, 3, OUTSTANDING if action == "drop" else "('completed')")
    plan = await planned(there, UPDATE, action=action, assignments=ids)
    assert plan.irreversible
    done = await plan.apply()
    assert outcomes(done) == {"succeeded": len(ids)}
    assert (done.undo, done.undo_note) == (None, words)


async def test_too_many_to_undo_is_said_before(there: Desk) -> None:
    change = there.tenant.connection
    change.execute("DELETE FROM assignments")
    change.executemany(
        """INSERT INTO assignments (public_id, user_id, content_item_id, state, due_date, created)
           VALUES (?, ?, ?, 'not_started', ?, '2026-01-01T00:00:00.000000Z')""",
        [
            (
                f"aaaaaaaa-0000-4000-8000-{number:012}",
                number % 120 + 1,
                number // 120 + 1,
                f"2026-05-{number % 28 + 1:02}",
            )
            for number in range(UNDO_LIMIT + 1)
        ],
    )
    warning = "Too many for an undo call, which holds {:,}: smaller calls keep that way back."
    plan = await planned(there, UPDATE, action="set_due_date", state="not_started", due_date="2027-01-01")
    assert plan.effects[-1] == warning.format(UNDO_LIMIT_DATES)
    plan = await planned(there, UPDATE, action="drop", state="not_started")
    assert "undo" not in plan.effects[-1]
    plan = await planned(there, UPDATE, action="exempt", state="not_started")
    assert plan.effects[-1] == warning.format(UNDO_LIMIT)
    done = await plan.apply()
    assert outcomes(done) == {"succeeded": UNDO_LIMIT + 1}
    assert done.undo is None
    assert done.undo_note == "Undoing it takes a list of 801 assignments, too long for one answer."


async def test_too_many_new_assignments_to_undo(there: Desk) -> None:
    plan = await planned(
        there,
        "bulk_assign_content",
        content_item=NEW_ITEM,
        users=[row[0] for row in there.sql("SELECT public_id FROM users")],
    )
    assert "undo" not in plan.effects[-1]
