"""What goes wrong on the way: every failure told, every success counted, and the rest done by asking again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from stage import Stage

from pp_mcp.demo import Faults

from .chores import NEW_ITEM, applied, do, outcomes, outstanding, people, planned, states, undo, undo_arguments, writes

pytestmark = pytest.mark.anyio

UPDATE = "bulk_update_assignments"
ASSIGN = "bulk_assign_content"


def holders(there: Stage) -> list[tuple[Any, ...]]:
    """Who has the new item, and how often."""
    return there.sql(
        "SELECT user_id, count(*) FROM assignments a JOIN content_items c ON c.id = content_item_id WHERE c.public_id = ? GROUP BY 1",
        NEW_ITEM,
    )


def on_writes(
    answer: Callable[[int], httpx2.Response | None],
) -> Callable[[httpx2.Request, int], httpx2.Response | None]:
    """Calls `answer` with the number of each write, from 1."""
    count = 0

    def before(request: httpx2.Request, _number: int) -> httpx2.Response | None:
        nonlocal count
        if request.method == "GET":
            return None
        count += 1
        return answer(count)

    return before


async def test_some_fail_and_are_listed_with_why(there: Stage) -> None:
    ids = outstanding(there, 20)
    plan = await planned(there, UPDATE, action="exempt", assignments=ids)
    gone, finished, same = sorted(ids)[:3]
    there.tenant.connection.execute("DELETE FROM assignments WHERE public_id = ?", (gone,))
    there.tenant.connection.execute("UPDATE assignments SET state = 'completed' WHERE public_id = ?", (finished,))
    there.tenant.connection.execute("UPDATE assignments SET state = 'exempted' WHERE public_id = ?", (same,))
    done = await plan.apply()
    assert outcomes(done) == {"succeeded": 17, "failed": 1, "skipped": 1, "unchanged": 1}
    others = {one.public_id: one for one in done.outcomes or [] if one.status in ("failed", "skipped")}
    assert set(others) == {gone, finished}
    assert others[gone].reason == "Assignment not found."
    assert (others[finished].status, others[finished].reason) == ("skipped", "changed meanwhile")
    assert others[finished].name
    assert done.summary.startswith("Exempted 17 assignments. 1 already exempted. 1 changed meanwhile")
    assert states(there, [finished]) == {"completed"}
    assert sorted(undo_arguments(done)["assignments"]) == sorted(set(ids) - {gone, finished, same})
    again = await planned(there, UPDATE, action="exempt", assignments=[one for one in ids if one != gone])
    assert again.unchanged is not None
    for words in ("19 assignments", "18 already exempted", "not possible for 1 (completed)"):
        assert words in again.unchanged


async def test_a_token_revoked_half_way(there: Stage) -> None:
    team = people(there, 60)
    plan = await planned(there, ASSIGN, content_item=NEW_ITEM, users=team)
    there.tenant.faults = Faults(revoke_after=25)
    done = await plan.apply()
    assert outcomes(done) == {"succeeded": 25}
    assert done.not_sent == 35
    assert "Stopped: PlusPlus refused the API token (HTTP 401); 35 not sent." in done.summary
    assert "nothing twice" in done.summary
    # What was under way when the first refusal came, and no more.
    assert len(writes(there)) <= 25 + 8
    there.tenant.faults = Faults()
    rest = await do(there, ASSIGN, content_item=NEW_ITEM, users=team)
    assert outcomes(rest) == {"succeeded": 35}
    assert [count for _, count in holders(there)] == [1] * 60
    assert sum(applied(there).values()) == 60


async def test_a_right_that_is_missing_stops_it(there: Stage) -> None:
    plan = await planned(there, ASSIGN, content_item=NEW_ITEM, users=people(there, 30))
    there.network.before = on_writes(lambda _: httpx2.Response(403, content=b"{}"))
    done = await plan.apply()
    # Three in a row, and those that were under way with the third.
    assert 3 <= outcomes(done)["failed"] <= 3 + 7
    assert outcomes(done)["failed"] + done.not_sent == 30
    assert "HTTP 403" in done.summary
    assert done.undo is None
    assert done.changes == {}
    assert holders(there) == []


async def test_ten_failures_in_a_row_stop_it(there: Stage) -> None:
    ids = outstanding(there, 60)
    plan = await planned(there, UPDATE, action="exempt", assignments=ids)
    there.network.before = on_writes(lambda number: httpx2.Response(503) if number > 5 else None)
    done = await plan.apply()
    assert done.not_sent > 0
    assert outcomes(done)["succeeded"] == 5
    # Ten in a row, and those that were under way with the tenth.
    assert 10 <= outcomes(done)["unknown"] <= 10 + 7
    assert "Stopped: PlusPlus failed 10 times in a row" in done.summary
    there.network.before = lambda _request, _number: None
    rest = await do(there, UPDATE, action="exempt", assignments=ids)
    assert outcomes(rest) == {"succeeded": 55}
    assert states(there, ids) == {"exempted"}
    assert set(applied(there).values()) == {1}


async def test_failures_now_and_then_do_not_stop_it(there: Stage) -> None:
    ids = outstanding(there, 40)
    plan = await planned(there, UPDATE, action="exempt", assignments=ids)
    there.network.before = on_writes(lambda number: httpx2.Response(503) if number % 4 == 0 else None)
    done = await plan.apply()
    assert done.not_sent == 0
    assert outcomes(done) == {"succeeded": 30, "unknown": 10}
    assert "10 have an unknown outcome: no answer came." in done.summary
    assert done.undo_note is not None
    assert "10 with an unknown outcome" in done.undo_note


async def test_a_server_that_cannot_be_reached_did_nothing(there: Stage) -> None:
    ids = outstanding(there, 6)
    plan = await planned(there, UPDATE, action="exempt", assignments=ids)

    def unreachable(_: int) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    there.network.before = on_writes(unreachable)
    done = await plan.apply()
    assert outcomes(done) == {"failed": 6}
    assert applied(there) == {}


async def test_a_rate_limit_beyond_the_time(there: Stage) -> None:
    team = people(there, 40)
    plan = await planned(there, ASSIGN, content_item=NEW_ITEM, users=team)
    there.network.before = on_writes(
        lambda number: httpx2.Response(429, headers={"retry-after": "120"}) if number > 12 else None
    )
    done = await plan.apply()
    assert outcomes(done) == {"succeeded": 12}
    assert done.not_sent == 28
    assert "Stopped: the rate limit is used up for 120 seconds; 28 not sent." in done.summary
    there.network.before = lambda _request, _number: None
    there.clock.time += 121
    assert outcomes(await do(there, ASSIGN, content_item=NEW_ITEM, users=team)) == {"succeeded": 28}
    assert [count for _, count in holders(there)] == [1] * 40


async def test_a_rate_limit_within_the_time_is_waited_for(there: Stage) -> None:
    team = people(there, 20)
    plan = await planned(there, ASSIGN, content_item=NEW_ITEM, users=team)
    there.network.before = on_writes(
        lambda number: httpx2.Response(429, headers={"retry-after": "2"}) if number == 7 else None
    )
    assert outcomes(await plan.apply()) == {"succeeded": 20}
    assert there.clock.time >= 2


async def test_time_that_runs_out(there: Stage) -> None:
    team = people(there, 50)
    plan = await planned(there, ASSIGN, content_item=NEW_ITEM, users=team)

    def takes(_: int) -> None:
        there.clock.time += 2

    there.network.before = on_writes(takes)
    done = await plan.apply()
    assert "Stopped: the time for one call ran out" in done.summary
    assert outcomes(done)["succeeded"] + done.not_sent == 50
    assert outcomes(done)["succeeded"] >= 20
    there.network.before = lambda _request, _number: None
    await do(there, ASSIGN, content_item=NEW_ITEM, users=team)
    assert [count for _, count in holders(there)] == [1] * 50


@pytest.mark.parametrize("fault", ["drop-after", "truncate", "wrong-type", "5xx-after"])
async def test_answers_that_are_lost_leave_it_unknown(there: Stage, fault: str) -> None:
    ids = outstanding(there, 12)
    plan = await planned(there, UPDATE, action="exempt", assignments=ids)
    there.tenant.faults.script([fault] * 4, writes_only=True)
    done = await plan.apply()
    assert outcomes(done) == {"succeeded": 8, "unknown": 4}
    unknown = {one.public_id for one in done.outcomes or [] if one.status == "unknown"}
    assert sorted(undo_arguments(done)["assignments"]) == sorted(set(ids) - unknown)
    # They were done in fact, as the same call finds.
    again = await planned(there, UPDATE, action="exempt", assignments=ids)
    assert again.unchanged == "Nothing to do for 12 assignments: 12 already exempted."
    assert set(applied(there).values()) == {1}


@pytest.mark.parametrize("fault", ["drop-after", "truncate", "5xx-after"])
async def test_assigning_again_after_a_lost_answer_makes_no_second_one(there: Stage, fault: str) -> None:
    team = people(there, 12)
    plan = await planned(there, ASSIGN, content_item=NEW_ITEM, users=team)
    there.tenant.faults.script([fault] * 5, writes_only=True)
    done = await plan.apply()
    # The API says 200 to the repeated one: it was ours, so it counts, and the undo holds it.
    assert outcomes(done) == {"succeeded": 12}
    assert [count for _, count in holders(there)] == [1] * 12
    await undo(there, done)
    assert (
        there.one(
            "SELECT count(*) FROM assignments a JOIN content_items c ON c.id = content_item_id WHERE c.public_id = ? AND state = 'dropped'",
            NEW_ITEM,
        )
        == 12
    )


async def test_an_api_that_answers_and_does_nothing(there: Stage) -> None:
    ids = outstanding(there, 3)
    plan = await planned(there, UPDATE, action="set_due_date", assignments=ids, due_date="2027-07-07")

    class Idle(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            if request.method == "PATCH":
                request = httpx2.Request(
                    "GET", request.url, headers={"authorization": request.headers["authorization"]}
                )
            return await there.tenant.transport().handle_async_request(request)

    there.network.inner = Idle()
    done = await plan.apply()
    assert outcomes(done) == {"failed": 3}
    assert all((one.reason or "").startswith("PlusPlus answered, but it is ") for one in done.outcomes or [])
    assert json.dumps(done.changes) == "{}"


async def test_a_conflict_over_something_else_is_a_failure(there: Stage) -> None:
    ids = outstanding(there, 2)
    plan = await planned(there, UPDATE, action="set_due_date", assignments=ids, due_date="2027-07-07")
    # Such as an event that manages the dates of what does not look like one.
    number = there.one("SELECT id FROM assignments WHERE public_id = ?", ids[0])
    there.tenant.connection.execute(
        "UPDATE enrollments SET assignment_id = ? WHERE id = (SELECT min(id) FROM enrollments)", (number,)
    )
    done = await plan.apply()
    assert outcomes(done) == {"succeeded": 1, "failed": 1}
    assert "managed by the event" in done.summary
