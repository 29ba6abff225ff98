"""The store in Redis: what every store promises, what several processes share, and what happens while it is away."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import anyio
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from server import test_store as promises
from server.test_store import VALUE, Wait
from stage import Stage, ask, connected, refused

from pp_mcp.api.limits import SharedBudget, Told
from pp_mcp.demo import Tenant
from pp_mcp.server import shared
from pp_mcp.server.shared import RedisStore
from pp_mcp.server.store import Store

from .fleet import RedisServer, redis_running

pytestmark = pytest.mark.anyio

KEYS = [b"a key that only these tests have, 40 ch."]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_running() as server:
        yield server


@pytest.fixture
def fleet_name() -> str:
    return uuid4().hex


@pytest.fixture
async def store(redis: RedisServer, fleet_name: str) -> AsyncIterator[RedisStore]:
    made = RedisStore(redis.url, fleet=fleet_name, keys=KEYS)
    yield made
    await made.aclose()


@pytest.fixture
async def other(redis: RedisServer, fleet_name: str) -> AsyncIterator[RedisStore]:
    """The store as another process of the same fleet sees it."""
    made = RedisStore(redis.url, fleet=fleet_name, keys=KEYS)
    yield made
    await made.aclose()


@pytest.fixture
def wait() -> Wait:
    return anyio.sleep


class TestRedisStore(promises.TestStore):
    """The same promises as those of a process."""


async def test_processes_of_a_fleet_share_it_and_others_do_not(redis: RedisServer, store: Store, other: Store) -> None:
    assert await store.claim("a", 60)
    assert await other.is_claimed("a")
    assert not await other.claim("a", 60)
    await store.keep("v", VALUE, 60)
    assert await other.take("v") == VALUE
    assert await store.kept("v") is None
    assert (await store.count("c", 7, 10, 60)).taken
    assert (await other.count("c", 4, 10, 60)).before == 7
    stranger = RedisStore(redis.url, fleet="another tenant", keys=KEYS)
    assert not await stranger.is_claimed("a")
    await stranger.aclose()


async def test_what_lies_there_can_be_neither_read_nor_made_nor_moved(
    redis: RedisServer, fleet_name: str, store: RedisStore
) -> None:
    raw: Any = Redis.from_url(redis.url)
    await raw.flushall()
    await store.keep("a", {"email": "jane.doe@acme.example"}, 60)
    await store.keep("b", "other", 60)
    await store.claim("c", 60)
    budget = store.rate_budget("pp_secret_token", timeout=30, max_pause=60)
    await budget.take("t", is_probe=False)
    everything = b""
    for key in await raw.keys("*"):
        held = await raw.dump(key)
        everything += key + (held or b"")
    for secret in (b"jane", b"acme", b"pp_secret", fleet_name.encode()):
        assert secret not in everything
    a, b = [key for end in (b"value:a", b"value:b") for key in await raw.keys("*") if key.endswith(end)]
    await raw.copy(a, b, replace=True)
    assert await store.kept("b") is None
    await raw.set(a, b"made up")
    assert await store.kept("a") is None
    await raw.aclose()


async def test_keys_change_without_a_break(redis: RedisServer, fleet_name: str, store: Store) -> None:
    await store.keep("a", VALUE, 60)
    both = RedisStore(redis.url, fleet=fleet_name, keys=[b"a new key", *KEYS])
    new = RedisStore(redis.url, fleet=fleet_name, keys=[b"a new key"])
    assert await both.kept("a") == VALUE
    assert await new.kept("a") is None
    await both.keep("a", VALUE, 60)
    assert await new.kept("a") == VALUE
    await both.aclose()
    await new.aclose()


async def test_while_it_is_away_each_process_goes_on_by_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared, "AGAIN", 0.05)
    with redis_running() as redis:
        store = RedisStore(redis.url, fleet="f", keys=KEYS)
        assert await store.claim("before", 60)
        await store.count("hour", 8, 10, 60)
        assert await store.is_there()
        redis.stop()
        with caplog.at_level(logging.WARNING, "pp_mcp.server"):
            assert not await store.claim("before", 60), "this process spent it itself"
            assert await store.claim("meanwhile", 60)
            assert not await store.claim("meanwhile", 60)
            assert await store.keep("v", VALUE, 60)
            assert await store.kept("v") == VALUE
            assert await store.keys("") == ["v"]
            assert (await store.count("hour", 3, 10, 60)).before == 8, "it knows its own part"
            assert await store.rate_budget("t", timeout=30, max_pause=60).take("x", is_probe=False) == 0
            assert not await store.is_there()
            redis.start()
            await anyio.sleep(0.06)
            assert await store.is_there()
            assert not await store.claim("meanwhile", 60), "spent stays spent"
            assert await store.take("v") == VALUE
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == 2
        assert said[0].startswith("The shared store is away (")
        assert said[1] == "The shared store is back."
        await store.aclose()


async def test_one_that_does_not_answer_holds_nobody_up_for_long() -> None:
    with redis_running() as redis:
        store = RedisStore(redis.url, fleet="f", keys=KEYS)
        assert await store.is_there()
        redis.pause()
        with anyio.fail_after(5 * shared.PATIENCE):
            for number in range(100):
                assert await store.claim(str(number), 60)
        redis.resume()
        await store.aclose()


# --- the rate budget --------------------------------------------------------------------------------------------------


def budget_of(store: RedisStore, *, timeout: float = 30, max_pause: float = 60) -> SharedBudget:
    return store.rate_budget("pp_token", timeout=timeout, max_pause=max_pause)


async def let_out(budget: SharedBudget, *tickets: str) -> list[float]:
    return [await budget.take(ticket, is_probe=False) for ticket in tickets]


async def test_the_first_request_of_all_goes_alone(store: RedisStore, other: RedisStore) -> None:
    one, two = budget_of(store), budget_of(other)
    assert await let_out(one, "a") == [0]
    assert await let_out(two, "b") == [shared.BUSY]
    await one.end("a", None, is_proof=False)
    assert await let_out(two, "b") == [0]
    await two.end("b", Told(), is_proof=False)
    assert await let_out(one, *"cdefgh") == [0] * 6, "an API without such headers limits nothing"


async def test_what_is_under_way_counts_as_spent(store: RedisStore, other: RedisStore) -> None:
    one, two = budget_of(store), budget_of(other)
    await let_out(one, "a")
    await one.end("a", Told(3, 100, 30), is_proof=False)
    assert await let_out(one, "b", "c") == [0, 0]
    assert await let_out(two, "d", "e") == [0, shared.BUSY]
    await two.end("d", Told(2, 100, 30), is_proof=False)
    assert await let_out(two, "e") == [shared.BUSY], "b and c may have to be counted yet"
    await one.end("b", Told(1, 100, 29), is_proof=False)
    await one.end("c", Told(0, 100, 29), is_proof=False)
    (wait,) = await let_out(two, "e")
    assert 28 < wait <= 30


async def test_an_overtaken_answer_raises_nothing(store: RedisStore) -> None:
    budget = budget_of(store)
    await let_out(budget, "a")
    await budget.end("a", Told(5, 100, 30), is_proof=False)
    await let_out(budget, "b", "c", "d")
    await budget.end("c", Told(1, 100, 30), is_proof=False)
    await budget.end("b", Told(4, 100, 30), is_proof=False)
    assert await let_out(budget, "e") == [shared.BUSY]


async def test_an_answer_of_the_window_before_says_nothing_of_this_one(store: RedisStore) -> None:
    budget = budget_of(store)
    await let_out(budget, "a")
    await budget.end("a", Told(5, 5, 0.2), is_proof=False)
    await let_out(budget, "late")
    await anyio.sleep(0.25)
    assert await let_out(budget, *"bcdef") == [0, 0, 0, 0, shared.BUSY], "as many as fit into the last window"
    await budget.end("b", Told(4, 5, 30), is_proof=False)
    await budget.end("late", Told(0, 5, 0), is_proof=False)
    assert await let_out(budget, "g", "h") == [0, shared.BUSY]


async def test_what_ends_while_nothing_is_told_may_count_in_either_window(store: RedisStore) -> None:
    budget = budget_of(store)
    await let_out(budget, "a")
    await budget.end("a", Told(5, 5, 0.2), is_proof=False)
    await let_out(budget, "late", "lost")
    await anyio.sleep(0.25)
    assert await let_out(budget, *"bcde") == [0, 0, 0, shared.BUSY]
    await budget.end("late", Told(4, 5, 0.2), is_proof=False)
    await budget.end("lost", None, is_proof=False)
    assert await let_out(budget, "e") == [shared.BUSY]
    for ticket in "bcd":
        await budget.end(ticket, None, is_proof=False)
    assert await let_out(budget, "e", "f") == [0, shared.BUSY], "one goes on, to learn where it stands"
    await budget.end("e", Told(1, 5, 30), is_proof=False)
    assert await let_out(budget, "f", "g") == [0, shared.BUSY]


async def test_a_slow_answer_of_this_window_is_not_taken_for_a_new_one(store: RedisStore) -> None:
    budget = budget_of(store)
    await let_out(budget, "a")
    await budget.end("a", Told(5, 5, 2), is_proof=False)
    await let_out(budget, "slow", "b")
    await budget.end("b", Told(2, 5, 2), is_proof=False)
    await anyio.sleep(1.2)
    await budget.end("slow", Told(4, 5, 2), is_proof=False)
    assert await let_out(budget, "c", "d", "e") == [0, 0, shared.BUSY]


async def test_nobody_sends_while_one_was_told_to_wait(store: RedisStore, other: RedisStore) -> None:
    one, two = budget_of(store), budget_of(other)
    await let_out(one, "a")
    await one.end("a", Told(hold=20.0), is_proof=False)
    (wait,) = await let_out(two, "b")
    assert 19 < wait <= 20


async def test_one_of_all_tries_whether_a_long_wait_is_meant(store: RedisStore, other: RedisStore) -> None:
    one, two = budget_of(store), budget_of(other)
    await let_out(one, "a")
    await one.end("a", Told(0, 100, 3_600), is_proof=False)
    assert await two.take("b", is_probe=True) == 0
    assert await one.take("c", is_probe=True) > 3_500
    await two.end("b", Told(), is_proof=True)
    assert await let_out(one, "c", "d") == [0, 0]


async def test_requests_of_a_process_that_died_are_given_up(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = budget_of(store, timeout=-4.8)
    await let_out(budget, "a")
    await budget.end("a", Told(2, 100, 30), is_proof=False)
    assert await let_out(budget, "b", "c", "d") == [0, 0, shared.BUSY]
    await anyio.sleep(0.25)
    assert await let_out(budget, "d", "e") == [0, 0]


# --- two servers ------------------------------------------------------------------------------------------------------


async def test_two_servers_brake_and_slow_down_together(redis: RedisServer, tenant: Tenant, stage: Stage) -> None:
    options: dict[str, Any] = {"redis_url": SecretStr(redis.url), "max_writes_per_hour": 5, "unconfirmed_writes": 3}
    async with connected(tenant, **options) as one, connected(tenant, **options) as two:
        for number, client in enumerate((one, two, one)):
            assert (await ask(client, "create_group", name=f"Group {number}"))["status"] == "done"
        preview = await ask(two, "create_group", name="Group 3")
        assert "More than 3 changes in an hour need confirming" in preview["summary"]
        again = {"name": "Group 3", "confirm_token": preview["confirm_token"]}
        assert (await ask(one, "create_group", **again))["status"] == "done"
        assert "no longer valid" in (await ask(two, "create_group", **again))["summary"]
        preview = await ask(two, "create_group", name="Group 4")
        assert (await ask(two, "create_group", name="Group 4", confirm_token=preview["confirm_token"]))[
            "status"
        ] == "done"
        preview = await ask(one, "create_group", name="Group 5")
        error = await refused(one, "create_group", name="Group 5", confirm_token=preview["confirm_token"])
        assert "6 changes within an hour; 5 are allowed" in error["message"]
    assert len(stage.writes()) == 5
