"""What the store promises: here of the process's own, and of one in Redis that is away; in tests/outside of Redis."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from pydantic import SecretStr
from stage import Clock

from pp_mcp.api.limits import Told
from pp_mcp.config import Settings
from pp_mcp.errors import Refused
from pp_mcp.server import store as limits
from pp_mcp.server.app import store_of
from pp_mcp.server.shared import RedisStore
from pp_mcp.server.store import Count, ProcessStore, Store

pytestmark = pytest.mark.anyio

Wait = Callable[[float], Awaitable[None]]

VALUE = {"people": [{"name": "Ünï “cö”", "n": 1}, None], "done": False, "share": 0.5}


@pytest.fixture
def clock() -> Clock:
    return Clock()


NOWHERE = "redis://127.0.0.1:1/0"
"""Nothing listens on this port."""


@pytest.fixture(params=["process", "redis away"])
def store(request: pytest.FixtureRequest, clock: Clock) -> Store:
    own = ProcessStore(clock.now)
    return own if request.param == "process" else RedisStore(NOWHERE, fleet="f", keys=[b"key"], own=own)


@pytest.fixture
def wait(clock: Clock) -> Wait:
    """Lets time pass for the store."""
    return clock.sleep


async def all_of(ask: Callable[[], Awaitable[Any]], times: int) -> list[Any]:
    """What so many get that ask at once."""
    found: list[Any] = []

    async def one() -> None:
        found.append(await ask())

    async with anyio.create_task_group() as group:
        for _ in range(times):
            group.start_soon(one)
    return found


class TestStore:
    async def test_a_key_is_claimed_once(self, store: Store, wait: Wait) -> None:
        assert not await store.is_claimed("a")
        assert await store.claim("a", 0.3)
        assert await store.is_claimed("a")
        assert not await store.claim("a", 0.3)
        assert await store.claim("b", 0.3)
        await wait(0.35)
        assert not await store.is_claimed("a")
        assert await store.claim("a", 60)

    async def test_a_claim_can_be_given_back(self, store: Store) -> None:
        assert await store.claim("a", 60)
        await store.release("a")
        await store.release("never claimed")
        assert not await store.is_claimed("a")
        assert await store.claim("a", 60)

    async def test_of_many_that_claim_at_once_one_does(self, store: Store) -> None:
        assert sorted(await all_of(lambda: store.claim("a", 60), 20)) == [False] * 19 + [True]

    async def test_a_value_is_kept_for_its_time(self, store: Store, wait: Wait) -> None:
        assert await store.kept("a") is None
        assert await store.keep("a", {"an": "earlier one"}, 60)
        assert await store.keep("a", VALUE, 0.3)
        assert await store.kept("a") == VALUE
        assert await store.kept("a") == VALUE
        assert await store.kept("b") is None
        await wait(0.35)
        assert await store.kept("a") is None

    async def test_what_is_kept_does_not_change_with_what_was_given(self, store: Store) -> None:
        given: dict[str, Any] = {"list": [1]}
        await store.keep("a", given, 60)
        given["list"].append(2)
        (await store.kept("a"))["list"].append(3)
        assert await store.kept("a") == {"list": [1]}

    async def test_a_value_is_taken_by_one(self, store: Store) -> None:
        await store.keep("a", VALUE, 60)
        found = await all_of(lambda: store.take("a"), 10)
        assert [one for one in found if one is not None] == [VALUE]
        assert await store.kept("a") is None
        assert await store.take("a") is None

    async def test_a_value_that_is_too_large_is_not_kept(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        assert await store.keep("a", "short", 60)
        assert not await store.keep("a", "x" * limits.LARGEST_VALUE, 60)
        assert await store.kept("a") == "short"

    async def test_values_are_found_by_how_their_keys_begin(self, store: Store, wait: Wait) -> None:
        for key in ("task:ann:1", "task:ann:2", "task:anna:1", "task:*:1", "task:[a]:1", "other"):
            await store.keep(key, 1, 60)
        await store.keep("task:ann:3", 1, 0.2)
        await wait(0.25)
        assert sorted(await store.keys("task:ann:")) == ["task:ann:1", "task:ann:2"]
        assert await store.keys("task:*") == ["task:*:1"]
        assert await store.keys("task:[a]") == ["task:[a]:1"]
        assert await store.keys("task:?") == []
        assert len(await store.keys("")) == 6

    async def test_a_count_stops_at_the_most(self, store: Store, wait: Wait) -> None:
        assert await store.count("a", 6, 10, 1.2) == Count(True, 0)
        assert await store.count("a", 0, 10, 1.2) == Count(True, 6)
        refused = await store.count("a", 5, 10, 1.2)
        assert (refused.taken, refused.before) == (False, 6)
        assert 1.0 <= refused.wait <= 1.2
        assert await store.count("a", 4, 10, 1.2) == Count(True, 6)
        assert await store.count("b", 4, 10, 1.2) == Count(True, 0)
        assert not (await store.count("a", 1, 10, 1.2)).taken
        await wait(1.25)
        assert await store.count("a", 10, 10, 1.2) == Count(True, 0)

    async def test_more_than_the_most_never_fits(self, store: Store) -> None:
        assert await store.count("a", 11, 10, 60) == Count(False, 0, 0.0)

    async def test_what_is_taken_back_does_not_count(self, store: Store) -> None:
        await store.count("a", 8, 10, 60)
        await store.count("a", -5, 10, 60)
        assert (await store.count("a", 7, 10, 60)) == Count(True, 3)
        await store.count("a", -50, 10, 60)
        assert (await store.count("a", 0, 10, 60)).before == 0

    async def test_many_that_count_at_once_do_not_exceed_it(self, store: Store) -> None:
        found = await all_of(lambda: store.count("a", 3, 100, 60), 50)
        assert [one.taken for one in found].count(True) == 33


async def test_a_process_has_its_rate_budget_for_itself_and_is_always_there() -> None:
    store = ProcessStore()
    assert store.rate_budget("pp_token", timeout=30, max_pause=60) is None
    assert await store.is_there()
    await store.aclose()


async def test_a_rate_budget_that_is_away_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    store = RedisStore(NOWHERE, fleet="f", keys=[b"key"])
    budget = store.rate_budget("pp_token", timeout=30, max_pause=60)
    for ticket in ("a", "b"):
        assert await budget.take(ticket, is_probe=False) == 0
        await budget.end(ticket, Told(0, 100, 30.0), is_proof=False)
    assert not await store.is_there()
    assert [record.getMessage() for record in caplog.records] == [
        "The shared store is away (ConnectionError): this process goes on by itself."
    ]
    await store.aclose()


async def test_a_flood_does_not_fill_the_memory(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_CLAIMS", 10)
    monkeypatch.setattr(limits, "LARGEST_TOTAL", 100)
    await store.claim("short", 1)
    clock.time = 2
    for number in range(15):
        assert await store.claim(f"{number}", 60)
        assert await store.keep(f"{number}", "x" * 18, 60)
    assert [number for number in range(15) if await store.is_claimed(f"{number}")] == list(range(5, 15))
    assert sorted(map(int, await store.keys(""))) == [10, 11, 12, 13, 14]
    assert await store.keep("0", "x" * 200, 60)
    assert await store.keys("") == []


def test_an_address_that_cannot_be_used_stops_the_start() -> None:
    with pytest.raises(Refused, match="PP_REDIS_URL is not an address"):
        store_of(Settings(redis_url=SecretStr("redis://host:port")))


def test_without_the_extra_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pp_mcp.server.shared", None)
    with pytest.raises(Refused, match=r"pip install 'pp-mcp\[redis\]'"):
        store_of(Settings(redis_url=SecretStr("redis://host:6379/0")))
