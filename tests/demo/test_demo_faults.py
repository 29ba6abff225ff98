"""Every fault, as a client sees it and as the database does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import anyio
import httpx2
import pytest
from starlette.types import Message

from pp_mcp.demo import ConnectionDropped, Faults, Sizes, Tenant

from .conftest import Client

pytestmark = pytest.mark.anyio


@pytest.fixture
async def faulty(tenant: Tenant) -> AsyncIterator[Client]:
    async with Client(tenant, by_contract=False) as found:
        yield found


async def create(client: Client) -> httpx2.Response:
    return await client.post("/groups", json={"name": "Made under fault"})


def made(client: Client) -> int:
    return client.sql("SELECT count(*) FROM groups WHERE name = 'Made under fault'")


@pytest.mark.parametrize(("spec", "retry_after"), [("429=1", "1"), ("429-bare=1", None)])
async def test_rate_limited(faulty: Client, tenant: Tenant, spec: str, retry_after: str | None) -> None:
    tenant.faults = Faults.parse([spec])
    answer = await create(faulty)
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "rate_limited"
    assert answer.headers.get("Retry-After") == retry_after
    assert (answer.headers["X-RateLimit-Remaining"], answer.headers["X-RateLimit-Reset"]) == ("0", "1")
    assert made(faulty) == 0


async def test_server_errors(faulty: Client, tenant: Tenant) -> None:
    tenant.faults = Faults.parse(["5xx=1"])
    answers = [await create(faulty) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [503, 504, 500, 502, 503]
    assert answers[0].json()["error"]["code"] == "server_error"
    assert made(faulty) == 0
    tenant.faults = Faults.parse(["5xx-after=1"])
    assert (await create(faulty)).status_code == 503
    assert made(faulty) == 1
    assert tenant.requests[-1] == ("POST", "/groups", 503, True)


async def test_a_burst(faulty: Client, tenant: Tenant) -> None:
    tenant.faults = Faults.parse(["5xx-burst=5/2"])
    statuses = [(await faulty.get("/groups")).status_code for _ in range(10)]
    assert [status >= 500 for status in statuses] == [False, False, False, True, True] * 2


async def test_broken_connections(faulty: Client, tenant: Tenant) -> None:
    tenant.faults = Faults.parse(["drop-before=1"])
    with pytest.raises(httpx2.RemoteProtocolError):
        await create(faulty)
    assert made(faulty) == 0
    with pytest.raises(httpx2.ReadError):
        await create(faulty)
    tenant.faults = Faults.parse(["drop-after=1"])
    with pytest.raises(httpx2.RemoteProtocolError):
        await create(faulty)
    assert made(faulty) == 1
    with pytest.raises(httpx2.ReadError):
        await faulty.get("/users")
    with pytest.raises(httpx2.TransportError):
        await faulty.post("/groups", json={})
    assert [tuple(arrival)[2:] for arrival in tenant.requests] == [
        (0, False),
        (0, False),
        (0, True),
        (0, False),
        (0, False),
    ]


async def test_truncated(faulty: Client, tenant: Tenant) -> None:
    tenant.faults = Faults.parse(["truncate=1"])
    answer = await create(faulty)
    assert answer.status_code == 201
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert made(faulty) == 1
    item = faulty.sql("SELECT public_id FROM content_items")
    assert (await faulty.delete(f"/content-items/{item}")).status_code == 204


async def test_garbage(faulty: Client, tenant: Tenant) -> None:
    tenant.faults = Faults.parse(["garbage=1"])
    answers = [await create(faulty), await create(faulty)]
    assert [answer.status_code for answer in answers] == [200, 502]
    assert all(answer.headers["Content-Type"].startswith("text/html") for answer in answers)
    assert made(faulty) == 0


async def test_wrong_type(faulty: Client, tenant: Tenant) -> None:
    tenant.faults = Faults.parse(["wrong-type=1"])
    answer = await create(faulty)
    assert isinstance(answer.json(), list)
    assert made(faulty) == 1
    item = faulty.sql("SELECT public_id FROM content_items")
    assert (await faulty.delete(f"/content-items/{item}")).content == b""


async def test_a_revoked_token(faulty: Client, tenant: Tenant) -> None:
    tenant.faults = Faults.parse(["revoke-after=2"])
    answers = [await faulty.get("/users") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 401, 401]
    assert answers[-1].json()["error"]["code"] == "invalid_token"
    tenant.faults = Faults()
    assert (await faulty.get("/users")).status_code == 200


async def test_latency(faulty: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(anyio, "sleep", sleep)
    tenant.faults = Faults.parse(["latency=2.5"])
    await faulty.get("/users")
    tenant.faults.latency = 0
    await faulty.get("/users")
    assert slept == [2.5]


@pytest.mark.parametrize("path", ["/users", "/groups", "/articles", "/content-items", "/assignments", "/enrollments"])
async def test_drift(faulty: Client, tenant: Tenant, path: str) -> None:
    tenant.faults = Faults.parse(["drift=1"])
    before = tenant.snapshot()
    totals = []
    for page in (1, 2) * 12:
        answer = await faulty.get(path, params={"page": page, "page_size": 4})
        assert answer.status_code == 200
        totals.append(answer.json()["meta"]["total_count"])
        if page == 1 and len(totals) == 1:
            assert tenant.snapshot() == before
    assert len(set(totals)) > 1
    if path != "/enrollments":
        assert any(later > earlier for earlier, later in pairwise(totals))
    assert any(later < earlier for earlier, later in pairwise(totals))
    assert not any(arrival.applied for arrival in tenant.requests)


async def test_drift_without_rows(make: Callable[..., Tenant]) -> None:
    tenant = make(sizes=Sizes(people=1, groups=0, content_items=0, assignments=0, enrollments=0))
    async with Client(tenant) as client:
        for path in ("/enrollments", "/assignments", "/users", "/users", "/users", "/users"):
            tenant.faults.script(["drift"])
            assert (await client.get(path)).status_code == 200
        tenant.faults.script(["drift"])
        person = client.sql("SELECT public_id FROM users")
        assert (await client.get(f"/users/{person}")).status_code == 200


async def test_a_script(faulty: Client, tenant: Tenant) -> None:
    tenant.faults.script(["5xx", "ok", "500", "504"])
    statuses = [(await faulty.get("/users")).status_code for _ in range(5)]
    assert statuses == [503, 200, 500, 504, 200]
    assert tenant.faults.scripted == 0


async def test_a_script_for_some_requests_only(faulty: Client, tenant: Tenant) -> None:
    tenant.faults.script(["drop-after"], writes_only=True)
    tenant.faults.script(["502"], path="/enrollments")
    assert (await faulty.get("/users")).status_code == 200
    assert (await faulty.get("/enrollments")).status_code == 502
    with pytest.raises(httpx2.TransportError):
        await create(faulty)
    assert (await create(faulty)).status_code == 201
    assert made(faulty) == 2


async def test_scripted_before_drawn(faulty: Client, tenant: Tenant) -> None:
    tenant.faults = Faults(server_error=1.0)
    tenant.faults.script(["ok", "429"])
    assert [(await faulty.get("/users")).status_code for _ in range(3)] == [200, 429, 503]


async def test_faults_come_after_the_token(tenant: Tenant) -> None:
    tenant.faults = Faults(server_error=1.0)
    async with Client(tenant, "pp_wrong") as client:
        assert (await client.get("/users")).status_code == 401
        assert (await client.get("/nothing")).status_code == 404


def test_shares_are_kept_and_repeat() -> None:
    def draw(seed: int) -> list[str | None]:
        faults = Faults.parse(["429=0.1", "drop-before=0.2", "drift=0.3"], seed=seed)
        return [faults.strike(writes=False, path="/users") for _ in range(1000)]

    assert draw(1) == draw(1) != draw(2)
    assert 60 < draw(1).count("429") < 140
    assert 150 < draw(1).count("drop-before") < 250


def test_every_name_can_be_parsed() -> None:
    texts = {"latency": "0.1", "5xx-burst": "20/10", "revoke-after": "50"}
    for name, line in Faults.NAMES.items():
        faults = Faults.parse([f" {name}={texts.get(name, '0.05')}"])
        assert faults != Faults()
        assert name in line
    assert Faults.parse([]) == Faults()
    assert Faults.parse(["5xx-burst=20/10"]).server_error_burst == (20, 10)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "5xx",
        "5xx=",
        "5xx=much",
        "5xx=1.5",
        "5xx=-1",
        "5xx=nan",
        "latency=-1",
        "latency=inf",
        "5xx-burst=20",
        "5xx-burst=10/20",
        "5xx-burst=0/0",
        "revoke-after=-1",
        "revoke-after=0.5",
        "smoke=1",
    ],
)
def test_a_wrong_spec_lists_the_right_ones(spec: str) -> None:
    with pytest.raises(ValueError, match="Not a fault") as wrong:
        Faults.parse([spec])
    assert all(name in str(wrong.value) for name in Faults.NAMES)


def test_shares_cannot_exceed_the_whole() -> None:
    with pytest.raises(ValueError, match="more than 1"):
        Faults(drop_after=0.6, garbage=0.6)


def test_a_script_knows_its_names() -> None:
    faults = Faults()
    with pytest.raises(ValueError, match="drop-before"):
        faults.script(["5xx", "latency"])
    assert faults.scripted == 0


async def test_over_bare_asgi_the_exception_comes_through(tenant: Tenant) -> None:
    tenant.faults.script(["drop-before"])
    headers = {"Authorization": f"Bearer {tenant.token}"}
    transport = httpx2.ASGITransport(app=tenant.app)
    async with httpx2.AsyncClient(transport=transport, base_url=tenant.base_url, headers=headers) as client:
        with pytest.raises(ConnectionDropped):
            await client.get("/users")


async def test_a_client_that_leaves_is_no_error(tenant: Tenant) -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/public_api/v2/groups",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {tenant.token}".encode())],
    }
    await tenant.app(scope, receive, send)
    assert len(tenant.requests) == 0
