"""Resources: single things as JSON, reports and lists as CSV, with completion of names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import Completion, CompletionArgument, Resource, ResourceTemplate
from pydantic import BaseModel

from pp_mcp.api import Api
from pp_mcp.declare import Operation
from pp_mcp.errors import InvalidArgument, PlusPlusError, Refused, UnclearReference
from pp_mcp.inventory import ALL_TOOLS, BY_NAME
from pp_mcp.models import ContentItem, Group, User
from pp_mcp.server.arguments import prepare
from pp_mcp.server.asking import identity, share_of
from pp_mcp.server.csv import arguments_in, csv_description, csv_template, csv_text, csv_uri
from pp_mcp.server.explain import explained
from pp_mcp.server.narrowing import narrowing_of
from pp_mcp.server.perform import Runtime
from pp_mcp.server.reads import Reader
from pp_mcp.server.render import rendered
from pp_mcp.text import neutralise, quoted, word

SUGGESTIONS = 20
"""Values that a completion offers; the protocol takes up to 100."""

_THINGS = {
    "users": ("get_user", "user", "A person", "e-mail, public_id or full name"),
    "groups": ("get_group", "group", "A group", "public_id or exact name"),
    "content": ("get_content_item", "content_item", "A content item", "public_id or exact name"),
    "assignments": ("get_assignment", "assignment", "An assignment", "public_id"),
}

_CSV = {f"{tool.csv}.csv": tool for tool in ALL_TOOLS if tool.csv}

_LISTED = ("report_assignments", "report_content", "report_enrollments", "list_overdue_assignments")
"""The tools whose CSVs without filters a client can pick from a list."""

TOOL_OF = {
    **{f"plusplus://{path}/{{{argument}}}": BY_NAME[tool] for path, (tool, argument, *_) in _THINGS.items()},
    **{csv_template(tool): tool for tool in _CSV.values()},
    **{csv_uri(tool, {}): tool for tool in _CSV.values()},
}
"""The tool whose answers a resource template gives: a request that may not use the one may not read the other."""


@dataclass(frozen=True)
class Resources:
    """The resources of the tools that are served, so that a narrowed server shows no more here than there."""

    runtime: Runtime
    tools: frozenset[str]

    def templates(self) -> list[ResourceTemplate]:
        """The templates, with a name, title and description each."""
        things = [
            ResourceTemplate(
                uri_template=f"plusplus://{path}/{{{argument}}}",
                name=tool.removeprefix("get_"),
                title=title,
                description=f"{title} with all fields, as {tool} answers it in JSON, by {by} (percent-encoded).",
                mime_type="application/json",
            )
            for path, (tool, argument, title, by) in _THINGS.items()
            if tool in self.tools
        ]
        return things + [
            ResourceTemplate(uri_template=csv_template(tool), description=csv_description(tool), **_head(tool))
            for tool in _CSV.values()
            if tool.name in self.tools
        ]

    def listed(self) -> list[Resource]:
        """The resources that need no argument."""
        return [
            Resource(uri=csv_uri(BY_NAME[name], {}), description=csv_description(BY_NAME[name]), **_head(BY_NAME[name]))
            for name in _LISTED
            if name in self.tools
        ]

    async def read(self, uri: str, context: Context[Any, Any]) -> ReadResourceContents:
        """What a resource holds.

        Raises:
            ResourceError: it says why it cannot be read, in words for the reader.
        """
        scheme, _, rest = uri.partition("://")
        path, _, query = rest.partition("?")
        kind, _, name = path.partition("/")
        is_thing = kind in _THINGS and bool(name) and "/" not in name
        tool = _CSV.get(path) or (BY_NAME[_THINGS[kind][0]] if is_thing else None)
        if scheme != "plusplus" or tool is None or tool.name not in self.tools:
            raise ResourceNotFoundError(f"Unknown resource: {neutralise(uri, 300)}")
        try:
            why_not = narrowing_of(context.headers).why_not(tool)
            if why_not is not None:
                raise Refused(why_not)
            if is_thing:
                if query:
                    raise InvalidArgument(f"plusplus://{kind} takes no parameters. Nothing was read.", field_errors={})
                given, part = {_THINGS[kind][1]: unquote(name)}, None
            else:
                given, part = arguments_in(tool, query)
            call = self.runtime.call(caller=share_of(context))
            values, _ = await prepare(tool, given, call)
            reader, filters = Reader(self.runtime.audit, identity(context)), {name: values[name] for name in given}
            if not is_thing:
                csv = await csv_text(tool, call, values, part)
                await reader.note(tool, filters, {"lines": csv.count("\n")}, event="resource")
                return ReadResourceContents(content=csv, mime_type="text/csv")
            answer: BaseModel = await tool.function(call, **values)
            await reader.note(tool, filters, {"rows": 1}, event="resource")
            text = json.dumps(rendered(answer).structured_content, ensure_ascii=False)
            return ReadResourceContents(content=text, mime_type="application/json")
        except PlusPlusError as error:
            raise _failure(error, tool) from None


def _head(tool: Operation) -> dict[str, Any]:
    name = (tool.csv or "").replace("/", "_")
    return {"name": name, "title": f"{tool.title}, as CSV", "mime_type": "text/csv"}


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
        values, total = await _found(runtime.client_of_caller.call(budget=5), name, argument.value.strip())
    except PlusPlusError:
        values, total = [], 0
    shown = [neutralise(value, 200) for value in values][:SUGGESTIONS]
    return Completion(values=shown, total=total, has_more=total > len(shown))


_ALSO = {"person": "user"}
"""Arguments of prompts, and the tools' argument that takes the same."""


def is_person(argument: str) -> bool:
    """Whether completing this argument shows people."""
    return _ALSO.get(argument, argument) in ("user", "manager")


async def _found(api: Api, name: str, text: str) -> tuple[list[str], int]:
    """The first values that fit, and how many there are."""
    asked: dict[str, Any] = {"page": 1, "page_size": SUGGESTIONS}
    if text:
        asked["name" if name == "group" else "search"] = text
    match name:
        case "user" | "manager":
            people = await api.page("list_users", User, **asked)
            return [user.email for user in people.items if user.email], people.total_count
        case "group":
            groups = await api.page("list_groups", Group, **asked)
            return [group.name for group in groups.items], groups.total_count
        case "content_item" | "event" | "article":
            asked |= {} if name == "content_item" else {"content_type": name}
            items = await api.page("list_content_items", ContentItem, **asked)
            return [item.name for item in items.items], items.total_count
        case _:
            choices = [value for value in _choices(name) if value.startswith(text)]
            return choices, len(choices)


def _choices(name: str) -> list[str]:
    """The values an argument takes by its schema, over all tools."""
    found: list[str] = []
    for operation in ALL_TOOLS:
        schema = operation.input_schema["properties"].get(name, {})
        found += schema.get("enum") or schema.get("items", {}).get("enum", [])
        found += ["true", "false"] if schema.get("type") == "boolean" else []
    return list(dict.fromkeys(found))
