"""The rate budget that calls share."""

import anyio
import anyio.lowlevel
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import Clock, settled

from pp_mcp.api.limits import RateBudget
from pp_mcp.errors import RateLimited
from pp_mcp.models import User

from .play import RECORD, Connect, reply, success

pytestmark = pytest.mark.anyio


def told(remaining: object, reset: object, *, status: int = 200, limit: object = 100) -> httpx2.Response:
    headers = {
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(reset),
        "X-RateLimit-Limit": str(limit),
    }
    return httpx2.Response(status, headers=[(name.encode(), value.encode()) for name, value in headers.items()])


def bare(status: int = 200, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


def send(rate: RateBudget, response: httpx2.Response | None, caller: str = "") -> None:
    assert rate.allows(caller)
    rate.arrive(rate.depart(caller), response)


@pytest.fixture
def rate(clock: Clock) -> RateBudget:
    return RateBudget(clock, max_pause=60)


def test_it_is_open_until_told_otherwise(rate: RateBudget) -> None:
    send(rate, bare())
    send(rate, told(1, 30))
    assert rate.allows()
    send(rate, told(0, 29))
    assert not rate.allows()
    assert rate.seconds_told() == 30


def test_it_opens_at_the_reset(rate: RateBudget, clock: Clock) -> None:
    send(rate, told(0, 30))
    clock.time += 29.9
    assert not rate.allows()
    clock.time += 0.1
    send(rate, told(99, 60))
    assert rate.allows()


@pytest.mark.parametrize(
    "response",
    [
        told(0, "soon"), told(0, ""), told(0, -1), told(0, 1795428000), told(0, "nan"), told("none", 30), told(-1, 30),
        told("", 30), told("0.5", 30), told("٣", 30), told("9" * 40, 30), bare(X_RateLimit_Remaining="0"),
        bare(X_RateLimit_Reset="30"), bare(), None,
    ],
)  # fmt: skip
def test_nonsense_is_passed_over(rate: RateBudget, response: httpx2.Response | None) -> None:
    send(rate, response)
    assert rate.allows()
    assert rate.seconds_told() == 0


def test_an_overtaken_answer_does_not_raise_the_figure(rate: RateBudget) -> None:
    earlier = rate.depart()
    send(rate, told(0, 30))
    rate.arrive(earlier, told(5, 30))
    assert not rate.allows()


@pytest.mark.parametrize("reset", [40, 10])
def test_another_reset_is_another_window(rate: RateBudget, clock: Clock, reset: int) -> None:
    earlier = rate.depart()
    send(rate, told(0, 30))
    rate.arrive(earlier, told(5, reset))
    assert rate.allows()
    clock.time += reset + 1
    send(rate, told(0, 0))
    assert rate.allows()


def test_a_nearer_reset_counts(rate: RateBudget, clock: Clock) -> None:
    send(rate, told(1, 60))
    send(rate, told(0, 2))
    assert rate.seconds_told() == 2
    clock.time += 2
    assert rate.allows()


def test_the_newest_retry_after_counts_and_a_429_without_one_shortens_nothing(rate: RateBudget, clock: Clock) -> None:
    rate.block(30, 1)
    rate.block(0, 5)
    assert rate.seconds_told() == 30
    rate.block(10, 1)
    assert rate.seconds_told() == 10
    clock.time += 11
    rate.block(0, 5)
    assert rate.seconds_told() == 5


def test_what_was_on_its_way_before_a_429_says_nothing_about_it(rate: RateBudget) -> None:
    earlier = rate.depart()
    send(rate, bare(429, Retry_After="30"))
    rate.arrive(earlier, told(50, 10))
    assert not rate.allows()
    assert rate.seconds_told() == 30


def test_requests_under_way_count_as_spent(rate: RateBudget) -> None:
    send(rate, told(2, 30))
    rate.depart()
    second = rate.depart()
    assert not rate.allows()
    rate.arrive(second, told(2, 30))
    assert rate.allows()


# ------------------------------------------------------------------------------------------------ long pauses


@pytest.mark.parametrize("first", [told(0, 60_000), bare(429, Retry_After="86400")], ids=["reset", "429"])
def test_a_long_pause_is_believed_for_a_minute_then_one_request_probes(
    rate: RateBudget, clock: Clock, first: httpx2.Response
) -> None:
    send(rate, first)
    clock.time += 59
    assert not rate.allows()
    assert rate.opens_at() == clock.time + 1
    assert rate.seconds_told() > 50_000
    clock.time += 1
    probe = rate.depart()
    assert not rate.allows()
    rate.arrive(probe, bare(404))
    assert [rate.allows() for _ in range(3) if rate.depart()] == [True] * 3


def test_a_long_pause_begins_when_the_last_request_is_used(rate: RateBudget, clock: Clock) -> None:
    send(rate, told(1, 60_000))
    clock.time += 1_000
    send(rate, told(0, 59_000))
    assert rate.opens_at() == clock.time + 60
    assert not rate.allows()


@pytest.mark.parametrize("outcome", [None, bare(500)], ids=["lost", "500"])
def test_a_probe_without_a_success_is_followed_by_another(
    rate: RateBudget, clock: Clock, outcome: httpx2.Response | None
) -> None:
    send(rate, told(0, 60_000))
    clock.time += 60
    send(rate, outcome)
    probe = rate.depart()
    assert not rate.allows()
    rate.arrive(probe, bare())
    assert rate.opens_at() == 0


def test_a_probe_that_is_refused_closes_it_for_another_minute(rate: RateBudget, clock: Clock) -> None:
    for _ in range(3):
        send(rate, bare(429, Retry_After="86400"))
        assert rate.opens_at() == clock.time + 60
        clock.time += 60
    send(rate, bare())
    assert rate.allows()


def test_a_success_is_believed_more_than_the_header_it_comes_with(rate: RateBudget, clock: Clock) -> None:
    send(rate, told(0, 60_000))
    clock.time += 60
    for _ in range(3):
        send(rate, told(0, 60_000))
    assert rate.allows()
    send(rate, told(0, 20))
    assert not rate.allows()
    clock.time += 20
    send(rate, told(0, 60_000))
    assert not rate.allows()


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 90), st.floats(0, 40)) | st.just(None) | st.floats(0.001, 90),
        max_size=30,
    )
)
def test_the_way_is_never_barred_for_good(events: list[tuple[int, int, float] | float | None]) -> None:
    clock = Clock()
    rate = RateBudget(clock, max_pause=60)
    for event in events:
        if isinstance(event, float):
            rate.block(event, 0)
        elif event is None:
            rate.arrive(rate.depart(), None)
        else:
            rate.arrive(rate.depart(), told(event[0], event[1]))
            clock.time += event[2]
    opens_at = rate.opens_at()
    assert opens_at == 0 or clock.time - 60 <= opens_at <= clock.time + 60.001
    clock.time = max(clock.time, opens_at) + 0.001
    assert rate.allows()


