"""Wrong arguments: an error that names the argument and the accepted form, and nothing sent at all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
from stage import WAYS, Network, Stage, Way, ask, connected, refused

from pp_mcp.demo import Tenant
from pp_mcp.errors import InvalidArgument
from pp_mcp.inventory import BY_NAME
from pp_mcp.server.arguments import UNKNOWN_NAMED, parse

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


@pytest.mark.parametrize(
    ("argument", "given", "sent"),
    [
        ("created_gte", "2026-03-01", "2026-02-28T23:00:00Z"),
        ("created_lte", "2026-03-29", "2026-03-29T21:59:59.999999Z"),
        ("created_gte", "2026-07-01 10:00", "2026-07-01T08:00:00Z"),
        ("created_gte", "2026-07-01T10:00Z", "2026-07-01T10:00:00Z"),
    ],
)
async def test_a_date_is_a_day_in_the_time_zone(argument: str, given: str, sent: str, tenant: Tenant) -> None:
    network = Network(tenant)
    async with connected(tenant, transport=network, timezone="Europe/Berlin") as client:
        await ask(client, "list_assignments", **{argument: given})
    assert dict(parse_qsl(network.queries[-1]))[argument] == sent


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


@pytest.mark.parametrize("nothing", [None, ""])
async def test_null_and_nothing_mean_not_given(nothing: Any, tenant: Tenant, stage: Stage) -> None:
    """Many frameworks fill in every argument there is."""
    person = stage.one("SELECT email FROM users WHERE manager_id IS NOT NULL AND is_active")
    manager = "SELECT manager_id FROM users WHERE email = ?"
    before = stage.one(manager, person)
    filled = dict.fromkeys(BY_NAME["update_user"].arguments.model_fields, nothing)
    async with connected(tenant) as client:
        done = await ask(client, "update_user", **filled | {"user": person, "name": "Renamed"})
        assert list(done["changes"]) == ["name"]
        filled = dict.fromkeys(BY_NAME["list_users"].arguments.model_fields, nothing)
        assert await ask(client, "list_users", **filled) == await ask(client, "list_users")
        assert "user: is required" in (await refused(client, "get_user", user=nothing))["message"]
    assert stage.one(manager, person) == before


async def test_one_where_a_list_is_expected_is_a_list_of_one(tenant: Tenant, stage: Stage) -> None:
    group = stage.group()
    member = stage.members(group)[0]
    async with connected(tenant) as client:
        one = await ask(client, "search_content", content_type="article")
        assert one == await ask(client, "search_content", content_type=["article"])
        given: list[Any] = [member, [member], json.dumps([member])]
        previews = [await ask(client, "remove_group_members", group=group, members=members) for members in given]
    assert len({preview["summary"] for preview in previews}) == 1


async def test_an_empty_list_is_a_value(tenant: Tenant, stage: Stage) -> None:
    async with connected(tenant) as client:
        preview = await ask(client, "replace_group_members", group=stage.group(), members=[])
    assert preview["status"] == "confirmation_required"


async def test_any_number_of_unknown_arguments_costs_little(tenant: Tenant) -> None:
    flood = {f"argument_{number}": number for number in range(260_000)}
    began = time.monotonic()
    with pytest.raises(InvalidArgument) as caught:
        parse(BY_NAME["list_users"], flood | {"page": 0})
    assert time.monotonic() - began < 1.0
    assert len(caught.value.field_errors) == UNKNOWN_NAMED + 1
    assert "page" in caught.value.field_errors


def test_every_list_has_a_most() -> None:
    def lists(schema: Any) -> Iterator[dict[str, Any]]:
        for value in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else []:
            if isinstance(value, dict) and value.get("type") == "array":
                yield value
            yield from lists(value)

    found = [one for tool in BY_NAME.values() for one in lists(tool.input_schema["properties"])]
    assert len(found) > 10
    assert all(1 <= one["maxItems"] <= 1_000 for one in found)


async def test_a_list_without_a_limit_of_its_own_has_one_too(tenant: Tenant, stage: Stage) -> None:
    async with connected(tenant) as client:
        error = await refused(client, "update_content_item", content_item=stage.item(), groups=["x"] * 1_001)
    assert "groups must have at most" in error["message"]
    assert not tenant.requests
