"""Tokens, roles, paths and methods."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest

from pp_mcp.demo import DEMO_TOKEN, Tenant
from pp_mcp.demo.routes import OPERATIONS

from .conftest import Client, Clock

pytestmark = pytest.mark.anyio

ID = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([], "unauthenticated"),
        ([("Authorization", "")], "unauthenticated"),
        ([("Authorization", DEMO_TOKEN)], "unauthenticated"),
        ([("Authorization", "Bearer ")], "unauthenticated"),
        ([("Authorization", "Basic abc")], "unauthenticated"),
        ([("Authorization", f"Bearer {DEMO_TOKEN} x")], "unauthenticated"),
        ([("Authorization", f"Bearer {DEMO_TOKEN}"), ("Authorization", f"Bearer {DEMO_TOKEN}")], "unauthenticated"),
        ([("Authorization", "Bearer pp_wrong")], "invalid_token"),
        ([("Authorization", f"Bearer {DEMO_TOKEN}x")], "invalid_token"),
    ],
)
async def test_a_bad_token_is_refused(client: Client, headers: list[tuple[str, str]], code: str) -> None:
    del client.headers["Authorization"]
    answer = await client.get("/users", headers=httpx2.Headers(headers))
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == code
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_the_scheme_is_case_insensitive(client: Client) -> None:
    answer = await client.get("/users", headers={"Authorization": f"bearer {DEMO_TOKEN}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("role", ["admin", "organizer", "user"])
async def test_roles(make: Callable[..., Tenant], role: str) -> None:
    async with Client(make(role=role)) as client:
        for operation in OPERATIONS:
            answer = await client.request(operation.method, operation.path.replace("{public_id}", ID))
            reads = operation.method == "GET"
            for_admins = operation.path.startswith(("/auth", "/users"))
            allowed = reads or role == "admin" or (role == "organizer" and not for_admins)
            assert (answer.status_code == 403) is not allowed, operation
            if not allowed:
                assert answer.json()["error"]["code"] == "forbidden"


async def test_a_created_token_works_until_it_expires(make: Callable[..., Tenant], clock: Clock) -> None:
    tenant = make()
    async with Client(tenant) as client:
        body = {"name": "CI", "expires_at": "2026-03-11T12:00:00Z"}
        made = (await client.post("/auth/tokens", json=body)).json()
        forever = (await client.post("/auth/tokens", json={"name": "CI"})).json()
        assert made["token"].startswith("pp_")
        assert made["expires_at"] == "2026-03-11T12:00:00Z"
        assert forever["expires_at"] is None
        stored = client.column("SELECT token_hash || name || public_id FROM tokens")
        assert len(stored) == 2
        assert not any(made["token"] in text for text in stored)
        assert await client.wrong(
            "POST", "/auth/tokens", "expires_at", json={**body, "expires_at": "2020-01-01T00:00:00Z"}
        )
        assert await client.wrong("POST", "/auth/tokens", "name", json={"name": "x" * 129})
    async with Client(tenant, made["token"]) as short, Client(tenant, forever["token"]) as long:
        assert (await short.post("/auth/tokens", json={"name": "Of the same role"})).status_code == 201
        clock.pass_(hours=23, minutes=59)
        assert (await short.get("/users")).status_code == 200
        clock.pass_(minutes=1)
        assert (await short.get("/users")).json()["error"]["code"] == "invalid_token"
        assert (await long.get("/users")).status_code == 200


@pytest.mark.parametrize("path", ["/nothing", "/users/", "/users/x/y", "/assignments/x/explode", ""])
async def test_an_unknown_path_is_a_404(client: Client, path: str) -> None:
    answer = await client.get(f"{client.tenant.base_url}{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


async def test_outside_the_prefix_there_is_nothing(client: Client) -> None:
    assert (await client.get("https://demo.plusplus.app/users")).status_code == 404
    assert (await client.get("https://demo.plusplus.app/public_api/v2users")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", f"/users/{ID}", "GET, PATCH"),
        ("GET", f"/groups/{ID}/members", "DELETE, POST, PUT"),
        ("OPTIONS", "/enrollments", "GET"),
        ("GET", "/content-items/bulk-archive", "POST"),
    ],
)
async def test_another_method_is_a_405(client: Client, method: str, path: str, allow: str) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == allow
    assert answer.json()["error"]["code"] == "method_not_allowed"


async def test_every_request_is_logged(client: Client, tenant: Tenant) -> None:
    await client.get("/users", params={"page": 2})
    await client.post("/groups", json={"name": "A"})
    await client.post("/groups", json={})
    await client.get("/nothing")
    assert list(tenant.requests) == [
        ("GET", "/users", 200, False),
        ("POST", "/groups", 201, True),
        ("POST", "/groups", 422, False),
        ("GET", "/nothing", 404, False),
    ]


async def test_what_changes_nothing_counts_as_not_applied(client: Client, tenant: Tenant) -> None:
    group = client.sql("SELECT public_id FROM groups")
    name = client.sql("SELECT name FROM groups WHERE public_id = ?", group)
    await client.patch(f"/groups/{group}", json={"name": name})
    assert tenant.requests[-1] == ("PATCH", f"/groups/{group}", 200, False)


def test_a_tenant_has_one_of_three_roles() -> None:
    with pytest.raises(ValueError, match="admin, organizer or user"):
        Tenant(role="owner")
