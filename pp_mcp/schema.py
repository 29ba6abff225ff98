"""JSON schemas as a model pays for them: everything that says something, nothing that repeats it."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel

Schema = dict[str, Any]

_DROPPED = {"title"}

_CHECKED_ANYWAY = {"minLength", "maxLength"}
"""Limits no caller comes near: their words cost every reader of the menu, and an error names them when it happens."""

_SAYS_NULL = {"next_page", "undo"}
"""Fields of an answer whose null tells something: the last page, a write that cannot be undone."""

_ROWS = {"item", "items", "rows"}
"""Fields that hold what the API sent, nulls and all."""


def lean_input(model: type[BaseModel]) -> Schema:
    """The arguments' schema: no titles, no "or null" where leaving out means the same, unknown arguments forbidden."""
    schema = _clean(model.model_json_schema(), drop_descriptions=False)
    removable = {name for name, field in model.model_fields.items() if field.default_factory is not None}
    for name, prop in cast("dict[str, Schema]", schema.get("properties", {})).items():
        arms = [arm for arm in prop.get("anyOf", []) if arm != {"type": "null"}]
        if len(arms) == 1:
            prop.pop("anyOf")
            prop.update({key: value for key, value in arms[0].items() if key not in prop})
            if name in removable:
                prop["type"] = [prop["type"], "null"]
        if prop.get("default", ...) is None:
            del prop["default"]
    schema.pop("description", None)
    return schema


def lean_output(model: type[BaseModel]) -> Schema:
    """The answer's schema: types only, with `$defs` that are used once put in their place."""
    schema = _clean(model.model_json_schema(mode="serialization"), drop_descriptions=True)
    definitions: dict[str, Schema] = schema.pop("$defs", {})
    schema = cast(Schema, _inline(schema, definitions))
    schema.pop("additionalProperties", None)
    for name, prop in cast("dict[str, Schema]", schema["properties"]).items():
        if name not in _SAYS_NULL:
            schema["properties"][name] = prop if name in _ROWS else _without_null(prop)
    return schema


def _without_null(node: Any) -> Any:
    """The schema of what is absent, not null, where there is none of it."""
    if isinstance(node, list):
        return [_without_null(one) for one in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    found = {key: _without_null(value) for key, value in cast(Schema, node).items()}
    kinds = cast(Any, found.get("type"))
    if isinstance(kinds, list):
        found["type"] = next(kind for kind in cast("list[str]", kinds) if kind != "null")
    return found


def _clean(node: Any, *, drop_descriptions: bool, properties: bool = False) -> Any:
    if isinstance(node, list):
        return [_clean(one, drop_descriptions=drop_descriptions) for one in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    cleaned: Schema = {}
    for key, value in cast(Schema, node).items():
        if not properties:
            if key in _DROPPED | _CHECKED_ANYWAY or (drop_descriptions and key in {"description", "default"}):
                continue
            if key == "additionalProperties" and value is True:
                continue
        cleaned[key] = _clean(
            value, drop_descriptions=drop_descriptions, properties=not properties and key in {"properties", "$defs"}
        )
    if drop_descriptions and not properties:
        return _nullable(cleaned)
    return cleaned


def _nullable(node: Schema) -> Schema:
    """`anyOf: [{type: X}, {type: null}]` as `type: [X, null]`, which says the same in half the characters."""
    arms = cast("list[Schema]", node.get("anyOf", []))
    others = [arm for arm in arms if arm != {"type": "null"}]
    if len(arms) == 2 and len(others) == 1 and isinstance(others[0].get("type"), str) and "enum" not in others[0]:
        merged = {key: value for key, value in node.items() if key != "anyOf"} | others[0]
        merged["type"] = [others[0]["type"], "null"]
        return merged
    return node


def _inline(node: Any, definitions: dict[str, Schema]) -> Any:
    if isinstance(node, list):
        return [_inline(one, definitions) for one in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    found = cast(Schema, node)
    reference = found.get("$ref")
    if isinstance(reference, str):
        return _inline(definitions[reference.rsplit("/", 1)[1]], definitions)
    inlined = {key: _inline(value, definitions) for key, value in found.items()}
    return _nullable(inlined) if "anyOf" in inlined else inlined
