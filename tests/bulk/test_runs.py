"""Bulk calls that break off: what was done is told, the same call goes on, and nothing is done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import httpx2
import pytest
from stage import Stage, ask, confirmed, connected, make_server, refused, served, small_tenant

from pp_mcp.demo import Faults, Sizes, Tenant

pytestmark = pytest.mark.anyio

Answer = Callable[[httpx2.Request, int], httpx2.Response | None]


class OnWrites(httpx2.AsyncBaseTransport):
    """The tenant, with a say in every write: `answer` sees the request and its number, and may answer in its place."""

    def __init__(self, tenant: Tenant, answer: Answer) -> None:
        self._inner = tenant.transport()
        self._answer = answer
        self.writes = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method != "GET":
            self.writes += 1
            instead = self._answer(request, self.writes)
            if instead is not None:
                return instead
        return await self._inner.handle_async_request(request)


def error(status: int, code: str, **headers: str) -> httpx2.Response:
    body = {"error": {"code": code, "message": "No.", "request_id": "req_1"}}
    return httpx2.Response(status, json=body, headers=headers)


def outstanding(stage: Stage, count: int) -> list[str]:
    return [stage.assignment("not_started", number) for number in range(count)]


def exempted(stage: Stage, ids: list[str]) -> int:
    return sum(stage.state(one) == "exempted" for one in ids)


async def test_each_item_comes_out_as_it_did(tenant: Tenant, stage: Stage) -> None:
    ids = outstanding(stage, 6)

    def answer(request: httpx2.Request, _number: int) -> httpx2.Response | None:
        if ids[0] in request.url.path:
            return error(409, "conflict")
        if ids[1] in request.url.path:
            raise httpx2.ReadError("gone")
        return None

    async with connected(tenant, transport=OnWrites(tenant, answer)) as client:
        done = await confirmed(client, "bulk_update_assignments", action="exempt", assignments=ids)
    assert done["status"] == "partial"
    assert (done["succeeded"], done["failed"], done["unknown"], done["unchanged"]) == (4, 1, 1, 0)
    reasons = {one["public_id"]: (one["status"], one["reason"]) for one in done["items"]}
    assert set(reasons) == set(ids[:2])
    assert reasons[ids[0]][0] == "failed"
    assert reasons[ids[1]][0] == "unknown"
    assert sorted(done["undo"]["arguments"]["assignments"]) == sorted(ids[2:])
    assert exempted(stage, ids) == 4


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda _, number: error(401, "invalid_token") if number > 20 else None, "token"),
        (lambda _, number: error(503, "down") if number > 20 else None, "10 times in a row"),
        (
            lambda _, number: error(429, "rate_limited", **{"Retry-After": "3600"}) if number > 20 else None,
            "rate limit",
        ),
    ],
    ids=["revoked", "down", "limited"],
)
async def test_it_stops_where_going_on_makes_no_sense_and_goes_on_when_asked_again(
    answer: Answer, words: str, stage: Stage, tenant: Tenant
) -> None:
    ids = outstanding(stage, 60)
    transport = OnWrites(tenant, answer)
    async with connected(tenant, transport=transport) as client:
        first = await confirmed(client, "bulk_update_assignments", action="exempt", assignments=ids)
        assert first["status"] == "partial"
        assert words in first["summary"]
        assert "nothing twice" in first["summary"]
        assert first["not_sent"] > 0
        assert first["succeeded"] == 20 == exempted(stage, ids)
        assert first["succeeded"] + first["failed"] + first["unknown"] + first["not_sent"] == 60
        assert transport.writes < 60
        transport._answer = lambda _request, _number: None
    async with connected(tenant) as client:
        second = await confirmed(client, "bulk_update_assignments", action="exempt", assignments=ids)
        assert (second["status"], second["succeeded"]) == ("done", 40)
        third = await ask(client, "bulk_update_assignments", action="exempt", assignments=ids)
        assert third["status"] == "unchanged"
    applied = Counter(one.path for one in stage.writes() if one.applied)
    assert exempted(stage, ids) == 60
    assert max(applied.values()) == 1


async def test_given_up_half_way_each_item_is_done_or_not_sent(tenant: Tenant, stage: Stage) -> None:
    ids = outstanding(stage, 50)
    begun = anyio.Event()

    def answer(_request: httpx2.Request, number: int) -> httpx2.Response | None:
        if number == 15:
            begun.set()
        return None

    server = make_server(tenant, transport=OnWrites(tenant, answer))
    async with served(server) as client:
        preview = await ask(client, "bulk_update_assignments", action="exempt", assignments=ids)
        given: dict[str, Any] = {"action": "exempt", "assignments": ids, "confirm_token": preview["confirm_token"]}
        async with anyio.create_task_group() as group:

            async def give_up() -> None:
                await begun.wait()
                group.cancel_scope.cancel()

            group.start_soon(give_up)
            await client.call_tool("bulk_update_assignments", given)
        await server.runtime.writes_done()
        applied = sum(one.applied for one in stage.writes())
        assert 15 <= applied < 50
        assert applied == exempted(stage, ids)
        again = await confirmed(client, "bulk_update_assignments", action="exempt", assignments=ids)
        assert again["succeeded"] == 50 - applied
    assert exempted(stage, ids) == 50
    assert sum(one.applied for one in stage.writes()) == 50


async def test_two_at_once_assign_nobody_twice(tenant: Tenant, stage: Stage) -> None:
    item = stage.one("SELECT public_id FROM content_items WHERE NOT is_archived AND content_type = 'article' LIMIT 1")
    people = stage.column("SELECT email FROM users WHERE is_active ORDER BY id LIMIT 20")
    async with connected(tenant) as one, connected(tenant, name="other") as other, anyio.create_task_group() as group:
        for client in (one, other):
            group.start_soon(
                lambda client=client: confirmed(
                    client, "bulk_assign_content", content_item=item, users=people, reassign=True
                )
            )
    query = (
        "SELECT count(*) FROM assignments a JOIN content_items c ON c.id = a.content_item_id WHERE c.public_id = ? AND "
        "state IN ('not_started', 'in_progress') GROUP BY user_id ORDER BY 1 DESC"
    )
    assert stage.column(query, item)[0] == 1


async def test_a_thousand_and_no_more() -> None:
    big = small_tenant(sizes=Sizes(people=1_200, groups=3, content_items=20, assignments=100, enrollments=0))
    stage = Stage(big)
    people = stage.column("SELECT email FROM users WHERE is_active ORDER BY id")
    item = stage.one("SELECT public_id FROM content_items WHERE NOT is_archived AND content_type = 'article' LIMIT 1")
    try:
        async with connected(big) as client:
            many = await refused(client, "bulk_assign_content", content_item=item, users=people[:1_001])
            assert "1,000" in many["message"]
            preview = await ask(client, "bulk_assign_content", content_item=item, users=people[:1_000])
            assert preview["status"] == "confirmation_required"
            stage.change(
                "INSERT OR IGNORE INTO group_members (group_id, user_id) SELECT (SELECT min(id) FROM groups), id FROM users"
            )
            group = stage.one("SELECT public_id FROM groups ORDER BY id LIMIT 1")
            whole = await refused(client, "bulk_assign_content", content_item=item, group=group)
            assert "too many for one call" in whole["message"]
            assert "Split" in whole["message"]
        assert stage.writes() == []
    finally:
        big.close()


async def test_a_preview_names_who_and_whom_it_cannot_be_done_for(tenant: Tenant, stage: Stage) -> None:
    item = stage.one("SELECT public_id FROM content_items WHERE NOT is_archived AND content_type = 'article' LIMIT 1")
    leaver = stage.one("SELECT email FROM users WHERE NOT is_active ORDER BY id")
    people = [*stage.column("SELECT email FROM users WHERE is_active ORDER BY id LIMIT 9"), leaver]
    async with connected(tenant) as client:
        preview = await ask(client, "bulk_assign_content", content_item=item, users=people, due_date="2031-01-31")
    said = " ".join(preview["effects"])
    assert leaver in said
    assert "inactive" in said
    assert "2031-01-31" in preview["summary"]
    assert stage.writes() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"action": "complete"}, "Say which"),
        ({"action": "complete", "due_date": "2031-01-31", "state": "in_progress"}, "set_due_date"),
        ({"action": "set_due_date", "state": "in_progress"}, "due_date"),
        ({"action": "complete", "assignments": []}, "assignments"),
    ],
)
async def test_what_is_unclear_is_asked_back(
    arguments: dict[str, Any], words: str, tenant: Tenant, stage: Stage
) -> None:
    async with connected(tenant) as client:
        answer = await refused(client, "bulk_update_assignments", **arguments)
    assert words in answer["message"]
    assert stage.writes() == []


async def test_differing_due_dates_come_back_one_by_one(tenant: Tenant, stage: Stage) -> None:
    before = tenant.snapshot()
    ids = outstanding(stage, 8)
    for number, one in enumerate(ids):
        stage.change("UPDATE assignments SET due_date = ? WHERE public_id = ?", f"2031-02-{number + 1:02}", one)
    before = tenant.snapshot()
    async with connected(tenant) as client:
        done = await confirmed(
            client, "bulk_update_assignments", action="set_due_date", assignments=ids, due_date="2031-05-01"
        )
        assert done["succeeded"] == 8
        assert len(done["undo"]["arguments"]["due_dates"]) == 8
        undone = await confirmed(client, done["undo"]["tool"], **done["undo"]["arguments"])
        assert undone["succeeded"] == 8
    assert tenant.snapshot() == before


async def test_a_tenant_that_fails_now_and_then_is_brought_there_in_the_end(tenant: Tenant, stage: Stage) -> None:
    ids = outstanding(stage, 40)
    tenant.faults = Faults.parse(["5xx=0.1", "5xx-after=0.05", "drop-before=0.1", "drop-after=0.1", "garbage=0.05"])
    async with connected(tenant) as client:
        for _ in range(30):
            result = await client.call_tool("bulk_update_assignments", {"action": "exempt", "assignments": ids})
            data: Any = result.structured_content or {}
            if data.get("status") == "unchanged":
                break
            if data.get("confirm_token"):
                token = {"confirm_token": data["confirm_token"]}
                await client.call_tool("bulk_update_assignments", {"action": "exempt", "assignments": ids, **token})
    tenant.faults = Faults()
    assert exempted(stage, ids) == 40
    assert sum(one.applied for one in stage.writes()) == 40
