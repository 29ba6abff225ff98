"""How many requests are under way at once, and who waits."""

import anyio
import anyio.lowlevel
import httpx2
import pytest
from stage import Clock, settled

from pp_mcp.errors import OutOfTime
from pp_mcp.models import User

from .play import RECORD, Connect, reply, success

pytestmark = pytest.mark.anyio


async def test_no_more_than_so_many_at_once(connect: Connect) -> None:
    under_way, most = 0, 0

    async def slow(request: httpx2.Request) -> httpx2.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        under_way -= 1
        return success(request)

    client, script = connect(slow, max_concurrency=3)
    async with anyio.create_task_group() as tasks:
        for _ in range(12):
            tasks.start_soon(client.call().one, "get_user", User, "x1")
    assert (most, script.sent) == (3, 12)


async def test_who_waits_for_a_repeat_leaves_the_place_to_others(connect: Connect) -> None:
    # With one place only, a call that kept it while it waited would let nobody else through.
    class Waiting(Clock):
        async def sleep(self, seconds: float) -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.call().one, "get_group", User, "x1")
            await super().sleep(seconds)

    client, script = connect(reply(503), success, clock=Waiting(), max_concurrency=1)
    await client.call().one("get_user", User, "x1")
    assert [request.url.path[-10:] for request in script.requests] == ["2/users/x1", "/groups/x1", "2/users/x1"]


async def test_no_place_within_the_budget(connect: Connect) -> None:
    async def never(request: httpx2.Request) -> httpx2.Response:
        await anyio.sleep_forever()
        raise AssertionError

    client, script = connect(never, max_concurrency=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.call().one, "get_user", User, "x1")
        await settled()
        with pytest.raises(OutOfTime):
            await client.call(budget=0.01).one("get_user", User, "x1")
        tasks.cancel_scope.cancel()
    assert script.sent == 1


async def test_the_rate_is_looked_at_again_once_there_is_a_place(connect: Connect, clock: Clock) -> None:
    spent = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "20"}
    release = anyio.Event()

    async def first(request: httpx2.Request) -> httpx2.Response:
        await release.wait()
        return httpx2.Response(200, json=RECORD, headers=spent)

    client, script = connect(first, success, max_concurrency=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.call().one, "get_user", User, "x1")
        await settled()
        tasks.start_soon(client.call().one, "get_user", User, "x1")
        await settled()
        release.set()
    assert (clock.slept, script.sent) == ([20], 2)


async def test_a_place_that_comes_too_late(connect: Connect, clock: Clock) -> None:
    release = anyio.Event()

    async def first(request: httpx2.Request) -> httpx2.Response:
        await release.wait()
        clock.time += 100
        return success(request)

    client, script = connect(first, success, max_concurrency=1)
    caught: list[OutOfTime] = []

    async def second() -> None:
        try:
            await client.call().one("get_user", User, "x1")
        except OutOfTime as error:
            caught.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.call(budget=1_000).one, "get_user", User, "x1")
        await settled()
        tasks.start_soon(second)
        await settled()
        release.set()
    assert (len(caught), script.sent) == (1, 1)
