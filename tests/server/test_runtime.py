"""What the calls of a process share: the order of writes, writes under way, and what was read before a write."""

from __future__ import annotations

from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from stage import KEY, Stage, ask, connected, make_server, refused, settled

from pp_mcp.demo import Tenant
from pp_mcp.errors import OutOfTime
from pp_mcp.server.perform import Runtime

pytestmark = pytest.mark.anyio

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def runtime(tenant: Tenant) -> Runtime:
    return make_server(tenant, key=KEY).runtime


async def test_one_write_at_a_time(runtime: Runtime) -> None:
    order: list[str] = []

    async def use(name: str) -> None:
        async with runtime.turns.alone(5):
            order.append(f"{name} in")
            await anyio.lowlevel.checkpoint()
            order.append(f"{name} out")

    async with anyio.create_task_group() as group:
        for name in ("a", "b"):
            group.start_soon(use, name)
    assert order == ["a in", "a out", "b in", "b out"]


async def test_waiting_ends(runtime: Runtime) -> None:
    held, done = anyio.Event(), anyio.Event()

    async def hold() -> None:
        async with runtime.turns.alone(5):
            held.set()
            await done.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(hold)
        await held.wait()
        with pytest.raises(OutOfTime, match=r"Nothing was changed\."):
            async with runtime.turns.alone(0.01):
                pytest.fail("two at once")
        done.set()
    async with runtime.turns.alone(0.01):
        pass


async def test_a_plan_older_than_a_write_is_made_again(tenant: Tenant, stage: Stage) -> None:
    """What a call read before another one wrote is read again, and what is undone is what was there then."""
    person = stage.person()
    public_id = stage.one("SELECT public_id FROM users WHERE email = ?", person)
    inner, first_is_read, second_has_written = tenant.transport(), anyio.Event(), anyio.Event()

    class Slow(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            answer = await inner.handle_async_request(request)
            if not first_is_read.is_set():
                first_is_read.set()
                await second_has_written.wait()
            return answer

    answers: list[dict[str, Any]] = []
    async with connected(tenant, transport=Slow()) as client, anyio.create_task_group() as tasks:

        async def first() -> None:
            answers.append(await ask(client, "update_user", user=public_id, name="Second"))

        tasks.start_soon(first)
        await first_is_read.wait()
        await ask(client, "update_user", user=public_id, name="First")
        second_has_written.set()
    assert answers[0]["changes"] == {"name": ["First", "Second"]}
    assert answers[0]["undo"]["arguments"]["name"] == "First"


async def test_a_stopping_server_waits_for_all_writes(runtime: Runtime) -> None:
    await runtime.writes_done()
    stopped = anyio.Event()

    async def stop() -> None:
        await runtime.writes_done()
        stopped.set()

    async with anyio.create_task_group() as group:
        with runtime.writing():
            with runtime.writing():
                group.start_soon(stop)
                await anyio.lowlevel.checkpoint()
            await settled()
            assert not stopped.is_set()
        await stopped.wait()


async def test_one_failing_look_up_ends_a_list_with_its_own_error(tenant: Tenant, stage: Stage) -> None:
    """An outage is told as one, not as people that do not exist."""
    inner = tenant.transport()

    class Failing(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            if "email" in request.url.params:
                return httpx2.Response(403, json={})
            return await inner.handle_async_request(request)

    group = stage.group()
    async with connected(tenant, transport=Failing()) as client:
        people = [stage.person(), stage.person(1), "Zzyzx Qwrtp"]
        error = await refused(client, "add_group_members", group=group, members=people)
    assert error["code"] == "forbidden"


async def test_an_event_that_only_enrollments_know(client: Client) -> None:
    """That an event's id is its content item's is inferred: one that is no content item is asked for all the same."""
    answer = await ask(client, "list_enrollments", event=NOBODY)
    assert answer["total_count"] == 0
