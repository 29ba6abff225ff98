"""How a tool is declared: one typed async function, decorated.

The function's name is the tool's name, its docstring the description, its signature the input schema, its return type
the output schema, and the declared effect gives the four annotations.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, tzinfo
from functools import cached_property
from math import ceil
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import anyio
from mcp.types import ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from pp_mcp.answers import Answer, ManyAnswer, WriteAnswer
from pp_mcp.api import Api
from pp_mcp.menu import Effect, Entry
from pp_mcp.plan import ManyPlan, Plan
from pp_mcp.text import plural

Schema = dict[str, Any]

MOST_ENTRIES = 1_000
"""Entries of a list for which nothing less is declared."""

_PLAIN = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}

_FOR_READERS = {"resolved", "left_out", "undo_note", "expires_at"}
"""Fields of an answer that no program needs: the schema spares their words, as further fields are allowed anyway."""


class _LeanInput(GenerateJsonSchema):
    """What every client's converter takes: nothing that may be null (it means the same as leaving the argument out), no
    references, no titles, no word about further arguments, which the server refuses itself, and no lengths of texts (an
    error names one that is exceeded)."""

    def generate_inner(self, schema: Any) -> Schema:
        # Without its `ref` a model is written out where it stands.
        return super().generate_inner(_without(schema, "ref"))

    def definitions_schema(self, schema: core_schema.DefinitionsSchema) -> Schema:
        self._shared = {one["ref"]: one for one in cast("list[Any]", schema["definitions"])}
        return self.generate_inner(schema["schema"])

    def definition_ref_schema(self, schema: core_schema.DefinitionReferenceSchema) -> Schema:
        return self.generate_inner(self._shared[schema["schema_ref"]])

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        return _without(super().model_schema(schema), "title", "description", "additionalProperties")

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> Schema:
        return _without(super().typed_dict_schema(schema), "title", "description", "additionalProperties")

    def str_schema(self, schema: core_schema.StringSchema) -> Schema:
        return _without(super().str_schema(schema), "minLength", "maxLength")

    def literal_schema(self, schema: core_schema.LiteralSchema) -> Schema:
        # Fewer converters know `const` than a list of one.
        made = super().literal_schema(schema)
        return {"enum": [made["const"]], **_without(made, "const")} if "const" in made else made

    def list_schema(self, schema: core_schema.ListSchema) -> Schema:
        return {**super().list_schema(schema), "maxItems": schema.get("max_length", MOST_ENTRIES)}

    def nullable_schema(self, schema: core_schema.NullableSchema) -> Schema:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Schema:
        made = super().default_schema(schema)
        return made if made.get("default") is not None else _without(made, "default")


def _without(node: Any, *keys: str) -> Any:
    return {key: value for key, value in node.items() if key not in keys}


def lean_input(model: type[BaseModel]) -> Schema:
    """The arguments' schema."""
    return model.model_json_schema(schema_generator=_LeanInput)


def lean_output(model: type[BaseModel]) -> Schema:
    """The answer's schema: the fields at its top with plain types, of which none is ever null."""
    fields = {info.alias or name: info for name, info in model.model_fields.items() if name not in _FOR_READERS}
    return {
        "type": "object",
        "properties": {name: _plain(info.annotation) for name, info in fields.items()},
        "required": [name for name, info in fields.items() if info.is_required()],
    }


def _plain(hint: Any) -> Schema:
    """The bare type of a field; none where it can be of several."""
    if get_origin(hint) in (Union, UnionType):
        kinds = [_plain(arm) for arm in get_args(hint) if arm is not type(None)]
        return kinds[0] if len(kinds) == 1 else {}
    if get_origin(hint) is Literal:
        hint = str
    kind: Any = get_origin(hint) or hint
    return {"type": "object" if issubclass(kind, BaseModel) else _PLAIN[kind]}


Kind = Literal["user", "group", "content_item", "event", "article", "channel", "assignment"]


@dataclass(frozen=True)
class Reference:
    """Marks a parameter that takes an id, a name, an e-mail or a URL; the operation receives the thing itself."""

    kind: Kind


SILENCE = 2.0
"""Seconds after which a client is told that work goes on, where there was nothing else to tell."""


