"""Arguments drawn from each tool's own schema, with faults switched on: an answer or a clean error, and no harm."""

from __future__ import annotations

import itertools
import json
from datetime import date
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from mcp.types import CallToolResult
from stage import FULL, Stage, connected, data_of, small_tenant, text_of

from pp_mcp.declare import Effect, Operation
from pp_mcp.demo import Faults, Sizes, Tenant
from pp_mcp.inventory import ALL_TOOLS

FAULTS = [
    "429=0.05",
    "5xx=0.05",
    "5xx-after=0.03",
    "drop-before=0.05",
    "drop-after=0.05",
    "truncate=0.05",
    "garbage=0.05",
]

JUNK = st.one_of(
    st.sampled_from(["", " ", "..", ".", "a/b", "%2e%2e", "null", "\u202eabc", "x" * 600, "1e9", "Security 101"]),
    st.sampled_from([None, 7, -1, 10**30, 1.5, True, [], {}, ["a", 1], {"a": None}]),
    st.text(max_size=30),
)

KNOWN = {
    "user": ["SELECT email FROM users", "SELECT name FROM users", "SELECT public_id FROM users"],
    "group": ["SELECT public_id FROM groups", "SELECT name FROM groups"],
    "content_item": ["SELECT public_id FROM content_items", "SELECT name FROM content_items"],
    "article": ["SELECT public_id FROM content_items WHERE content_type = 'article'"],
    "event": ["SELECT public_id FROM content_items WHERE content_type = 'event'"],
    "channel": ["SELECT public_id FROM channels"],
    "assignment": ["SELECT public_id FROM assignments"],
}


def known(tenant: Tenant) -> dict[str, list[str]]:
    """Ids, e-mails and names of what there is, by kind."""
    stage = Stage(tenant)
    return {kind: [one for query in queries for one in stage.column(query)] for kind, queries in KNOWN.items()}


def fitting(name: str, schema: dict[str, Any], things: list[str]) -> st.SearchStrategy[Any]:
    """Values that fit a property's schema; `things` are what a reference may name."""
    kind = schema.get("type")
    if isinstance(kind, list):
        return st.none() | fitting(name, {**schema, "type": kind[0]}, things)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if kind == "array":
        return st.lists(fitting(name, schema["items"], things), min_size=1, max_size=3)
    if things:
        return st.sampled_from(things)
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        return st.integers(schema.get("minimum", 0), min(schema.get("maximum", 4), 100))
    if kind == "object":
        return st.just({})
    if schema.get("format") == "date" or name.endswith(("_gte", "_lte", "_at")):
        return st.dates(date(2025, 1, 1), date(2028, 1, 1)).map(str)
    if schema.get("format") == "email":
        return st.integers(0, 999).map(lambda number: f"new{number}@acme.example")
    return st.sampled_from(["a", "Security", "Platform", "New Name", "6b0546cc.AAAA"])


@st.composite
def arguments(draw: st.DrawFn, tool: Operation, names: dict[str, list[str]]) -> dict[str, Any]:
    """Arguments that fit, and in every third set one that does not."""
    schema = tool.input_schema
    required, drawn = set(schema.get("required", [])), dict[str, Any]()
    for name, prop in schema["properties"].items():
        if name in required or draw(st.sampled_from([True, False, False])):
            reference = tool.references.get(name)
            kind = reference.kind if reference else "assignment" if name == "assignments" else ""
            drawn[name] = draw(fitting(name, prop, names.get(kind, [])))
    if draw(st.sampled_from([True, False, False])):
        drawn[draw(st.sampled_from([*schema["properties"], "surplus"]))] = draw(JUNK)
    return drawn


@pytest.fixture(scope="module")
def tenant() -> Tenant:
    return small_tenant(sizes=Sizes(people=25, groups=6, content_items=15, assignments=60, enrollments=10))


def guarded(state: dict[str, Any]) -> dict[str, Any]:
    """What of a tenant only a confirmed call may change, by tool: roles, who is active, who may open an item."""
    people = {key: (one["role"], one["is_active"]) for key, one in state["users"].items()}
    items = {key: bool(one["groups"]) for key, one in state["content_items"].items()}
    return {"update_user": people, "update_content_item": items}


def unharmed(tool: Operation, before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether nothing happened that a person would have had to confirm."""
    if tool.effect in (Effect.READ, Effect.DESTROY):
        return after == before
    was, now = guarded(before), guarded(after)
    gone = {"update_user": [], "update_content_item": []}
    for key, (role, active) in was["update_user"].items():
        # Coming back needs no confirming; a new role and leaving do.
        gone["update_user"] += [key] * (now["update_user"][key] not in ((role, active), (role, 1)))
    for key, limited in was["update_content_item"].items():
        gone["update_content_item"] += [key] * (limited and not now["update_content_item"][key])
    return not any(gone.values()) and not set(before["assignments"]) - set(after["assignments"])


@pytest.mark.parametrize("tool", ALL_TOOLS, ids=lambda tool: tool.name)
def test_an_answer_or_a_clean_error_and_nothing_destroyed(tool: Operation, tenant: Tenant) -> None:
    names = known(tenant)
    seeds = itertools.count()
    output = Draft202012Validator(tool.output_schema)

    async def ask_all(batch: list[dict[str, Any]]) -> None:
        async with connected(tenant) as client:
            for given_arguments in batch:
                seed = next(seeds)
                tenant.faults = Faults.parse(FAULTS, seed=seed) if seed % 2 else Faults()
                examine(await client.call_tool(tool.name, given_arguments))
        tenant.faults = Faults()

    def examine(result: CallToolResult) -> None:
        data = data_of(result)
        if result.is_error:
            assert data["code"]
            assert data["code"] != "internal_error", data
            assert data["message"].strip()
            assert text_of(result).startswith(data["message"])
            assert "Traceback" not in text_of(result)
        else:
            output.validate(data)
            assert json.loads(text_of(result)) == data
            assert data["summary"].strip()
        assert tenant.token not in text_of(result)

    @settings(max_examples=6 if FULL else 1)
    @given(batch=st.lists(arguments(tool, names), min_size=8, max_size=8))
    def run(batch: list[dict[str, Any]]) -> None:
        before = tenant.snapshot()
        anyio.run(ask_all, batch)
        assert unharmed(tool, before, tenant.snapshot())

    run()
