"""Resources: single things as JSON, reports and lists as CSV, with completion of names."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import Completion, CompletionArgument
from pydantic import BaseModel

from pp_mcp.api import Api
from pp_mcp.declare import Operation
from pp_mcp.errors import PlusPlusError, UnclearReference
from pp_mcp.inventory import BY_NAME
from pp_mcp.models import ContentItem, Group, User
from pp_mcp.server.arguments import prepare
from pp_mcp.server.csv import TABLES, Table
from pp_mcp.server.explain import explained
from pp_mcp.server.narrowing import narrowing_of
from pp_mcp.server.perform import Runtime
from pp_mcp.server.render import rendered
from pp_mcp.text import neutralise, quoted, word

SUGGESTIONS = 20
"""Values that a completion offers; the protocol takes up to 100."""

_THINGS = (
    ("plusplus://users/{user}", "get_user", "A person"),
    ("plusplus://groups/{group}", "get_group", "A group"),
    ("plusplus://content/{content_item}", "get_content_item", "A content item"),
    ("plusplus://assignments/{assignment}", "get_assignment", "An assignment"),
)

TOOL_OF = {uri: BY_NAME[tool] for uri, tool, _ in _THINGS} | {table.uri_template: table.tool for table in TABLES}
"""The tool whose answers a resource template gives: a request that may not use the one may not read the other."""


def add_resources(server: Any, runtime: Runtime, tools: frozenset[str]) -> None:
    """Registers the resource templates of the tools that are served, so that a narrowed server shows no more here."""
    for uri, tool, title in _THINGS:
        if tool in tools:
            operation = BY_NAME[tool]
            names = list(operation.arguments.model_fields)
            read = _reader(names, operation, partial(_thing, runtime, operation), required=True)
            server.resource(uri, name=tool.removeprefix("get_"), title=title, mime_type="application/json")(read)
    for table in TABLES:
        if table.tool.name in tools:
            read = _reader(table.query, table.tool, partial(_table, runtime, table), required=False)
            server.resource(
                table.uri_template,
                name=table.path.replace("/", "_"),
                title=f"{table.tool.title}, as CSV",
                description=f"All rows of {table.tool.name} as CSV, with its arguments (lists comma-separated).",
                mime_type="text/csv",
            )(read)


def _reader(
    names: list[str], operation: Operation, produce: Callable[[dict[str, str]], Awaitable[str]], *, required: bool
) -> Callable[..., Awaitable[str]]:
    """A function whose signature has the URI's variables, as the SDK wants it."""

    async def read(ctx: Context[Any, Any], **values: str) -> str:
        try:
            why_not = narrowing_of(ctx.headers).why_not(operation)
        except PlusPlusError as error:
            raise ResourceError(error.message) from error
        if why_not is not None:
            raise ResourceError(why_not)
        return await produce({name: value for name, value in values.items() if value})

    parameters = [inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=Context)]
    parameters += [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=str,
            default=inspect.Parameter.empty if required else "",
        )
        for name in names
    ]
    read.__signature__ = inspect.Signature(parameters, return_annotation=str)  # type: ignore[attr-defined]
    read.__annotations__ = {"ctx": Context, **dict.fromkeys(names, str), "return": str}
    return read


async def _thing(runtime: Runtime, operation: Operation, values: dict[str, str]) -> str:
    call = runtime.call()
    try:
        resolved, _ = await prepare(operation, dict(values), call.api)
        answer: BaseModel = await operation.function(call, **resolved)
    except PlusPlusError as error:
        raise _failure(error, operation) from None
    return json.dumps(rendered(answer).structured_content, ensure_ascii=False)


async def _table(runtime: Runtime, table: Table, values: dict[str, str]) -> str:
    lists = {name for name, schema in table.tool.input_schema["properties"].items() if schema.get("type") == "array"}
    given: dict[str, Any] = {name: value.split(",") if name in lists else value for name, value in values.items()}
    call = runtime.call()
    try:
        resolved, _ = await prepare(table.tool, given, call.api)
        return await table.make(call, resolved)
    except PlusPlusError as error:
        raise _failure(error, table.tool) from None


def _failure(error: PlusPlusError, operation: Operation) -> ResourceError:
    message = explained(error, operation).message
    if isinstance(error, UnclearReference):
        candidates = "; ".join(f"{quoted(one.get('name', ''))} ({word(one['public_id'])})" for one in error.candidates)
        return ResourceNotFoundError(neutralise(message + (f" Candidates: {candidates}" if candidates else ""), 1_500))
    return ResourceError(neutralise(message, 1_500))


async def suggest(runtime: Runtime, tools: frozenset[str], argument: CompletionArgument) -> Completion:
    """Values for an argument that names something: e-mails of people, names of groups and content, or an enum's values.

    Only what an argument of the served `tools` names. An error of the API gives no suggestions: completing is a
    convenience that must not disturb typing.
    """
    name = _ALSO.get(argument.name, argument.name)
    if not any(name in BY_NAME[tool].arguments.model_fields for tool in tools):
        return Completion(values=[])
    try:
        values, total = await _found(runtime.client.call(budget=5), name, argument.value.strip())
    except PlusPlusError:
        values, total = [], 0
    shown = [neutralise(value, 200) for value in values][:SUGGESTIONS]
    return Completion(values=shown, total=total, has_more=total > len(shown))


_ALSO = {"person": "user"}
"""Arguments of prompts, and the tools' argument that takes the same."""


async def _found(api: Api, name: str, text: str) -> tuple[list[str], int]:
    """The first values that fit, and how many there are."""
    narrowed = {"search": text} if text else {}
    named = {"name": text} if text else {}
    match name:
        case "user" | "manager":
            people = await api.page("list_users", User, page=1, page_size=SUGGESTIONS, **narrowed)
            return [user.email for user in people.items if user.email], people.total_count
        case "group":
            groups = await api.page("list_groups", Group, page=1, page_size=SUGGESTIONS, **named)
            return [group.name for group in groups.items], groups.total_count
        case "content_item" | "event" | "article":
            only: dict[str, str] = {} if name == "content_item" else {"content_type": name}
            items = await api.page("list_content_items", ContentItem, page=1, page_size=SUGGESTIONS, **narrowed, **only)
            return [item.name for item in items.items], items.total_count
        case _:
            choices = [value for value in _choices(name) if value.startswith(text)]
            return choices, len(choices)


def _choices(name: str) -> list[str]:
    """The values an argument takes by its schema, over all tools."""
    found: dict[str, None] = {}
    for operation in BY_NAME.values():
        schema = operation.input_schema["properties"].get(name, {})
        for value in schema.get("enum") or schema.get("items", {}).get("enum", []):
            found[str(value)] = None
        if schema.get("type") == "boolean":
            found |= {"true": None, "false": None}
    return list(found)
