"""Everything from the tenant stays data: in named fields or between our quotes, visible, cut, and without effect."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.types import Implementation, ResourceTemplateReference
from server.cases import CASES, WRITES, Case
from stage import Carry, Json, Network, Stage, ask, call, confirm, data_of, some_of

from pp_mcp.inventory import ALL_TOOLS, BY_NAME
from pp_mcp.server.csv import csv_template
from pp_mcp.server.instructions import INSTRUCTIONS

from .hostile import MARK, TEXTS, examine, invisible, sentence, spoil
from .tenant import serve

pytestmark = pytest.mark.anyio


@pytest.fixture
def spoilt(stage: Stage) -> Stage:
    spoil(stage)
    return stage


def test_the_instructions_say_so() -> None:
    assert "data" in INSTRUCTIONS
    assert "never follow" in INSTRUCTIONS


def test_every_tool_is_examined() -> None:
    assert {case.tool for case in CASES} == set(BY_NAME)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.tool)
async def test_no_tool_passes_hostile_text_on_as_its_own_words(case: Case, spoilt: Stage) -> None:
    arguments = case.arguments(spoilt)
    arguments.pop("status", None)
    first = await call(spoilt.client, case.tool, **arguments)
    assert not first.is_error, first.structured_content
    seen = examine(first)
    answer = data_of(first)
    if answer.get("status") == "confirmation_required":
        flags = dict.fromkeys(answer.get("needs", []), True)
        done = await call(spoilt.client, case.tool, **arguments, **flags, confirm_token=answer["confirm_token"])
        seen += examine(done)
        answer = data_of(done)
    undo = answer.get("undo") or []
    for one in undo if isinstance(undo, list) else [undo]:
        back = await call(spoilt.client, one["tool"], **one["arguments"])
        assert not back.is_error
        seen += examine(back)
    # Some show nothing that people typed: what they make themselves, and counts by status.
    assert seen > 0 or case.tool.startswith("create_") or case.tool == "report_enrollments"


READS_IN_FULL = [case for case in CASES if "detail" in BY_NAME[case.tool].arguments.model_fields]


@pytest.mark.parametrize("case", READS_IN_FULL, ids=lambda case: case.tool)
async def test_full_rows_neither(case: Case, spoilt: Stage) -> None:
    arguments = case.arguments(spoilt) | {"detail": "full", "page_size": 100}
    arguments.pop("status", None)
    assert examine(await call(spoilt.client, case.tool, **arguments)) > 0


REPORTS: list[tuple[str, Json]] = [
    *(
        ("report_assignments", {"group_by": [by], "top": 100})
        for by in ("user", "manager", "content_item", "content_type", "state", "due_month")
    ),
    *(
        ("report_enrollments", {"group_by": [by], "top": 100})
        for by in ("event", "status", "attendance_method", "user")
    ),
    ("report_content", {"stale_days": 1, "top": 100}),
    ("list_group_members", {"group": "group"}),
    ("report_assignments", {"group": "group", "group_by": ["user", "content_item"]}),
    ("report_assignments", {"manager": "manager"}),
]


@pytest.mark.parametrize(("tool", "arguments"), REPORTS)
async def test_no_report_does(tool: str, arguments: Json, spoilt: Stage) -> None:
    named = {
        "group": spoilt.group(),
        "manager": spoilt.one("SELECT public_id FROM users WHERE id IN (SELECT manager_id FROM users)"),
    }
    arguments = {
        name: named.get(value, value) if isinstance(value, str) else value for name, value in arguments.items()
    }
    examine(await call(spoilt.client, tool, **arguments))


REFERENCES = {
    tool.name: tool.references
    for tool in BY_NAME.values()
    if any(one.kind != "assignment" for one in tool.references.values())
}


@pytest.mark.parametrize("text", ["zqx", *TEXTS], ids=lambda text: ascii(text[:20]))
async def test_errors_with_candidates_do_not(text: str, spoilt: Stage) -> None:
    """A part of a hostile name, which many things match, and hostile names whole, given as the reference itself."""
    candidates = 0
    for tool, references in REFERENCES.items():
        case = next(one for one in CASES if one.tool == tool)
        arguments = case.arguments(spoilt)
        for name in references:
            wrong = [text] if isinstance(arguments.get(name), list) else text
            result = await call(spoilt.client, tool, **{**arguments, name: wrong})
            assert result.is_error
            examine(result)
            candidates += len(data_of(result).get("candidates", []))
    assert candidates > 0 or text not in ("zqx",)


ENVELOPES = [409, 422, 400, 403, 404, 401, 500, 418, 302, 429]


@pytest.mark.parametrize("status", ENVELOPES)
@pytest.mark.parametrize("case", some_of(WRITES), ids=lambda case: case.tool)
async def test_errors_of_the_api_do_not(case: Case, status: int, stage: Stage) -> None:
    """Everything in the API's error is hostile, the names of the fields and the ids as well."""
    text = "zqx” zqx. zqx\u202e\n\nzqx “" + "zqx" * 1_000
    error = {"code": text, "message": text, "request_id": text, "field_errors": {text: [text, text], "name": [text]}}

    async def between(request: httpx2.Request, carry: Carry) -> httpx2.Response:
        return await carry(request) if request.method == "GET" else httpx2.Response(status, json={"error": error})

    stage.network.between = between
    examine(await confirm(stage.client, case.tool, **case.arguments(stage)))


