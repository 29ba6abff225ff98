"""Wrong arguments: an error that names the argument and the accepted form, and nothing sent at all."""

from __future__ import annotations

from typing import Any

import pytest
from stage import WAYS, Stage, Way, ask, connected, refused

from pp_mcp.demo import Tenant

pytestmark = pytest.mark.anyio

SOME_ID = "00000000-0000-4000-8000-000000000000"

MISTAKES: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("list_users", {"emial": "a@b.example"}, "emial", ["unknown argument", "did you mean email?"]),
    ("list_users", {"zzz": 1}, "zzz", ["unknown argument", "valid: ", "is_active"]),
    ("get_user", {}, "user", ["is required"]),
    ("get_user", {"user": 7}, "user", ["valid string", "7"]),
    ("get_user", {"user": ["a"]}, "user", ["valid string"]),
    ("list_users", {"email": "jane"}, "email", ["one e-mail address such as"]),
    ("list_users", {"email": "a@b.example, c@d.example"}, "email", ["one e-mail address"]),
    ("list_users", {"role": "boss"}, "role", ["must be one of admin, organizer or user", "boss"]),
    ("list_users", {"page": 0}, "page", ["greater than or equal to 1", "0"]),
    ("list_users", {"page": 2_000_000}, "page", ["at most 1,000,000"]),
    ("list_users", {"page_size": 101}, "page_size", ["less than or equal to 100", "101"]),
    ("list_users", {"page": "two"}, "page", ["valid integer", "two"]),
    ("list_users", {"page": 1.5}, "page", ["valid integer", "1.5"]),
    ("list_users", {"is_active": "maybe"}, "is_active", ["valid boolean", "maybe"]),
    ("list_users", {"search": " "}, "search", ["at least 1 character"]),
    ("list_users", {"search": "x" * 201}, "search", ["at most 200 characters"]),
    ("list_users", {"detail": "brief"}, "detail", ["concise", "full"]),
    ("list_assignments", {"due_date_gte": "31.12.2026"}, "due_date_gte", ["YYYY-MM-DD"]),
    ("list_assignments", {"due_date_gte": "2026-02-30"}, "due_date_gte", ["date that exists"]),
    ("list_assignments", {"due_date_gte": 20261231}, "due_date_gte", ["YYYY-MM-DD"]),
    ("list_assignments", {"created_gte": "yesterday"}, "created_gte", ["ISO 8601"]),
    ("list_assignments", {"created_gte": "2026-01-01T25:00:00Z"}, "created_gte", ["ISO 8601"]),
    ("search_content", {"content_type": ["article", "film"]}, "content_type", ["entry 2", "film", "scheduled_track"]),
    ("search_content", {"content_type": "film"}, "content_type", ["entry 1", "film"]),
    ("search_content", {"content_type": []}, "content_type", ["at least 1 item"]),
    ("search_content", {"content_type": "[not json"}, "content_type", ["entry 1", "[not json"]),
    ("add_group_members", {"group": SOME_ID, "members": ["a"] * 1001}, "members", ["at most 1,000 entries", "split"]),
    ("archive_content_items", {"items": []}, "items", ["at least 1 item"]),
    ("create_user", {"email": "a@b.example", "name": "  "}, "name", ["at least 1 character"]),
    ("create_article", {"name": "A", "duration": -1}, "duration", ["greater than or equal to 0"]),
    ("update_assignment", {"assignment": SOME_ID, "due_date": "soon"}, "due_date", ["YYYY-MM-DD"]),
    ("report_assignments", {"group_by": ["boss"]}, "group_by", ["entry 1", "manager"]),
    ("report_assignments", {"group_by": ["user"] * 4}, "group_by", ["at most 3"]),
    ("bulk_update_assignments", {"action": "delete"}, "action", ["set_due_date", "delete"]),
]


@pytest.mark.parametrize(("tool", "arguments", "name", "words"), MISTAKES)
async def test_a_mistake_is_named_and_nothing_sent(
    tool: str, arguments: dict[str, Any], name: str, words: list[str], tenant: Tenant
) -> None:
    async with connected(tenant) as client:
        error = await refused(client, tool, **arguments)
    assert error["code"] == "invalid_argument"
    assert error["retryable"] is False
    for word in words:
        assert word in error["message"]
    assert name in error["message"]
    assert "Nothing was sent" in error["message"]
    assert "pydantic" not in error["message"]
    assert not tenant.requests


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_all_mistakes_are_named_at_once(way: Way, tenant: Tenant) -> None:
    async with connected(tenant, way) as client:
        error = await refused(client, "list_users", page=0, role="boss", nmae="x")
    assert error["message"].startswith("list_users: 3 invalid arguments")
    assert all(f"{name}: " in error["message"] for name in ("page", "role", "nmae"))


@pytest.mark.parametrize(
    "arguments",
    [
        {"page": "2", "page_size": "10", "is_active": "true"},
        {"search": None, "role": None, "page": 1},
        {"email": "  JANE.DOE@acme.example "},
    ],
)
async def test_what_is_clear_is_taken(arguments: dict[str, Any], tenant: Tenant) -> None:
    async with connected(tenant) as client:
        assert (await ask(client, "list_users", **arguments))["summary"]


async def test_a_list_in_a_string_is_taken_as_the_list(tenant: Tenant, stage: Stage) -> None:
    async with connected(tenant) as client:
        one = await ask(client, "search_content", content_type='["article", "video"]')
        other = await ask(client, "search_content", content_type=["article", "video"])
    assert one == other


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("2026-03-01", "2026-03-01T00:00:00Z"),
        ("2026-03-01T10:00:00+02:00", "2026-03-01T08:00:00Z"),
        ("2026-03-01 10:00", "2026-03-01T10:00:00Z"),
    ],
)
async def test_a_moment_in_any_spelling_means_the_same(given: str, sent: str, tenant: Tenant) -> None:
    async with connected(tenant) as client:
        one = await ask(client, "list_assignments", created_gte=given)
        other = await ask(client, "list_assignments", created_gte=sent)
    assert {**one, "csv": ""} == {**other, "csv": ""}


@pytest.mark.parametrize("tool", ["update_user", "update_article", "update_content_item", "update_assignment"])
async def test_a_change_of_nothing_says_what_could_be_changed(tool: str, tenant: Tenant, stage: Stage) -> None:
    target = {
        "update_user": {"user": stage.person()},
        "update_article": {"article": stage.item("content_type = 'article'")},
        "update_content_item": {"content_item": stage.item()},
        "update_assignment": {"assignment": stage.assignment("in_progress")},
    }[tool]
    async with connected(tenant) as client:
        error = await refused(client, tool, **target)
    assert error["message"].startswith("Nothing to change. Give")
    assert stage.writes() == []
