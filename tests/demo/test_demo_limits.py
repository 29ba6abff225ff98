"""The rate limit."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest

from pp_mcp.demo import Tenant

from .conftest import Client, Clock

pytestmark = pytest.mark.anyio


def figures(answer: httpx2.Response) -> tuple[int, ...]:
    return tuple(int(answer.headers[f"X-RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset"))


async def test_the_window_fills_and_empties(make: Callable[..., Tenant], clock: Clock) -> None:
    tenant = make(rate_limit=3, rate_window=60)
    async with Client(tenant) as client:
        assert figures(await client.get("/users")) == (3, 2, 60)
        clock.pass_(seconds=10.5)
        assert figures(await client.get("/users")) == (3, 1, 50)
        assert figures(await client.get("/users?page=0")) == (3, 0, 50)
        for _ in range(2):
            answer = await client.post("/groups", json={"name": "A"})
            assert answer.status_code == 429
            assert answer.json()["error"]["code"] == "rate_limited"
            assert answer.headers["Retry-After"] == "50"
            assert figures(answer) == (3, 0, 50)
        assert client.sql("SELECT count(*) FROM groups WHERE name = 'A'") == 0
        clock.pass_(seconds=49.5)
        assert figures(await client.get("/users")) == (3, 2, 60)
        clock.pass_(hours=-1)
        assert figures(await client.get("/users")) == (3, 2, 60)


async def test_every_token_has_a_window_of_its_own(make: Callable[..., Tenant]) -> None:
    tenant = make(rate_limit=2)
    async with Client(tenant) as client:
        token = (await client.post("/auth/tokens", json={"name": "Second"})).json()["token"]
        await client.get("/users")
        assert (await client.get("/users")).status_code == 429
    async with Client(tenant, token) as client:
        assert (await client.get("/users")).status_code == 200
    async with Client(tenant, "pp_wrong") as client:
        answers = [await client.get("/users") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [401] * 4
        assert [figures(answer)[1] for answer in answers] == [1, 0, 0, 0]
