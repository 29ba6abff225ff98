"""How a tool is declared: what a signature becomes, and what cannot be declared."""

from __future__ import annotations

import json
from datetime import date
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from pp_mcp.answers import Answer, ItemAnswer, ManyAnswer, Row, WriteAnswer
from pp_mcp.declare import Call, Effect, lean_input, lean_output, operation
from pp_mcp.inventory import BY_NAME
from pp_mcp.operations.params import DayArg, EmailArg, GroupArg, MembersArg, UserArg
from pp_mcp.plan import ManyPlan, Plan

pytestmark = pytest.mark.anyio


async def _read(call: Call) -> Answer:
    """Reads."""
    return Answer(summary="Read.")


async def _plain(call: Call) -> dict[str, Any]:
    """Does something."""
    return {}


async def _write(call: Call) -> Plan:
    """Writes."""
    raise AssertionError("declared, never called")


async def _write_many(call: Call) -> ManyPlan:
    """Writes many."""
    raise AssertionError("declared, never called")


@pytest.mark.parametrize("effect", [Effect.ADD, Effect.CHANGE, Effect.DESTROY])
@pytest.mark.parametrize("function", [_read, _plain])
def test_a_write_without_a_plan_cannot_be_declared(effect: Effect, function: Any) -> None:
    with pytest.raises(TypeError, match="returns a Plan that can be shown before it is applied"):
        operation(toolset="users", title="T", effect=effect)(function)


@pytest.mark.parametrize("function", [_plain, _write, _write_many])
def test_a_read_answers(function: Any) -> None:
    with pytest.raises(TypeError, match="so it returns an Answer"):
        operation(toolset="users", title="T", effect=Effect.READ)(function)


def test_what_a_plan_is_answered_with() -> None:
    assert operation(toolset="users", title="T", effect=Effect.CHANGE)(_write).answer is WriteAnswer
    assert operation(toolset="users", title="T", effect=Effect.DESTROY)(_write_many).answer is ManyAnswer


def test_every_write_can_be_confirmed() -> None:
    def declared(effect: Effect, may_confirm: bool = False) -> Any:
        return operation(toolset="users", title="T", effect=effect, may_confirm=may_confirm)(_write)

    assert "confirm_token" in declared(Effect.DESTROY).input_schema["properties"]
    assert "confirm_token" in declared(Effect.CHANGE, True).input_schema["properties"]
    assert "confirm_token" in declared(Effect.CHANGE).input_schema["properties"]
    assert "confirm_token" not in BY_NAME["get_user"].input_schema["properties"]
    assert declared(Effect.DESTROY).may_confirm


async def many_kinds(
    call: Call,
    user: UserArg,
    members: MembersArg,
    name: Annotated[str, Field(description="A name.", min_length=1)],
    group: GroupArg | None = None,
    boss: UserArg | None = None,
    day: Annotated[DayArg, Field(description="A day.")] | None = None,
    email: Annotated[EmailArg, Field(description="An e-mail.")] | None = None,
    count: Annotated[int, Field(ge=1, description="How many.")] = 3,
) -> ItemAnswer[Row]:
    """Takes
    arguments  of every kind."""
    return ItemAnswer[Row](summary="", item=Row(public_id="1"))


MANY = operation(toolset="users", title="Many kinds", effect=Effect.READ)(many_kinds)


def test_what_a_signature_becomes() -> None:
    assert MANY.name == "many_kinds"
    assert MANY.description == "Takes arguments of every kind."
    schema = MANY.input_schema
    assert schema["required"] == ["user", "members", "name"]
    assert list(schema["properties"]) == ["user", "members", "name", "group", "boss", "day", "email", "count"]
    properties = schema["properties"]
    assert properties["user"] == {"type": "string", "description": properties["boss"]["description"]}
    assert properties["members"]["type"] == "array"
    assert properties["members"]["items"] == {"type": "string"}
    assert properties["name"] == {"type": "string", "description": "A name."}
    assert properties["group"]["type"] == "string"
    assert properties["boss"]["type"] == "string"
    assert properties["day"] == {"type": "string", "format": "date", "description": "A day."}
    assert properties["email"] == {"type": "string", "format": "email", "description": "An e-mail."}
    assert properties["count"] == {"type": "integer", "minimum": 1, "default": 3, "description": "How many."}
    assert {name: one.kind for name, one in MANY.references.items()} == {
        "user": "user",
        "members": "user",
        "group": "group",
        "boss": "user",
    }


def test_unknown_arguments_are_refused() -> None:
    required = {"user": "a", "members": ["b"], "name": "c"}
    left_out: Any = MANY.arguments.model_validate(required)
    assert (left_out.boss, left_out.day, left_out.group) == (None, None, None)
    with pytest.raises(ValidationError):
        MANY.arguments.model_validate({**required, "other": 1})


def test_schemas_are_made_once() -> None:
    assert MANY.input_schema is MANY.input_schema
    assert MANY.output_schema is MANY.output_schema


def test_a_lean_schema_of_an_answer() -> None:
    schema = lean_output(WriteAnswer)
    assert schema["required"] == ["summary", "status"]
    assert schema["properties"]["status"] == {"type": "string"}
    assert schema["properties"]["target"] == schema["properties"]["changes"] == {"type": "object"}
    assert schema["properties"]["undo"] == {}
    assert schema["properties"]["irreversible"] == {"type": "boolean"}
    assert lean_output(ItemAnswer[Row])["properties"]["item"] == {"type": "object"}
    assert "null" not in json.dumps(schema)


def test_a_lean_schema_of_arguments_without_any() -> None:
    nothing = operation(toolset="users", title="T", effect=Effect.READ)(_read)
    assert lean_input(nothing.arguments) == {"properties": {}, "type": "object"}


async def test_what_a_call_reports_goes_nowhere_where_nobody_listens() -> None:
    heard: list[Any] = []

    async def listen(*said: Any) -> None:
        heard.append(said)

    api: Any = SimpleNamespace(elapsed=0.0)
    await Call(api=api, today=date(2026, 1, 1)).report(1, 2, "half")
    await Call(api=api, today=date(2026, 1, 1), progress=listen).report(1, 2, "half")
    assert heard == [(1, 2, "half")]
