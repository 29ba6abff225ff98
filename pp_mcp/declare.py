"""How a tool is declared: one typed async function, decorated.

The function's name is the tool's name, its docstring the description, its signature the input schema, its return type
the output schema, and the declared effect gives the four annotations.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints

import anyio
from mcp.types import ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from pp_mcp.answers import Answer, ManyAnswer, WriteAnswer
from pp_mcp.api import Api
from pp_mcp.plan import ManyPlan, Plan

Schema = dict[str, Any]

MOST_ENTRIES = 1_000
"""Entries of a list for which nothing less is declared."""

_SAYS_NULL = {"next_page", "undo"}
"""Fields of an answer whose null tells something: the last page, a write that cannot be undone."""

_ROWS = {"item", "items", "rows"}
"""Fields that hold what the API sent, nulls and all."""


class _LeanInput(GenerateJsonSchema):
    """No titles, no lengths of texts (an error names one that is exceeded), no "or null" where leaving the argument out
    means the same."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        return _without(super().model_schema(schema), "title", "description")

    def str_schema(self, schema: core_schema.StringSchema) -> Schema:
        return _without(super().str_schema(schema), "minLength", "maxLength")

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Schema:
        inner: Any = schema["schema"]
        if inner["type"] != "nullable" or schema.get("default") is not None:
            return super().default_schema(schema)
        return self.generate_inner(inner["schema"])

    def list_schema(self, schema: core_schema.ListSchema) -> Schema:
        return {**super().list_schema(schema), "maxItems": schema.get("max_length", MOST_ENTRIES)}


class _LeanOutput(_LeanInput):
    """Types only: no defaults, no `$defs`, `[X, "null"]` for what may be null."""

    def generate_inner(self, schema: Any) -> Schema:
        # Without its `ref` a model is written out where it stands.
        return super().generate_inner(_without(schema, "ref"))

    def definitions_schema(self, schema: core_schema.DefinitionsSchema) -> Schema:
        self._shared = {one["ref"]: one for one in cast("list[Any]", schema["definitions"])}
        return self.generate_inner(schema["schema"])

    def definition_ref_schema(self, schema: core_schema.DefinitionReferenceSchema) -> Schema:
        return self.generate_inner(self._shared[schema["schema_ref"]])

    def nullable_schema(self, schema: core_schema.NullableSchema) -> Schema:
        return _or_null(self.generate_inner(schema["schema"]))

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Schema:
        return self.generate_inner(schema["schema"])

    def list_schema(self, schema: core_schema.ListSchema) -> Schema:
        return _without(super().list_schema(schema), "maxItems")

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        return _without(super().model_schema(schema), "additionalProperties")

    def dict_schema(self, schema: core_schema.DictSchema) -> Schema:
        made = super().dict_schema(schema)
        return _without(made, "additionalProperties") if made["additionalProperties"] is True else made


def _without(node: Any, *keys: str) -> Any:
    return {key: value for key, value in node.items() if key not in keys}


def _or_null(node: Schema) -> Schema:
    """`type: [X, null]` where the type is a plain one: it says the same as `anyOf` in half the characters."""
    if isinstance(node.get("type"), str) and "enum" not in node:
        return {**node, "type": [node["type"], "null"]}
    return {"anyOf": [node, {"type": "null"}]}


def lean_input(model: type[BaseModel]) -> Schema:
    """The arguments' schema: unknown arguments forbidden, null only where it means something of its own."""
    return model.model_json_schema(schema_generator=_LeanInput)


def lean_output(model: type[BaseModel]) -> Schema:
    """The answer's schema."""
    schema = model.model_json_schema(mode="serialization", schema_generator=_LeanOutput)
    for name, prop in schema["properties"].items():
        if name not in _SAYS_NULL | _ROWS:
            schema["properties"][name] = _never_null(prop)
    return schema


