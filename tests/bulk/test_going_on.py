"""Runs that stop early, and what goes on from there: nothing is read twice, nothing done twice, every item accounted."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import uvicorn
from sse_starlette.sse import AppStatus
from stage import NOON, Stage, ask, make_server, served

from pp_mcp.bulk.run import AT_ONCE
from pp_mcp.demo import Sizes, Tenant
from pp_mcp.errors import InvalidArgument, OutOfTime
from pp_mcp.server.http import _Server, http_app  # pyright: ignore[reportPrivateUsage]

from .chores import NEW_ITEM, applied, go_on, outcomes, outstanding, people, planned, states, writes

pytestmark = pytest.mark.anyio

UPDATE = "bulk_update_assignments"
ASSIGN = "bulk_assign_content"

SECONDS = 1.0
"""What a request takes on a slow API; eight are under way at once. Half as many things at twice the time are the same
load as 600 at half a second."""


def slow(there: Stage, seconds: float = SECONDS) -> None:
    def takes(_request: httpx2.Request, _number: int) -> None:
        there.clock.time += seconds / AT_ONCE

    there.network.before = takes


async def to_the_end(there: Stage, tool: str, **given: Any) -> int:
    """Confirms once and goes on until nothing is left; how many calls it took, the preview included."""
    plan = await planned(there, tool, **given)
    calls, asked = 2, len(there.network.paths)
    _, done = await go_on(there, tool, plan)
    first = there.network.paths[asked]
    assert "?" not in first
    assert first.startswith("GET /assignments/") or first.startswith("POST"), "nothing but the items themselves is read"
    while done.rest is not None:
        assert outcomes(done)["succeeded"] > 0
        calls += 1
        _, done = await go_on(there, tool, plan, done)
        assert calls < 20
    return calls


@pytest.fixture
async def large() -> Any:
    tenant = Tenant(
        sizes=Sizes(people=1_050, groups=2, content_items=30, assignments=4_000, enrollments=0),
        now=lambda: NOON,
        rate_limit=1_000_000,
    )
    found = Stage(tenant)
    yield found
    tenant.close()


async def test_many_listed_ids_on_a_slow_api(large: Stage) -> None:
    ids = outstanding(large, 300)
    slow(large)
    own = [{"assignment": one, "due_date": "2030-01-01"} for one in ids]
    assert await to_the_end(large, UPDATE, action="set_due_date", due_dates=own) <= 6
    assert large.one("SELECT count(*) FROM assignments WHERE due_date = '2030-01-01'") == 300
    assert set(applied(large).values()) == {1}


async def test_many_people_on_a_slow_api(large: Stage) -> None:
    item = large.one("SELECT public_id FROM content_items WHERE NOT is_archived AND content_type = 'article'")
    slow(large)
    team = people(large, 300)
    assert await to_the_end(large, ASSIGN, content_item=item, users=team, reassign=True) <= 6
    had = large.sql(
        """SELECT user_id, count(*) FROM assignments a JOIN content_items c ON c.id = content_item_id
           WHERE c.public_id = ? AND state IN ('not_started', 'in_progress') GROUP BY 1""",
        item,
    )
    assert {count for _, count in had} == {1}
    assert len(had) >= 300


async def test_what_cannot_be_read_in_time_says_how_to_split(large: Stage) -> None:
    ids = outstanding(large, 300)
    slow(large, 20.0)
    own = [{"assignment": one} for one in ids]
    with pytest.raises(OutOfTime, match=r"of 300 assignments could be read.*Nothing was changed\. Split the list"):
        await planned(large, UPDATE, action="set_due_date", due_dates=own)
    assert writes(large) == []


async def test_pages_are_read_where_they_take_fewer_requests(there: Stage) -> None:
    ids = outstanding(there, 60)
    own = [{"assignment": one} for one in ids]
    await planned(there, UPDATE, action="set_due_date", due_dates=own)
    assert set(there.network.paths) == {"GET /assignments"}
    there.network.paths.clear()
    await planned(there, UPDATE, action="set_due_date", due_dates=own[:3])
    assert len(there.network.paths) == 3


@pytest.mark.parametrize("tool", [UPDATE, ASSIGN])
async def test_whoever_plans_the_rest_afresh_comes_to_the_same_plan(there: Stage, tool: str) -> None:
    given: dict[str, Any] = {"action": "exempt", "assignments": outstanding(there, 50)}
    if tool == ASSIGN:
        other = there.one("SELECT public_id FROM content_items WHERE NOT is_archived AND content_type = 'article'")
        given = {"content_item": [NEW_ITEM, other], "users": people(there, 25), "due_date": "2030-01-01"}
    plan = await planned(there, tool, **given)
    slow(there, 16.0)
    _, done = await go_on(there, tool, plan)
    assert done.rest is not None
    assert done.not_sent > 0
    assert "continue" in done.summary
    there.network.before = lambda _request, _number: None
    afresh = await planned(there, tool, **done.rest.arguments)
    kept, after = await go_on(there, tool, plan, done)
    assert (kept.summary, kept.state, kept.effects, kept.target) == (
        afresh.summary,
        afresh.state,
        afresh.effects,
        afresh.target,
    )
    assert after.rest is None
    assert sum(outcomes(after).values()) == done.not_sent
    assert outcomes(done)["succeeded"] + outcomes(after)["succeeded"] == sum(applied(there).values())


async def test_what_changed_after_the_preview_is_not_overwritten(there: Stage) -> None:
    ids = sorted(outstanding(there, 10))
    plan = await planned(there, UPDATE, action="set_due_date", assignments=ids, due_date="2030-01-01")
    other, same = ids[0], ids[1]
    there.tenant.connection.execute("UPDATE assignments SET due_date = '2029-09-09' WHERE public_id = ?", (other,))
    there.tenant.connection.execute("UPDATE assignments SET due_date = '2030-01-01' WHERE public_id = ?", (same,))
    _, done = await go_on(there, UPDATE, plan)
    assert outcomes(done) == {"succeeded": 8, "unchanged": 1, "skipped": 1}
    (skipped,) = (one for one in done.outcomes or [] if one.status == "skipped")
    assert (skipped.public_id, skipped.reason) == (other, "changed meanwhile")
    assert "1 changed meanwhile" in done.summary
    assert there.one("SELECT due_date FROM assignments WHERE public_id = ?", other) == "2029-09-09"
    assert len(writes(there)) == 8


async def test_one_missing_right_is_that_items_failure(there: Stage) -> None:
    ids = sorted(outstanding(there, 30))
    plan = await planned(there, UPDATE, action="exempt", assignments=ids)
    forbidden = {ids[3], ids[12], ids[20]}
    there.network.before = lambda request, _: (
        httpx2.Response(403, content=b"{}")
        if request.method == "POST" and request.url.path.split("/")[-2] in forbidden
        else None
    )
    done = await plan.apply()
    assert outcomes(done) == {"succeeded": 27, "failed": 3}
    assert done.rest is None


@pytest.mark.parametrize("status", [302, 304, 408, 421, 425, 451, 500, 502, 504])
async def test_what_is_no_clear_refusal_may_have_happened(there: Stage, status: int) -> None:
    await refused_with(there, status, "unknown")


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 410, 413, 415, 422])
async def test_a_clear_refusal_did_not_happen(there: Stage, status: int) -> None:
    await refused_with(there, status, "failed")


async def refused_with(there: Stage, status: int, outcome: str) -> None:
    ids = sorted(outstanding(there, 3))
    plan = await planned(there, UPDATE, action="exempt", assignments=ids)
    there.network.before = lambda request, _: (
        httpx2.Response(status, content=b"{}")
        if request.method == "POST" and request.url.path.split("/")[-2] == ids[1]
        else None
    )
    done = await plan.apply()
    assert outcomes(done) == {"succeeded": 2, outcome: 1}
    (other,) = (one for one in done.outcomes or [] if one.status != "succeeded")
    assert other.public_id == ids[1]
    assert other.reason


async def test_a_server_that_stops_begins_nothing_more_and_answers(there: Stage) -> None:
    ids = outstanding(there, 60)
    plan = await planned(there, UPDATE, action="exempt", assignments=ids)
    call = there.calls[-1]

    def stop(request: httpx2.Request, _number: int) -> None:
        if request.method == "POST" and len(writes(there)) == 9:
            call.stopping.set()

    there.network.before = stop
    done = await plan.apply()
    assert 10 <= len(writes(there)) <= 10 + AT_ONCE
    assert outcomes(done) == {"succeeded": len(writes(there))}
    assert done.not_sent == 60 - len(writes(there))
    assert "the server is stopping" in done.summary
    assert done.rest is not None
    assert sorted(done.rest.arguments["assignments"]) == sorted(
        set(ids) - {one.public_id for one in done.outcomes or []}
    )


async def test_a_signal_over_http_stops_bulk_work(there: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    # The SSE library notes the signal for the whole process: later streams would end at once.
    monkeypatch.setattr(AppStatus, "should_exit", False)
    server = make_server(there.tenant)
    stopping = _Server(uvicorn.Config(http_app(server)), server)
    stopping.handle_exit(signal.SIGTERM, None)
    assert server.runtime.stopping.is_set()
    assert stopping.should_exit


async def test_a_write_that_never_ends_is_given_little_time(there: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pp_mcp.bulk.run.LAST_SECONDS", 0.0)
    ids = sorted(outstanding(there, 4))
    plan = await planned(there, UPDATE, action="exempt", assignments=ids)
    call = there.calls[-1]

    async def never(seconds: float) -> None:
        call.stopping.set()
        await anyio.sleep_forever()

    there.network.before = lambda request, _: (
        httpx2.Response(429, headers={"retry-after": "20"})
        if request.method == "POST" and request.url.path.split("/")[-2] == ids[0]
        else None
    )
    monkeypatch.setattr(there.clock, "sleep", never)
    done = await plan.apply()
    assert outcomes(done)["unknown"] == 1
    assert done.not_sent == 3, "what was being read again is left"


async def test_a_cancelled_run_is_recorded_item_by_item(tmp_path: Path) -> None:
    tenant = Tenant(
        sizes=Sizes(people=120, groups=3, content_items=20, assignments=300, enrollments=0), now=lambda: NOON
    )
    stage = Stage(tenant)
    ids = [stage.assignment("not_started", number) for number in range(40)]
    begun = anyio.Event()

    class Watching(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            if request.method == "POST" and len(stage.writes()) == 11:
                begun.set()
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
            return await tenant.transport().handle_async_request(request)

    log = tmp_path / "audit.jsonl"
    server = make_server(tenant, transport=Watching(), audit_log=str(log))
    async with served(server) as client:
        token = (await ask(client, UPDATE, action="exempt", assignments=ids))["confirm_token"]
        async with anyio.create_task_group() as group:
            given = {"action": "exempt", "assignments": ids, "confirm_token": token}
            group.start_soon(client.call_tool, UPDATE, given)
            await begun.wait()
            group.cancel_scope.cancel()
        await server.runtime.writes_done()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (outcome,) = (line for line in lines if line["event"] == "outcome")
    recorded = {one["public_id"] for one in outcome["items"] if one["status"] == "succeeded"}
    assert recorded == {one for one in ids if stage.state(one) == "exempted"}
    assert outcome["not_sent"] == 40 - len(recorded) > 0
    tenant.close()


async def test_people_times_items_is_bounded(there: Stage) -> None:
    items = [row[0] for row in there.sql("SELECT public_id FROM content_items WHERE NOT is_archived LIMIT 20")]
    with pytest.raises(InvalidArgument, match=r"1,020 are too many for one call.*fewer items"):
        await planned(there, ASSIGN, content_item=items, users=people(there, 51))


async def test_several_items_at_once(there: Stage) -> None:
    other = there.one("SELECT public_id FROM content_items WHERE NOT is_archived AND content_type = 'article'")
    team = people(there, 10)
    before = there.tenant.snapshot()["assignments"].keys()
    plan = await planned(there, ASSIGN, content_item=[NEW_ITEM, other], users=team, due_date="2030-01-01")
    assert f"({plan.reach} assignments)" in plan.summary
    _, done = await go_on(there, ASSIGN, plan)
    made = there.tenant.snapshot()["assignments"].keys() - before
    assert outcomes(done) == {"succeeded": plan.reach}
    assert len(made) == plan.reach > 10
    again = await planned(there, ASSIGN, content_item=[NEW_ITEM, other], users=team)
    assert again.unchanged is not None


async def test_several_people_and_items_are_one_filter(there: Stage) -> None:
    team = people(there, 15)
    items = [row[0] for row in there.sql("SELECT public_id FROM content_items ORDER BY total_assignments DESC LIMIT 2")]
    marks = ", ".join("?" * 15)
    wanted = {
        row[0]
        for row in there.sql(
            f"""SELECT a.public_id FROM assignments a JOIN users u ON u.id = user_id JOIN content_items c
                ON c.id = content_item_id WHERE state = 'not_started' AND u.public_id IN ({marks})
                AND c.public_id IN (?, ?)""",
            *team,
            *items,
        )
    }
    assert wanted
    plan = await planned(there, UPDATE, action="exempt", user=team, content_item=items, state="not_started")
    assert {one[0] for one in plan.state} == wanted
    assert plan.target.name is not None
    assert plan.target.name.startswith(f"{len(wanted)} assignment")
    done = await plan.apply()
    assert done.target is not None
    assert states(there, sorted(wanted)) == {"exempted"}
    group = there.one("SELECT public_id FROM groups WHERE id = 1")
    members = {row[0] for row in there.sql("SELECT user_id FROM group_members WHERE group_id = 1")}
    plan = await planned(there, UPDATE, action="exempt", user=team, group=group)
    for one, _, _ in plan.state:
        assert there.one("SELECT user_id FROM assignments WHERE public_id = ?", one) in members


async def test_a_change_of_dates_shows_the_present_ones(there: Stage) -> None:
    ids = sorted(outstanding(there, 30))
    for number, one in enumerate(ids):
        day = None if number < 4 else f"2026-05-{number:02}"
        there.tenant.connection.execute("UPDATE assignments SET due_date = ? WHERE public_id = ?", (day, one))
    plan = await planned(there, UPDATE, action="set_due_date", assignments=ids, due_date="2026-05-10")
    (said,) = (effect for effect in plan.effects if effect.startswith("Due now"))
    for words in ("2026-05-04 to 2026-05-29", "4 have no due date", "19 move earlier"):
        assert words in said
    assert plan.affected_total == 29
    assert len(plan.affected) == 25
    assert plan.affected[0] == {
        "public_id": ids[0],
        "name": plan.affected[0]["name"],
        "from": "",
        "to": "2026-05-10",
    }
    done = await plan.apply()
    assert "29 assignments to 2026-05-10" in done.summary
    assert done.target is not None
    assert done.target.name == "29 assignments"
    assert done.undo_note is not None
    assert "2026-05-04 to 2026-05-29, 4 none" in done.undo_note


async def test_those_left_out_are_named(there: Stage) -> None:
    there.tenant.connection.execute("UPDATE users SET name = 'Person ' || id")
    ids = [row[0] for row in there.sql("SELECT public_id FROM assignments WHERE state = 'completed' LIMIT 30")]
    assert len(ids) == 30
    plan = await planned(there, UPDATE, action="complete", assignments=[*ids, *outstanding(there, 1)])
    (said,) = (effect for effect in plan.effects if "already completed" in effect)
    assert said.startswith("30 already completed")
    assert said.count("“Person ") == 25
    assert "and 5 more" in said


async def test_assigning_an_event_says_that_nobody_is_enrolled(there: Stage) -> None:
    event = there.one("SELECT public_id FROM content_items WHERE content_type = 'event' AND NOT is_archived")
    plan = await planned(there, ASSIGN, content_item=event, users=people(there, 5))
    assert plan.unchanged is None
    assert any("enrolls nobody" in effect for effect in plan.effects)
