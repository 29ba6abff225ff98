"""What the calls of a process share: locks on things, writes under way, and what was read before a write."""

from __future__ import annotations

import anyio
import httpx2
import pytest
from mcp import Client
from stage import KEY, Stage, ask, connected, make_server, refused

from pp_mcp.demo import Tenant
from pp_mcp.errors import OutOfTime
from pp_mcp.server.perform import Runtime

pytestmark = pytest.mark.anyio

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def runtime(tenant: Tenant) -> Runtime:
    return make_server(tenant, key=KEY).runtime


async def test_a_thing_is_held_by_one_at_a_time(runtime: Runtime) -> None:
    order: list[str] = []

    async def use(name: str, ids: list[str]) -> None:
        async with runtime.alone_with(ids, 5):
            order.append(f"{name} in")
            await anyio.lowlevel.checkpoint()
            order.append(f"{name} out")

    async with anyio.create_task_group() as group:
        # In whatever order they name what they share, they cannot wait for each other in a circle.
        group.start_soon(use, "a", ["1", "2"])
        group.start_soon(use, "b", ["2", "1"])
    assert order == ["a in", "a out", "b in", "b out"]


async def test_what_is_not_shared_does_not_wait(runtime: Runtime) -> None:
    async with runtime.alone_with(["1"], 5), runtime.alone_with(["2"], 5):
        pass


async def test_waiting_ends(runtime: Runtime) -> None:
    held, done = anyio.Event(), anyio.Event()

    async def hold() -> None:
        async with runtime.alone_with(["1"], 5):
            held.set()
            await done.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(hold)
        await held.wait()
        with pytest.raises(OutOfTime, match=r"Nothing was changed\."):
            async with runtime.alone_with(["0", "1"], 0.01):
                pytest.fail("held twice")
        done.set()
    async with runtime.alone_with(["0", "1"], 0.01):
        pass


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
            await anyio.wait_all_tasks_blocked()
            assert not stopped.is_set()
        await stopped.wait()


def test_what_was_read_before_a_write_is_old(runtime: Runtime) -> None:
    before = runtime.moment()
    assert not runtime.written_since(before, ["1"])
    runtime.note_write(["1"])
    assert runtime.written_since(before, ["1", "2"])
    assert not runtime.written_since(before, ["2"])
    assert not runtime.written_since(runtime.moment(), ["1"])


def test_what_is_forgotten_counts_as_written(runtime: Runtime) -> None:
    before = runtime.moment()
    runtime.note_write([str(number) for number in range(20_001)])
    assert runtime.written_since(before, ["never written"])
    assert not runtime.written_since(runtime.moment(), ["never written"])


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
