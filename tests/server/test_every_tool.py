"""Every tool does what its case says; one tool of each kind in every way of connecting, in both eras of the protocol."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from stage import IN_MEMORY, WAYS, Stage, Way, connected, data_of, text_of

from pp_mcp.declare import Effect
from pp_mcp.inventory import ALL_TOOLS, BY_NAME

from .cases import CASES, Case

pytestmark = pytest.mark.anyio

EVERY_WAY = ("list_users", "report_assignments", "update_user", "bulk_update_assignments")
"""A page, a report, a write of one thing that asks first, and one of many that tells its progress."""

CALLS = [
    pytest.param(case, way, id=" ".join((case.tool, *way)))
    for case in CASES
    for way in (WAYS if case.tool in EVERY_WAY else [IN_MEMORY])
]


def test_the_table_covers_the_inventory() -> None:
    assert [case.tool for case in CASES] == sorted({case.tool for case in CASES}, key=[c.tool for c in CASES].index)
    assert {case.tool for case in CASES} == {tool.name for tool in ALL_TOOLS}
    for case in CASES:
        assert (case.look is None) == (BY_NAME[case.tool].effect is Effect.READ), case.tool
        assert not case.preview or BY_NAME[case.tool].may_confirm, case.tool
        assert case.preview or BY_NAME[case.tool].effect is not Effect.DESTROY, case.tool


@pytest.mark.parametrize(("case", "way"), CALLS)
async def test_a_tool_does_what_it_says(case: Case, way: Way, stage: Stage, tmp_path: Path) -> None:
    tool = BY_NAME[case.tool]
    arguments = case.arguments(stage)
    before = stage.tenant.snapshot()
    seen = case.look(stage, arguments) if case.look else None
    schema = Draft202012Validator(tool.output_schema)
    async with connected(stage.tenant, way, secrets_dir=tmp_path) as client:
        result = await client.call_tool(case.tool, arguments)
        if case.preview:
            assert not result.is_error, text_of(result)
            answer = data_of(result)
            assert answer["status"] == "confirmation_required"
            assert answer["effects"]
            assert answer["target"]["name"]
            assert isinstance(answer["irreversible"], bool)
            assert stage.tenant.snapshot() == before
            assert stage.writes() == []
            schema.validate(answer)
            flags = dict.fromkeys(answer.get("needs", []), True)
            arguments = arguments | flags | {"confirm_token": answer["confirm_token"]}
            result = await client.call_tool(case.tool, arguments)
    assert not result.is_error, text_of(result)
    answer = data_of(result)
    schema.validate(answer)
    assert json.loads(text_of(result)) == answer
    assert text_of(result).startswith('{"summary":"')
    assert answer["summary"].endswith((".", "!")), answer["summary"]
    if case.look is None:
        assert stage.tenant.snapshot() == before
        assert stage.writes() == []
        return
    assert answer["status"] == "done", answer["summary"]
    expected = case.after(seen, arguments) if callable(case.after) else case.after
    assert seen != expected
    assert case.look(stage, arguments) == expected
    assert len([one for one in stage.writes() if one.applied]) == (2 if case.tool.startswith("bulk_") else 1)
