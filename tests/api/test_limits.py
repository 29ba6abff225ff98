"""The rate budget that calls share."""

import anyio
import anyio.lowlevel
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import Clock

from pp_mcp.api.limits import RateBudget
from pp_mcp.errors import RateLimited
from pp_mcp.models import User

from .play import RECORD, Connect, reply, success

pytestmark = pytest.mark.anyio


def told(remaining: object, reset: object) -> dict[str, str]:
    return {"x-ratelimit-remaining": str(remaining), "x-ratelimit-reset": str(reset)}


async def send(limits: RateBudget, headers: dict[str, str] | None, deadline: float = 2_000.0) -> None:
    await limits.turn(deadline, operation="get_user", method="GET")
    limits.depart()
    limits.arrive(headers)


async def test_it_is_open_until_told_otherwise(clock: Clock) -> None:
    limits = RateBudget(clock)
    await send(limits, {})
    await send(limits, told(1, 30))
    assert limits.is_open()
    await send(limits, told(0, 29))
    assert not limits.is_open()
    assert limits.seconds_to_wait() == 30


async def test_all_wait_for_the_reset(clock: Clock) -> None:
    limits = RateBudget(clock)
    await send(limits, told(0, 30))
    await send(limits, told(99, 60))
    assert clock.slept == [30]
    assert limits.is_open()


async def test_a_reset_that_comes_too_late_is_said_at_once(clock: Clock) -> None:
    limits = RateBudget(clock)
    await send(limits, told(0, 30))
    with pytest.raises(RateLimited) as caught:
        await send(limits, None, deadline=clock.now() + 30)
    assert (caught.value.retry_after, caught.value.status, caught.value.operation) == (30, 429, "get_user")
    assert clock.slept == []


@pytest.mark.parametrize(
    "headers",
    [
        told(0, "soon"), told(0, ""), told(0, -1), told(0, 1795428000), told(0, "nan"), told("none", 30), told(-1, 30),
        told("", 30), told("0.5", 30), told("٣", 30), told("9" * 40, 30), {"x-ratelimit-remaining": "0"},
        {"x-ratelimit-reset": "30"}, {},
    ],
)  # fmt: skip
async def test_nonsense_is_passed_over(clock: Clock, headers: dict[str, str]) -> None:
    limits = RateBudget(clock)
    await send(limits, headers)
    assert limits.is_open()
    assert limits.seconds_to_wait() == 0


async def test_an_overtaken_answer_does_not_raise_the_figure(clock: Clock) -> None:
    limits = RateBudget(clock)
    await send(limits, told(0, 30))
    limits.depart()
    limits.arrive(told(5, 30))
    assert not limits.is_open()


async def test_a_new_window_does(clock: Clock) -> None:
    limits = RateBudget(clock)
    await send(limits, told(0, 30))
    limits.depart()
    limits.arrive(told(5, 40))
    assert limits.is_open()
    clock.time += 41
    await send(limits, told(0, 0))
    assert limits.is_open()


async def test_the_longest_block_holds(clock: Clock) -> None:
    limits = RateBudget(clock)
    limits.block(30)
    limits.block(5)
    assert limits.seconds_to_wait() == 30
    clock.time += 31
    limits.block(5)
    assert limits.seconds_to_wait() == 5


async def test_requests_under_way_count_as_spent(clock: Clock) -> None:
    limits = RateBudget(clock)
    await send(limits, told(2, 30))
    limits.depart()
    assert limits.is_open()
    limits.depart()
    assert not limits.is_open()
    passed: list[float] = []

    async def third() -> None:
        await limits.turn(2_000.0, operation="get_user", method="GET")
        passed.append(clock.now())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(third)
        await anyio.wait_all_tasks_blocked()
        assert passed == []
        limits.arrive(told(2, 30))
    assert passed == [0.0]
    assert clock.slept == []


async def test_waiting_for_others_ends_with_the_budget(clock: Clock) -> None:
    limits = RateBudget(clock)
    await send(limits, told(1, 30))
    limits.depart()

    async def pass_time() -> None:
        clock.time += 10

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pass_time)
        await limits.turn(clock.now() + 0.01, operation="get_user", method="GET")
    assert not limits.is_open()


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 90), st.floats(0, 40)) | st.just(None) | st.floats(0.001, 90),
        max_size=30,
    )
)
def test_the_way_is_never_barred_for_good(events: list[tuple[int, int, float] | float | None]) -> None:
    clock = Clock()
    limits = RateBudget(clock)
    for event in events:
        if isinstance(event, float):
            limits.block(event)
        elif event is None:
            limits.depart()
            limits.arrive(None)
        else:
            limits.depart()
            limits.arrive(told(event[0], event[1]))
            clock.time += event[2]
    wait = limits.seconds_to_wait()
    assert 0 <= wait <= 90.001
    clock.time += wait + 0.001
    assert limits.is_open()


async def test_calls_share_what_one_was_told(connect: Connect, clock: Clock) -> None:
    client, script = connect(
        reply(200, RECORD, {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "20"}),
        success,
    )
    await client.call().one("get_user", User, "x1")
    with pytest.raises(RateLimited) as caught:
        await client.call(budget=10).one("get_user", User, "x1")
    assert (caught.value.retry_after, script.sent) == (20, 1)
    await client.call().one("get_user", User, "x1")
    assert (script.sent, clock.slept) == (2, [20])


async def test_a_429_makes_others_wait_too(connect: Connect, clock: Clock) -> None:
    client, script = connect(reply(429, headers={"Retry-After": "20"}), success)
    with pytest.raises(RateLimited):
        await client.call(budget=5).one("get_user", User, "x1")
    assert clock.slept == []
    await client.call().write("create_user", User, {})
    assert (clock.slept, script.sent) == ([20], 2)


async def test_a_burst_does_not_overrun_the_limit(connect: Connect, clock: Clock) -> None:
    left, refused = 10, 0

    async def limited(request: httpx2.Request) -> httpx2.Response:
        nonlocal left, refused
        await anyio.lowlevel.checkpoint()
        left -= 1
        if left < 0:
            refused += 1
        headers = {"X-RateLimit-Remaining": str(max(left, 0)), "X-RateLimit-Reset": str(max(0, 1_030 - clock.now()))}
        return httpx2.Response(429 if left < 0 else 200, json=RECORD, headers=headers)

    client, script = connect(limited, max_concurrency=4)
    api = client.call(budget=20)
    outcomes: list[str] = []

    async def one() -> None:
        try:
            await api.one("get_user", User, "x1")
            outcomes.append("done")
        except RateLimited:
            outcomes.append("limited")

    async with anyio.create_task_group() as tasks:
        for _ in range(25):
            tasks.start_soon(one)
    assert (outcomes.count("done"), outcomes.count("limited"), refused, script.sent) == (10, 15, 0, 10)