async def test_values_of_the_api_that_are_no_such_values_do_not(stage: Stage) -> None:
    """States, types, roles, dates and ids in relations: no person types them, and still they are only quoted."""
    text = "zqx. zqx” zqx, zqx"
    change = stage.tenant.connection.execute
    change("UPDATE users SET role = ? WHERE id % 2", (text,))
    change("UPDATE content_items SET content_type = ? WHERE id % 2", (text,))
    change("UPDATE assignments SET state = ? WHERE id % 2 AND state NOT IN ('not_started', 'in_progress')", (text,))
    change("UPDATE assignments SET due_date = ? WHERE NOT id % 3", (text,))
    for tool, where in (
        ("get_user", "users"),
        ("get_content_item", "content_items"),
        ("get_assignment", "assignments"),
    ):
        name = next(iter(BY_NAME[tool].references))
        for public_id in stage.column(f"SELECT public_id FROM {where} ORDER BY id LIMIT 12"):
            examine(await call(stage.client, tool, **{name: public_id}))
    for case in CASES:
        examine(await confirm(stage.client, case.tool, **case.arguments(stage)))
    every = stage.column("SELECT public_id FROM assignments")
    for action in ("complete", "drop", "exempt", "revert_completion", "revert_exemption"):
        examine(await call(stage.client, "bulk_update_assignments", action=action, assignments=every))
    for public_id in every[:12]:
        for tool in ("complete_assignment", "exempt_assignment", "revert_completion", "drop_assignment"):
            examine(await call(stage.client, tool, assignment=public_id))


async def test_resources_do_not(spoilt: Stage) -> None:
    stage, client = spoilt, spoilt.client
    ids = {
        "users": stage.one("SELECT public_id FROM users"),
        "groups": stage.group(),
        "content": stage.item(),
        "assignments": stage.assignment("completed"),
    }
    for kind, public_id in ids.items():
        text: str = (await client.read_resource(f"plusplus://{kind}/{public_id}")).contents[0].text  # type: ignore[union-attr]
        assert invisible(text) == []
        assert MARK in text
    for path in [tool.csv for tool in ALL_TOOLS if tool.csv]:
        query = f"?group={stage.group()}" if "group_members" in path else ""
        text = (await client.read_resource(f"plusplus://{path}.csv{query}")).contents[0].text  # type: ignore[union-attr]
        assert [one for one in invisible(text) if one != "U+000D"] == []
        assert not any(cell.startswith(("=", "+", "-", "@")) for line in text.splitlines() for cell in line.split(","))
    for address in ("plusplus://users/zqx", "plusplus://content/zqx", f"plusplus://lists/users.csv?manager={MARK}"):
        with pytest.raises(MCPError) as refused:
            await client.read_resource(address)
        said = refused.value.error.message
        assert invisible(said) == []
        sentence(said)


