"""A client's arguments → what an operation receives: validated, references replaced by the things they name."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from datetime import UTC, tzinfo
from itertools import islice
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pp_mcp.answers import Named
from pp_mcp.api import Api
from pp_mcp.declare import CONFIRM_TOKEN, MOST_ENTRIES, Call, Effect, Operation
from pp_mcp.errors import InvalidArgument
from pp_mcp.server.references import ONLY_BY_ID, Lookup, Report, find, find_all, understand
from pp_mcp.text import listed, nearest, plural, quoted, word

Values = dict[str, Any]
Resolved = dict[str, Any]
"""What each name, e-mail or URL was taken to mean; an argument given as an id is not among them. Of a list, where one
entry was given, what that means, else a list; only of those that read, for a plan names its people itself."""

UNKNOWN_NAMED = 20
"""Arguments that no tool has which are looked at; the others are as wrong."""


async def _nobody(_done: float, _total: float, _message: str) -> None: ...


async def prepare(operation: Operation, given: Values, call: Call) -> tuple[Values, Resolved]:
    """What the operation is called with. The one way from a client's arguments to an operation.

    Raises:
        InvalidArgument: an argument is wrong; nothing was changed.
    """
    return await resolve(operation, parse(operation, given, call.zone), call.api)


def parse(operation: Operation, given: Values, zone: tzinfo = UTC) -> BaseModel:
    """The validated arguments. One that is null or "" counts as not given: many clients fill in what was left out. A
    bare date where a time is meant is a day in `zone`.

    Raises:
        InvalidArgument: names every argument that is wrong and the form that is accepted; nothing was sent.
    """
    names, properties = operation.arguments.model_fields, operation.input_schema["properties"]
    known = {name: _read(value, properties[name]) for name in names if (value := given.get(name)) not in (None, "")}
    # A caller may send any number of unknown names, and each costs time.
    unknown = [name for name in islice(given, len(names) + UNKNOWN_NAMED) if name not in names][:UNKNOWN_NAMED]
    for name, value in known.items():
        entries = cast("list[Any]", value) if isinstance(value, list) else []
        if len(entries) > (most := properties[name].get("maxItems", MOST_ENTRIES)):
            wrong = f"must have at most {most:,} entries, not {len(entries):,}: split the list"
            raise InvalidArgument(f"{name} {wrong}. Nothing was sent.", field_errors={name: [wrong]})
    try:
        return operation.arguments.model_validate(known | dict.fromkeys(unknown), context=zone)
    except ValidationError as error:
        field_errors: dict[str, list[str]] = {}
        for detail in error.errors(include_url=False):
            name = word(str(detail["loc"][0])) if detail["loc"] else "arguments"
            complaint = _complaint(detail, names)
            if complaint not in field_errors.setdefault(name, []):
                field_errors[name].append(complaint)
        problems = [f"{name}: {'; '.join(complaints[:3])}" for name, complaints in field_errors.items()]
        raise InvalidArgument(
            f"{operation.name}: {plural(len(problems), 'invalid argument')}. {listed(problems, 8)}. Nothing was sent.",
            field_errors=field_errors,
        ) from None


async def resolve(
    operation: Operation, arguments: BaseModel, api: Api, report: Report = _nobody
) -> tuple[Values, Resolved]:
    """The arguments with references looked up. All are checked for their form before the first request. `report` is
    told how far it is."""
    values = {name: getattr(arguments, name) for name in type(arguments).model_fields if name != CONFIRM_TOKEN}
    resolved: Resolved = {}
    lookups: dict[str, list[Lookup]] = {}
    for name, reference in operation.references.items():
        given = cast("str | list[str] | None", values[name])
        texts = [given] if isinstance(given, str) else given
        if texts is not None:
            lookups[name] = [understand(name, reference.kind, text, api.host) for text in texts]
    for name, wanted in lookups.items():
        is_list = isinstance(values[name], list)
        things = await find_all(api, wanted, report) if is_list else [await find(api, wanted[0])]
        values[name] = things if is_list else things[0]
        ids = {one.public_id for one in wanted if one.is_plain_id}
        named = [
            Named(kind=wanted[0].kind, public_id=thing.public_id, name=thing.name)
            for thing in things
            if wanted[0].kind not in ONLY_BY_ID and thing.public_id not in ids
        ]
        if named and (operation.effect is Effect.READ or len(things) == 1):
            resolved[name] = named[0] if len(things) == 1 else named
    return values, resolved


def _read(value: Any, schema: Values) -> Any:
    """A list or object given as JSON text is read, and anything else where a list is expected is a list of one."""
    kind = schema.get("type")
    if isinstance(value, str) and kind in ("array", "object") and value.lstrip().startswith(("[", "{")):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value)
    if kind != "array" or value is None:
        return value
    entries = cast("list[Any]", value) if isinstance(value, list) else [value]
    return [_read(entry, schema["items"]) for entry in entries] if len(entries) <= schema["maxItems"] else entries


def _complaint(detail: ErrorDetails, valid: Iterable[str]) -> str:
    where = "".join(f"entry {part + 1}: " for part in detail["loc"][1:] if isinstance(part, int))
    got: object = detail["input"]
    shown = quoted(got, 40) if isinstance(got, str) else json.dumps(got)[:40] if isinstance(got, int | float) else ""
    match detail["type"]:
        case "extra_forbidden":
            near = nearest(str(detail["loc"][0])[:100], valid)
            return f"unknown argument; {f'did you mean {near}? ' if near else ''}valid: {', '.join(sorted(valid))}"
        case "missing":
            return "is required"
        case "value_error":
            return where + detail["msg"].removeprefix("Value error, ")
        case "literal_error" | "enum":
            choices = str(detail.get("ctx", {})["expected"]).replace("'", "")
            return f"{where}must be one of {choices}" + (f"; got {shown}" if shown else "")
        case _:
            return where + detail["msg"] + (f"; got {shown}" if shown else "")
