"""Tasks on real processes with a store in common: any of them tells of a task, cancels it, and notices its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import httpx2
import pytest
from server.wire import Json, Wire, wire_of
from stage import Stage, small_tenant

from pp_mcp.demo import Faults, Sizes, Tenant
from pp_mcp.server.tasks import DEAD

from .fleet import Fleet, RedisServer, fleet, redis_running

pytestmark = pytest.mark.anyio

UPDATE = "bulk_update_assignments"


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_running() as server:
        yield server


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    made = small_tenant(sizes=Sizes(people=60, groups=6, content_items=40, assignments=900, enrollments=0))
    made.faults = Faults(latency=0.2)
    yield made
    made.close()


@asynccontextmanager
async def clients(there: Fleet) -> AsyncIterator[list[Wire]]:
    """A client of each replica."""
    async with AsyncExitStack() as stack:
        urls = [f"http://127.0.0.1:{one.port}" for one in there.replicas]
        yield [wire_of(await stack.enter_async_context(httpx2.AsyncClient(base_url=url, timeout=60))) for url in urls]


async def begun(wire: Wire, there: Stage, count: int = 160) -> tuple[Json, Json]:
    """A task under way, and the call that began it, without its token."""
    query = "SELECT public_id FROM assignments WHERE state = 'not_started' ORDER BY public_id LIMIT ?"
    given = {"action": "exempt", "assignments": there.column(query, count)}
    token = (await wire.call(UPDATE, given))["structuredContent"]["confirm_token"]
    made = await wire.call(UPDATE, {**given, "confirm_token": token})
    assert made["resultType"] == "task"
    return made, given


def exempted(there: Stage, ids: list[str]) -> int:
    return sum(there.state(one) == "exempted" for one in ids)


async def test_any_replica_tells_of_a_task_and_cancels_it(redis: RedisServer, tenant: Tenant, tmp_path: Path) -> None:
    stage = Stage(tenant)
    async with fleet(tenant, tmp_path, PP_REDIS_URL=redis.url) as there, clients(there) as (one, other, third):
        made, given = await begun(one, stage)
        state = await other.until(made["taskId"], lambda state: "of 160" in state["statusMessage"])
        assert state["status"] == "working"
        await other.result("tasks/cancel", taskId=made["taskId"])
        ended = await third.until(made["taskId"])
        assert ended["status"] == "cancelled"
        told = ended["result"]["structuredContent"]
        assert 0 < told["succeeded"] == exempted(stage, given["assignments"]) < 160
        assert told["not_sent"] == 160 - told["succeeded"]


async def test_a_task_whose_process_is_killed_has_failed_and_names_the_call_that_does_the_rest(
    redis: RedisServer, tenant: Tenant, tmp_path: Path
) -> None:
    stage = Stage(tenant)
    async with fleet(tenant, tmp_path, PP_REDIS_URL=redis.url) as there, clients(there) as (one, other, _):
        made, given = await begun(one, stage)
        await other.until(made["taskId"], lambda state: "of 160" in state["statusMessage"])
        there.replicas[0].process.kill()
        await anyio.to_thread.run_sync(there.replicas[0].process.wait)
        assert (await other.get(made["taskId"]))["status"] == "working"
        await anyio.sleep(DEAD)
        state = await other.get(made["taskId"])
        assert state["status"] == "failed"
        assert "of 160" in state["error"]["message"]
        rest = state["error"]["data"]["continue"]
        assert rest == {"tool": UPDATE, "arguments": given}
        assert 0 < exempted(stage, given["assignments"]) < 160
        tenant.faults = Faults()
        token = (await other.call(UPDATE, given))["structuredContent"]["confirm_token"]
        done = await other.call(UPDATE, {**given, "confirm_token": token})
        if done["resultType"] == "task":
            await other.until(done["taskId"])
        assert exempted(stage, given["assignments"]) == 160