class _Stages:
    """The progress of several readings and writings, one after the other, as one that only grows: MCP wants it so."""

    def __init__(self) -> None:
        self._before = self._last = self._since = self._now = 0.0
        self.told = 0.0
        """The latest place that was told."""
        self.message = "working"

    def place(self, done: float, total: float, steps: int, now: float, message: str) -> tuple[float, float, str] | None:
        """How far that is, of how much, and `message` with the time that is left, judged by the pace since this stage
        began; None where it is too little to tell. `now` is in seconds."""
        if done < self._last:
            self._before, self._since = self._before + self._last, self._now
        self._last, self._now = done, now
        at = self._before + done
        if at <= self.told or (done < total and at - self.told < total / steps):
            return None
        left = (now - self._since) * (total - done) / done
        self.told, self.message = at, message + (f", about {_time(left)} left" if left >= 1 else "")
        return at, self._before + total, self.message

    def nudge(self) -> float:
        """A place a little further on, for a word in between."""
        self.told += 0.001
        return self.told


def _time(seconds: float) -> str:
    """Roughly so much time: the further off, the less exactly."""
    if seconds > 90:
        return f"{round(seconds / 60)} min"
    return f"{ceil(seconds / 5) * 5 if seconds > 10 else ceil(seconds)} s"


@dataclass(frozen=True)
class Call:
    """What one tool call works with."""

    api: Api
    today: date
    """The day that "overdue" and "due" are measured against: UTC's, unless PP_TIMEZONE says otherwise."""
    zone: tzinfo = UTC
    """The time zone that a bare date in an argument is a day of."""
    secrets_dir: Path | None = None
    """Where a new API token's secret is written, in a file only its owner can read; None: the user's state folder."""
    progress: Callable[[float, float | None, str], Awaitable[None]] | None = None
    kept: Any = None
    """What the preview read of the items (`Plan.kept`); where it is given, the operation plans without reading."""
    stopping: anyio.Event = field(default_factory=anyio.Event, compare=False)
    """Is set when the server stops: a run begins nothing more."""
    cancelled: anyio.Event = field(default_factory=anyio.Event, compare=False)
    """Is set when nobody wants the rest: a run begins nothing more."""
    begins: Callable[[Api], None] = lambda _: None
    """Is told when nothing more is asked: a report begins to read, or what was confirmed is about to be done."""
    steps: int = 100
    """How many times progress is told at most."""
    item: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    """Held by a bulk run while it looks at one item and writes it: keeps single writes of other calls from between."""
    memo: dict[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)
    """What was read once and may be wanted again within the call, such as for the next page."""
    _stages: _Stages = field(default_factory=_Stages, repr=False, compare=False)

    async def report(self, done: float, total: float, message: str) -> None:
        """Tells the client how far the call is and how long it takes, in `steps`; nothing where it did not ask."""
        if self.progress is None:
            return
        place = self._stages.place(done, total, self.steps, self.api.elapsed, message)
        if place is not None:
            await self.progress(*place)

    async def rows_read(self, read: int, total: int) -> None:
        """Tells the client how many rows of a list are read."""
        await self.report(read, total, f"reading {read:,} of {total:,} rows")

    @asynccontextmanager
    async def never_silent(self) -> AsyncGenerator[None]:
        """Meanwhile the client is told that work goes on, whenever there was nothing else to tell for some seconds."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._break_silence)
            yield
            group.cancel_scope.cancel()

    async def _break_silence(self) -> None:
        while self.progress is not None:
            told = self._stages.told
            await anyio.sleep(SILENCE)
            if told == self._stages.told:
                so_far = f"{self._stages.message}; {plural(self.api.requests, 'request')} to PlusPlus so far"
                await self.progress(self._stages.nudge(), None, so_far)


@dataclass(frozen=True)
class Operation(Entry):
    """A declared function: everything a tool is. Its models and schemas are built when they are first needed."""

    title: str
    description: str
    idempotent: bool
    function: Callable[..., Awaitable[Any]]
    fields: dict[str, Any]
    """The arguments: type and default by name, as pydantic takes them."""
    references: dict[str, Reference]
    answer: type[Answer]
    csv: str | None
    record: type[BaseModel] | None
    columns: str
    keeps: Any = None

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
    def arguments(self) -> type[BaseModel]:
        """The model of the arguments."""
        return create_model(f"{self.name}_arguments", __config__=ConfigDict(extra="forbid"), **self.fields)

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema 2020-12 of the arguments."""
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
    keeps: Any = None,
) -> Callable[[OperationFunction], Operation]:
    """Declares an operation.

    `may_confirm`: a changing tool of which some calls must be confirmed (its plan says which). `idempotent` is false
    where the same call made twice does more than once. `csv`: the path of the resource that has all rows of the answer,
    such as "lists/users"; `record` is what the API sends for a row of a list, `columns` says what a report's are.
    `keeps` is the type of what a plan keeps of its items (`Plan.kept`), of parts that JSON can hold.

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
            fields=fields,
            references=references,
            answer=answer,
            csv=csv,
            record=record,
            columns=columns,
            keeps=keeps,
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
