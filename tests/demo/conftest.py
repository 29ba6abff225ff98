from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator

from pp_mcp.demo import Sizes, Tenant

SMALL = Sizes(people=60, groups=12, content_items=60, assignments=500, enrollments=80)


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.present = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.present

    def pass_(self, **span: float) -> None:
        self.present += timedelta(**span)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(clock: Clock) -> Iterator[Callable[..., Tenant]]:
    """Makes small tenants on the test's clock and closes them."""
    made: list[Tenant] = []

    def build(**options: Any) -> Tenant:
        made.append(Tenant(**{"sizes": SMALL, "now": clock, **options}))
        return made[-1]

    yield build
    for tenant in made:
        tenant.close()


@pytest.fixture
def tenant(make: Callable[..., Tenant]) -> Tenant:
    return make()


CONTRACT: dict[str, Any] = json.loads((Path(__file__).parent / "openapi.json").read_text(encoding="utf-8"))

_PATHS = [
    (re.compile("/public_api/v2" + re.sub(r"\{\w+\}", "[^/]+", path)), path)
    for path in sorted(CONTRACT["paths"], key=lambda path: "{" in path)
]


@cache
def _validator(path: str, method: str, status: str) -> Draft202012Validator | None:
    answer = CONTRACT["paths"][path][method.lower()]["responses"][status]
    if "content" not in answer:
        return None
    schema = {**answer["content"]["application/json"]["schema"], "components": CONTRACT["components"]}
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


async def conform(answer: httpx2.Response) -> None:
    """Every answer that a test gets on the way must be by the contract."""
    assert int(answer.headers["X-RateLimit-Remaining"]) <= int(answer.headers["X-RateLimit-Limit"])
    assert int(answer.headers["X-RateLimit-Reset"]) > 0
    assert re.fullmatch("req_[0-9a-f]{8}", answer.headers["X-Request-Id"])
    path = answer.request.url.path
    template = next((found for pattern, found in _PATHS if pattern.fullmatch(path)), None)
    if template is None or answer.status_code == 405:
        return
    validator = _validator(template, answer.request.method, str(answer.status_code))
    await answer.aread()
    if validator is None:
        assert answer.content == b""
    else:
        validator.validate(answer.json())


class Client(httpx2.AsyncClient):
    """A client of a tenant with a few words that the tests share."""

    def __init__(self, tenant: Tenant, token: str | None = None, *, by_contract: bool = True) -> None:
        self.tenant = tenant
        checks = [conform] if by_contract else []
        super().__init__(
            transport=tenant.transport(),
            base_url=tenant.base_url,
            headers={"Authorization": f"Bearer {token or tenant.token}"},
            event_hooks={"response": checks},
        )

    def sql(self, query: str, *params: Any) -> Any:
        """The first value of the first row."""
        row = self.tenant.connection.execute(query, params).fetchone()
        return None if row is None else row[0]

    def column(self, query: str, *params: Any) -> list[Any]:
        return [row[0] for row in self.tenant.connection.execute(query, params)]

    async def walk(self, path: str, size: int = 100, **params: Any) -> list[str]:
        """The ids on all pages, in order."""
        ids: list[str] = []
        page = 1
        while True:
            answer = await self.get(path, params={**params, "page": page, "page_size": size})
            assert answer.status_code == 200, answer.text
            ids += [row["public_id"] for row in answer.json()["data"]]
            if page * size >= answer.json()["meta"]["total_count"]:
                assert len(ids) == answer.json()["meta"]["total_count"]
                return ids
            page += 1

    async def refused(self, method: str, path: str, status: int, **options: Any) -> dict[str, Any]:
        """The error of a refused call, which must have changed nothing."""
        before = self.tenant.snapshot()
        answer = await self.request(method, path, **options)
        assert answer.status_code == status, answer.text
        assert self.tenant.snapshot() == before
        error = answer.json()["error"]
        assert error["request_id"] == answer.headers["X-Request-Id"]
        return error

    async def wrong(self, method: str, path: str, field: str, **options: Any) -> str:
        """The first message about the one field that a 422 blames."""
        error = await self.refused(method, path, 422, **options)
        assert error["code"] == "validation_error"
        assert list(error["field_errors"]) == [field]
        return error["field_errors"][field][0]


@pytest.fixture
async def client(tenant: Tenant) -> AsyncIterator[Client]:
    async with Client(tenant) as found:
        yield found
