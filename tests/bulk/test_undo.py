"""There and back: what a bulk call changed, its undo call sets back to the digit."""

from __future__ import annotations

import random

import pytest
from stage import Stage

from .chores import NOT_AN_EVENTS, OUTSTANDING, do, outcomes, outstanding, planned, undo, undo_arguments

pytestmark = pytest.mark.anyio

UPDATE = "bulk_update_assignments"


def some(there: Stage, seed: int, states: str = OUTSTANDING) -> list[str]:
    """A random set of assignments in these states, 5 to 60 of them, that no event manages."""
    query = f"SELECT public_id FROM assignments WHERE state IN {states} AND {NOT_AN_EVENTS} ORDER BY id"
    found = [row[0] for row in there.sql(query)]
    draws = random.Random(seed)
    return draws.sample(found, min(len(found), draws.randint(5, 60)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("action", ["exempt", "complete", "set_due_date"])
async def test_and_back(there: Stage, action: str, seed: int) -> None:
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


async def test_taking_back_exemptions_and_back(there: Stage) -> None:
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


async def test_dates_that_were_the_same_go_back_by_one_date(there: Stage) -> None:
    ids = outstanding(there, 12)
    there.tenant.connection.execute("UPDATE assignments SET due_date = '2026-05-05'")
    done = await do(there, UPDATE, action="set_due_date", assignments=ids, due_date="2026-06-06")
    assert done.changes == {"due_date": ["2026-05-05", "2026-06-06"]}
    assert undo_arguments(done) == {"action": "set_due_date", "assignments": sorted(ids), "due_date": "2026-05-05"}


async def test_dates_that_were_none_go_back_to_none(there: Stage) -> None:
    ids = outstanding(there, 4)
    there.tenant.connection.execute("UPDATE assignments SET due_date = NULL")
    before = there.tenant.snapshot()
    done = await do(there, UPDATE, action="set_due_date", assignments=ids, due_date="2026-06-06")
    assert done.changes == {"due_date": ["", "2026-06-06"]}
    assert undo_arguments(done)["clear"] == ["due_date"]
    await undo(there, done)
    assert there.tenant.snapshot() == before


async def test_dates_that_differed_go_back_each_to_its_own(there: Stage) -> None:
    ids = outstanding(there, 3)
    for day, one in enumerate(ids, 1):
        there.tenant.connection.execute(
            "UPDATE assignments SET due_date = ? WHERE public_id = ?", (f"2026-05-{day:02}", one)
        )
    done = await do(there, UPDATE, action="set_due_date", assignments=ids, due_date="2026-05-02")
    assert done.summary.startswith("Set the due date of 2 assignments to 2026-05-02. 1 already due then")
    assert undo_arguments(done) == {
        "action": "set_due_date",
        "due_dates": [
            {"assignment": one, "due_date": f"2026-05-{day:02}"}
            for day, one in sorted(enumerate(ids, 1), key=lambda pair: pair[1])
            if day != 2
        ],
    }
    assert done.undo_note is not None
    assert "2026-05-01 to 2026-05-03" in done.undo_note


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("drop", "cannot undo a drop"),
        ("revert_completion", "no score"),
    ],
)
async def test_what_cannot_be_undone_says_so(there: Stage, action: str, words: str) -> None:
    if action == "revert_completion":
        there.tenant.connection.execute(f"DELETE FROM assignments WHERE state IN {OUTSTANDING}")
        there.tenant.connection.execute("DELETE FROM assignments WHERE attempt > 1")
    ids = some(there, 3, OUTSTANDING if action == "drop" else "('completed')")
    plan = await planned(there, UPDATE, action=action, assignments=ids)
    assert plan.irreversible
    done = await plan.apply()
    assert outcomes(done) == {"succeeded": len(ids)}
    assert done.undo is None
    assert words in (done.undo_note or "")