# ------------------------------------------------------------------------------------------------ through the client


async def test_a_day_of_retry_after_does_not_stop_the_server_for_a_day(connect: Connect, clock: Clock) -> None:
    client, script = connect(reply(429, headers={"Retry-After": "86400"}), success)
    with pytest.raises(RateLimited) as caught:
        await client.call().one("get_user", User, "x1")
    assert (caught.value.retry_after, script.sent) == (86_400, 1)
    clock.time += 1
    with pytest.raises(RateLimited) as caught:
        await client.call().one("get_user", User, "x1")
    assert (caught.value.retry_after, script.sent) == (86_399, 1)
    clock.time += 59
    await client.call().one("get_user", User, "x1")
    await client.call().one("get_user", User, "x1")
    assert (script.sent, clock.slept) == (3, [])


async def test_a_long_reset_on_a_success_is_probed_by_one_request(connect: Connect, clock: Clock) -> None:
    spent = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60000"}
    answered = anyio.Event()

    async def slow(request: httpx2.Request) -> httpx2.Response:
        await answered.wait()
        return httpx2.Response(200, json=RECORD, headers=spent)

    client, script = connect(reply(200, RECORD, spent), slow, success, max_pause=5.0)
    await client.call().one("get_user", User, "x1")
    clock.time += 5
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(client.call().one, "get_user", User, "x1")
        await settled()
        assert script.sent == 2
        answered.set()
    assert (script.sent, clock.slept) == (5, [])


async def test_a_call_with_the_time_waits_for_the_probe_and_no_longer(connect: Connect, clock: Clock) -> None:
    client, script = connect(reply(429, headers={"Retry-After": "5000"}), success, max_pause=10.0)
    await client.call().one("get_user", User, "x1")
    assert (script.sent, clock.slept) == (2, [10])


async def test_who_waits_learns_of_a_nearer_reset(connect: Connect) -> None:
    """While one call sleeps till the reset it knows, an answer to another says that it is nearer."""

    class Asleep(Clock):
        def __init__(self) -> None:
            super().__init__()
            self.asked: list[float] = []

        async def sleep(self, seconds: float) -> None:
            self.asked.append(seconds)
            if seconds > 10:
                await anyio.sleep_forever()
            await super().sleep(seconds)

    clock = Asleep()
    release = anyio.Event()

    async def slow(request: httpx2.Request) -> httpx2.Response:
        await release.wait()
        return httpx2.Response(200, json=RECORD, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2"})

    spent = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}
    client, script = connect(slow, reply(200, RECORD, spent), success, clock=clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.call().one, "get_user", User, "x1")
        await settled()
        await client.call().one("get_user", User, "x1")
        tasks.start_soon(client.call().one, "get_user", User, "x1")
        await settled()
        assert (clock.asked, script.sent) == ([30], 2)
        release.set()
    assert (clock.asked, clock.slept, script.sent) == ([30, 2], [2], 3)


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
