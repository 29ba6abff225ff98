"""Strictness: bodies, query parameters, ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pp_mcp.demo import Tenant
from pp_mcp.demo.moments import parse_day, parse_moment, shown

from .conftest import Client

pytestmark = pytest.mark.anyio

ID = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/groups", {"name": "A", "colour": "red"}, "colour"),
        ("POST", "/groups", {}, "name"),
        ("POST", "/groups", {"name": None}, "name"),
        ("POST", "/groups", {"name": 7}, "name"),
        ("POST", "/groups", {"name": " \t"}, "name"),
        ("POST", "/groups", {"name": "a\0b"}, "name"),
        ("POST", "/groups", {"name": "x" * 256}, "name"),
        ("POST", "/groups", {"name": "A", "source": ""}, "source"),
        ("POST", "/groups", [], "body"),
        ("POST", "/articles", {"name": "A", "duration": "15"}, "duration"),
        ("POST", "/articles", {"name": "A", "duration": 1.5}, "duration"),
        ("POST", "/articles", {"name": "A", "duration": -1}, "duration"),
        ("POST", "/articles", {"name": "A", "duration": 10**30}, "duration"),
        ("POST", "/articles", {"name": "A", "duration": True}, "duration"),
        ("POST", "/articles", {"name": "A", "is_hidden": "false"}, "is_hidden"),
        ("POST", "/articles", {"name": "A", "is_hidden": 0}, "is_hidden"),
        ("POST", "/users", {"email": "jane", "name": "A"}, "email"),
        ("POST", "/users", {"email": "a b@x.org", "name": "A"}, "email"),
        ("POST", "/users", {"email": "a@x", "name": "A"}, "email"),
        ("POST", "/users", {"email": "a@x.org", "name": "A", "role": "owner"}, "role"),
        ("POST", "/users", {"email": "a@x.org", "name": "A", "manager": "Rosa"}, "manager"),
        ("POST", "/users", {"email": "a@x.org", "name": "A", "manager": ID}, "manager"),
        ("POST", "/users", {"email": "a@x.org", "name": "A", "employee_id": ""}, "employee_id"),
        ("POST", "/users", {"email": "a@x.org", "name": "A", "employee_id": 12}, "employee_id"),
        ("POST", "/assignments", {"user_id": ID, "content_item_id": "x"}, "content_item_id"),
        ("POST", "/assignments", {"user_id": ID, "content_item_id": ID, "due_date": "2026-02-30"}, "due_date"),
        ("POST", "/assignments", {"user_id": ID, "content_item_id": ID, "due_date": "20260201"}, "due_date"),
        ("POST", "/assignments", {"user_id": ID, "content_item_id": ID, "due_date": 0}, "due_date"),
        ("POST", "/assignments", {"user_id": ID, "content_item_id": ID, "expires_at": "2026-02-01"}, "expires_at"),
        ("POST", "/content-items/bulk-archive", {"items": [{"public_id": ID}] * 101}, "items"),
        ("POST", "/content-items/bulk-archive", {"items": [{"public_id": "x"}]}, "items"),
        ("POST", "/content-items/bulk-archive", {"items": [ID]}, "items"),
    ],
)
async def test_a_wrong_body(client: Client, method: str, path: str, body: Any, field: str) -> None:
    assert await client.wrong(method, path, field, json=body)


async def test_all_mistakes_are_named_at_once(client: Client) -> None:
    error = await client.refused("POST", "/users", 422, json={"email": 1, "role": "x", "shoe": 44})
    assert set(error["field_errors"]) == {"email", "name", "role", "shoe"}


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b'{"name": ', "application/json"),
        (b"", "application/json"),
        (b'{"name": "\xff"}', "application/json"),
        (b'{"name": "\\ud800"}', "application/json"),
        (b'{"name": "A"}', "text/plain"),
        (b'{"name": "A"}', ""),
        (b"name=A", "application/x-www-form-urlencoded"),
    ],
)
async def test_a_body_that_is_no_json(client: Client, content: bytes, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    assert await client.wrong("POST", "/groups", "body", content=content, headers=headers)


async def test_a_charset_may_stand_beside_the_content_type(client: Client) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert (await client.post("/groups", content=b'{"name": "A"}', headers=headers)).status_code == 201


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/users", "page=0", "page"),
        ("/users", "page=-1", "page"),
        ("/users", "page=1.0", "page"),
        ("/users", "page=one", "page"),
        ("/users", "page=", "page"),
        ("/users", "page=9999999999999999999", "page"),
        ("/users", "page_size=0", "page_size"),
        ("/users", "page_size=101", "page_size"),
        ("/users", "is_active=1", "is_active"),
        ("/users", "is_active=True", "is_active"),
        ("/users", "role=owner", "role"),
        ("/users", "manager=Rosa", "manager"),
        ("/users", "group=", "group"),
        ("/users", "name=Jane", "name"),
        ("/users", "page=1&page=2", "page"),
        ("/content-items", "content_type=article&content_type=video", "content_type"),
        ("/content-items", "content_type=article,", "content_type"),
        ("/content-items", "created_gte=2026-01-01", "created_gte"),
        ("/content-items", "modified_lte=2026-01-01T00:00:00", "modified_lte"),
        ("/assignments", "due_date_gte=2026-01-01T00:00:00Z", "due_date_gte"),
        ("/assignments", "due_date__gte=2026-01-01", "due_date__gte"),
        ("/assignments", "group=" + ID, "group"),
        ("/enrollments", "event=Workshop", "event"),
    ],
)
async def test_a_wrong_query(client: Client, path: str, query: str, field: str) -> None:
    assert await client.wrong("GET", f"{path}?{query}", field)


async def test_a_write_takes_no_query(client: Client) -> None:
    assert await client.wrong("POST", "/groups?dry_run=true", "dry_run", json={"name": "A"})


@pytest.mark.parametrize("path", ["users", "groups", "articles", "assignments", "content-items"])
async def test_unknown_and_malformed_ids(client: Client, path: str) -> None:
    for public_id in (ID, "7", "x" * 36, "İ" * 36):
        assert (await client.refused("GET", f"/{path}/{public_id}", 404))["code"] == "not_found"
    assert (await client.refused("PATCH", f"/{path}/{ID}", 404, json={}))["code"] == "not_found"
    assert await client.wrong("PATCH", f"/{path}/7", "public_id", json={})


async def test_ids_are_case_insensitive(client: Client) -> None:
    public_id = client.sql("SELECT public_id FROM users")
    assert (await client.get(f"/users/{public_id.upper()}")).json()["public_id"] == public_id


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("2026-03-01T09:30:00Z", "2026-03-01T09:30:00.000000Z"),
        ("2026-03-01t09:30:00.5z", "2026-03-01T09:30:00.500000Z"),
        ("2026-03-01T09:30:00.123456789+02:00", "2026-03-01T07:30:00.123456Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_datetimes(text: str, stored: str) -> None:
    assert parse_moment(text) == stored
    assert parse_moment(shown(stored) or "") == stored


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01",
        "2026-13-01T00:00:00Z",
        "2026-03-01 09:30:00Z",
        "0001-01-01T00:00:00+05:00",
        "now",
        "٢٠٢٦-03-01T00:00:00Z",
    ],
)
def test_what_is_no_datetime(text: str) -> None:
    with pytest.raises(ValueError, match="datetime"):
        parse_moment(text)


def test_what_is_no_day() -> None:
    assert parse_day("2024-02-29") == "2024-02-29"
    for text in ("2026-02-29", "2026-2-1", "today"):
        with pytest.raises(ValueError, match="date"):
            parse_day(text)


async def test_ulids_everywhere(make: Callable[..., Tenant]) -> None:
    tenant = make(ids="ulid")
    async with Client(tenant, by_contract=False) as client:
        users = await client.walk("/users")
        assert all(len(public_id) == 26 and public_id[0] in "01234567" for public_id in users)
        assert not set("ILOU") & set("".join(users))
        assert (await client.get(f"/users/{users[0].lower()}")).json()["public_id"] == users[0]
        group = (await client.post("/groups", json={"name": "A"})).json()
        answer = await client.post(f"/groups/{group['public_id']}/members", json={"member_ids": users[:2]})
        assert answer.json()["member_count"] == 2
        assert "ULID" in await client.wrong("GET", f"/users?manager={ID}", "manager")
        assert "ULID" in await client.wrong("PATCH", f"/users/{ID}", "public_id", json={})
        assert "ULID" in await client.wrong(
            "POST", f"/groups/{group['public_id']}/members", "member_ids", json={"member_ids": [ID]}
        )


async def test_the_other_envelope(make: Callable[..., Tenant]) -> None:
    async with Client(make(envelope="data", total_pages=True), by_contract=False) as client:
        made = await client.post("/groups", json={"name": "A"})
        assert made.json()["data"]["name"] == "A"
        public_id = made.json()["data"]["public_id"]
        assert (await client.get(f"/groups/{public_id}")).json()["data"]["name"] == "A"
        page = (await client.get("/users", params={"page_size": 7})).json()
        assert page["meta"] == {"page": 1, "page_size": 7, "total_count": 60, "total_pages": 9}
        item = client.sql("SELECT public_id FROM content_items")
        bulk = (await client.post("/content-items/bulk-archive", json={"items": [{"public_id": item}]})).json()
        assert bulk["data"][0]["public_id"] == item
        assert "error" in (await client.get("/nothing")).json()
