"""Arguments drawn from each tool's own schema, with faults switched on: an answer or a clean error, and no harm."""

from __future__ import annotations

import itertools
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage import Stage, connected, small_tenant, text_of

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

TEXTS = st.one_of(
    st.sampled_from(
        ["", " ", "..", ".", "a/b", "%2e%2e", "null", "\u202eabc", "x" * 600, "1e9", "Security 101", "Sam Lee"]
    ),
    st.text(max_size=30),
)


def known(tenant: Tenant) -> list[str]:
    """Names of things there are: ids, e-mails, names."""
    stage = Stage(tenant)
    found: list[str] = []
    for query in (
        "SELECT email FROM users LIMIT 5",
        "SELECT name FROM users LIMIT 5",
        "SELECT public_id FROM users LIMIT 3",
        "SELECT name FROM groups LIMIT 4",
        "SELECT public_id FROM groups LIMIT 4",
        "SELECT name FROM content_items LIMIT 5",
        "SELECT public_id FROM content_items LIMIT 5",
        "SELECT public_id FROM assignments LIMIT 12",
    ):
        found += stage.column(query)
    return found


def values(schema: dict[str, Any], names: list[str]) -> st.SearchStrategy[Any]:
    """Values that fit a property's schema, and some that do not."""
    if "enum" in schema:
        return st.one_of(st.sampled_from(schema["enum"]), TEXTS)
    kind = schema.get("type")
    if isinstance(kind, list):
        return st.one_of(st.none(), values({**schema, "type": kind[0]}, names))
    if kind == "boolean":
        return st.sampled_from([True, False, "true", 7])
    if kind == "integer":
        return st.one_of(st.integers(-2, 120), st.just(10**30), TEXTS)
    if kind == "array":
        return st.lists(values(schema.get("items", {}), names), max_size=4)
    if kind == "object":
        return st.dictionaries(st.sampled_from(names), st.sampled_from([None, "2027-01-31", "soon"]), max_size=3)
    if schema.get("format") == "date":
        return st.one_of(st.dates().map(str), TEXTS)
    return st.one_of(st.sampled_from(names), st.sampled_from(["2026-01-31", "2027-01-31T00:00:00Z"]), TEXTS)


def arguments(tool: Operation, names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    schema = tool.input_schema
    required = set(schema.get("required", []))
    strategies = {name: values(prop, names) for name, prop in schema["properties"].items()}
    fixed = {name: strategy for name, strategy in strategies.items() if name in required}
    optional = {name: strategy for name, strategy in strategies.items() if name not in required}
    return st.fixed_dictionaries(fixed, optional={**optional, "surplus": st.just(1)})


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    return small_tenant(sizes=Sizes(people=25, groups=6, content_items=15, assignments=60, enrollments=10))


@pytest.mark.parametrize("tool", ALL_TOOLS, ids=lambda tool: tool.name)
def test_an_answer_or_a_clean_error_and_nothing_destroyed(
    tool: Operation, tenant: Tenant, tmp_path_factory: pytest.TempPathFactory
) -> None:
    names = known(tenant)
    seeds = itertools.count()

    async def ask(given_arguments: dict[str, Any]) -> None:
        tenant.faults = Faults.parse(FAULTS, seed=next(seeds))
        async with connected(tenant) as client:
            result = await client.call_tool(tool.name, given_arguments)
        tenant.faults = Faults()
        data = result.structured_content
        assert isinstance(data, dict)
        if result.is_error:
            assert data["code"]
            assert data["code"] != "internal_error", data
            assert data["message"].strip()
            assert text_of(result).startswith(data["message"])
            assert "Traceback" not in text_of(result)
        else:
            assert data["summary"].strip()
        assert tenant.token not in text_of(result)

    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(drawn=arguments(tool, names))
    def run(drawn: dict[str, Any]) -> None:
        before = tenant.snapshot()
        anyio.run(ask, drawn)
        if tool.effect in (Effect.READ, Effect.DESTROY):
            assert tenant.snapshot() == before

    run()
