"""Three real processes behind a balancer that sends every request to the next one, over a new connection."""

from __future__ import annotations

import itertools
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult, Implementation
from server.test_store import all_of
from stage import Stage, ask, call, data_of, small_tenant, text_of

from pp_mcp.demo import Faults, Sizes, Tenant

from .fleet import Fleet, RedisServer, Replica, fleet, ready, redis_running

pytestmark = pytest.mark.anyio

MODES = ["2026-07-28", "legacy"]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_running() as server:
        yield server


@pytest.fixture(params=[True, False], ids=["store", "no store"])
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    """With a shared store, and without one."""
    return {"PP_REDIS_URL": request.getfixturevalue("redis").url} if request.param else {}


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    made = small_tenant(sizes=Sizes(people=60, groups=6, content_items=40, assignments=300, enrollments=0))
    yield made
    made.close()


@asynccontextmanager
async def client_of(there: Fleet, mode: str, questions: list[str] | None = None) -> AsyncIterator[Client]:
    """A client that says yes to every question, if it can be asked."""

    async def yes(_: Any, params: Any) -> ElicitResult:
        assert questions is not None
        questions.append(params.message)
        return ElicitResult(action="accept", content={"confirm": True})

    options = {} if questions is None else {"elicitation_callback": yes}
    async with (
        httpx2.AsyncClient(timeout=60) as http,
        Client(
            streamable_http_client(f"{there.url}/mcp", http_client=http),
            mode=mode,
            client_info=Implementation(name="tests", version="1"),
            **options,
        ) as client,
    ):
        yield client


def writes(tenant: Tenant) -> Counter[str]:
    """How often each thing was changed."""
    return Counter(one.path for one in tenant.requests if one.method != "GET" and 200 <= one.status < 300)


async def test_every_confirmation_succeeds_and_none_twice(
    settings: dict[str, str], tenant: Tenant, tmp_path: Path
) -> None:
    stage = Stage(tenant)
    async with fleet(tenant, tmp_path, PP_CONFIRM="elicit", **settings) as there:
        for mode, is_asked in itertools.product(MODES, (True, False)):
            questions: list[str] | None = [] if is_asked else None
            targets = [stage.assignment("not_started", number) for number in range(6)]
            tenant.requests.clear()
            there.balancer.served.clear()
            async with client_of(there, mode, questions) as client, anyio.create_task_group() as group:
                for target in targets:
                    group.start_soon(drop, client, target, is_asked and mode != "legacy")
            assert len(there.balancer.served) == 3
            assert len(questions or []) == (6 if is_asked and mode != "legacy" else 0)
            assert {stage.state(target) for target in targets} == {"dropped"}
            assert len(writes(tenant)) == 6
            assert set(writes(tenant).values()) == {1}


async def drop(client: Client, target: str, is_asked: bool = False) -> None:
    """Drops an assignment by asking twice, and once more; a client of 2026 is asked, by whichever replica."""
    answer = await ask(client, "drop_assignment", assignment=target)
    if not is_asked:
        assert answer["status"] == "confirmation_required"
        token = answer["confirm_token"]
        answer = await ask(client, "drop_assignment", assignment=target, confirm_token=token)
        assert (await ask(client, "drop_assignment", assignment=target, confirm_token=token))["status"] == "unchanged"
    assert answer["status"] == "done"


async def test_of_one_token_brought_to_all_at_once_one_is_taken(
    redis: RedisServer, tenant: Tenant, tmp_path: Path
) -> None:
    stage = Stage(tenant)
    tenant.faults = Faults(latency=0.02)
    people = stage.column("SELECT email FROM users WHERE is_active LIMIT 10")
    async with fleet(tenant, tmp_path, PP_REDIS_URL=redis.url) as there:
        for number, mode in enumerate(MODES):
            given = {"content_item": stage.item(number=number), "users": people, "reassign": True}
            async with client_of(there, mode) as client:
                token = (await ask(client, "bulk_assign_content", **given))["confirm_token"]
                tenant.requests.clear()
                answers = await all_of(partial(ask, client, "bulk_assign_content", **given, confirm_token=token), 6)
            done = [one for one in answers if one["status"] == "done"]
            assert len(done) == 1, "each of them planned the same, and one spent the token first"
            assert done[0]["succeeded"] == sum(writes(tenant).values()) > 0
            assert {one["status"] for one in answers} <= {"done", "confirmation_required", "unchanged"}


async def test_what_a_preview_read_is_not_read_again_by_another_replica(
    redis: RedisServer, tenant: Tenant, tmp_path: Path
) -> None:
    stage = Stage(tenant)
    async with fleet(tenant, tmp_path, PP_REDIS_URL=redis.url) as there:
        for number, mode in enumerate(MODES):
            given = {"content_item": stage.item(number=number), "group": stage.group(), "reassign": True}
            async with client_of(there, mode) as client:
                token = (await ask(client, "bulk_assign_content", **given))["confirm_token"]
                tenant.requests.clear()
                answer = await ask(client, "bulk_assign_content", **given, confirm_token=token)
            assert answer["status"] == "done"
            assert {one.method for one in tenant.requests} == {"POST"}