def _never_null(node: Any) -> Any:
    """The schema of what is absent, not null, where there is none of it."""
    if isinstance(node, list):
        return [_never_null(one) for one in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    found = {key: _never_null(value) for key, value in cast(Schema, node).items()}
    return {**found, "type": found["type"][0]} if isinstance(found.get("type"), list) else found


class Effect(Enum):
    """What a tool does to the tenant; the annotations follow from it.

    `ADD` only adds, `CHANGE` overwrites and can be set back, `DESTROY` loses something or reaches many: it is always
    previewed and confirmed.
    """

    READ = "read"
    ADD = "add"
    CHANGE = "change"
    DESTROY = "destroy"


Kind = Literal["user", "group", "content_item", "event", "article", "channel", "assignment"]


@dataclass(frozen=True)
class Reference:
    """Marks a parameter that takes an id, a name, an e-mail or a URL; the operation receives the thing itself."""

    kind: Kind


class _Stages:
    """The progress of several readings and writings, one after the other, as one that only grows: MCP wants it so."""

    def __init__(self) -> None:
        self._before = self._last = self._told = 0.0

    def place(self, done: float, total: float) -> tuple[float, float] | None:
        """How far that is, and of how much; None where it is too little to tell."""
        if done < self._last:
            self._before += self._last
        self._last = done
        at = self._before + done
        if at <= self._told or (done < total and at - self._told < total / 100):
            return None
        self._told = at
        return at, self._before + total


@dataclass(frozen=True)
class Call:
    """What one tool call works with."""

    api: Api
    today: date
    """The day that "overdue" and "due" are measured against: UTC's, unless PP_TIMEZONE says otherwise."""
    secrets_dir: Path | None = None
    """Where a new API token's secret is written, in a file only its owner can read; None: the user's state folder."""
    progress: Callable[[float, float | None, str], Awaitable[None]] | None = None
    kept: Any = None
    """What the preview read of the items (`Plan.kept`); where it is given, the operation plans without reading."""
    stopping: anyio.Event = field(default_factory=anyio.Event, compare=False)
    """Is set when the server stops: a run begins nothing more."""
    item: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    """Held by a bulk run while it looks at one item and writes it: keeps single writes of other calls from between."""
    memo: dict[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)
    """What was read once and may be wanted again within the call, such as for the next page."""
    _stages: _Stages = field(default_factory=_Stages, repr=False, compare=False)

    async def report(self, done: float, total: float, message: str) -> None:
        """Tells the client how far the call is, in steps of a hundredth; does nothing where it did not ask."""
        if self.progress is not None and (place := self._stages.place(done, total)) is not None:
            await self.progress(*place, message)

    async def rows_read(self, read: int, total: int) -> None:
        """Tells the client how many rows of a list are read."""
        await self.report(read, total, f"{read:,} of {total:,} rows read")


@dataclass(frozen=True)
class Operation:
    """A declared function: everything a tool is."""

    name: str
    title: str
    description: str
    toolset: str
    effect: Effect
    may_confirm: bool
    idempotent: bool
    function: Callable[..., Awaitable[Any]]
    arguments: type[BaseModel]
    references: dict[str, Reference]
    answer: type[Answer]
    csv: str | None
    record: type[BaseModel] | None
    columns: str

    @property
    def annotations(self) -> ToolAnnotations:
        """All four hints, set from the declared effect."""
        return ToolAnnotations(
            read_only_hint=self.effect is Effect.READ,
            destructive_hint=self.effect is Effect.DESTROY or (self.effect is Effect.CHANGE and self.may_confirm),
            idempotent_hint=self.idempotent,
            open_world_hint=True,
        )

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema 2020-12 of the arguments: strict, without what a reader does not need."""
        return lean_input(self.arguments)

    @cached_property
    def output_schema(self) -> dict[str, Any]:
        """JSON Schema 2020-12 of `structuredContent`."""
        return lean_output(self.answer)


CONFIRM_TOKEN = "confirm_token"
_TOKEN_FIELD = Field(description="From the preview the user agreed to.")

OperationFunction = Callable[..., Awaitable[Any]]


def operation(
    *,
    toolset: str,
    title: str,
    effect: Effect,
    may_confirm: bool = False,
    idempotent: bool = True,
    csv: str | None = None,
    record: type[BaseModel] | None = None,
    columns: str = "",
) -> Callable[[OperationFunction], Operation]:
    """Declares an operation.

    `may_confirm`: a changing tool of which some calls must be confirmed (its plan says which). `idempotent` is false
    where the same call made twice does more than once. `csv`: the path of the resource that has all rows of the answer,
    such as "lists/users"; `record` is what the API sends for a row of a list, `columns` says what a report's are.

    Raises:
        TypeError: the effect and what the function returns do not fit: reads answer, every write returns a plan.
    """

    def declare(function: OperationFunction) -> Operation:
        name = function.__name__
        hints = get_type_hints(function, include_extras=True)
        returned = hints.pop("return")
        answer = _answer_of(name, effect, returned)
        parameters = list(inspect.signature(function).parameters.values())[1:]
        references: dict[str, Reference] = {}
        fields: dict[str, Any] = {}
        for parameter in parameters:
            wire, marker = _wire_type(hints[parameter.name])
            if marker is not None:
                references[parameter.name] = marker
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[parameter.name] = (wire, default)
        if effect is not Effect.READ:
            fields[CONFIRM_TOKEN] = (Annotated[str | None, _TOKEN_FIELD], None)
        return Operation(
            name=name,
            title=title,
            description=" ".join((inspect.getdoc(function) or "").split()),
            toolset=toolset,
            effect=effect,
            may_confirm=may_confirm or effect is Effect.DESTROY,
            idempotent=idempotent,
            function=function,
            arguments=create_model(f"{name}_arguments", __config__=ConfigDict(extra="forbid"), **fields),
            references=references,
            answer=answer,
            csv=csv,
            record=record,
            columns=columns,
        )

    return declare


def _answer_of(name: str, effect: Effect, returned: Any) -> type[Answer]:
    origin: Any = returned if isinstance(returned, type) else get_origin(returned)
    if effect is Effect.READ:
        if not (isinstance(origin, type) and issubclass(origin, Answer)):
            raise TypeError(f"{name} reads, so it returns an Answer")
        return returned
    if not (isinstance(origin, type) and issubclass(origin, Plan)):
        raise TypeError(f"{name} writes, so it returns a Plan that can be shown before it is applied")
    return ManyAnswer if issubclass(origin, ManyPlan) else WriteAnswer


def _wire_type(hint: Any) -> tuple[Any, Reference | None]:
    """What the client sends for a parameter: the declared type, or strings where the operation receives things."""
    inner, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    optional = type(None) in get_args(inner)
    if optional and not extras:
        # `UserArg | None`: the marker stands inside the union.
        named = [arm for arm in get_args(inner) if get_origin(arm) is Annotated]
        if len(named) == 1:
            inner, *extras = get_args(named[0])
    marker = next((one for one in extras if isinstance(one, Reference)), None)
    infos = [one for one in extras if isinstance(one, FieldInfo)]
    if marker is None:
        return hint, None
    wire: Any = list[str] if get_origin(inner) is list else str
    if optional or type(None) in get_args(inner):
        wire = wire | None
    return Annotated[wire, *infos], marker
