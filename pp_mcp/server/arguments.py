"""A client's arguments → what an operation receives: validated, references replaced by the things they name."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pp_mcp.answers import Named
from pp_mcp.api import Api
from pp_mcp.declare import CONFIRM_TOKEN, Effect, Operation
from pp_mcp.errors import InvalidArgument
from pp_mcp.server.references import Lookup, find, find_all, understand
from pp_mcp.text import listed, nearest, plural, quoted, word

Values = dict[str, Any]
Resolved = dict[str, Any]
"""What each name, e-mail or URL was taken to mean; an argument given as an id is not among them. Of a list, where one
entry was given, what that means, else a list; only of those that read, for a plan names its people itself."""


async def prepare(operation: Operation, given: Values, api: Api) -> tuple[Values, Resolved]:
    """What the operation is called with. The one way from a client's arguments to an operation.

    Raises:
        InvalidArgument: an argument is wrong; nothing was changed.
    """
    return await resolve(operation, parse(operation, given), api)


def parse(operation: Operation, given: Values) -> BaseModel:
    """The validated arguments.

    Raises:
        InvalidArgument: names every argument that is wrong and the form that is accepted; nothing was sent.
    """
    try:
        return operation.arguments.model_validate(_given(operation.input_schema["properties"], given))
    except ValidationError as error:
        field_errors: dict[str, list[str]] = {}
        for detail in error.errors(include_url=False):
            name = word(str(detail["loc"][0])) if detail["loc"] else "arguments"
            complaint = _complaint(detail, operation.arguments.model_fields)
            if complaint not in field_errors.setdefault(name, []):
                field_errors[name].append(complaint)
        problems = [f"{name}: {'; '.join(complaints[:3])}" for name, complaints in field_errors.items()]
        raise InvalidArgument(
            f"{operation.name}: {plural(len(problems), 'invalid argument')}. {listed(problems, 8)}. Nothing was sent.",
            field_errors=field_errors,
        ) from None


async def resolve(operation: Operation, arguments: BaseModel, api: Api) -> tuple[Values, Resolved]:
    """The arguments with references looked up. All are checked for their form before the first request."""
    values = {name: getattr(arguments, name) for name in type(arguments).model_fields if name != CONFIRM_TOKEN}
    resolved: Resolved = {}
    lookups: dict[str, list[Lookup]] = {}
    for name, reference in operation.references.items():
        given = cast("str | list[str] | None", values[name])
        texts = [given] if isinstance(given, str) else given
        if isinstance(texts, list):  # pyright: ignore[reportUnnecessaryIsInstance] - an argument left out may be UNSET
            lookups[name] = [understand(name, reference.kind, text, api.host) for text in texts]
    for name, wanted in lookups.items():
        is_list = isinstance(values[name], list)
        things = await find_all(api, wanted) if is_list else [await find(api, wanted[0])]
        values[name] = things if is_list else things[0]
        named = [
            Named(kind=one.kind, public_id=thing.public_id, name=thing.name)
            # What is named twice is found once, and then it does not show which name stands for which thing.
            for one, thing in (zip(wanted, things, strict=True) if len(wanted) == len(things) else ())
            if not one.is_plain_id
        ]
        if named and (operation.effect is Effect.READ or not is_list):
            resolved[name] = named[0] if len(wanted) == 1 else named
    return values, resolved


MOST_UNKNOWN = 20
"""Unknown arguments that are looked at; a request may have any number of them."""


def _given(properties: Mapping[str, Mapping[str, Any]], arguments: Values) -> Values:
    """The arguments that were really given: null and "" stand for one that was left out, for many frameworks fill in
    every argument there is. Where a list is expected, a string is a list of one, or the list that it holds as JSON."""
    known = {name: arguments[name] for name in properties if arguments.get(name) not in (None, "")}
    unknown = ((name, value) for name, value in arguments.items() if name not in properties)
    for name, value in known.items():
        if isinstance(value, str) and properties[name].get("type") == "array":
            known[name] = [value]
            if value.lstrip().startswith(("[", "{")):
                with contextlib.suppress(ValueError, RecursionError):
                    found = json.loads(value)
                    known[name] = found if isinstance(found, list) else [found]
    return known | dict(islice(unknown, MOST_UNKNOWN))


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
