"""Progress that people can read: what is happening, how long it will take; only ever growing, and never silent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from mcp import Client
from stage import NOON, WAYS, Carry, Stage, Way, make_server, served

from pp_mcp import declare
from pp_mcp.demo import Sizes, Tenant

pytestmark = pytest.mark.anyio

Told = list[tuple[float, float | None, str | None]]

UPDATE = "bulk_update_assignments"


@pytest.fixture
def there() -> Iterator[Stage]:
    tenant = Tenant(
        sizes=Sizes(people=120, groups=3, content_items=20, assignments=1_500, enrollments=0),
        now=lambda: NOON,
        rate_limit=1_000_000,
    )
    yield Stage(tenant)
    tenant.close()


async def told_by(client: Client, tool: str, **arguments: Any) -> tuple[Told, Any]:
    """What a client is told while a call runs, and its answer."""
    told: Told = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    result = await client.call_tool(tool, arguments, progress_callback=listen)
    assert not result.is_error, result.content
    places = [place for place, _, _ in told]
    assert places == sorted(set(places))
    return told, result.structured_content


@pytest.mark.parametrize(
    ("done", "seconds", "said"),
    [
        (10, 10, "about 90 s left"),
        (50, 7, "about 7 s left"),
        (50, 10.5, "about 15 s left"),
        (25, 100, "about 5 min left"),
        (99, 2, None),
        (100, 20, None),
        (50, 0, None),
    ],
)
async def test_the_time_left_is_judged_by_the_pace(stage: Stage, done: int, seconds: float, said: str | None) -> None:
    call = stage.call()
    stage.clock.time += seconds
    await call.report(done, 100, "checking")
    assert stage.told == [(done, 100, f"checking, {said}" if said else "checking")]


async def test_each_stage_has_its_own_pace(stage: Stage) -> None:
    call = stage.call()
    for moment, done in ((100, 10), (110, 1), (120, 5)):
        stage.clock.time = moment
        await call.report(done, 10, "doing")
    assert stage.told == [
        (10, 10, "doing"),
        (11, 20, "doing, about 90 s left"),
        (15, 20, "doing, about 20 s left"),
    ]


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
async def test_a_slow_report_and_a_slow_bulk_action_tell_how_long_they_take(there: Stage, way: Way) -> None:
    def takes(_request: httpx2.Request, _number: int) -> None:
        there.clock.time += 0.3

    there.network.before = takes
    async with served(make_server(there.tenant, transport=there.network, clock=there.clock), way) as client:
        told, _ = await told_by(client, "report_assignments", group_by=["user"])
        assert any(
            "rows, about " in (message or "") and message.endswith(" s left") for _, _, message in told if message
        )
        ids = there.column("SELECT public_id FROM assignments WHERE state = 'not_started' LIMIT 12")
        given = {"action": "exempt", "assignments": ids}
        told, preview = await told_by(client, UPDATE, **given)
        assert any((message or "").startswith("looking up ") for _, _, message in told)
        told, done = await told_by(client, UPDATE, **given, confirm_token=preview["confirm_token"])
        assert done["succeeded"] == 12
        assert any("changing 6 of 12, about " in (message or "") for _, _, message in told)
        assert told[-1][2] == "changing 12 of 12"


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
async def test_whoever_waits_for_one_slow_request_is_told_that_work_goes_on(
    there: Stage, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declare, "SILENCE", 0.0)
    heard = anyio.Event()

    async def slow(request: httpx2.Request, carry: Carry) -> httpx2.Response:
        await heard.wait()
        return await carry(request)

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message))
        if len(told) == 3:
            heard.set()

    told: list[tuple[float, str | None]] = []
    there.network.between = slow
    async with served(make_server(there.tenant, transport=there.network, clock=there.clock), way) as client:
        with anyio.fail_after(10):
            await client.call_tool("list_users", {"page_size": 1}, progress_callback=listen)
    assert [place for place, _ in told] == sorted({place for place, _ in told})
    assert told[0][1] == "working; 0 requests to PlusPlus so far"


async def test_nothing_is_said_to_who_is_told_enough(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declare, "SILENCE", 0.0)
    call = stage.call()
    async with call.never_silent():
        for done in range(1, 51):
            await call.report(done, 50, "doing")
            await anyio.lowlevel.checkpoint()
    assert {message for _, _, message in stage.told} == {"doing"}
