"""Calls that end half-way: every item done or not sent, and the same call again does the rest, each once."""

from __future__ import annotations

import anyio
import httpx2
import pytest
from stage import Stage, connected

from pp_mcp.demo import Tenant

from .chores import NEW_ITEM, applied, do, outcomes, outstanding, people, planned, states, writes

pytestmark = pytest.mark.anyio

UPDATE = "bulk_update_assignments"


@pytest.mark.parametrize("after", [1, 7, 20])
async def test_a_cancelled_update_leaves_each_item_done_or_not_sent(there: Stage, after: int) -> None:
    ids = outstanding(there, 40)
    plan = await planned(there, UPDATE, action="complete", assignments=ids)
    with anyio.CancelScope() as scope:
        there.network.before = lambda request, _: (
            scope.cancel() if request.method != "GET" and len(writes(there)) >= after - 1 else None
        )
        told = await plan.apply()
        # A client that gave up is no reason not to know what was done: it is recorded.
        assert outcomes(told) == {"succeeded": len(writes(there))}
        assert told.not_sent == 40 - len(writes(there))
        assert "cancelled" in told.summary
    assert scope.cancel_called
    done = there.one(
        "SELECT count(*) FROM assignments WHERE state = 'completed' AND completed_datetime LIKE '2026-03-10T12%'"
    )
    # Those under way were brought to their end; nothing was begun after them.
    assert after <= done <= after + 8
    assert len(writes(there)) == done == sum(applied(there).values())
    there.network.before = lambda _request, _number: None
    await do(there, UPDATE, action="complete", assignments=ids)
    assert states(there, ids) == {"completed"}
    assert len(applied(there)) == 40
    assert set(applied(there).values()) == {1}


async def test_a_cancelled_assignment_goes_on_where_it_stopped(there: Stage) -> None:
    team = people(there, 50)
    plan = await planned(there, "bulk_assign_content", content_item=NEW_ITEM, users=team)
    with anyio.CancelScope() as scope:
        there.network.before = lambda request, _: scope.cancel() if len(writes(there)) >= 20 else None
        await plan.apply()
    before = len(writes(there))
    assert 20 <= before < 40
    there.network.before = lambda _request, _number: None
    rest = await planned(there, "bulk_assign_content", content_item=NEW_ITEM, users=team)
    assert rest.reach == 50 - before
    await rest.apply()
    assert sum(applied(there).values()) == len(writes(there)) == 50
    assert (
        there.one(
            "SELECT count(DISTINCT user_id) FROM assignments a JOIN content_items c ON c.id = content_item_id WHERE c.public_id = ?",
            NEW_ITEM,
        )
        == 50
    )


async def test_a_cancelled_preview_sends_nothing_more(there: Stage) -> None:
    with anyio.CancelScope() as scope:
        there.network.before = lambda _request, number: scope.cancel() if number == 3 else None
        await there.plan(UPDATE, action="exempt", state="not_started")
    assert scope.cancelled_caught
    assert 3 <= len(there.network.paths) <= 3 + 8
    assert writes(there) == []


async def test_a_client_that_gives_up(tenant: Tenant) -> None:
    """The same over MCP: the client's request is cancelled while the writes are on their way."""
    begun = anyio.Event()

    class Slow(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            if request.method != "GET":
                begun.set()
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
            return await tenant.transport().handle_async_request(request)

    emails = [
        row[0] for row in tenant.connection.execute("SELECT email FROM users WHERE is_active ORDER BY id LIMIT 60")
    ]
    given = {"content_item": NEW_ITEM, "users": emails}
    async with connected(tenant, transport=Slow()) as client:
        preview = (await client.call_tool("bulk_assign_content", given)).structured_content
        assert preview is not None
        confirmed = {**given, "confirm_token": preview["confirm_token"]}
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "bulk_assign_content", confirmed)
            await begun.wait()
            group.cancel_scope.cancel()
        # Whatever was under way comes to its end before the next call may plan.
        preview = (await client.call_tool("bulk_assign_content", given)).structured_content
        assert preview is not None
        had = [
            count
            for (count,) in tenant.connection.execute(
                "SELECT count(*) FROM assignments a JOIN content_items c ON c.id = content_item_id WHERE c.public_id = ? GROUP BY user_id",
                (NEW_ITEM,),
            )
        ]
        assert 0 < len(had) < 60
        answer = (
            await client.call_tool("bulk_assign_content", {**given, "confirm_token": preview["confirm_token"]})
        ).structured_content
        assert answer is not None
        assert answer["succeeded"] == 60 - len(had)
    posts = [one for one in tenant.requests if one.method == "POST"]
    assert len(posts) == 60
    assert all(one.applied for one in posts)
