"""A client's arguments, checked strictly, with mistakes in words a model can mend."""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pp_mcp.declare import Operation
from pp_mcp.errors import InvalidArgument
from pp_mcp.text import listed, plural, quoted, word


def parse(operation: Operation, given: dict[str, Any]) -> BaseModel:
    """The validated arguments.

    Raises:
        InvalidArgument: names every argument that is wrong, with the form that is accepted; nothing has been sent.
    """
    try:
        return operation.arguments.model_validate(_unpacked(operation.input_schema["properties"], given))
    except ValidationError as error:
        field_errors: dict[str, list[str]] = {}
        for detail in error.errors(include_url=False, include_context=True):
            name = word(str(detail["loc"][0])) if detail["loc"] else "arguments"
            said = _said(detail, operation.arguments.model_fields)
            if said not in field_errors.setdefault(name, []):
                field_errors[name].append(said)
        problems = [f"{name}: {'; '.join(said[:3])}" for name, said in field_errors.items()]
        raise InvalidArgument(
            f"{plural(len(field_errors), 'argument')} of {operation.name} to mend: {listed(problems, 8)}. Nothing was "
            "sent.",
            field_errors=field_errors,
        ) from None


def _unpacked(properties: dict[str, dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
    """Some clients send a list as a string that holds JSON; taken as what is meant where a list is wanted."""
    unpacked = dict(given)
    for name, value in given.items():
        takes_list = properties.get(name, {}).get("type") == "array"
        if takes_list and isinstance(value, str) and value.lstrip().startswith("["):
            with contextlib.suppress(ValueError, RecursionError):
                unpacked[name] = json.loads(value)
    return unpacked


def _said(detail: ErrorDetails, valid: Iterable[str]) -> str:
    kind, context = detail["type"], detail.get("ctx") or {}
    where = "".join(f"entry {part + 1} " for part in detail["loc"][1:] if isinstance(part, int))
    match kind:
        case "extra_forbidden":
            name = str(detail["loc"][0])
            near = difflib.get_close_matches(name.casefold(), list(valid), n=1, cutoff=0.5)
            names = sorted(valid)
            offer = f"did you mean {near[0]}?" if near else ""
            return f"unknown argument; {offer + ' ' if offer else ''}valid: {', '.join(names) or 'none'}"
        case "missing":
            return "is required"
        case "value_error":
            return where + str(context.get("error", "is not valid"))
        case "literal_error" | "enum":
            return (
                f"{where}must be one of {str(context.get('expected', '')).replace(chr(39), '')}; got {_shown(detail)}"
            )
        case "greater_than_equal":
            return f"{where}must be at least {context['ge']}; got {_shown(detail)}"
        case "less_than_equal":
            return f"{where}must be at most {context['le']}; got {_shown(detail)}"
        case "too_long":
            return f"takes at most {context['max_length']} entries; split the list"
        case "too_short":
            return f"needs at least {plural(context['min_length'], 'entry', 'entries')}"
        case "string_too_long":
            return f"{where}must be at most {context['max_length']} characters"
        case "string_too_short":
            return f"{where}must not be empty"
        case "string_type":
            return f"{where}must be a text; got {_shown(detail)}"
        case "list_type":
            return f'must be a list such as ["a", "b"]; got {_shown(detail)}'
        case "bool_parsing" | "bool_type":
            return f"{where}must be true or false; got {_shown(detail)}"
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            return f"{where}must be a whole number; got {_shown(detail)}"
        case _:
            return f"{where}is not valid ({kind.replace('_', ' ')}); got {_shown(detail)}"


def _shown(detail: ErrorDetails) -> str:
    value: object = detail.get("input")
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)[:40]
    return quoted(value, 40) if isinstance(value, str) else f"a {type(value).__name__}"