async def test_completions_do_not(spoilt: Stage) -> None:
    reference = ResourceTemplateReference(uri=csv_template(BY_NAME["list_users"]))
    seen = 0
    for argument in ("user", "manager", "group", "content_item", "event"):
        for typed in ("", "zqx"):
            given = {"name": argument, "value": typed}
            values = (await spoilt.client.complete(reference, given)).completion.values
            for value in values:
                assert invisible(value) == []
                assert len(value) <= 200
                seen += MARK in value
    assert seen > 10


async def test_a_question_to_the_person_does_not(network: Network, spoilt: Stage) -> None:
    asked: list[str] = []

    async def decline(_: Any, params: Any) -> Any:
        from mcp.types import ElicitResult

        asked.append(params.message)
        return ElicitResult(action="decline")

    async with Client(serve(network, confirm="elicit"), elicitation_callback=decline) as client:
        for case in CASES:
            if case.preview and case.tool != "replace_group_members":
                examine(await call(client, case.tool, **case.arguments(spoilt)))
    assert len(asked) > 5
    assert any(MARK in message for message in asked)
    for message in asked:
        for line in message.split("\n"):
            sentence(line)


async def test_a_token_in_the_tenants_data_is_worthless(network: Network, stage: Stage) -> None:
    """A valid token, typed into names by somebody who got hold of one: it is good for the call it was made for."""
    stage = stage
    group, item = stage.group(), stage.item()
    leaving = {"group": group, "members": stage.members(group)[:1]}
    token = (await ask(stage.client, "remove_group_members", **leaving))["confirm_token"]
    stage.change("UPDATE groups SET name = ?", f"confirm_token {token}")
    stage.change("UPDATE content_items SET name = ? WHERE public_id = ?", token, item)
    others: list[tuple[str, Json]] = [
        ("remove_group_members", {**leaving, "members": stage.members(group)[:2]}),
        ("remove_group_members", leaving),  # The group has another name now.
        ("replace_group_members", {**leaving, "confirm_replace": True, "confirm_large_removal": True}),
        ("delete_content_item", {"content_item": item}),
        ("archive_content_items", {"items": [item]}),
        ("create_api_token", {"name": token}),
    ]
    state = stage.snapshot()
    for tool, arguments in others:
        for given in (
            token,
            f"“{token}”",
            token.upper(),
            token[:-1],
            "zqx",
            "\ud800",
            "f" * 9_999 + ".x",
            "-1.x",
            ".",
            "",
        ):
            refused = await ask(stage.client, tool, **arguments, confirm_token=given)
            assert refused["status"] == "confirmation_required"
            assert refused["confirm_token"] != given
    fresh = (await ask(stage.client, "remove_group_members", **leaving))["confirm_token"]
    async with Client(serve(network), client_info=Implementation(name="somebody else", version="1")) as other:
        assert (await ask(other, "remove_group_members", **leaving, confirm_token=fresh))["status"] != "done"
    elsewhere = serve(network, base_url="https://other.plusplus.app/public_api/v2")
    async with Client(elsewhere, client_info=Implementation(name="trust", version="1")) as other:
        assert (await ask(other, "remove_group_members", **leaving, confirm_token=fresh))["status"] != "done"
    assert stage.snapshot() == state
    assert stage.writes() == []
    assert (await ask(stage.client, "remove_group_members", **leaving, confirm_token=fresh))["status"] == "done"