async def test_no_more_goes_out_than_the_api_takes(redis: RedisServer, tmp_path: Path) -> None:
    limit = 25
    tenant = Tenant(sizes=Sizes(people=20, assignments=40), rate_limit=limit, rate_window=3.0)
    tenant.faults = Faults(latency=0.01)
    async with fleet(tenant, tmp_path, PP_REDIS_URL=redis.url) as there, client_of(there, MODES[0]) as client:
        tenant.requests.clear()

        async def look() -> None:
            await ask(client, "list_users", page_size=1)

        async with anyio.create_task_group() as group:
            for _ in range(4 * limit):
                group.start_soon(look)
        assert Counter(one.status for one in tenant.requests) == {200: 4 * limit}
        assert min(there.balancer.served.values()) >= limit
    tenant.close()


async def test_without_a_store_too_every_request_is_answered(tmp_path: Path) -> None:
    tenant = Tenant(sizes=Sizes(people=20, assignments=40), rate_limit=25, rate_window=3.0)
    async with fleet(tenant, tmp_path) as there, client_of(there, MODES[0]) as client:
        tenant.requests.clear()

        async def look() -> None:
            await ask(client, "list_users", page_size=1)

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(look)
        seen = Counter(one.status for one in tenant.requests)
        assert seen[200] == 50
    tenant.close()


async def test_a_replica_that_is_told_to_stop_loses_nothing(
    settings: dict[str, str], tenant: Tenant, tmp_path: Path
) -> None:
    stage = Stage(tenant)
    tenant.faults = Faults(latency=0.05)
    async with fleet(tenant, tmp_path, **settings) as there:
        for mode, stopped in zip(MODES, there.replicas, strict=False):
            targets = [stage.assignment("not_started", number) for number in range(16)]
            tenant.requests.clear()
            async with client_of(there, mode) as client, anyio.create_task_group() as group:
                for number, target in enumerate(targets):
                    if number == 8:
                        stopped.process.send_signal(signal.SIGTERM)
                    group.start_soon(drop, client, target)
                    await anyio.sleep(0.03)
            assert await anyio.to_thread.run_sync(stopped.process.wait, 20) == 0
            assert len(writes(tenant)) == 16
            assert set(writes(tenant).values()) == {1}


async def test_after_a_replica_was_killed_a_repeat_succeeds_and_the_others_go_on(
    settings: dict[str, str], tenant: Tenant, tmp_path: Path
) -> None:
    stage = Stage(tenant)
    tenant.faults = Faults(latency=0.05)
    async with fleet(tenant, tmp_path, **settings) as there:
        for mode, killed in zip(MODES, there.replicas, strict=False):
            targets = [stage.assignment("not_started", number) for number in range(16)]
            broken: list[str] = []
            tenant.requests.clear()
            async with anyio.create_task_group() as group:
                for number, target in enumerate(targets):
                    if number == 8:
                        killed.process.kill()
                    group.start_soon(drop_in_the_end, there, mode, target, broken)
                    await anyio.sleep(0.03)
            assert len(broken) < 8, "only what was under way in it"
            assert {stage.state(target) for target in targets} == {"dropped"}
            assert set(writes(tenant).values()) == {1}


async def drop_in_the_end(there: Fleet, mode: str, target: str, broken: list[str]) -> None:
    """Repeats a call that broke off, as often as it takes; each attempt with a client of its own."""
    token: dict[str, str] = {}
    for _ in range(6):
        try:
            with anyio.fail_after(20):
                async with client_of(there, mode) as client:
                    result = await call(client, "drop_assignment", assignment=target, **token)
        except (ExceptionGroup, MCPError, httpx2.HTTPError, TimeoutError):
            broken.append(target)
            continue
        if result.is_error:
            assert "may have happened" in text_of(result)
        elif (data := data_of(result))["status"] in ("done", "unchanged"):
            return
        else:
            token = {"confirm_token": data["confirm_token"]}
    raise AssertionError("a repeat must succeed")


async def said(replica: Replica, status: str) -> None:
    """Waits until the replica says this of itself."""
    for _ in range(100):
        if await ready(replica.port) == status:
            return
        await anyio.sleep(0.2)
    raise AssertionError(f"never {status}")


async def test_while_the_store_is_away_no_call_fails(tenant: Tenant, tmp_path: Path) -> None:
    stage = Stage(tenant)
    with redis_running() as redis:
        async with fleet(tenant, tmp_path, PP_REDIS_URL=redis.url) as there, client_of(there, MODES[0]) as client:
            assert await ready(there.replicas[0].port) == "ok"
            tokens = {}
            for number in range(6):
                target = stage.assignment("not_started", number)
                tokens[target] = (await ask(client, "drop_assignment", assignment=target))["confirm_token"]
            redis.stop()
            for target, token in tokens.items():
                answer = await ask(client, "drop_assignment", assignment=target, confirm_token=token)
                assert answer["status"] == "done"
            for one in there.replicas:
                await said(one, "degraded")
            redis.start()
            for one in there.replicas:
                await said(one, "ok")
            for one in there.replicas:
                assert len(one.lines("The shared store is away")) == 1
                assert len(one.lines("The shared store is back")) == 1
    assert set(writes(tenant).values()) == {1}
