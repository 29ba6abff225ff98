"""Whose request goes next when many wait: callers share evenly, and short calls go first."""

import anyio
import httpx2
import pytest
from stage import Clock, settled

from pp_mcp.api import Api, Client
from pp_mcp.api.limits import RateBudget
from pp_mcp.api.walk import walk
from pp_mcp.errors import OutOfTime, RateLimited
from pp_mcp.models import Assignment, User

from .play import RECORD, Connect, reply, success

pytestmark = pytest.mark.anyio

PAGES = 10


class Tenant:
    """Answers one request after another, when a test says so, and knows whose each was."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._turn = anyio.Semaphore(0)

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.paths.append(request.url.path.rpartition("/v2/")[2])
        await self._turn.acquire()
        if not request.url.params.get("page"):
            return success(request)
        page = int(request.url.params["page"])
        rows = [{**RECORD, "public_id": f"{page}-{n}"} for n in range(100)]
        meta = {"page": page, "page_size": 100, "total_count": 100 * PAGES}
        return httpx2.Response(200, json={"data": rows, "meta": meta})

    async def answer(self, requests: int) -> None:
        """Answers so many requests, each after the one before has led to what it leads to."""
        for _ in range(requests):
            self._turn.release()
            await settled()

    def end(self) -> None:
        for _ in range(10_000):
            self._turn.release()


async def report(api: Api) -> None:
    await walk(api, "list_assignments", Assignment, lambda _: None, lambda: None)


async def person(api: Api) -> None:
    """A short call: the person is looked up by e-mail, then read."""
    await api.page("list_users", User, email="a@b.example")
    await api.one("get_user", User, "x1")


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


async def flooded(client: Client, tasks: anyio.abc.TaskGroup, reports: int = 30, caller: str = "a") -> None:
    for _ in range(reports):
        tasks.start_soon(report, client.call(caller=caller))
    await settled()


@pytest.mark.parametrize("caller", ["a", "b"])
async def test_a_short_call_beside_thirty_reports_is_next(connect: Connect, tenant: Tenant, caller: str) -> None:
    """At 0.2 s a request its two requests take two rounds of the eight places: well below four seconds."""
    client, _ = connect(tenant)
    done = anyio.Event()

    async def short() -> None:
        await person(client.call(caller=caller))
        done.set()

    async with anyio.create_task_group() as tasks:
        await flooded(client, tasks)
        await tenant.answer(100)
        tasks.start_soon(short)
        await settled()
        await tenant.answer(32)
        assert done.is_set()
        assert [path for path in tenant.paths[100:] if path != "assignments"] == ["users", "users/x1"]
        tenant.end()


async def test_two_callers_share_the_places_evenly(connect: Connect, tenant: Tenant) -> None:
    client, _ = connect(tenant)
    async with anyio.create_task_group() as tasks:
        await flooded(client, tasks)
        await tenant.answer(100)
        before = len(tenant.paths)
        for _ in range(40):
            tasks.start_soon(client.call(caller="b").one, "get_user", User, "x1")
        await settled()
        await tenant.answer(40)
        theirs = tenant.paths[before:].count("users/x1")
        assert 18 <= theirs <= 22
        tenant.end()


async def test_a_walk_of_the_same_caller_is_not_passed_for_ever(connect: Connect, tenant: Tenant) -> None:
    """Beyond its first requests a call waits in line with the others: the oldest request goes first."""
    client, _ = connect(tenant, max_concurrency=1)
    api, other = client.call(budget=1_000), client.call(budget=1_000)
    async with anyio.create_task_group() as tasks:
        for one in (api, other):
            one.turns = 50
        tasks.start_soon(api.one, "get_user", User, "x1")
        await settled()
        tasks.start_soon(other.one, "get_group", User, "x1")
        await settled()
        tasks.start_soon(api.one, "get_article", User, "x1")
        await settled()
        tenant.end()
    assert tenant.paths == ["users/x1", "groups/x1", "articles/x1"]


async def test_who_gives_up_while_waiting_takes_no_place(connect: Connect, tenant: Tenant) -> None:
    client, script = connect(tenant, max_concurrency=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.call().one, "get_user", User, "x1")
        await settled()
        with pytest.raises(OutOfTime):
            await client.call(budget=0.01).one("get_group", User, "x1")
        with anyio.move_on_after(0.01):
            await client.call().one("get_group", User, "x1")
        tenant.end()
    await client.call().one("get_user", User, "x1")
    assert (tenant.paths, script.sent) == (["users/x1", "users/x1"], 2)


# ------------------------------------------------------------------------------------------------ the rate budget


def test_a_caller_that_has_used_its_share_leaves_the_last_tenth_to_others(clock: Clock) -> None:
    rate = RateBudget(clock, max_pause=60)

    def answered(left: int, caller: str) -> None:
        headers = {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": str(left), "X-RateLimit-Reset": "30"}
        rate.arrive(rate.depart(caller), httpx2.Response(200, headers=headers))

    left = 100
    while rate.allows("a"):
        left -= 1
        answered(left, "a")
    assert left == 10
    assert rate.opens_at("a") == clock.time + 30
    for _ in range(10):
        assert rate.allows("b")
        left -= 1
        answered(left, "b")
    assert not rate.allows("b")
    clock.time += 30
    assert rate.allows("a")


def test_a_caller_without_a_name_is_alone_and_leaves_nothing(clock: Clock) -> None:
    rate = RateBudget(clock, max_pause=60)
    for left in range(99, -1, -1):
        assert rate.allows()
        headers = {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": str(left), "X-RateLimit-Reset": "30"}
        rate.arrive(rate.depart(), httpx2.Response(200, headers=headers))
    assert not rate.allows()


async def test_reports_that_have_used_up_their_rate_leave_some_for_another_caller(
    connect: Connect, clock: Clock
) -> None:
    left = iter(range(19, -1, -1))

    def limited(request: httpx2.Request) -> httpx2.Response:
        headers = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": str(next(left)), "X-RateLimit-Reset": "300"}
        return httpx2.Response(200, json=RECORD, headers=headers)

    client, script = connect(limited, max_pause=400.0)
    for _ in range(18):
        await client.call(caller="a").one("get_user", User, "x1")
    with pytest.raises(RateLimited) as caught:
        await client.call(caller="a").one("get_user", User, "x1")
    assert (script.sent, caught.value.retry_after) == (18, 300)
    await client.call(caller="b").one("get_user", User, "x1")
    assert (script.sent, clock.slept) == (19, [])


async def test_the_budget_of_a_call_is_its_own(connect: Connect, clock: Clock) -> None:
    client, _ = connect(reply(200, RECORD))
    assert client.call(budget=7, caller="a").remaining == 7
    assert client.call(caller="b").remaining == 45
